"""Exact NumPy peers, written well: integers or float32, in place, and in blocks that stay in a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fastcolor.reference import constants as c

from .color import OFFSETS, bin_offsets

Array = np.ndarray
ROWS = 32  # rows of an image that are encoded at a time
BLOCK = 8192  # pixels of logits that are decoded at a time


def _cells(rgb: Array, cells: int) -> tuple[Array, Array]:
    """Flat cell index (int32) and 255000 times the luma (uint32): in place; NumPy vectorises division by a constant."""
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
        np.minimum(channel, cells - 1, out=channel)
    b *= cells
    b += r
    return b.view(np.int32), y


def encode(bins: Any, weights: Array) -> Callable[[Array], tuple[Array, Array, Array]]:
    """Cells, then one look-up for the label and one for the weight."""
    table = bins.table.ravel()
    cell_weights = weights.astype(np.float32)[table]

    def function(rgb: Array) -> tuple[Array, Array, Array]:
        index, y = _cells(rgb, bins.cells)
        return y * np.float32(1 / 255000), table.take(index), cell_weights.take(index)

    return function


def encode_all_colors(labels: Array, weights: Array) -> Callable[[Array], tuple[Array, Array, Array]]:
    """One look-up in a table of the labels of all 2^24 colors (16 MB), made outside the clock."""
    bin_weights = weights.astype(np.float32)

    def function(rgb: Array) -> tuple[Array, Array, Array]:
        y = rgb[..., 0] * np.float32(0.299 / 255)
        y += rgb[..., 1] * np.float32(0.587 / 255)
        y += rgb[..., 2] * np.float32(0.114 / 255)
        label = labels.take(_packed(rgb))
        return y, label, bin_weights.take(label)

    return function


def _packed(rgb: Array) -> Array:
    index = rgb[..., 0].astype(np.int32)
    for k in (1, 2):
        index <<= 8
        index |= rgb[..., k]
    return index


def all_colors() -> Array:
    """Every uint8 color once, shape (4096, 4096, 3); the flat index is R, G, B from the highest byte."""
    index = np.arange(1 << 24, dtype=np.uint32).reshape(4096, 4096)
    return np.stack([(index >> shift).astype(np.uint8) for shift in (16, 8, 0)], axis=-1)


def by_rows(function: Callable[[Array], tuple[Array, Array, Array]]) -> Callable[[Array], tuple[Array, Array, Array]]:
    """An encoder on :data:`ROWS` rows at a time, into preallocated results."""

    def blocked(rgb: Array) -> tuple[Array, Array, Array]:
        shape = rgb.shape[:-1]
        y, label, weight = np.empty(shape, np.float32), np.empty(shape, np.uint8), np.empty(shape, np.float32)
        for i in range(0, shape[0], ROWS):
            rows = slice(i, i + ROWS)
            y[rows], label[rows], weight[rows] = function(rgb[rows])
        return y, label, weight

    return blocked


def histogram(cells: int, rows: int = ROWS) -> Callable[[Array], Array]:
    """``bincount`` of the cells, by blocks of rows."""

    def function(rgb: Array) -> Array:
        counts = np.zeros(cells * cells, np.int64)
        for i in range(0, len(rgb), rows):
            counts += np.bincount(_cells(rgb[i : i + rows], cells)[0].ravel(), minlength=cells * cells)
        return counts.reshape(cells, cells)

    return function


def histogram_all_colors(table: Array, cells: int) -> Callable[[Array], Array]:
    """``bincount`` of a look-up in a table of the cells of all 2^24 colors (32 MB of uint16)."""

    def function(rgb: Array) -> Array:
        counts = np.zeros(cells * cells, np.int64)
        for i in range(0, len(rgb), ROWS):
            counts += np.bincount(table.take(_packed(rgb[i : i + ROWS])).ravel(), minlength=cells * cells)
        return counts.reshape(cells, cells)

    return function


def _exponentials(x: Array, peak: Array, temperature: float) -> Array:
    e = x - peak
    e *= np.float32(1 / temperature)
    return np.exp(e, out=e)


def annealed_mean(bins: Any, temperature: float) -> Callable[[Array], Array]:
    """Softmax, then a matrix product with the bins' colors."""
    colors = np.ascontiguousarray(bins.colors.T)

    def function(x: Array) -> Array:
        e = _exponentials(x, x.max(0), temperature)
        mean = (colors @ e.reshape(len(e), -1)).reshape(2, *e.shape[1:])
        mean /= e.sum(0)
        return mean

    return function


def decode(bins: Any, temperature: float) -> Callable[[Array, Array], Array]:
    """Softmax, a matrix product with what each bin adds to R, G, B, the luma, rounding."""
    offsets = bin_offsets(bins)

    def function(x: Array, y: Array) -> Array:
        x = x.astype(np.float32, copy=False)
        e = _exponentials(x, x.max(0), temperature)
        rgb = (offsets @ e.reshape(len(e), -1)).reshape(3, *e.shape[1:])
        rgb /= e.sum(0)
        rgb += y
        rgb *= 255
        rgb += np.float32(0.5)
        np.clip(rgb, 0, 255, out=rgb)
        return np.moveaxis(rgb, 0, -1).astype(np.uint8)

    return function


def confidence(x: Array) -> tuple[Array, Array]:
    """Running first and second maximum, then the sum of exponentials."""
    first, second = np.maximum(x[0], x[1]), np.minimum(x[0], x[1])
    for plane in x[2:]:
        np.maximum(second, np.minimum(first, plane), out=second)
        np.maximum(first, plane, out=first)
    return 1 / _exponentials(x, first, 1.0).sum(0), np.exp(first - second)


def blocked(function: Callable[..., Any], outputs: int = 1) -> Callable[..., Any]:
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


def decode_confidence(bins: Any, temperature: float) -> Callable[[Array, Array], Any]:
    """:func:`decode` and :func:`confidence` of the same block."""
    rgb = decode(bins, temperature)
    return lambda x, y: (rgb(x, y), *confidence(x))


def merge(chroma_shape: tuple[int, ...], luma_shape: tuple[int, ...]) -> Callable[[Array, Array], Array]:
    """The few low-resolution rows are widened once, as R, G, B offsets; then row by row, in place."""
    (low_row, high_row, row_t), (low, high, t) = (
        _lerp(have, want) for have, want in zip(chroma_shape[1:], luma_shape, strict=True)
    )
    offsets = (255 * OFFSETS).astype(np.float32)

    def function(chroma: Array, luma: Array) -> Array:
        wide = chroma[:, :, low] * (1 - t) + chroma[:, :, high] * t
        rows = np.ascontiguousarray(np.einsum("kc,chw->hwk", offsets, wide))
        scale = np.float32(255 if luma.dtype != np.uint8 else 1)
        out = np.empty((*luma.shape, 3), np.uint8)
        rgb, other = np.empty_like(rows[0]), np.empty_like(rows[0])
        for i in range(len(luma)):
            np.multiply(rows[low_row[i]], 1 - row_t[i], out=rgb)
            np.multiply(rows[high_row[i]], row_t[i], out=other)
            rgb += other
            rgb += (luma[i] * scale + np.float32(0.5))[:, None]
            np.clip(rgb, 0, 255, out=rgb)
            out[i] = rgb
        return out

    return function


def _lerp(have: int, want: int) -> tuple[Array, Array, Array]:
    position = np.clip((np.arange(want) + 0.5) * have / want - 0.5, 0, have - 1)
    low = position.astype(np.int64)
    return low, np.minimum(low + 1, have - 1), (position - low).astype(np.float32)
