"""Merge: low-resolution chroma, upsampled bilinearly, joined with full-resolution luma, row after row.

Rungs, 12 MP from 256 x 256, one thread of a Xeon with AVX-512: each low-resolution row is stretched once and a pixel
costs one vertical lerp, 1400 MP/s -> stretching by gathers, and R, G, B packed into words before one byte shuffle
instead of three narrowing conversions, 1930 -> luma and result are fetched ahead, 2310.
"""

from __future__ import annotations

import numpy as np

from fastcolor import reference

from ..common import face
from ..common.host import Array, levels, plain
from .jit import jit
from .join import write_rgb
from .simd import LANES, fma, gather, load, outside, prefetch, splat, store, where_nan
from .threads import run_blocks

AHEAD = 1024  # pixels from the one computed to the one fetched
_INF = np.float32(np.inf)


@jit(inline=True)
def _sample(position, have, want):
    """Low index, and weight of the next sample, of output `position`: half-pixel centers, clamped."""
    at = (position + 0.5) * have / want - 0.5
    at = min(max(at, 0.0), have - 1.0)
    low = int(at)
    return low, np.float32(at - low)


@jit
def merge_rows(first, last, chroma, luma, luma_unit, width, height, rgb):
    """Rows [first, last) of an image of `width` >= 16 pixels; `luma` and `rgb` are flat, `chroma` is (2, h, w)."""
    low_height, low_width = chroma.shape[1], chroma.shape[2]
    left, right = np.empty(width, np.int32), np.empty(width, np.int32)
    weight = np.empty(width, np.float32)
    for x in range(width):
        left[x], weight[x] = _sample(x, low_width, width)
        right[x] = min(left[x] + 1, low_width - 1)
    lines = np.empty((2, 2, width), np.float32)  # (line above, line below) x (U, V), stretched to the full width
    flat = lines.reshape(-1)
    held = np.full(2, -1, np.int64)  # which low-resolution row each of the two lines holds
    finite = np.ones(2, np.bool_)
    for y in range(first, last):
        above, t = _sample(y, low_height, height)
        below = min(above + 1, low_height - 1)
        upper = above % 2
        for row in (above, below):
            slot = row % 2
            if held[slot] != row:
                finite[slot] = _stretch(chroma[:, row], left, right, weight, lines[slot])
                held[slot] = row
        lower = below % 2
        a, b = splat(np.float32(1) - t), splat(t)
        ordinary = finite[upper] and finite[lower]
        for position in range(0, width, LANES):
            x = min(position, width - LANES)
            u = fma(load(flat, 2 * lower * width + x), b, load(flat, 2 * upper * width + x) * a)
            v = fma(load(flat, (2 * lower + 1) * width + x), b, load(flat, (2 * upper + 1) * width + x) * a)
            if not ordinary:  # where one of U and V is NaN, the pixel is
                u, v = where_nan(v, v, u), where_nan(u, u, v)
            pixel = y * width + x
            prefetch(luma, pixel + AHEAD)
            prefetch(rgb, 3 * (pixel + AHEAD))
            write_rgb(load(luma, pixel) * splat(luma_unit), u, v, rgb, pixel, 0, 0, False)


@jit
def _stretch(source, left, right, weight, line):
    """Interpolate one low-resolution row, (2, w), to the full width; False if anything in it is not finite."""
    width = weight.size
    finite = True
    for channel in range(2):
        samples, target = source[channel], line[channel]
        for position in range(0, width, LANES):
            x = min(position, width - LANES)
            w = load(weight, x)
            stretched = fma(gather(samples, load(right, x)), w, gather(samples, load(left, x)) * (splat(1.0) - w))
            finite = finite and not outside(splat(-_INF), stretched, splat(_INF))
            store(target, x, stretched)
    return finite


@face.merge
def merge(chroma: Array, luma: Array, rgb: Array) -> None:
    height, width = luma.shape
    if width < LANES:
        rgb[...] = reference.merge(chroma, luma)
        return
    source = plain(np.asarray(chroma, np.float32))
    run_blocks(merge_rows, height, height * width, source, *levels(luma, False), width, height, rgb.reshape(-1))
