"""Tiles: a block of pixels, copied from logits of either layout, turned into something, and written back.

A tile is flat, and small enough for a cache; its planes lie `stride` apart, that of bin b from ``b * stride`` on. Each
has `size` pixels, a multiple of 16: the last 16 may overlap those before, where an image has another size.
"""

from __future__ import annotations

import numpy as np

from .jit import jit
from .math import log2_of_any, log2_of_normal, valid_probability
from .simd import LANES, load, load_columns, load_one, outside, splat, store, where_greater

_SMALLEST, _INF = np.float32(2.0**-126), np.float32(np.inf)


def tile_pixels(n: int, elements: int, least: int, most: int) -> int:
    """Pixels of a tile of n planes with so many elements, in whole vectors, from `least` to `most` of them.

    >>> tile_pixels(313, 1 << 16, 16, 256)
    208
    """
    return min(max(elements // n // LANES * LANES, least), most)


@jit
def transpose_block(x, first, count, size, n, stride, tile):
    """Copy `size` pixels of channels-last logits, (count, n) flattened, into flat `tile`: n planes `stride` apart."""
    for i in range(0, size, LANES):
        pixel = min(first + i, count - LANES)
        for part in range(0, n - n % LANES, LANES):
            columns = load_columns(x, pixel * n + part, n)
            for b in range(LANES):
                store(tile, (part + b) * stride + i, columns[b])
        for b in range(n - n % LANES, n):
            for lane in range(LANES):
                tile[b * stride + i + lane] = load_one(x, (pixel + lane) * n + b)


@jit(inline=True)
def bounds(block, count, most):
    """Image, first pixel and size, in whole vectors, of a block of up to `most` pixels of images of `count`."""
    blocks = (count + most - 1) // most
    image = block // blocks
    start = (block - image * blocks) * most
    return image, start, (min(most, count - start) + LANES - 1) // LANES * LANES


@jit
def copy_logarithms(x, base, start, count, size, n, stride, tile):
    """``log2(p)`` of `size` pixels of planar probabilities, which lie `count` apart from `base` on, into a tile.

    Of any scale: -inf for zero, NaN for what is none. A tile may be turned in place.
    """
    for b in range(n):
        for i in range(0, size, LANES):
            p = load(x, base + b * count + min(start + i, count - LANES))
            if outside(splat(_SMALLEST), p, splat(_INF)):
                store(tile, b * stride + i, log2_of_any(p))
            else:
                store(tile, b * stride + i, log2_of_normal(p))


@jit
def copy_ordered(x, base, start, count, size, n, stride, tile):
    """As :func:`copy_logarithms`, of probabilities in place of their logarithms, of which some round to the same."""
    for b in range(n):
        for i in range(0, size, LANES):
            p = valid_probability(load(x, base + b * count + min(start + i, count - LANES)))
            store(tile, b * stride + i, where_greater(p, splat(0.0), p, splat(-_INF) + (p - p)))


@jit
def write_planes(tile, stride, factors, base, start, count, size, n, x):
    """Planes of a tile, times a factor a pixel, to where they lie `count` apart in `x` from `base` on.

    A tile may be multiplied in place.
    """
    for b in range(n):
        for i in range(0, size, LANES):
            value = load(tile, b * stride + i) * load(factors, i)
            store(x, base + b * count + min(start + i, count - LANES), value)


@jit
def write_transposed(tile, stride, first, count, size, n, x):
    """The inverse of :func:`transpose_block`, for n >= 16: the last 16 bins may overlap those before."""
    for i in range(0, size, LANES):
        pixel = min(first + i, count - LANES)
        for part in range(0, n, LANES):
            bins = min(part, n - LANES)
            rows = load_columns(tile, bins * stride + i, stride)
            for lane in range(LANES):
                store(x, (pixel + lane) * n + bins, rows[lane])
