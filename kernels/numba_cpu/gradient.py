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
from .exponentials import exponentials, tops_of
from .jit import jit
from .simd import LANES, fma, load, load_one, splat, store
from .softmax import GROUP
from .threads import run_blocks
from .tiles import bounds, tile_pixels, transpose_block, write_transposed

_TILE = 1 << 16  # elements

TOP, TOTAL, MEAN, SHARE, U, V = range(6)  # rows, of a number a pixel


@jit(inline=True)
def _slope_of(palette, b, u, v):
    """``c_b . g``."""
    return fma(u, splat(load_one(palette, 2 * b)), v * splat(load_one(palette, 2 * b + 1)))


@jit
def find_means(tile, width, size, n, over, colors, rows):
    """Rows ``MEAN = sum_b f_b c_b . g`` and ``SHARE = 1 / (T sum e)`` of exponentials in a tile; `over` is 1 / T."""
    palette = colors.reshape(-1)
    for first in range(0, n, GROUP):
        planes = min(GROUP, n - first)
        for i in range(0, size, LANES):
            u, v = load(rows[U], i), load(rows[V], i)
            mean = splat(0.0) if first == 0 else load(rows[MEAN], i)
            for b in range(first, first + planes):
                mean = fma(load(tile, b * width + i), _slope_of(palette, b, u, v), mean)
            store(rows[MEAN], i, mean)
    for i in range(0, size, LANES):
        total = load(rows[TOTAL], i)
        store(rows[MEAN], i, load(rows[MEAN], i) / total)
        store(rows[SHARE], i, splat(over) / total)


@jit
def write_gradient(tile, width, colors, rows, base, start, count, size, n, out):
    """``f_b (c_b . g - mean) / T``, as ``tiles.write_planes`` writes."""
    palette = colors.reshape(-1)
    for b in range(n):
        for i in range(0, size, LANES):
            distance = _slope_of(palette, b, load(rows[U], i), load(rows[V], i)) - load(rows[MEAN], i)
            value = load(tile, b * width + i) * load(rows[SHARE], i) * distance
            store(out, base + b * count + min(start + i, count - LANES), value)


@jit
def gradient_tiles(first, last, x, n, count, transposed, slope, scale, over, colors, gradient, width):
    """Tiles [first, last), of `width` pixels, of logits (images, n, count) or, `transposed`, (count, n), flattened.

    `slope`, g, is (images, 2, count). count >= 16, and n >= 16 if transposed. `scale` is log2(e) / T.
    """
    tile, rows = np.zeros(n * width, np.float32), np.zeros((6, width), np.float32)
    tops, totals = rows[TOP], rows[TOTAL]
    for number in range(first, last):
        image, start, size = bounds(number, count, width)
        base = image * n * count
        for i in range(0, size, LANES):
            at = 2 * image * count + min(start + i, count - LANES)
            store(rows[U], i, load(slope, at))
            store(rows[V], i, load(slope, at + count))
        if transposed:
            transpose_block(x, start, count, size, n, width, tile)
            tops_of(tile, 0, width, size, size, n, tops)
            exponentials(tile, 0, width, size, size, n, scale, tops, 0, width, tile, totals)
            find_means(tile, width, size, n, over, colors, rows)
            write_gradient(tile, width, colors, rows, 0, 0, width, size, n, tile)
            write_transposed(tile, width, start, count, size, n, gradient)
        else:
            inside = base + start, count, count - start, size, n
            tops_of(x, *inside, tops)
            exponentials(x, *inside, scale, tops, size, width, tile, totals)
            find_means(tile, width, size, n, over, colors, rows)
            write_gradient(tile, width, colors, rows, base, start, count, size, n, gradient)


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
    _run(x, slope, bins, temperature, target)


def _run(x: Array, slope: Array, bins: Any, temperature: float, target: Array) -> None:
    images, n, count = x.shape
    last = count == 1
    pixels, along = images * count, images if last else count
    width = tile_pixels(n, _TILE, 128, 256)
    tiles = -(-pixels // width) if last else images * -(-count // width)
    colors = colors_of(bins)
    scales = log2_scale(temperature), np.float32(min(1 / temperature, 1e38))
    flat, slope, result = (plain(as_bits(array)).reshape(-1) for array in (x, slope, target))
    run_blocks(gradient_tiles, tiles, pixels, flat, n, along, last, slope, *scales, colors, result, width)


def _through_planes(gradient: Array, logits: Array, bins: Any, temperature: float, axis: int, out: Array) -> None:
    """By copies whose bins are far apart, for what the kernels do not take as it is."""
    dtype = np.float32 if logits.dtype == np.float64 else logits.dtype
    x, slope = (np.ascontiguousarray(np.moveaxis(array, axis, 0), dtype=dtype) for array in (logits, gradient))
    made = np.empty_like(x)
    shape = (1, len(x), -1)
    _run(x.reshape(shape), slope, bins, temperature, made.reshape(shape))
    out[...] = np.moveaxis(made, 0, axis)


def _small(gradient: Array, logits: Array, bins: Any, temperature: float, axis: int, out: Array) -> None:
    """Fewer pixels than a vector has, by the reference."""
    g, x = (from_bfloat16(array) for array in (gradient, logits))
    x = np.asarray(x, np.float32)
    result = reference.annealed_mean_gradient(g, x, bins, temperature=temperature, axis=axis)
    out[...] = bfloat16_bits(result) if logits.dtype == np.uint16 else result
