"""CuPy's own array code for video: the smoothing recursion, and merging chroma with a full-resolution luma."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .color import OFFSETS
from .cupy import Array, _exponentials, _mean_of_planes, _to_uint8, fuse
from .numpy import _lerp

_OFFSETS = OFFSETS.tolist()


class Smoother:
    """The recursion of :mod:`bench.peers.temporal`: a ring of past frames, a running sum.

    Softmax is array code; the update of sum and ring is one fused kernel, decoding another.
    """

    def __init__(self, xp: Any, bins: Any, temperature: float, alpha: float, window: int, shape: Sequence[int]) -> None:
        self.xp, self.frame = xp, 0
        self.sum = xp.zeros(tuple(shape), np.float32)
        self.ring = [xp.zeros(tuple(shape), np.float32) for _ in range(window + 1)]
        self._update = fuse(xp, _update(xp, math.exp(-alpha), math.exp(-alpha * (window + 1))))
        self._decode = fuse(xp, _decode(xp, bins.colors.tolist(), 1 / temperature))

    def __call__(self, logits: Array, luma: Array) -> Array:
        p = _exponentials(self.xp, logits, 0, 1.0)
        p /= p.sum(0)
        self._update(self.sum, p, self.ring[self.frame % len(self.ring)])
        self.frame += 1
        rgb = self.xp.empty((*luma.shape, 3), np.uint8)
        self._decode(*(self.sum[b] for b in range(len(self.sum))), luma, rgb[..., 0], rgb[..., 1], rgb[..., 2])
        return rgb


def _update(xp: Any, decay: float, last: float) -> Callable[..., None]:
    def step(total: Array, p: Array, oldest: Array) -> None:
        total[...] = xp.maximum(total * decay + p - oldest * last, 0.0)
        oldest[...] = p

    return step


def _decode(xp: Any, colors: Any, factor: float) -> Callable[..., None]:
    def step(*arrays: Array) -> None:
        *planes, y, red, green, blue = arrays
        logarithms = [xp.log2(plane) for plane in planes]  # factor and maximum are those of exp2
        u, v = _mean_of_planes(xp, logarithms, colors, factor)
        for out, (a, b) in zip((red, green, blue), _OFFSETS, strict=True):
            out[...] = _to_uint8(xp, y + a * u + b * v)

    return step


def merge(xp: Any, chroma_shape: Sequence[int], luma_shape: Sequence[int]) -> Callable[[Array, Array], Array]:
    """The few low-resolution rows are widened once, as R, G, B offsets; two gathers of rows and a fused lerp."""
    axes = [_lerp(have, want) for have, want in zip(chroma_shape[1:], luma_shape, strict=True)]
    (low_row, high_row, row_t), (low, high, t) = ([xp.asarray(part) for part in axis] for axis in axes)
    offsets = xp.asarray((255 * OFFSETS).astype(np.float32))
    row_t = row_t[:, None, None]

    def value(y: Array, first: Array, second: Array, weight: Array) -> Array:
        rgb = first + (second - first) * weight + y + 0.5
        return xp.minimum(xp.maximum(rgb, 0.0), 255.0).astype(np.uint8)

    step = fuse(xp, value)

    def function(chroma: Array, luma: Array) -> Array:
        y = luma.astype(np.float32) if luma.dtype == np.uint8 else luma * np.float32(255)
        wide = chroma[:, :, low] * (1 - t) + chroma[:, :, high] * t
        rows = xp.ascontiguousarray(xp.moveaxis(xp.tensordot(offsets, wide, 1), 0, -1))
        return step(y[..., None], rows[low_row], rows[high_row], row_t)

    return function
