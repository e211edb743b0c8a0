"""What a competent CuPy user would write: array code, and ``cupy.fuse`` where elementwise steps follow each other.

Each function takes the array module first (`cupy`, or NumPy, under which the tests run the same lines) and what the
operation needs before its first call; it returns the function that is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fastcolor.reference import constants as c

from .color import LOG2_E, OFFSETS, bin_offsets

Array = Any
_OFFSETS = OFFSETS.tolist()


def fuse(xp: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """``cupy.fuse(function)``: one elementwise kernel, named as the function; the function itself under NumPy."""
    fused: Callable[..., Any] = xp.fuse(function) if hasattr(xp, "fuse") else function
    return fused


def _cells(xp: Any, r: Array, g: Array, b: Array, cells: int) -> Array:
    """Flat cell index, int32, exact."""
    r, g, b = (channel.astype(np.int32) for channel in (r, g, b))
    u = (886 * b - 299 * r - 587 * g + c.U_NUMERATOR_MAX) * cells // (2 * c.U_NUMERATOR_MAX)
    v = (701 * r - 587 * g - 114 * b + c.V_NUMERATOR_MAX) * cells // (2 * c.V_NUMERATOR_MAX)
    return xp.minimum(u, cells - 1) * cells + xp.minimum(v, cells - 1)


def _luma(r: Array, g: Array, b: Array) -> Array:
    r, g, b = (channel.astype(np.int32) for channel in (r, g, b))
    return (299 * r + 587 * g + 114 * b).astype(np.float32) * np.float32(1 / 255000)


def encode(xp: Any, bins: Any, weights: np.ndarray, fused: bool = False) -> Callable[[Array], Any]:
    """Exact integer cells, `fused` into one kernel or not, then one look-up for the label and one for the weight."""
    table = xp.asarray(bins.table.ravel())
    cell_weights = xp.asarray(weights.astype(np.float32)[bins.table.ravel()])

    def split(r: Array, g: Array, b: Array) -> tuple[Array, Array]:
        return _luma(r, g, b), _cells(xp, r, g, b, bins.cells)

    step = fuse(xp, split) if fused else split

    def function(rgb: Array) -> tuple[Array, Array, Array]:
        y, index = step(rgb[..., 0], rgb[..., 1], rgb[..., 2])
        return y, table[index], cell_weights[index]

    return function


def encode_all_colors(xp: Any, labels: np.ndarray, weights: np.ndarray) -> Callable[[Array], Any]:
    """One look-up in a table of the labels of all 2^24 colors (16 MB, which stays in a large L2), index fused."""
    table, bin_weights = xp.asarray(labels), xp.asarray(weights.astype(np.float32))

    def split(r: Array, g: Array, b: Array) -> tuple[Array, Array]:
        index = r.astype(np.int32) * 65536 + g.astype(np.int32) * 256 + b.astype(np.int32)
        return _luma(r, g, b), index

    step = fuse(xp, split)

    def function(rgb: Array) -> tuple[Array, Array, Array]:
        y, index = step(rgb[..., 0], rgb[..., 1], rgb[..., 2])
        label = table[index]
        return y, label, bin_weights[label]

    return function


def histogram(xp: Any, cells: int) -> Callable[[Array], Array]:
    """Fused cells, then ``bincount``."""

    def index_of(r: Array, g: Array, b: Array) -> Array:
        return _cells(xp, r, g, b, cells)

    step = fuse(xp, index_of)

    def function(rgb: Array) -> Array:
        index = step(rgb[..., 0], rgb[..., 1], rgb[..., 2]).ravel()
        return xp.bincount(index, minlength=cells * cells).reshape(cells, cells)

    return function


def _to_uint8(xp: Any, value: Array) -> Array:
    return xp.minimum(xp.maximum(value * 255 + 0.5, 0), 255).astype(np.uint8)


def _exponentials(xp: Any, x: Array, axis: int, factor: float) -> Array:
    e = x.astype(np.float32)  # a copy, also of float32: the rest is in place
    e -= e.max(axis, keepdims=True)
    e *= np.float32(factor)
    return xp.exp(e, out=e)


def annealed_mean(xp: Any, bins: Any, temperature: float) -> Callable[[Array], Array]:
    """Softmax, then a matrix product with the bins' colors: (2, H, W)."""
    colors = xp.asarray(np.ascontiguousarray(bins.colors.T))

    def function(x: Array) -> Array:
        e = _exponentials(xp, x, 0, 1 / temperature)
        mean = (colors @ e.reshape(len(e), -1)).reshape(2, *e.shape[1:])
        mean /= e.sum(0)
        return mean

    return function


