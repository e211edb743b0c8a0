"""The share of every bin in the pixels of a block, but for a factor a pixel: of logits, or of probabilities."""

from __future__ import annotations

import numpy as np

from ..common.scale import LOG2E
from .jit import jit
from .math import HIGHEST, LOWEST, exp2_scaled, valid_probability
from .simd import LANES, greater, load, outside, splat, store
from .softmax import GROUP

_LOG2E = np.float32(LOG2E)
_SMALL, _LARGE = np.float32(2.0**-20), np.float32(2.0**100)
_INF = np.float32(np.inf)


@jit
def softmax_block(x, start, stride, count, size, n, width, tile, scales):
    """``tile[b * width] * scales = softmax(x)_b`` at T = 1; scales is NaN where the pixel is invalid."""
    factor, low, high = splat(_LOG2E), splat(LOWEST / _LOG2E), splat(HIGHEST / _LOG2E)
    good = True
    for first in range(0, n, GROUP):
        planes = min(GROUP, n - first)
        for i in range(0, size, LANES):
            at = start + first * stride + min(i, count - LANES)
            total = splat(0.0) if first == 0 else load(scales, i)
            for k in range(planes):
                e = exp2_scaled(load(x, at + k * stride), factor, low, high)
                store(tile, (first + k) * width + i, e)
                total = total + e
            if first + GROUP >= n:
                if outside(splat(_SMALL), total, splat(_LARGE)):
                    good = False
                total = splat(1.0) / total
            store(scales, i, total)
    if not good:
        _softmax_carefully(x, start, stride, count, size, n, width, tile, scales)


@jit
def _softmax_carefully(x, start, stride, count, size, n, width, tile, scales):
    factor, low, high = splat(_LOG2E), splat(LOWEST / _LOG2E), splat(HIGHEST / _LOG2E)
    for i in range(0, size, LANES):
        at = start + min(i, count - LANES)
        top = splat(-_INF)
        for b in range(n):
            top = greater(load(x, at + b * stride), top)
        total = splat(0.0)
        for b in range(n):
            e = exp2_scaled(greater(low, load(x, at + b * stride) - top), factor, low, high)
            store(tile, b * width + i, e)
            total = total + e
        store(scales, i, splat(1.0) / total)


@jit
def share_block(x, start, stride, count, size, n, width, tile, scales):
    """As :func:`softmax_block`, of probabilities of any scale: ``tile[b * width] * scales = p_b / sum p``."""
    good = True
    for i in range(0, size, LANES):
        at = start + min(i, count - LANES)
        total = splat(0.0)
        for b in range(n):
            p = valid_probability(load(x, at + b * stride))
            store(tile, b * width + i, p)
            total = total + p
        good = good and not outside(splat(_SMALL), total, splat(_LARGE))
        store(scales, i, splat(1.0) / total)
    if not good:
        _share_carefully(size, n, width, tile, scales)


@jit
def _share_carefully(size, n, width, tile, scales):
    """The shares of what is in `tile`, brought to a largest of 1 first."""
    for i in range(0, size, LANES):
        top, total = splat(0.0), splat(0.0)
        for b in range(n):
            top = greater(load(tile, b * width + i), top)
        for b in range(n):
            p = load(tile, b * width + i) / top  # NaN where all are zero
            store(tile, b * width + i, p)
            total = total + p
        store(scales, i, splat(1.0) / total)
