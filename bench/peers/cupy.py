"""What a competent CuPy user would write: array code, and ``cupy.fuse`` where elementwise steps follow each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from .arrays import Array, Arrays, Function
from .color import LOG2_E, OFFSET_PAIRS, cell, confidence_of_planes, luma, mean_of_planes


class Fused(Arrays):
    """The peers with CuPy, or with NumPy, under which the tests run the same lines."""

    def fuse(self, function: Function) -> Function:
        """``cupy.fuse(function)``: one elementwise kernel, named as the function; the function itself under NumPy."""
        fused: Function = self.xp.fuse(function) if hasattr(self.xp, "fuse") else function
        return fused

    def _of_channels(self, index_of: Callable[..., Array]) -> Function:
        """Luma and an index of the integers r, g, b, fused into one kernel."""

        def step(r: Array, g: Array, b: Array) -> tuple[Array, Array]:
            r, g, b = (channel.astype(np.int32) for channel in (r, g, b))
            return luma(r, g, b).astype(np.float32) * np.float32(1 / 255000), index_of(r, g, b)

        fused = self.fuse(step)
        return lambda rgb: fused(rgb[..., 0], rgb[..., 1], rgb[..., 2])

    def encode_fused(self, bins: Any, weights: np.ndarray) -> Function:
        """:meth:`encode` with its cells and luma in one kernel."""
        table = self.xp.asarray(bins.table.ravel())
        cell_weights = self.xp.asarray(weights.astype(np.float32)[bins.table.ravel()])
        step = self._of_channels(lambda r, g, b: cell(r, g, b, bins.cells, self.xp.minimum))

        def function(rgb: Array) -> tuple[Array, Array, Array]:
            y, index = step(rgb)
            return y, table[index], cell_weights[index]

        return function

    def encode_all_colors(self, labels: np.ndarray, weights: np.ndarray) -> Function:
        """One look-up in a table of the labels of all 2^24 colors (16 MB, which stays in a large L2), index fused."""
        table, bin_weights = self.xp.asarray(labels), self.xp.asarray(weights.astype(np.float32))
        step = self._of_channels(lambda r, g, b: r * 65536 + g * 256 + b)

        def function(rgb: Array) -> tuple[Array, Array, Array]:
            y, index = step(rgb)
            label = table[index]
            return y, label, bin_weights[label]

        return function

    def histogram_fused(self, cells: int) -> Function:

        def index_of(r: Array, g: Array, b: Array) -> Array:
            r, g, b = (channel.astype(np.int32) for channel in (r, g, b))
            return cell(r, g, b, cells, self.xp.minimum)

        step = self.fuse(index_of)

        def function(rgb: Array) -> Array:
            index = step(rgb[..., 0], rgb[..., 1], rgb[..., 2]).ravel()
            return self.xp.bincount(index, minlength=cells * cells).reshape(cells, cells)

        return function

    def _pixels(self, mean: Callable[..., tuple[Array, Array]]) -> Function:
        """One fused kernel over the n planes: the mean of chroma, color equations and rounding in registers."""

        def pixel(*arrays: Array) -> None:
            *planes, y, red, green, blue = arrays
            u, v = mean(planes)
            for out, (a, b) in zip((red, green, blue), OFFSET_PAIRS, strict=True):
                value = (y + a * u + b * v) * 255 + 0.5
                out[...] = self.xp.minimum(self.xp.maximum(value, 0), 255).astype(np.uint8)

        step = self.fuse(pixel)

        def function(x: Array, y: Array) -> Array:
            rgb = self.xp.empty((*y.shape, 3), np.uint8)
            step(*(x[b] for b in range(len(x))), y, rgb[..., 0], rgb[..., 1], rgb[..., 2])
            return rgb

        return function

    def decode_planes(self, bins: Any, temperature: float) -> Function:
        colors, factor = bins.colors.tolist(), LOG2_E / temperature
        return self._pixels(lambda planes: mean_of_planes(self.xp, _single(planes), colors, factor))

    def annealed_planes(self, bins: Any, temperature: float) -> Function:
        colors = bins.colors.tolist()

        def pixel(*arrays: Array) -> None:
            *planes, first, second = arrays
            first[...], second[...] = mean_of_planes(self.xp, _single(planes), colors, LOG2_E / temperature)

        step = self.fuse(pixel)

        def function(x: Array) -> Array:
            mean = self.xp.empty((2, *x.shape[1:]), np.float32)
            step(*(x[b] for b in range(len(x))), mean[0], mean[1])
            return mean

        return function

    def confidence(self, x: Array) -> tuple[Array, Array]:
        """``partition`` for the two largest probabilities of a softmax."""
        e = self.exponentials(x, x.max(0), 1.0)
        total = e.sum(0)
        second, first = self.xp.partition(e, len(e) - 2, axis=0)[-2:]
        return first / total, first / second

    @cached_property
    def confidence_planes(self) -> Function:

        def pixel(*planes: Array) -> tuple[Array, Array]:
            return confidence_of_planes(self.xp, planes)

        step = self.fuse(pixel)
        return lambda x: step(*(x[b] for b in range(len(x))))

    def weighted_cross_entropy(self) -> Function:
        """Loss and gradient written out: softmax less one-hot, times the pixel's share of the weights."""
        xp = self.xp

        def function(x: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
            share = weights / weights.sum()
            peak = x.max(1, keepdims=True)
            e = xp.exp(x - peak)
            total = e.sum(1, keepdims=True)
            chosen = xp.take_along_axis(x, labels[:, None], 1)
            value = ((xp.log(total) + peak - chosen)[:, 0] * share).sum()
            e /= total
            e -= xp.arange(x.shape[1], dtype=labels.dtype)[:, None, None] == labels[:, None]
            e *= share[:, None]
            return value, e

        return function

    def step(self, bins: Any, temperature: float, alpha: float, window: int) -> Function:
        """Of a smoother: softmax in array code, one fused kernel that updates sum and ring, another that decodes."""
        xp, colors = self.xp, bins.colors.tolist()
        decay, last = math.exp(-alpha), math.exp(-alpha * (window + 1))

        def update(total: Array, p: Array, oldest: Array) -> None:
            total[...] = xp.maximum(total * decay + p - oldest * last, 0.0)
            oldest[...] = p

        def mean(planes: Any) -> tuple[Array, Array]:  # factor and maximum are those of exp2
            return mean_of_planes(xp, [xp.log2(plane) for plane in planes], colors, 1 / temperature)

        fused, decode = self.fuse(update), self._pixels(mean)

        def function(x: Array, y: Array, total: Array, oldest: Array) -> Array:
            p = self.exponentials(x, x.max(0), 1.0)
            p /= p.sum(0)
            fused(total, p, oldest)
            return decode(total, y)

        return function

    def merge(self, chroma_shape: tuple[int, ...], luma_shape: tuple[int, ...]) -> Function:
        """The few low-resolution rows are widened once, as R, G, B offsets; two gathers of rows and a fused lerp."""
        xp, (widen, (low, high, t)) = self.xp, self.widened(chroma_shape, luma_shape)
        weight = t[:, None, None]

        def value(y: Array, first: Array, second: Array, weight: Array) -> Array:
            rgb = first + (second - first) * weight + y + 0.5
            return xp.minimum(xp.maximum(rgb, 0.0), 255.0).astype(np.uint8)

        step = self.fuse(value)

        def function(chroma: Array, luma: Array) -> Array:
            y = luma.astype(np.float32) if luma.dtype == np.uint8 else luma * np.float32(255)
            rows = widen(chroma)
            return step(y[..., None], rows[low], rows[high], weight)

        return function


def _single(planes: Any) -> list[Array]:
    return [plane.astype(np.float32) for plane in planes]
