"""Merge: low-resolution chroma, upsampled bilinearly, joined with full-resolution luma, row after row.

Rungs in YUV, 12 MP from 256 x 256, one thread of a Xeon with AVX-512: each low-resolution row is stretched once and a
pixel costs one vertical lerp, 1400 MP/s -> stretching by gathers, and R, G, B packed into words before one byte shuffle
instead of three narrowing conversions, 1930 -> luma and result are fetched ahead, 2310.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.reference.constants import CHROMA_LIMIT, LUMA_MAX

from fastcolor import reference

from ..common import face
from ..common.host import Array, allowed, levels, out_of_range, plain
from .jit import jit
from .join import write_rgb
from .simd import (
    LANES,
    any_greater,
    fma,
    gather,
    greater,
    lesser,
    load,
    outside,
    prefetch,
    splat,
    store,
    where_nan,
)
from .threads import run_blocks

AHEAD = 1024  # pixels from the one computed to the one fetched
_INF = np.float32(np.inf)
_FINE, _LUMA, _FIRST, _SECOND = 0, 1, 2, 3  # what the arguments leave the range of: nothing, luma, a kind of chroma


@jit(inline=True)
def _sample(position, have, want):
    """Low index, and weight of the next sample, of output `position`: half-pixel centers, clamped."""
    at = (position + 0.5) * have / want - 0.5
    at = min(max(at, 0.0), have - 1.0)
    low = int(at)
    return low, np.float32(at - low)


@jit
def _leaves(samples, limit):
    """True if any of a row's samples lies beyond +-limit."""
    width = samples.size
    if width < LANES:
        return np.any(np.abs(samples) > limit)
    for position in range(0, width, LANES):
        x = load(samples, min(position, width - LANES))
        if any_greater(greater(x, -x), splat(limit)):
            return True
    return False


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


def _rows_in(lab: bool) -> Any:
    """The kernel of a space: a branch in its loop would cost YUV a tenth."""

    @jit
    def merge_rows(first, last, chroma, luma, luma_unit, width, height, limits, rgb):
        """Rows [first, last) of images of `width` >= 16 pixels; `luma` and `rgb` are flat, `chroma` is (N, 2, h, w).

        `limits` are the lowest and the highest luma, and the largest chroma of either kind. Which of them the arguments
        leave is returned.
        """
        low_height, low_width = chroma.shape[2], chroma.shape[3]
        low_luma, high_luma, first_limit, second_limit = limits
        left, right = np.empty(width, np.int32), np.empty(width, np.int32)
        weight = np.empty(width, np.float32)
        for x in range(width):
            left[x], weight[x] = _sample(x, low_width, width)
            right[x] = min(left[x] + 1, low_width - 1)
        lines = np.empty((2, 2, width), np.float32)  # (line above, line below) x (U, V), stretched to the full width
        flat = lines.reshape(-1)
        held = np.full(2, -1, np.int64)  # which low-resolution row, of all images', each of the two lines holds
        known = np.ones(2, np.bool_)
        least, most = splat(low_luma), splat(high_luma)
        for line in range(first, last):
            image = line // height
            above, t = _sample(line - image * height, low_height, height)
            below = min(above + 1, low_height - 1)
            upper, lower = above % 2, below % 2
            for row in (above, below):
                slot = row % 2
                if held[slot] != image * low_height + row:
                    held[slot] = image * low_height + row
                    source = chroma[image, :, row]
                    if _leaves(source[0], first_limit):
                        return _FIRST
                    if _leaves(source[1], second_limit):
                        return _SECOND
                    known[slot] = _stretch(source, left, right, weight, lines[slot])
            a, b = splat(np.float32(1) - t), splat(t)
            ordinary = known[upper] and known[lower]
            for position in range(0, width, LANES):
                x = min(position, width - LANES)
                u = fma(load(flat, 2 * lower * width + x), b, load(flat, 2 * upper * width + x) * a)
                v = fma(load(flat, (2 * lower + 1) * width + x), b, load(flat, (2 * upper + 1) * width + x) * a)
                if not ordinary:  # where one of U and V is NaN, the pixel is
                    u, v = where_nan(v, v, u), where_nan(u, u, v)
                pixel = line * width + x
                prefetch(luma, pixel + AHEAD)
                prefetch(rgb, 3 * (pixel + AHEAD))
                y = load(luma, pixel) * splat(luma_unit)
                least, most = lesser(y, least), greater(y, most)  # NaN is neither
                write_rgb(y, u, v, rgb, pixel, 0, 0, lab)
        return _LUMA if any_greater(splat(low_luma), least) or any_greater(most, splat(high_luma)) else _FINE

    return merge_rows


_ROWS_IN = {"yuv": _rows_in(False), "lab": _rows_in(True)}

# --- host -------------------------------------------------------------------------------------------------------------


@face.merge
def merge(chroma: Array, luma: Array, space: str, rgb: Array) -> None:
    images, height, width = luma.shape
    if width < LANES:
        for pair, target in zip(zip(chroma, luma, strict=True), rgb, strict=True):
            target[...] = reference.merge(*pair, space=space)
        return
    lab = space == "lab"
    source, (level, unit) = plain(np.asarray(chroma, np.float32)), levels(luma, lab)
    luma_range, limit = (0.0, LUMA_MAX[space]), CHROMA_LIMIT[space]
    limits = *allowed(0.0, 100.0 if lab else 255.0), *(allowed(-each, each)[1] for each in limit)
    lines = images * height
    arguments = source, level, unit, width, height, limits, rgb.reshape(-1)
    parts = run_blocks(_ROWS_IN[space], lines, lines * width, *arguments)
    for left, name, (low, high) in (
        (_LUMA, "luma", luma_range),
        (_FIRST, f"chroma, first of {space}", (-limit[0], limit[0])),
        (_SECOND, f"chroma, second of {space}", (-limit[1], limit[1])),
    ):
        if left in parts:
            out_of_range(name, low, high)
