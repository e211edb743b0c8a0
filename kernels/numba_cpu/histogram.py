"""Histogram of the chroma cells, and the moments that fitting bins needs: vector arithmetic, then scalar counting.

Rungs, one thread of a Xeon with AVX-512: the cells alone take 2400 MP/s; counting them into one histogram waits for its
own stores wherever neighbours share a cell; four copies of the histogram, 1180; eight, 1420. With the image in memory:
650; if the next block is fetched while this one is counted, 1090.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.reference.constants import U_MAX, V_MAX

from fastcolor import reference

from ..common.host import Array
from .encode import BLOCK, block_bounds, cells_of, float_cell, float_chroma, load_pixels, pixel_rows, rgb_planes, scales
from .jit import jit
from .simd import LANES, prefetch, splat_int, store, to_int
from .threads import run_blocks

COPIES = 8  # neighbouring pixels count in different copies: an increment need not wait for the store before it


@jit
def count_uint8(first, last, rgb, count, planar, scales, cells):
    """(K + 1) x (K + 1) counts of blocks [first, last) of images of `count` >= 16 pixels."""
    row = cells + 1
    cells_padded = row * row
    counts = np.zeros(COPIES * cells_padded, np.uint32)  # 2^32 for each copy is beyond any array
    index = np.empty(BLOCK + LANES, np.uint32)
    for block in range(first, last):
        image, start, stop = block_bounds(block, count)
        for position in range(start, stop, LANES):
            pixel = min(position, count - LANES)  # the last vector overlaps the one before and repeats its indices
            red, green, blue = load_pixels(rgb, image, pixel, count, planar)
            _, _, cell_u, cell_v = cells_of(red, green, blue, scales, cells)
            store(index, pixel - start + LANES, cell_u * splat_int(row) + cell_v)
        size = stop - start
        even = size - size % COPIES
        upcoming = 3 * (image * count + stop)
        for k in range(LANES, LANES + even, COPIES):
            prefetch(rgb, upcoming + 3 * (k - LANES))
            for copy in range(COPIES):
                counts[copy * cells_padded + index[k + copy]] += np.uint32(1)
        for k in range(LANES + even, LANES + size):
            counts[index[k]] += np.uint32(1)
    return counts.reshape(COPIES, row, row).astype(np.int64).sum(0)


@jit
def moments_uint8(first, last, rgb, count, planar, scales, cells):
    """Counts (K + 1, K + 1), sums (K + 1, K + 1, 2) and squares (2,) of the chroma numerators, blocks [first, last)."""
    row = cells + 1
    counts = np.zeros(row * row, np.int64)
    sums = np.zeros((row * row, 2), np.int64)
    squares = np.zeros(2, np.float64)
    index = np.empty(BLOCK + LANES, np.uint32)
    u_of, v_of = np.empty(BLOCK + LANES, np.int32), np.empty(BLOCK + LANES, np.int32)
    for block in range(first, last):
        image, start, stop = block_bounds(block, count)
        for position in range(start, stop, LANES):
            pixel = min(position, count - LANES)
            red, green, blue = load_pixels(rgb, image, pixel, count, planar)
            u, v, cell_u, cell_v = cells_of(red, green, blue, scales, cells)
            here = pixel - start + LANES
            store(index, here, cell_u * splat_int(row) + cell_v)
            store(u_of, here, to_int(u))
            store(v_of, here, to_int(v))
        u_squares, v_squares = np.int64(0), np.int64(0)  # exact within a block: 4096 * 225930^2 < 2^63
        upcoming = 3 * (image * count + stop)
        for k in range(LANES, LANES + stop - start):
            prefetch(rgb, upcoming + 3 * (k - LANES))
            cell, u_here, v_here = index[k], np.int64(u_of[k]), np.int64(v_of[k])
            counts[cell] += 1
            sums[cell, 0] += u_here
            sums[cell, 1] += v_here
            u_squares += u_here * u_here
            v_squares += v_here * v_here
        squares[0] += u_squares
        squares[1] += v_squares
    return counts.reshape(row, row), sums.reshape(row, row, 2), squares


@jit
def count_float(first, last, rgb, cells):
    """K x K counts of pixels [first, last) of an (N, 3) float image."""
    counts = np.zeros((cells, cells), np.int64)
    for pixel in range(first, last):
        red, green, blue = np.float64(rgb[pixel, 0]), np.float64(rgb[pixel, 1]), np.float64(rgb[pixel, 2])
        _, u, v = float_chroma(red, green, blue)
        counts[float_cell(u, U_MAX, cells), float_cell(v, V_MAX, cells)] += 1
    return counts


# --- host -------------------------------------------------------------------------------------------------------------


def histogram(rgb: Array, cells: int, *, channel_axis: int = -1) -> Array:
    """``H[i, j] = number of pixels with (cell_u, cell_v) = (i, j)``, shape (K, K), int64."""
    if rgb.dtype != np.uint8:
        rows = pixel_rows(rgb, channel_axis)
        return sum(run_blocks(count_float, len(rows), len(rows), rows, cells))
    if rgb.size < 3 * LANES:
        return reference.histogram(rgb, cells, channel_axis=channel_axis)
    return _fold_edge(sum(_run(count_uint8, rgb, cells, channel_axis)), cells)


def chroma_moments(rgb: Array, cells: int, *, channel_axis: int = -1) -> tuple[Array, Array, Array]:
    """Counts (K, K), sums (K, K, 2), int64, and squares (2,), float64, of the chroma numerators of a uint8 image."""
    if rgb.size < 3 * LANES:
        return reference.chroma_moments(rgb, cells, channel_axis=channel_axis)
    parts = _run(moments_uint8, rgb, cells, channel_axis)
    counts, sums, squares = (sum(part) for part in zip(*parts, strict=True))
    return _fold_edge(counts, cells), _fold_edge(sums, cells), squares


def _run(kernel: Any, rgb: Array, cells: int, axis: int) -> list[Any]:
    pixels, images, count, planar = rgb_planes(rgb, axis % rgb.ndim)
    blocks = images * -(-count // BLOCK)
    return run_blocks(kernel, blocks, images * count, pixels, count, planar, scales(cells), cells)


def _fold_edge(counts: Any, cells: int) -> Array:
    """(K + 1, K + 1) to (K, K): the top edge belongs to the last cell."""
    counts[cells - 1] += counts[cells]
    counts[:, cells - 1] += counts[:, cells]
    return counts[:cells, :cells].copy()
