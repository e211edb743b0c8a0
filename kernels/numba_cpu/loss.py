"""Weighted cross entropy and its gradient: one pass over the logits, tile by tile.

Rungs: log-softmax as an array of its own, then pick, then a second array for the gradient -> a tile of 128 pixels is
read once, turned into its gradient inside the L1 cache, and written once. Nothing n-wide exists but the gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..common.host import Array, bfloat16_bits, from_bfloat16, plain
from ..common.layout import planes
from ..common.scale import LOG2E
from .jit import jit
from .math import HIGHEST, LOWEST, exp2_scaled, log2
from .simd import LANES, greater, load, splat, store
from .softmax import bounds, copy_planes, transpose_block, write_planes, write_transposed
from .threads import run_blocks

TILE = 128  # pixels: 32 planes of them take 16 KB

_LOG2E, _INF = np.float32(LOG2E), np.float32(np.inf)
_LN2 = np.float32(1 / LOG2E)


@jit
def tile_gradient(tile, first, count, size, n, labels, weights, offset, scale):
    """Turn the logits in `tile` into ``scale * w (softmax - [b = y])``; the sum of ``w (logsumexp - x_y)``, float64.

    Vector i holds pixels from ``min(first + i, count - 16)`` on, so that the last may repeat some: these are not
    summed again. Pixel p has label and weight ``offset + p``.
    """
    flat = tile.reshape(-1)
    tops, logs, picked = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    factor, low, high = splat(_LOG2E), splat(LOWEST / _LOG2E), splat(HIGHEST / _LOG2E)
    summed = 0.0
    for i in range(0, size, LANES):
        pixel = min(first + i, count - LANES)
        for lane in range(LANES):
            picked[lane] = flat[np.int64(labels[offset + pixel + lane]) * size + i + lane]
        top = splat(-_INF)
        for b in range(n):
            top = greater(load(flat, b * size + i), top)
        total = splat(0.0)
        for b in range(n):
            e = exp2_scaled(load(flat, b * size + i) - top, factor, low, high)
            store(flat, b * size + i, e)
            total = total + e
        share = load(weights, offset + pixel) * splat(scale) / total
        for b in range(n):
            store(flat, b * size + i, load(flat, b * size + i) * share)
        store(tops, 0, top)
        store(logs, 0, log2(total) * splat(_LN2) + (total - total))  # NaN stays NaN
        for lane in range(LANES):
            at = offset + pixel + lane
            flat[np.int64(labels[at]) * size + i + lane] -= weights[at] * scale
            if pixel + lane >= first + i:
                summed += np.float64(weights[at]) * np.float64(logs[lane] - (picked[lane] - tops[lane]))
    return summed


@jit
def loss_planar(first, last, x, n, count, labels, weights, scale, gradient, wanted):
    """Tiles [first, last) of logits (images, n, count), flattened, count >= 16; returns the sum of weighted losses."""
    tile = np.zeros((n, TILE), np.float32)
    flat = tile.reshape(-1)
    summed = 0.0
    for number in range(first, last):
        image, start, size = bounds(number, count, TILE)
        base = image * n * count
        copy_planes(x, base, start, count, size, n, flat)
        summed += tile_gradient(tile, start, count, size, n, labels, weights, image * count, scale)
        if wanted:
            write_planes(flat, base, start, count, size, n, gradient)
    return summed


@jit
def loss_last(first, last, x, n, count, labels, weights, scale, gradient, wanted):
    """Tiles [first, last) of channels-last logits (count, n), flattened, count >= 16 and n >= 16."""
    tile = np.zeros((n, TILE), np.float32)
    summed = 0.0
    for number in range(first, last):
        _, start, size = bounds(number, count, TILE)
        transpose_block(x, start, count, size, n, size, tile.reshape(-1))
        summed += tile_gradient(tile, start, count, size, n, labels, weights, 0, scale)
        if wanted:
            write_transposed(tile.reshape(-1), start, count, size, n, gradient)
    return summed


@jit
def loss_exact(first, last, x, labels, weights, scale, gradient, wanted):
    """Pixels [first, last) of float64 logits (images, n, count), one by one, in float64."""
    n, count = x.shape[1:]
    summed = 0.0
    for number in range(first, last):
        image = number // count
        i = number - image * count
        top = -math.inf
        for b in range(n):
            if x[image, b, i] > top:
                top = x[image, b, i]
        total = 0.0
        for b in range(n):
            total += math.exp(x[image, b, i] - top)
        label = np.int64(labels[number])
        summed += weights[number] * (math.log(total) - (x[image, label, i] - top))
        if wanted:
            for b in range(n):
                gradient[image, b, i] = scale * weights[number] * math.exp(x[image, b, i] - top) / total
            gradient[image, label, i] -= scale * weights[number]
    return summed


# --- host -------------------------------------------------------------------------------------------------------------


def weighted_cross_entropy(logits: Array, labels: Array, weights: Array, scale: Array, gradient: Any = None) -> float:
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
    last, pixels = count == 1, images * count
    labels, wanted = plain(labels).reshape(-1), gradient is not None
    if x.dtype == np.float64 or (pixels if last else count) < LANES or (last and n < LANES):
        return _exact(x, labels, weights, scale, gradient)
    weights = plain(np.asarray(weights, np.float32)).reshape(-1)
    flat = plain(x).reshape(-1)
    out = flat if gradient is None else planes(gradient, 1)[0].reshape(-1)
    kernel = loss_last if last else loss_planar
    tiles = -(-pixels // TILE) if last else images * -(-count // TILE)
    along = pixels if last else count
    parts = run_blocks(kernel, tiles, pixels, flat, n, along, labels, weights, np.float32(scale), out, wanted)
    return float(sum(parts))


def _exact(x: Array, labels: Array, weights: Array, scale: float, gradient: Array | None) -> float:
    """In float64, whatever the dtype; bfloat16 goes through float32."""
    exact = plain(np.asarray(from_bfloat16(x), np.float64))
    weights = plain(np.asarray(weights, np.float64)).reshape(-1)
    wanted, pixels = gradient is not None, x.shape[0] * x.shape[2]
    out = np.empty_like(exact) if wanted else exact
    parts = run_blocks(loss_exact, pixels, pixels, exact, labels, weights, float(scale), out, wanted)
    if gradient is not None:
        target = planes(gradient, 1)[0]
        target[...] = bfloat16_bits(out) if x.dtype == np.uint16 else out
    return float(sum(parts))
