"""Encode: uint8 RGB -> luma, label, class weight in one pass, 16 pixels at a time; float RGB one pixel at a time.

Rungs: integer division by the definition -> multiply and round, with an offset that keeps every numerator away from the
rounding boundaries, exact on all 2^24 colors -> the rounded number is read from the low bits of the float, and a table
with one more row and column saves the clamp -> one byte shuffle for 16 interleaved pixels, two gathers for label and
weight. In the cache 1200 MP/s, from memory 750 to 820 (one thread of a Xeon with AVX-512, the other core busy) ->
input and results are fetched ahead, 830 to 960.
"""

from __future__ import annotations

import math
import platform
from functools import lru_cache
from typing import Any

import numpy as np
from fastcolor.reference import constants as c
from fastcolor.reference.constants import U_MAX, U_NUMERATOR_MAX, U_SCALE, V_MAX, V_NUMERATOR_MAX, V_SCALE

from ..common import face
from ..common.host import Array, padded, plain, unpad
from ..common.kept import kept
from .jit import jit
from .simd import LANES, bits, fma, gather, load, load_rgb, prefetch, splat, splat_int, store, target_has, where_greater
from .threads import run_blocks

BLOCK = 4096  # pixels that one step of a thread's range takes
AHEAD = 1024  # pixels from the one computed to the one fetched

_MAGIC = np.float32(3 << 22)  # x + 1.5 * 2^23 is x rounded to an integer, which then stands in the low bits
_MAGIC_BITS = 0x4B400000  # subtracted, not masked off: -1, which the remainder below corrects, must stay -1
_U_R, _U_G, _U_B = (np.float32(x) for x in c.U_COEFFICIENTS)
_V_R, _V_G, _V_B = (np.float32(x) for x in c.V_COEFFICIENTS)
_Y_R, _Y_G, _Y_B = (np.float32(round(1000 * x)) for x in c.LUMA)
_Y_UNIT = np.float32(1 / 255000)  # one rounding more than a division: at most 1 ulp off
_LUMA_R, _LUMA_G, _LUMA_B = c.LUMA
_FUSED = target_has("fma") or platform.machine() in ("arm64", "aarch64")


@lru_cache(maxsize=64)
def cell_scale(cells: int, top: int) -> tuple[np.float32, np.float32, bool]:
    """``(offset, scale, sure)`` with ``cell = rint((a + offset) * scale)`` for chroma numerators a in [-top, top].

    ``floor(v) = rint(v - 1/2 + g / (2 D))`` for a multiple v of g / D, where v = (a + top) K / D, D = 2 top and
    g = gcd(K, D): the offset centres the numerators between the rounding boundaries, as far as float32 has the bits.
    `sure` says that the roundings of offset, scale and product together stay below that margin of g / (2 D), so that
    the result is exact; otherwise the kernel corrects it by the integer remainder.
    """
    width, common = 2 * top, math.gcd(cells, 2 * top)
    wanted = top - width / (2 * cells) + common / (2 * cells)
    offset = round(wanted * 32) / 32  # a + offset < 2^19: float32 has five bits after the point
    scale = np.float32(cells / width)
    error = abs(offset - wanted) * cells / width + abs(float(scale) - cells / width) * width
    error += 0.0 if _FUSED else cells * 2.0**-24
    return np.float32(offset), scale, error < common / (2 * width)


@jit(inline=True)
def _cell_index(numerator, offset, scale, sure, top, cells):
    """I32 cell of the F32 chroma numerators, in 0..K (K only at the very top edge)."""
    cell = bits(fma(numerator + splat(offset), splat(scale), splat(_MAGIC))) - splat_int(_MAGIC_BITS)
    if not sure:
        width = splat_int(2 * top)
        shifted = bits(numerator + splat(_MAGIC + np.float32(top))) - splat_int(_MAGIC_BITS)
        rest = shifted * splat_int(cells) - cell * width
        cell = cell + where_greater(rest, width - splat_int(1), splat_int(1), splat_int(0))
        cell = cell - where_greater(splat_int(0), rest, splat_int(1), splat_int(0))
    return cell


@jit(inline=True)
def cells_of(red, green, blue, scales, cells):
    """F32 of the exact integers ``-299 R - 587 G + 886 B`` and ``701 R - 587 G - 114 B``, and their I32 cells."""
    u = fma(blue, splat(_U_B), fma(green, splat(_U_G), red * splat(_U_R)))
    v = fma(blue, splat(_V_B), fma(green, splat(_V_G), red * splat(_V_R)))
    u_offset, u_scale, u_sure, u_top = scales[0]
    v_offset, v_scale, v_sure, v_top = scales[1]
    cell_u = _cell_index(u, u_offset, u_scale, u_sure, u_top, cells)
    return u, v, cell_u, _cell_index(v, v_offset, v_scale, v_sure, v_top, cells)


