"""From the sums of a block of pixels to what is wanted of them: RGB, chroma, confidence."""

from __future__ import annotations

import numpy as np
from fastcolor.reference.constants import ALLOWANCE, LUMA_MAX

from .jit import jit
from .join import write_rgb
from .simd import LANES, greater, lesser, load, outside, splat, store
from .softmax import RATIO, SUM_U, SUM_V, TOP

_INF = np.float32(np.inf)
_LEVELS, _LIGHTEST, _ALLOWANCE = np.float32(255), np.float32(LUMA_MAX["lab"]), np.float32(ALLOWANCE)


@jit(inline=True)
def beyond_luma(least, most, lab):
    """True if the range of lumas, as levels or L of Lab, leaves that of the space; `least` <= 0 <= `most`."""
    high = _LIGHTEST if lab else _LEVELS
    slack = high * _ALLOWANCE
    return outside(splat(-slack), least, splat(_INF)) or outside(splat(-_INF), most, splat(high + slack))


@jit(inline=True)
def _chroma_at(flat, width, i):
    """The annealed mean of the 16 pixels at `i` of a block's sums."""
    scale = splat(1.0) / load(flat, i)
    return load(flat, SUM_U * width + i) * scale, load(flat, SUM_V * width + i) * scale


@jit(inline=True)
def _join_block(image, start, count, size, sums, luma, luma_unit, lab, rgb, planar):
    """RGB of a block. True if a luma is out of range."""
    width = sums.shape[1]
    flat = sums.reshape(-1)
    least, most = splat(0.0), splat(0.0)
    for i in range(0, size, LANES):
        within = min(start + i, count - LANES)
        pixel = image * count + within
        u, v = _chroma_at(flat, width, i)
        y = load(luma, pixel) * splat(luma_unit)
        least, most = lesser(y, least), greater(y, most)  # NaN is neither
        write_rgb(y, u, v, rgb, pixel, 3 * image * count + within, count if planar else 0, lab)
    return beyond_luma(least, most, lab)


@jit
def write_block(image, start, count, size, sums, luma, luma_unit, lab, rgb, planar, chroma, top, ratio, wanted):
    """Turn the sums of a block into what is wanted: (rgb, chroma, confidence). True if a luma is out of range."""
    want_rgb, want_chroma, want_top = wanted
    width = sums.shape[1]
    flat = sums.reshape(-1)
    strange = False
    if want_rgb and lab:  # two loops, each of which knows its space
        strange = _join_block(image, start, count, size, sums, luma, luma_unit, True, rgb, planar)
    elif want_rgb:
        strange = _join_block(image, start, count, size, sums, luma, luma_unit, False, rgb, planar)
    elif want_chroma:
        for i in range(0, size, LANES):
            place = 2 * image * count + min(start + i, count - LANES)
            u, v = _chroma_at(flat, width, i)
            store(chroma, place, u)
            store(chroma, place + count, v)
    if want_top:
        for i in range(0, size, LANES):
            pixel = image * count + min(start + i, count - LANES)
            store(top, pixel, load(flat, TOP * width + i))
            store(ratio, pixel, load(flat, RATIO * width + i))
    return strange