def decode(xp: Any, bins: Any, temperature: float, axis: int = 0) -> Callable[[Array, Array], Array]:
    """Softmax, a matrix product with what each bin adds to R, G, B, the luma, rounding."""
    offsets = xp.asarray(bin_offsets(bins))

    def function(x: Array, y: Array) -> Array:
        e = _exponentials(xp, x, axis, 1 / temperature)
        total = e.sum(axis)
        planar = axis == 0
        rgb = (offsets @ e.reshape(len(e), -1)).reshape(3, *y.shape) if planar else e @ offsets.T
        rgb = xp.moveaxis(rgb, 0, -1) if planar else rgb
        return _to_uint8(xp, rgb / total[..., None] + y[..., None])

    return function


def _mean_of_planes(xp: Any, planes: Sequence[Array], colors: Any, factor: float) -> tuple[Array, Array]:
    peak = planes[0].astype(np.float32)
    for plane in planes[1:]:
        peak = xp.maximum(peak, plane.astype(np.float32))
    total, u, v = peak * 0.0, peak * 0.0, peak * 0.0
    for plane, (cu, cv) in zip(planes, colors, strict=True):
        e = xp.exp2((plane.astype(np.float32) - peak) * factor)
        total, u, v = total + e, u + e * cu, v + e * cv
    return u / total, v / total


def decode_planes(xp: Any, bins: Any, temperature: float) -> Callable[[Array, Array], Array]:
    """One fused kernel over the n planes: maximum, sums, color equations and rounding in registers."""
    colors, n = bins.colors.tolist(), bins.n

    def pixel(*arrays: Array) -> None:
        *planes, y, red, green, blue = arrays
        u, v = _mean_of_planes(xp, planes, colors, LOG2_E / temperature)
        for out, (a, b) in zip((red, green, blue), _OFFSETS, strict=True):
            out[...] = _to_uint8(xp, y + a * u + b * v)

    step = fuse(xp, pixel)

    def function(x: Array, y: Array) -> Array:
        rgb = xp.empty((*y.shape, 3), np.uint8)
        step(*(x[b] for b in range(n)), y, rgb[..., 0], rgb[..., 1], rgb[..., 2])
        return rgb

    return function


def annealed_planes(xp: Any, bins: Any, temperature: float) -> Callable[[Array], Array]:
    """One fused kernel over the n planes, into one (2, H, W) array."""
    colors, n = bins.colors.tolist(), bins.n

    def pixel(*arrays: Array) -> None:
        *planes, first, second = arrays
        first[...], second[...] = _mean_of_planes(xp, planes, colors, LOG2_E / temperature)

    step = fuse(xp, pixel)

    def function(x: Array) -> Array:
        mean = xp.empty((2, *x.shape[1:]), np.float32)
        step(*(x[b] for b in range(n)), mean[0], mean[1])
        return mean

    return function


def confidence(xp: Any) -> Callable[[Array], tuple[Array, Array]]:
    """``partition`` for the two largest probabilities of a softmax."""

    def function(x: Array) -> tuple[Array, Array]:
        e = _exponentials(xp, x, 0, 1.0)
        total = e.sum(0)
        second, first = xp.partition(e, len(e) - 2, axis=0)[-2:]
        return first / total, first / second

    return function


def confidence_planes(xp: Any) -> Callable[[Array], tuple[Array, Array]]:
    """One fused kernel: running first and second maximum, then the sum of exponentials."""

    def pixel(*planes: Array) -> tuple[Array, Array]:
        first, second = xp.maximum(planes[0], planes[1]), xp.minimum(planes[0], planes[1])
        for plane in planes[2:]:
            second = xp.maximum(second, xp.minimum(first, plane))
            first = xp.maximum(first, plane)
        total = first * 0.0
        for plane in planes:
            total = total + xp.exp2((plane - first) * LOG2_E)
        return 1 / total, xp.exp2((first - second) * LOG2_E)

    step = fuse(xp, pixel)
    return lambda x: step(*(x[b] for b in range(len(x))))


def decode_confidence(
    decode: Callable[..., Array], confidence: Callable[[Array], tuple[Array, Array]]
) -> Callable[..., Any]:
    """Both on the same logits."""
    return lambda x, y: (decode(x, y), *confidence(x))


def weighted_cross_entropy(xp: Any) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """Loss and gradient written out: softmax less one-hot, times the pixel's share of the weights."""

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
