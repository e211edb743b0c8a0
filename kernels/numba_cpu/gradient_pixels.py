"""The gradient of the annealed mean: one pass over the logits, tile by tile, as for the loss.

Nothing n-wide exists but the gradient: a tile of pixels is read once, turned into its gradient inside the L1 cache, and
written once.
"""

from __future__ import annotations

import numpy as np

from .jit import jit
from .loss_pixels import TILE, write_transposed
from .math import HIGHEST, LOWEST, exp2_scaled
from .simd import LANES, fma, greater, load, load_one, splat, store
from .softmax import transpose_block

_INF = np.float32(np.inf)


@jit(inline=True)
def _slope_of(palette, b, u, v):
    """``c_b . g``."""
    return fma(u, splat(load_one(palette, 2 * b)), v * splat(load_one(palette, 2 * b + 1)))


@jit
def tile_gradient(tile, first, count, size, n, slope, base, apart, scale, over, colors):
    """Turn the logits in `tile` into ``f_b (c_b . g - sum_a f_a c_a . g) / T``; `scale` is log2(e) / T, `over` 1 / T.

    Vector i holds pixels from ``min(first + i, count - 16)`` on; g of pixel p is at ``base + p``
    and `apart` from there.
    """
    flat, palette = tile.reshape(-1), colors.reshape(-1)
    factor, low, high = splat(scale), splat(LOWEST / scale), splat(HIGHEST / scale)
    for i in range(0, size, LANES):
        at = base + min(first + i, count - LANES)
        u, v = load(slope, at), load(slope, at + apart)
        top = splat(-_INF)
        for b in range(n):
            top = greater(load(flat, b * size + i), top)
        total, mean = splat(0.0), splat(0.0)
        for b in range(n):
            value = load(flat, b * size + i) - top  # NaN for a NaN logit, for inf - inf, and where all are -inf
            e = exp2_scaled(greater(low, value), factor, low, high)
            store(flat, b * size + i, e)
            total = total + e
            mean = fma(e, _slope_of(palette, b, u, v), mean)
        mean, share = mean / total, splat(over) / total
        for b in range(n):
            at_bin = b * size + i
            store(flat, at_bin, load(flat, at_bin) * share * (_slope_of(palette, b, u, v) - mean))


@jit
def gradient_planar(first, last, x, n, count, slope, scale, over, colors, gradient):
    """Tiles [first, last) of logits (images, n, count), flattened, count >= 16; `slope` is (images, 2, count)."""
    tile = np.zeros((n, TILE), np.float32)
    flat = tile.reshape(-1)
    tiles = (count + TILE - 1) // TILE
    for number in range(first, last):
        image = number // tiles
        start = (number - image * tiles) * TILE
        size = (min(TILE, count - start) + LANES - 1) // LANES * LANES
        base = image * n * count
        for b in range(n):
            for i in range(0, size, LANES):
                store(flat, b * size + i, load(x, base + b * count + min(start + i, count - LANES)))
        tile_gradient(tile, start, count, size, n, slope, 2 * image * count, count, scale, over, colors)
        for b in range(n):
            for i in range(0, size, LANES):
                store(gradient, base + b * count + min(start + i, count - LANES), load(flat, b * size + i))


@jit
def gradient_last(first, last, x, n, count, slope, scale, over, colors, gradient):
    """Tiles [first, last) of channels-last logits (count, n), flattened, both >= 16; `slope` is (2, count)."""
    tile = np.zeros((n, TILE), np.float32)
    for number in range(first, last):
        start = number * TILE
        size = (min(TILE, count - start) + LANES - 1) // LANES * LANES
        transpose_block(x, start, count, size, n, size, tile.reshape(-1))
        tile_gradient(tile, start, count, size, n, slope, 0, count, scale, over, colors)
        write_transposed(tile, start, count, size, n, gradient)
