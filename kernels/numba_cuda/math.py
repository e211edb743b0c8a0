"""Device functions of the Numba CUDA kernels: exponentials, and what becomes of a pixel's row of logits.

float32 throughout: a literal like 0.5 would be float64 here, so that constants are typed. Every function runs in
Numba's simulator as well, which knows no libdevice; there, ``math`` gives Python floats, hence the casts. Comparisons
stand where one would write min() and max(): Numba 0.66 to 0.68 cannot compile these for a GPU.
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda

ZERO, ONE, INF, NAN = np.float32(0), np.float32(1), np.float32(np.inf), np.float32(np.nan)


@cuda.jit(device=True)
def exp(x):
    """``e^x`` in float32, within one ulp."""
    return np.float32(math.exp(x))


@cuda.jit(device=True)
def log(x):
    """``log x`` in float32 for x > 0, within one ulp."""
    return np.float32(math.log(x))


@cuda.jit(device=True)
def channel_zero(pixel, channels, post):
    """Index of a pixel's channel 0 in a contiguous (pre, channels, post); the channels lie `post` apart."""
    return pixel // post * channels * post + pixel % post


# --- one pixel's row: n numbers in a shared tile, `stride` apart ------------------------------------------------------


@cuda.jit(device=True)
def peak(tile, at, stride, n):
    """The largest number of the row; NaN does not count."""
    top = -INF
    for b in range(n):
        value = tile[at + b * stride]
        if value > top:
            top = value
    return top


@cuda.jit(device=True)
def take_logarithms(tile, at, stride, n):
    """Turn probabilities of any scale into ``log(p / max p)``: -inf for zero, NaN for what is none.

    NaN in every bin where all are zero. The quotient first: logarithms of a far scale would have lost its small digits.
    """
    top = peak(tile, at, stride, n)
    for b in range(n):
        share = tile[at + b * stride] / top if top > ZERO else NAN
        tile[at + b * stride] = log(share) if share > ZERO else -INF if share == ZERO else NAN


@cuda.jit(device=True)
def color_of(tile, at, stride, n, inverse_t, colors):
    """``sum_b softmax(x / T)_b c_b`` of the row; the mode's color if `inverse_t` is infinite.

    NaN if a logit is NaN or +inf or all are -inf: then the difference to the largest is NaN.
    """
    top = peak(tile, at, stride, n)
    if inverse_t == INF:
        return mode(tile, at, stride, n, top, colors)
    total, u, v = ZERO, ZERO, ZERO
    for b in range(n):
        weight = exp((tile[at + b * stride] - top) * inverse_t)
        total += weight
        u += weight * colors[2 * b]
        v += weight * colors[2 * b + 1]
    return u / total, v / total


@cuda.jit(device=True)
def mode(tile, at, stride, n, top, colors):
    """The color of the largest logit, ties to the lowest bin; NaN as in :func:`color_of`."""
    best = n
    for b in range(n):
        below = tile[at + b * stride] - top
        if below != below:
            return NAN, NAN
        if below == ZERO and best == n:
            best = b
    return colors[2 * best], colors[2 * best + 1]


@cuda.jit(device=True)
def sureness_of(tile, at, stride, n):
    """``max_b softmax(x)_b`` and its ratio to the second, at T = 1; NaN as in :func:`color_of`."""
    first, second = -INF, -INF
    for b in range(n):
        value = tile[at + b * stride]
        if value > first:
            first, second = value, first
        elif value > second:
            second = value
    total = ZERO
    for b in range(n):
        total += exp(tile[at + b * stride] - first)
    if total != total:
        return NAN, NAN
    return ONE / total, ONE / exp(second - first)  # inf if the second probability is zero
