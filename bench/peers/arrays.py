"""Peers in array code that is NumPy's and CuPy's alike: in place, and for NumPy in blocks that stay in a cache.

Each method takes what the operation needs before its first call, and returns the function that is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fastcolor.reference import constants as c

from .color import OFFSETS, bin_offsets, lerp

Array = Any
Function = Callable[..., Any]
ROWS = 32  # rows of an image that are encoded at a time
BLOCK = 8192  # pixels of logits that are decoded at a time


class Arrays:
    """The peers with the array module `xp`."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def cells(self, rgb: Array, cells: int) -> tuple[Array, Array]:
        """Flat cell index (int32) and 255000 times the luma (uint32): NumPy vectorises division by a constant."""
        r, g, b = (rgb[..., k].astype(np.uint32) for k in range(3))
        y = 299 * r
        y += 587 * g
        y += 114 * b
        for channel, top in ((b, c.U_NUMERATOR_MAX), (r, c.V_NUMERATOR_MAX)):
            channel *= 1000
            channel += top
            channel -= y
            channel *= cells
            channel //= 2 * top
            self.xp.minimum(channel, cells - 1, out=channel)
        b *= cells
        b += r
        return b.view(np.int32), y

    def encode(self, bins: Any, weights: np.ndarray) -> Function:
        """Exact integer cells, then one look-up for the label and one for the weight."""
        table = self.xp.asarray(bins.table.ravel())
        cell_weights = self.xp.asarray(weights.astype(np.float32)[bins.table.ravel()])

        def function(rgb: Array) -> tuple[Array, Array, Array]:
            index, y = self.cells(rgb, bins.cells)
            return y * np.float32(1 / 255000), table.take(index), cell_weights.take(index)

        return function

    def encode_all_colors(self, labels: np.ndarray, weights: np.ndarray) -> Function:
        """One look-up in a table of the labels of all 2^24 colors (16 MB), made outside the clock."""
        bin_weights = weights.astype(np.float32)

        def function(rgb: Array) -> tuple[Array, Array, Array]:
            y = rgb[..., 0] * np.float32(0.299 / 255)
            y += rgb[..., 1] * np.float32(0.587 / 255)
            y += rgb[..., 2] * np.float32(0.114 / 255)
            label = labels.take(_packed(rgb))
            return y, label, bin_weights.take(label)

        return function

    def histogram(self, cells: int, rows: int = ROWS, table: Array = None) -> Function:
        """``bincount`` of the cells, by blocks of rows; `table` has the cells of all 2^24 colors (32 MB of uint16)."""

        def function(rgb: Array) -> Array:
            counts = np.zeros(cells * cells, np.int64)
            for i in range(0, len(rgb), rows):
                part = rgb[i : i + rows]
                index = self.cells(part, cells)[0] if table is None else table.take(_packed(part))
                counts += np.bincount(index.ravel(), minlength=cells * cells)
            return counts.reshape(cells, cells)

        return function

    def exponentials(self, x: Array, peak: Array, factor: float) -> Array:
        """``exp((x - peak) factor)`` in one array."""
        e = x - peak
        e *= np.float32(factor)
        return self.xp.exp(e, out=e)

    def annealed_mean(self, bins: Any, temperature: float) -> Function:
        """Softmax, then a matrix product with the bins' colors: (2, H, W)."""
        colors = self.xp.asarray(np.ascontiguousarray(bins.colors.T))

        def function(x: Array) -> Array:
            e = self.exponentials(x, x.max(0), 1 / temperature)
            mean = (colors @ e.reshape(len(e), -1)).reshape(2, *e.shape[1:])
            mean /= e.sum(0)
            return mean

        return function

    def decode(self, bins: Any, temperature: float, axis: int = 0) -> Function:
        """Softmax, a matrix product with what each bin adds to R, G, B, the luma, rounding."""
        xp, offsets = self.xp, self.xp.asarray(bin_offsets(bins))

        def function(x: Array, y: Array) -> Array:
            x = x.astype(np.float32, copy=False)
            e = self.exponentials(x, x.max(axis, keepdims=True), 1 / temperature)
            if axis == 0:
                rgb = (offsets @ e.reshape(len(e), -1)).reshape(3, *y.shape)
            else:
                rgb = xp.moveaxis(e @ offsets.T, -1, 0)
            rgb /= e.sum(axis)
            rgb += y
            rgb *= 255
            rgb += np.float32(0.5)
            xp.clip(rgb, 0, 255, out=rgb)
            return xp.moveaxis(rgb, 0, -1).astype(np.uint8)

        return function

    def confidence(self, x: Array) -> tuple[Array, Array]:
        """Running first and second maximum, then the sum of exponentials."""
        first, second = np.maximum(x[0], x[1]), np.minimum(x[0], x[1])
        for plane in x[2:]:
            np.maximum(second, np.minimum(first, plane), out=second)
            np.maximum(first, plane, out=first)
        return 1 / self.exponentials(x, first, 1.0).sum(0), np.exp(first - second)

    def widened(self, chroma_shape: tuple[int, ...], luma_shape: tuple[int, ...]) -> tuple[Function, list[Array]]:
        """What turns low-resolution chroma into wide rows of R, G, B offsets, and how full rows lie between those."""
        vertical, horizontal = map(lerp, chroma_shape[1:], luma_shape)
        low, high, t = map(self.xp.asarray, horizontal)
        offsets = self.xp.asarray((255 * OFFSETS).astype(np.float32))

        def rows(chroma: Array) -> Array:
            wide = chroma[:, :, low] * (1 - t) + chroma[:, :, high] * t
            return self.xp.ascontiguousarray(self.xp.einsum("kc,chw->hwk", offsets, wide))

        return rows, list(map(self.xp.asarray, vertical))

    def merge(self, chroma_shape: tuple[int, ...], luma_shape: tuple[int, ...]) -> Function:
        """The few low-resolution rows are widened once, as R, G, B offsets; then row by row, in place."""
        widen, (low, high, t) = self.widened(chroma_shape, luma_shape)

        def function(chroma: Array, luma: Array) -> Array:
            rows = widen(chroma)
            scale = np.float32(255 if luma.dtype != np.uint8 else 1)
            out = np.empty((*luma.shape, 3), np.uint8)
            rgb, other = np.empty_like(rows[0]), np.empty_like(rows[0])
            for i in range(len(luma)):
                np.multiply(rows[low[i]], 1 - t[i], out=rgb)
                np.multiply(rows[high[i]], t[i], out=other)
                rgb += other
                rgb += (luma[i] * scale + np.float32(0.5))[:, None]
                np.clip(rgb, 0, 255, out=rgb)
                out[i] = rgb
            return out

        return function


