"""Weighted cross entropy and its gradient: one pass over the logits, tile by tile.

Rungs: log-softmax as an array of its own, then pick, then a second array for the gradient -> a tile of 128 pixels is
read once, turned into its gradient inside the L1 cache, and written once. Nothing n-wide exists but the gradient.
"""

from __future__ import annotations

import math

import numpy as np

from ..common.scale import LOG2E
from .jit import jit
from .math import HIGHEST, LOWEST, exp2_scaled, log2
from .simd import LANES, greater, load, load_transposed, splat, store
from .softmax import transpose_block

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
    tiles = (count + TILE - 1) // TILE
    summed = 0.0
    for number in range(first, last):
        image = number // tiles
        start = (number - image * tiles) * TILE
        size = (min(TILE, count - start) + LANES - 1) // LANES * LANES
        base = image * n * count
        for b in range(n):
            for i in range(0, size, LANES):
                store(flat, b * size + i, load(x, base + b * count + min(start + i, count - LANES)))
        summed += tile_gradient(tile, start, count, size, n, labels, weights, image * count, scale)
        if wanted:
            for b in range(n):
                for i in range(0, size, LANES):
                    store(gradient, base + b * count + min(start + i, count - LANES), load(flat, b * size + i))
    return summed


@jit
def loss_last(first, last, x, n, count, labels, weights, scale, gradient, wanted):
    """Tiles [first, last) of channels-last logits (count, n), flattened, count >= 16 and n >= 16."""
    tile = np.zeros((n, TILE), np.float32)
    summed = 0.0
    for number in range(first, last):
        start = number * TILE
        size = (min(TILE, count - start) + LANES - 1) // LANES * LANES
        transpose_block(x, start, count, size, n, size, tile.reshape(-1))
        summed += tile_gradient(tile, start, count, size, n, labels, weights, 0, scale)
        if wanted:
            write_transposed(tile, start, count, size, n, gradient)
    return summed


@jit
def write_transposed(tile, first, count, size, n, x):
    """The inverse of ``transpose_block``, for n >= 16: the last 16 bins may overlap those before."""
    flat = tile.reshape(-1)
    for i in range(0, size, LANES):
        pixel = min(first + i, count - LANES)
        for part in range(0, n, LANES):
            bins = min(part, n - LANES)
            rows = load_transposed(flat, bins * size + i, size)
            for lane in range(LANES):
                store(x, (pixel + lane) * n + bins, rows[lane])


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
