"""Device functions of the Numba CUDA kernels: numbers in, numbers out, no thread index.

float32 throughout: a literal like 0.5 would be float64 here, so that constants are typed. Every function runs in
Numba's simulator as well, which knows no libdevice; there, ``math`` gives Python floats, hence the casts. Comparisons
stand where one would write min() and max(): Numba 0.66 to 0.68 cannot compile these for a GPU.
"""

from __future__ import annotations

import math

import numpy as np
from fastcolor.reference.constants import LUMA, U_SCALE, V_SCALE
from numba import cuda

ZERO, ONE, INF, NAN = np.float32(0), np.float32(1), np.float32(np.inf), np.float32(np.nan)
_HALF, _WHITE = np.float32(0.5), np.float32(255)

# 255 (R - Y), 255 (B - Y), 255 (G - Y) for one unit of V or U, from the exact inverse of the luma equation.
_R_V, _B_U = np.float32(255 / V_SCALE), np.float32(255 / U_SCALE)
_G_V, _G_U = np.float32(-255 / V_SCALE * LUMA[0] / LUMA[1]), np.float32(-255 / U_SCALE * LUMA[2] / LUMA[1])


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


@cuda.jit(device=True)
def to_level(x):
    """``floor(x + 0.5)`` of x clipped to [0, 255]; NaN gives 0."""
    rounded = x + _HALF
    if not rounded > ZERO:
        return np.uint8(0)
    if rounded >= _WHITE:
        return np.uint8(255)
    return np.uint8(rounded)


@cuda.jit(device=True)
def store_rgb(rgb, at, post, luma, u, v):
    """Join luma in 0..255 with chroma: R, G, B, `post` apart from `at` on; black where one of them is NaN."""
    rgb[at] = to_level(luma + v * _R_V)
    rgb[at + post] = to_level(luma + v * _G_V + u * _G_U)
    rgb[at + 2 * post] = to_level(luma + u * _B_U)


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