@jit(inline=True)
def load_pixels(rgb, image, pixel, count, planar):
    """R, G, B of 16 pixels of an image of `count`."""
    if planar:
        source = 3 * image * count + pixel
        return load(rgb, source), load(rgb, source + count), load(rgb, source + 2 * count)
    return load_rgb(rgb, 3 * (image * count + pixel))


@jit(inline=True)
def block_bounds(block, count):
    """Image, first pixel and last of a block of images of `count` pixels."""
    blocks = (count + BLOCK - 1) // BLOCK
    image = block // blocks
    start = (block - image * blocks) * BLOCK
    return image, start, min(start + BLOCK, count)


@jit
def encode_uint8(first, last, rgb, count, planar, scales, cells, shift, labels_of, weights_of, luma, labels, weights):
    """Blocks [first, last) of images of `count` >= 16 pixels; `rgb` is (..., count, 3) or (..., 3, count), flattened.

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
            y = fma(blue, splat(_Y_B), fma(green, splat(_Y_G), red * splat(_Y_R)))
            _, _, cell_u, cell_v = cells_of(red, green, blue, scales, cells)
            cell = (cell_u << splat_int(shift)) + cell_v
            store(luma, pixel, y * splat(_Y_UNIT))
            store(labels, pixel, gather(labels_of, cell))
            store(weights, pixel, gather(weights_of, cell))


@jit(inline=True)
def float_cell(chroma, top, cells):
    """Cell of a float64 chroma, clamped; NaN falls into the middle cell."""
    if chroma != chroma:
        return cells // 2
    scaled = np.floor((chroma + top) / (2 * top) * cells)
    return int(min(max(scaled, 0.0), cells - 1.0))


@jit(inline=True)
def float_chroma(red, green, blue):
    """Y, U, V in float64, in the order of operations of the reference."""
    y = _LUMA_R * red + _LUMA_G * green + _LUMA_B * blue
    return y, U_SCALE * (blue - y), V_SCALE * (red - y)


@jit
def encode_float(first, last, rgb, cells, table, by_label, luma, labels, weights):
    """Pixels [first, last) of an (N, 3) float image."""
    for pixel in range(first, last):
        red, green, blue = np.float64(rgb[pixel, 0]), np.float64(rgb[pixel, 1]), np.float64(rgb[pixel, 2])
        y, u, v = float_chroma(red, green, blue)
        label = table[float_cell(u, U_MAX, cells), float_cell(v, V_MAX, cells)]
        luma[pixel] = y
        labels[pixel] = label
        weights[pixel] = by_label[label]


# --- host -------------------------------------------------------------------------------------------------------------


@face.encode
def encode(rgb: Array, bins: Any, lam: float, axis: int, *out: Array) -> None:
    if rgb.dtype != np.uint8:
        rows, by_label = pixel_rows(rgb, axis), np.asarray(bins.weights(lam), np.float32)
        results = (array.reshape(-1) for array in out)
        run_blocks(encode_float, len(rows), len(rows), rows, bins.cells, plain(bins.table), by_label, *results)
        return
    pixels, images, count, planar = rgb_planes(rgb, axis)
    full = [padded(array, count) for array in out]
    tables = kept(bins, ("cells", lam), lambda: _cell_tables(bins, lam))
    blocks = images * -(-count // BLOCK)
    run_blocks(encode_uint8, blocks, images * count, pixels, count, planar, *tables, *full)
    for pair in zip(out, full, strict=True):
        unpad(*pair)


def pixel_rows(rgb: Array, axis: int) -> Array:
    """RGB as (pixels, 3)."""
    return plain(np.moveaxis(rgb, axis, -1)).reshape(-1, 3)


def rgb_planes(rgb: Array, axis: int) -> tuple[Array, int, int, bool]:
    """uint8 RGB, flattened: (images, pixels, 3), or (images, 3, pixels) if planar; padded to 16 pixels."""
    images, count = math.prod(rgb.shape[:axis]), math.prod(rgb.shape[axis + 1 :])
    if rgb.flags.c_contiguous and count >= LANES:
        return plain(rgb).reshape(-1), images, count, True
    pixels = plain(np.moveaxis(rgb, axis, -1))
    count = max(pixels.size // 3, LANES)
    return padded(pixels, 3 * count), 1, count, False


def scales(cells: int) -> Any:
    """:func:`cell_scale` of U and of V, each with its largest numerator."""
    return tuple((*cell_scale(cells, top), top) for top in (U_NUMERATOR_MAX, V_NUMERATOR_MAX))


def _cell_tables(bins: Any, lam: float) -> tuple[Any, ...]:
    """Scales, K, shift, and label and weight by cell, rows of 2^shift: index K, of the top edge, repeats K - 1."""
    by_label, cells = np.asarray(bins.weights(lam), np.float32), bins.cells
    shift = int(cells).bit_length()
    labels = np.zeros((cells + 1, 1 << shift), np.int32)
    labels[:cells, :cells] = bins.table
    labels[cells] = labels[cells - 1]
    labels[:, cells] = labels[:, cells - 1]
    return scales(cells), cells, shift, labels.reshape(-1), by_label[labels].reshape(-1)
