"""What a softmax with its largest logit subtracted is made of, tile by tile: for the loss and for gradients.

The logits are read twice, the second time from the cache, and eight planes at a time, as in :mod:`.softmax`.
"""

from __future__ import annotations

import numpy as np

from .jit import jit
from .math import HIGHEST, LOWEST, exp2_scaled
from .simd import LANES, greater, load, prefetch, splat, store
from .softmax import GROUP

_INF = np.float32(np.inf)


@jit
def tops_of(x, start, stride, count, size, n, tops):
    """The largest logit of each pixel of a block, NaN aside."""
    for first in range(0, n, GROUP):
        planes = min(GROUP, n - first)
        for i in range(0, size, LANES):
            at = start + first * stride + min(i, count - LANES)
            top = splat(-_INF) if first == 0 else load(tops, i)
            for k in range(planes):
                top = greater(load(x, at + k * stride), top)
            store(tops, i, top)


@jit
def exponentials(x, start, stride, count, size, n, scale, tops, ahead, width, tile, totals):
    """``tile[b * width] = 2^((x_b - top) scale)`` and the sum over all bins; NaN where a pixel is invalid.

    `x` may be the tile itself. Meanwhile what lies `ahead` of it is fetched.
    """
    factor, low, high = splat(scale), splat(LOWEST / scale), splat(HIGHEST / scale)
    for first in range(0, n, GROUP):
        planes = min(GROUP, n - first)
        for i in range(0, size, LANES):
            at = start + first * stride + min(i, count - LANES)
            top, total = load(tops, i), splat(0.0) if first == 0 else load(totals, i)
            for k in range(planes):
                prefetch(x, at + k * stride + ahead)
                value = load(x, at + k * stride) - top  # NaN for a NaN logit, for inf - inf, and where all are -inf
                e = exp2_scaled(greater(low, value), factor, low, high)
                store(tile, (first + k) * width + i, e)
                total = total + e
            store(totals, i, total)
