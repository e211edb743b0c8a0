"""Encode: uint8 RGB -> luma, label, class weight in one pass, 16 pixels at a time; float RGB one pixel at a time.

Rungs in YUV: integer division by the definition -> multiply and round, exact on all 2^24 colors -> the rounded number
is read from the low bits of the float, and a table with one more row and column saves the clamp -> one byte shuffle
for 16 interleaved pixels, two gathers for label and weight. In the cache 1200 MP/s, from memory 750 to 820 (one thread
of a Xeon with AVX-512, the other core busy) -> input and results are fetched ahead, 830 to 960.

In Lab (:mod:`lab`) 240 MP/s, one thread of an EPYC with AVX-512: five gathers take nearly half of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.reference.bins import space_of
from fastcolor.reference.constants import CHROMA_MAX

from ..common import face
from ..common.host import Array, padded, plain, unpad
from ..common.kept import kept
from .jit import jit
from .lab import float_lab, lab_cells, lab_of, lab_scale
from .pixels import block_bounds, blocks_of, check_colors, load_float, load_pixels, pixel_rows, rgb_planes
from .simd import LANES, gather, prefetch, splat_int, store
from .threads import run_blocks
from .yuv import float_yuv, yuv_cells, yuv_of, yuv_scale

AHEAD = 1024  # pixels from the one computed to the one fetched


@jit(inline=True)
def float_cell(chroma, top, cells):
    """Cell of a float64 chroma, clamped; NaN falls into the middle cell."""
    if chroma != chroma:
        return cells // 2
    scaled = np.floor((chroma + top) / (2 * top) * cells)
    return int(min(max(scaled, 0.0), cells - 1.0))


def _kernels_in(lab: bool) -> tuple[Any, Any]:
    """The kernels of a space, for uint8 and for float images."""

    @jit
    def encode_uint8(first, last, rgb, count, planar, scale, shift, labels_of, weights_of, luma, labels, weights):
        """Blocks [first, last) of images of `count` >= 16 pixels; `rgb` is (count, 3) or (3, count) of each, flattened.

        `labels_of` and `weights_of` are the tables by cell, rows of 2^shift, one row and column more than K x K so that
        the top edge needs no clamp. The last vector of an image overlaps the one before instead of being cut.
        """
        for block in range(first, last):
            image, start, stop = block_bounds(block, count)
            for position in range(start, stop, LANES):
                within = min(position, count - LANES)
                pixel = image * count + within
                red, green, blue = load_pixels(rgb, image, within, count, planar)
                if not planar:
                    prefetch(rgb, 3 * (pixel + AHEAD))
                # A line must be read before it can be written in part: ask for those of the results early as well.
                prefetch(luma, pixel + AHEAD)
                prefetch(weights, pixel + AHEAD)
                if lab:
                    light, a, b = lab_of(red, green, blue)
                    first_cell, second_cell = lab_cells(red, green, blue, a, b, scale)
                else:
                    light, u, v = yuv_of(red, green, blue)
                    first_cell, second_cell = yuv_cells(u, v, scale)
                cell = (first_cell << splat_int(shift)) + second_cell
                store(luma, pixel, light)
                store(labels, pixel, gather(labels_of, cell))
                store(weights, pixel, gather(weights_of, cell))

    @jit
    def encode_float(first, last, rgb, cells, tops, table, by_label, luma, labels, weights):
        """Pixels [first, last) of an (N, 3) float image; True if one of them leaves [0, 1]."""
        left = False
        for pixel in range(first, last):
            red, green, blue, beyond = load_float(rgb, pixel)
            left |= beyond
            light, one, other = float_lab(red, green, blue) if lab else float_yuv(red, green, blue)
            label = table[float_cell(one, tops[0], cells), float_cell(other, tops[1], cells)]
            luma[pixel] = light
            labels[pixel] = label
            weights[pixel] = by_label[label]
        return left

    return encode_uint8, encode_float


_KERNELS_IN = {"yuv": _kernels_in(False), "lab": _kernels_in(True)}
SCALE_IN = {"yuv": yuv_scale, "lab": lab_scale}

# --- host -------------------------------------------------------------------------------------------------------------


@face.encode
def encode(rgb: Array, bins: Any, lam: float, axis: int, *out: Array) -> None:
    space = space_of(bins)
    of_uint8, of_float = _KERNELS_IN[space]
    if rgb.dtype != np.uint8:
        rows, by_label = pixel_rows(rgb, axis), np.asarray(bins.weights(lam), np.float32)
        tables = bins.cells, CHROMA_MAX[space], plain(bins.table), by_label
        results = (array.reshape(-1) for array in out)
        check_colors(run_blocks(of_float, len(rows), len(rows), rows, *tables, *results))
        return
    pixels, images, count, planar = rgb_planes(rgb, axis)
    full = [padded(array, count) for array in out]
    tables = kept(bins, ("cells", lam), lambda: _cell_tables(bins, lam))
    run_blocks(of_uint8, blocks_of(images, count), images * count, pixels, count, planar, *tables, *full)
    for pair in zip(out, full, strict=True):
        unpad(*pair)


def _cell_tables(bins: Any, lam: float) -> tuple[Any, ...]:
    """Scale, shift, and label and weight by cell, rows of 2^shift: index K, of the top edge, repeats K - 1."""
    by_label, cells = np.asarray(bins.weights(lam), np.float32), bins.cells
    shift = int(cells).bit_length()
    labels = np.zeros((cells + 1, 1 << shift), np.int32)
    labels[:cells, :cells] = bins.table
    labels[cells] = labels[cells - 1]
    labels[:, cells] = labels[:, cells - 1]
    return SCALE_IN[space_of(bins)](cells), shift, labels.reshape(-1), by_label[labels].reshape(-1)
