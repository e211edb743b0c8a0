"""The gradient of the annealed mean: one pass over the logits, tile by tile, as for the loss.

Nothing n-wide exists but the gradient: a tile of pixels is read once, turned into its gradient inside the L1 cache, and
written once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcolor import reference

from ..common import face
from ..common.host import Array, as_bits, bfloat16_bits, from_bfloat16, plain
from ..common.layout import planes
from ..common.scale import log2_scale
from .decode import colors_of
from .jit import jit
from .loss import TILE
from .math import HIGHEST, LOWEST, exp2_scaled
from .simd import LANES, fma, greater, load, load_one, splat, store
from .softmax import bounds, copy_planes, transpose_block, write_planes, write_transposed
from .threads import run_blocks

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
    for number in range(first, last):
        image, start, size = bounds(number, count, TILE)
        base = image * n * count
        copy_planes(x, base, start, count, size, n, flat)
        tile_gradient(tile, start, count, size, n, slope, 2 * image * count, count, scale, over, colors)
        write_planes(flat, base, start, count, size, n, gradient)


@jit
def gradient_last(first, last, x, n, count, slope, scale, over, colors, gradient):
    """Tiles [first, last) of channels-last logits (count, n), flattened, both >= 16; `slope` is (2, count)."""
    tile = np.zeros((n, TILE), np.float32)
    for number in range(first, last):
        _, start, size = bounds(number, count, TILE)
        transpose_block(x, start, count, size, n, size, tile.reshape(-1))
        tile_gradient(tile, start, count, size, n, slope, 0, count, scale, over, colors)
        write_transposed(tile.reshape(-1), start, count, size, n, gradient)


# --- host -------------------------------------------------------------------------------------------------------------


@face.annealed_mean_gradient
def annealed_mean_gradient(
    gradient: Array, logits: Array, bins: Any, temperature: float, axis: int, out: Array
) -> None:
    x = planes(logits, axis)[0]
    images, n, count = x.shape
    last = count == 1
    if images * count < LANES:
        _small(gradient, logits, bins, temperature, axis, out)
        return
    target, copied = planes(out, axis)
    if copied or target.shape != x.shape or (n if last else count) < LANES or x.dtype == np.float64:
        _through_planes(gradient, logits, bins, temperature, axis, out)
        return
    slope = np.moveaxis(gradient, axis, 0) if last else gradient
    _run(gradient_last if last else gradient_planar, x, slope, bins, temperature, target)


def _run(kernel: Any, x: Array, slope: Array, bins: Any, temperature: float, target: Array) -> None:
    images, n, count = x.shape
    last = count == 1
    pixels, along = images * count, images if last else count
    tiles = -(-pixels // TILE) if last else images * -(-count // TILE)
    colors = colors_of(bins)
    scales = log2_scale(temperature), np.float32(min(1 / temperature, 1e38))
    flat, slope, result = (plain(as_bits(array)).reshape(-1) for array in (x, slope, target))
    run_blocks(kernel, tiles, pixels, flat, n, along, slope, *scales, colors, result)


def _through_planes(gradient: Array, logits: Array, bins: Any, temperature: float, axis: int, out: Array) -> None:
    """By copies whose bins are far apart, for what the kernels do not take as it is."""
    dtype = np.float32 if logits.dtype == np.float64 else logits.dtype
    x, slope = (np.ascontiguousarray(np.moveaxis(array, axis, 0), dtype=dtype) for array in (logits, gradient))
    made = np.empty_like(x)
    shape = (1, len(x), -1)
    _run(gradient_planar, x.reshape(shape), slope, bins, temperature, made.reshape(shape))
    out[...] = np.moveaxis(made, 0, axis)


def _small(gradient: Array, logits: Array, bins: Any, temperature: float, axis: int, out: Array) -> None:
    """Fewer pixels than a vector has, by the reference."""
    g, x = (from_bfloat16(array) for array in (gradient, logits))
    x = np.asarray(x, np.float32)
    result = reference.annealed_mean_gradient(g, x, bins, temperature=temperature, axis=axis)
    out[...] = bfloat16_bits(result) if logits.dtype == np.uint16 else result
