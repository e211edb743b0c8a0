"""Sums over the bins of a block of pixels: what decode, annealed mean and confidence share.

A block is `size` pixels (a multiple of 16) of n planes, with five rows of sums: total weight, weighted U, weighted V
at temperature T; top probability and its ratio to the second at T = 1.

Rungs, decode of 32 float32 planes, one thread of a Xeon with AVX-512 (its memory would allow 118 MP/s): a max pass, an
exp pass, plane by plane -> no max pass: sums of exp2 directly, redone with the maximum subtracted if any leaves
[2^-90, 2^100] -> eight planes at a time, so that the sums are loaded and stored four times instead of 32 and the memory
sees eight streams, 89 MP/s -> the next eight planes are fetched meanwhile, 103 -> blocks of 1024 pixels, 107. With
confidence: a second pass over the cached block, 65; both in one loop, 70 to 80.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import jit
from .math import HIGHEST, LOWEST, exp2_scaled
from .simd import (
    LANES,
    fma,
    greater,
    lesser,
    load,
    load_one,
    outside,
    prefetch,
    splat,
    store,
    where_greater,
)

TOTAL, SUM_U, SUM_V, TOP, RATIO, SECOND = range(6)
ROWS = 6
GROUP = 8

_SMALL, _LARGE = np.float32(2.0**-90), np.float32(2.0**100)
_INF, _NAN = np.float32(np.inf), np.float32(np.nan)


@jit(inline=True)
def _sum(x, start, stride, count, size, n, scale, one, colors, want_color, want_top, source, upcoming, apart, sums):
    """Fill the wanted rows without subtracting the maximum; False if a sum is out of range or NaN.

    `scale` turns values into exponents of base 2 at temperature T, `one` at T = 1: log2(e) for logits.

    `x` is flat: bin b of pixel i lies at ``start + b * stride + i``, for i < `count`; the last vector overlaps. Until
    the last group of planes, the rows TOP, RATIO and SECOND hold the sum at T = 1, the largest and the second logit.

    Meanwhile the next data are fetched: the next group of planes, or, if `x` is a copy that was made of `source`, what
    the next copy will read: n rows of `size` elements, `apart` from each other, from `upcoming` on.
    """
    width = sums.shape[1]
    flat, palette = sums.reshape(-1), colors.reshape(-1)
    factor, low, high = splat(scale), splat(LOWEST / scale), splat(HIGHEST / scale)
    unit, unit_low, unit_high = splat(one), splat(LOWEST / one), splat(HIGHEST / one)
    good = True
    for first in range(0, n, GROUP):
        planes = min(GROUP, n - first)
        final = first + GROUP >= n
        next_group, spacing = start + (size if final else (first + GROUP) * stride), stride
        if upcoming >= 0:
            next_group, spacing = upcoming + first * apart, apart
        for i in range(0, size, LANES):
            at = start + first * stride + min(i, count - LANES)
            ahead = next_group + i
            total, u, v, mass = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
            top, second = splat(-_INF), splat(-_INF)
            if first > 0 and want_color:
                total, u, v = load(flat, i), load(flat, SUM_U * width + i), load(flat, SUM_V * width + i)
            if first > 0 and want_top:
                mass, top = load(flat, TOP * width + i), load(flat, RATIO * width + i)
                second = load(flat, SECOND * width + i)
            for k in range(planes):
                prefetch(source, ahead + k * spacing)
                value = load(x, at + k * stride)
                if want_color:
                    e = exp2_scaled(value, factor, low, high)
                    total = total + e
                    u = fma(e, splat(load_one(palette, 2 * (first + k))), u)
                    v = fma(e, splat(load_one(palette, 2 * (first + k) + 1)), v)
                if want_top:
                    second = greater(second, lesser(top, value))
                    top = greater(top, value)
                    mass = mass + exp2_scaled(value, unit, unit_low, unit_high)
            if want_color:
                good = good and not (final and outside(splat(_SMALL), total, splat(_LARGE)))
                store(flat, i, total)
                store(flat, SUM_U * width + i, u)
                store(flat, SUM_V * width + i, v)
            if want_top:
                if final:
                    good = good and not outside(splat(_SMALL), mass, splat(_LARGE))
                    mass = exp2_scaled(top, unit, unit_low, unit_high) / mass
                    top = _ratio(top, second, one)
                store(flat, TOP * width + i, mass)
                store(flat, RATIO * width + i, top)
                store(flat, SECOND * width + i, second)
    return good


def _instance(want_color: bool, want_top: bool) -> Any:
    """A kernel of :func:`_sum` for what is wanted, which the compiler then knows."""

    @jit
    def summed(x, start, stride, count, size, n, scale, one, colors, source, upcoming, apart, sums):
        return _sum(
            x, start, stride, count, size, n, scale, one, colors, want_color, want_top, source, upcoming, apart, sums
        )

    return summed


sum_chroma, sum_confidence, sum_both = _instance(True, False), _instance(False, True), _instance(True, True)


@jit(inline=True)
def _ratio(top, second, one):
    """``2^(one (top - second))``, as a square so that it overflows to inf where it must."""
    half = np.float32(0.5) * one
    root = exp2_scaled(top - second, splat(half), splat(LOWEST / half), splat(HIGHEST / half))
    return root * root


@jit
def sum_carefully(x, start, stride, count, size, n, scale, one, colors, sums):
    """All rows with the maximum subtracted first, vector by vector: NaN, infinities and any range are right."""
    width = sums.shape[1]
    flat = sums.reshape(-1)
    factor, low, high = splat(scale), splat(LOWEST / scale), splat(HIGHEST / scale)
    unit, unit_low, unit_high = splat(one), splat(LOWEST / one), splat(HIGHEST / one)
    for i in range(0, size, LANES):
        at = start + min(i, count - LANES)
        top, second = splat(-_INF), splat(-_INF)
        for b in range(n):
            value = load(x, at + b * stride)
            second = greater(second, lesser(top, value))
            top = greater(top, value)
        total, u, v, mass = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        for b in range(n):
            value = load(x, at + b * stride) - top  # NaN for a NaN logit, for inf - inf, and where all are -inf
            mass = mass + exp2_scaled(greater(unit_low, value), unit, unit_low, unit_high)
            e = exp2_scaled(greater(low, value), factor, low, high)
            total = total + e
            u = fma(e, splat(colors[b, 0]), u)
            v = fma(e, splat(colors[b, 1]), v)
        store(flat, i, total)
        store(flat, width + i, u)
        store(flat, 2 * width + i, v)
        store(flat, TOP * width + i, splat(1.0) / mass)
        store(flat, RATIO * width + i, _ratio(top, second, one) + (mass - mass))


@jit
def take_mode(x, start, stride, count, size, n, colors, sums):
    """Rows TOTAL, SUM_U, SUM_V at temperature zero: the color of the largest logit, ties to the lowest bin."""
    width = sums.shape[1]
    flat = sums.reshape(-1)
    for i in range(0, size, LANES):
        at = start + min(i, count - LANES)
        top, total, u, v = splat(-_INF), splat(1.0), splat(0.0), splat(0.0)
        for b in range(n):
            value = load(x, at + b * stride)
            u = where_greater(value, top, splat(colors[b, 0]), u)
            v = where_greater(value, top, splat(colors[b, 1]), v)
            total = where_greater(splat(_INF), value, total, splat(_NAN))  # NaN and +inf spoil the pixel
            top = greater(value, top)
        total = where_greater(top, splat(-_INF), total, splat(_NAN))
        store(flat, i, total)
        store(flat, width + i, u + (total - total))
        store(flat, 2 * width + i, v + (total - total))


@jit
def block_sums(
    x, start, stride, count, size, n, scale, one, colors, want_color, want_top, source, upcoming, apart, sums
):
    """Fill the rows that are wanted; `scale` is `one` / T, or inf for the mode."""
    mode = scale == _INF
    factor = one if mode else scale
    steepest = max(factor if want_color else one, one if want_top else factor)
    good = _in_range(x, start + min(0, count - LANES), stride, n, steepest)
    if good:
        if want_color and want_top:
            good = sum_both(x, start, stride, count, size, n, factor, one, colors, source, upcoming, apart, sums)
        elif want_color:
            good = sum_chroma(x, start, stride, count, size, n, factor, one, colors, source, upcoming, apart, sums)
        else:
            good = sum_confidence(x, start, stride, count, size, n, factor, one, colors, source, upcoming, apart, sums)
    if not good:
        sum_carefully(x, start, stride, count, size, n, factor, one, colors, sums)
    if mode and want_color:
        take_mode(x, start, stride, count, size, n, colors, sums)


@jit(inline=True)
def _in_range(x, start, stride, n, scale):
    """False if the block's first vector alone shows that sums without the maximum would be out of range."""
    top = splat(-_INF)
    for b in range(n):
        top = greater(load(x, start + b * stride), top)
    return not outside(splat(np.float32(-89) / scale), top, splat(np.float32(99) / scale))
