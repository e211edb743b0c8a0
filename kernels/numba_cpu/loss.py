"""Weighted cross entropy on the CPU: layout and threads here, the arithmetic in ``_numba_loss``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.host import plain
from ..common.layout import planes
from . import loss_pixels
from .simd import LANES
from .threads import run_blocks

Array = NDArray[Any]


def weighted_cross_entropy(
    logits: Array, labels: Array, weights: Array, scale: Array, gradient: Array | None = None
) -> float:
    """``s * sum_i w_i (logsumexp(x_i) - x_i[y_i])``, and ``gradient[...] = s * w_i (softmax(x_i) - [b = y_i])``.

    Parameters
    ----------
    logits : ndarray, shape (N, n, ...)
        float32, float64, or uint16 (the bits of bfloat16); contiguous, or channels-last in memory.
    labels : ndarray, shape (N, ...), uint8 or int64
        Below n.
    weights : ndarray, shape of the labels, float32 or float64
    scale : ndarray, one float32 or float64
    gradient : ndarray, dtype and memory layout of the logits, optional
        Written if given.

    Returns
    -------
    float
        Summed in float64. Arithmetic is float32 unless the logits are float64, or tiny.
    """
    factor = float(scale[0])
    return factor * _sum(logits, labels, weights, factor, gradient)


def _sum(logits: Array, labels: Array, weights: Array, scale: float, gradient: Array | None) -> float:
    """The loss before it is scaled."""
    x, _ = planes(logits, 1)
    images, n, count = x.shape
    last = count == 1
    pixels = images * count
    labels, wanted = plain(np.ascontiguousarray(labels).reshape(-1)), gradient is not None
    if x.dtype == np.float64 or (pixels if last else count) < LANES or (last and n < LANES):
        return _exact(x, labels, weights, scale, gradient)
    weights = plain(np.ascontiguousarray(weights, dtype=np.float32).reshape(-1))
    flat = plain(x.reshape(-1))
    out = flat if gradient is None else planes(gradient, 1)[0].reshape(-1)
    kernel = loss_pixels.loss_last if last else loss_pixels.loss_planar
    tiles = -(-pixels // loss_pixels.TILE) if last else images * -(-count // loss_pixels.TILE)
    along = pixels if last else count
    parts = run_blocks(kernel, tiles, pixels, flat, n, along, labels, weights, np.float32(scale), out, wanted)
    return float(sum(parts))


def _exact(x: Array, labels: Array, weights: Array, scale: float, gradient: Array | None) -> float:
    """In float64, whatever the dtype; bfloat16 goes through float32."""
    bits = x.dtype == np.uint16
    exact = (x.astype(np.uint32) << 16).view(np.float32) if bits else x
    exact = plain(np.ascontiguousarray(exact, dtype=np.float64))
    weights = plain(np.ascontiguousarray(weights, dtype=np.float64).reshape(-1))
    out = np.empty_like(exact) if gradient is not None else exact
    wanted = gradient is not None
    pixels = x.shape[0] * x.shape[2]
    parts = run_blocks(loss_pixels.loss_exact, pixels, pixels, exact, labels, weights, float(scale), out, wanted)
    if gradient is not None:
        target = planes(gradient, 1)[0]
        target[...] = _bfloat16_bits(out) if bits else out
    return float(sum(parts))


def _bfloat16_bits(values: Array) -> Array:
    """Bits of bfloat16, rounded to nearest even."""
    raw = values.astype(np.float32).view(np.uint32)
    return ((raw + 0x7FFF + ((raw >> 16) & 1)) >> 16).astype(np.uint16)
