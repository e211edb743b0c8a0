"""Histogram of the chroma cells, and the moments that fitting bins needs: vector arithmetic, then scalar counting.

Moments in Lab are sums of ab in float64, which is found pixel by pixel.

Rungs, one thread of a Xeon with AVX-512: the cells alone take 2400 MP/s; counting them into one histogram waits for its
own stores wherever neighbours share a cell; four copies of the histogram, 1180; eight, 1420. With the image in memory:
650; if the next block is fetched while this one is counted, 1090.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.reference.constants import AB_FIXED, CHROMA_MAX

from fastcolor import reference

from ..common.host import Array
from .encode import SCALE_IN, float_cell
from .jit import jit
from .lab import float_lab, lab_cells, lab_of, uint8_lab
from .pixels import (
    BLOCK,
    block_bounds,
    blocks_of,
    check_colors,
    levels_of,
    load_float,
    load_pixels,
    pixel_rows,
    rgb_planes,
)
from .simd import LANES, prefetch, splat_int, store, to_int
from .threads import run_blocks
from .yuv import float_yuv, yuv_cells, yuv_of

COPIES = 8  # neighbouring pixels count in different copies: an increment need not wait for the store before it


def _kernels_in(lab: bool) -> tuple[Any, Any, Any]:
    """The kernels of a space: counts of uint8 and of float images, and moments."""

    @jit
    def count_uint8(first, last, rgb, count, planar, scale, cells):
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
                if lab:
                    _, a, b = lab_of(red, green, blue)
                    one, other = lab_cells(red, green, blue, a, b, scale)
                else:
                    _, u, v = yuv_of(red, green, blue)
                    one, other = yuv_cells(u, v, scale)
                store(index, pixel - start + LANES, one * splat_int(row) + other)
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
    def moments_uint8(first, last, rgb, count, planar, scale, cells):
        """Counts (K + 1, K + 1), sums (K + 1, K + 1, 2) and squares (2,) of the chroma numerators of blocks."""
        row = cells + 1
        counts = np.zeros(row * row, np.int64)
        sums = np.zeros((row * row, 2), np.int64)
        squares = np.zeros(2, np.float64)
        index = np.empty(BLOCK + LANES, np.uint32)
        ones, others = np.empty(BLOCK + LANES, np.int32), np.empty(BLOCK + LANES, np.int32)
        for block in range(first, last):
            image, start, stop = block_bounds(block, count)
            if lab:
                for pixel in range(start, stop):
                    here = pixel - start + LANES
                    red, green, blue = levels_of(rgb, image, pixel, count, planar)
                    _, a, b = uint8_lab(red, green, blue)
                    index[here] = float_cell(a, scale[0], cells) * row + float_cell(b, scale[1], cells)
                    ones[here], others[here] = np.rint(a * AB_FIXED), np.rint(b * AB_FIXED)
            else:
                for position in range(start, stop, LANES):
                    pixel = min(position, count - LANES)
                    red, green, blue = load_pixels(rgb, image, pixel, count, planar)
                    _, u, v = yuv_of(red, green, blue)
                    one, other = yuv_cells(u, v, scale)
                    here = pixel - start + LANES
                    store(index, here, one * splat_int(row) + other)
                    store(ones, here, to_int(u))
                    store(others, here, to_int(v))
            one_squares, other_squares = np.int64(0), np.int64(0)  # exact within a block: 4096 * 235520^2 < 2^63
            upcoming = 3 * (image * count + stop)
            for k in range(LANES, LANES + stop - start):
                prefetch(rgb, upcoming + 3 * (k - LANES))
                cell, one_here, other_here = index[k], np.int64(ones[k]), np.int64(others[k])
                counts[cell] += 1
                sums[cell, 0] += one_here
                sums[cell, 1] += other_here
                one_squares += one_here * one_here
                other_squares += other_here * other_here
            squares[0] += one_squares
            squares[1] += other_squares
        return counts.reshape(row, row), sums.reshape(row, row, 2), squares

    @jit
    def count_float(first, last, rgb, cells, tops):
        """K x K counts of pixels [first, last) of an (N, 3) float image, and whether one of them leaves [0, 1]."""
        counts = np.zeros((cells, cells), np.int64)
        left = False
        for pixel in range(first, last):
            red, green, blue, beyond = load_float(rgb, pixel)
            left |= beyond
            _, one, other = float_lab(red, green, blue) if lab else float_yuv(red, green, blue)
            counts[float_cell(one, tops[0], cells), float_cell(other, tops[1], cells)] += 1
        return counts, left

    return count_uint8, count_float, moments_uint8


_KERNELS_IN = {"yuv": _kernels_in(False), "lab": _kernels_in(True)}

# --- host -------------------------------------------------------------------------------------------------------------


def histogram(rgb: Array, cells: int, *, space: str = "yuv", channel_axis: int = -1) -> Array:
    """``H[i, j] = number of pixels with cell (i, j)``, shape (K, K), int64."""
    of_uint8, of_float, _ = _KERNELS_IN[space]
    if rgb.dtype != np.uint8:
        rows = pixel_rows(rgb, channel_axis)
        counts, left = zip(*run_blocks(of_float, len(rows), len(rows), rows, cells, CHROMA_MAX[space]), strict=True)
        check_colors(left)
        return sum(counts)
    if rgb.size < 3 * LANES:
        return reference.histogram(rgb, cells, space=space, channel_axis=channel_axis)
    return _fold_edge(sum(_run(of_uint8, rgb, cells, channel_axis, SCALE_IN[space](cells))), cells)


def chroma_moments(rgb: Array, cells: int, *, space: str = "yuv", channel_axis: int = -1) -> tuple[Array, Array, Array]:
    """Counts (K, K), sums (K, K, 2), int64, and squares (2,), float64, of the chroma numerators of a uint8 image."""
    if rgb.size < 3 * LANES:
        return reference.chroma_moments(rgb, cells, space=space, channel_axis=channel_axis)
    scale = CHROMA_MAX[space] if space == "lab" else SCALE_IN[space](cells)
    parts = _run(_KERNELS_IN[space][2], rgb, cells, channel_axis, scale)
    counts, sums, squares = (sum(part) for part in zip(*parts, strict=True))
    return _fold_edge(counts, cells), _fold_edge(sums, cells), squares


def _run(kernel: Any, rgb: Array, cells: int, axis: int, scale: Any) -> list[Any]:
    pixels, images, count, planar = rgb_planes(rgb, axis % rgb.ndim)
    return run_blocks(kernel, blocks_of(images, count), images * count, pixels, count, planar, scale, cells)


def _fold_edge(counts: Any, cells: int) -> Array:
    """(K + 1, K + 1) to (K, K): the top edge belongs to the last cell."""
    counts[cells - 1] += counts[cells]
    counts[:, cells - 1] += counts[:, cells]
    return counts[:cells, :cells].copy()