def all_colors() -> np.ndarray:
    """Every uint8 color once, shape (4096, 4096, 3); the flat index is R, G, B from the highest byte."""
    index = np.arange(1 << 24, dtype=np.uint32).reshape(4096, 4096)
    return np.stack([(index >> shift).astype(np.uint8) for shift in (16, 8, 0)], axis=-1)


def _packed(rgb: Array) -> Array:
    index = rgb[..., 0].astype(np.int32)
    for k in (1, 2):
        index <<= 8
        index |= rgb[..., k]
    return index


def by_rows(function: Function) -> Function:
    """An encoder on :data:`ROWS` rows at a time, into preallocated results."""

    def run(rgb: Array) -> tuple[Array, Array, Array]:
        shape = rgb.shape[:-1]
        y, label, weight = np.empty(shape, np.float32), np.empty(shape, np.uint8), np.empty(shape, np.float32)
        for i in range(0, shape[0], ROWS):
            rows = slice(i, i + ROWS)
            y[rows], label[rows], weight[rows] = function(rgb[rows])
        return y, label, weight

    return run


def blocked(function: Function, outputs: int = 1) -> Function:
    """Decode and the like on :data:`BLOCK` pixels at a time: RGB, with `outputs` = 3 also two float32 maps."""

    def run(x: Array, y: Array) -> Any:
        planes, luma = x.reshape(len(x), -1), y.reshape(-1)
        results: list[Array] = [np.empty((luma.size, 3), np.uint8)]
        results += [np.empty(luma.size, np.float32) for _ in range(outputs - 1)]
        for i in range(0, luma.size, BLOCK):
            part = function(planes[:, i : i + BLOCK], luma[i : i + BLOCK])
            for result, values in zip(results, part if outputs > 1 else (part,), strict=True):
                result[i : i + BLOCK] = values
        shaped = [result.reshape(*y.shape, *result.shape[1:]) for result in results]
        return tuple(shaped) if outputs > 1 else shaped[0]

    return run
