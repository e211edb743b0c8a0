"""Soft targets: the k nearest bins of a color and their shares, 16 pixels at a time.

The candidates of a pixel (:mod:`near`) lie side by side: 16 rows, one for each pixel, are transposed to vectors. A
candidate moves up through the k nearest found so far as far as it is nearer, with its place in the lists; equal ones
stay behind, so that ties go to the lowest bin. Labels are looked up at the end, and nothing n-wide exists.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.bins import space_of
from fastcolor.reference.constants import U_MAX, U_NUMERATOR_MAX, V_MAX, V_NUMERATOR_MAX

from ..common import face
from ..common.host import Array, padded, plain, unpad
from ..common.kept import kept
from ..common.scale import LOG2E
from .found import insert, keep, nothing_found
from .jit import jit
from .lab import float_lab, lab_of
from .math import HIGHEST, LOWEST, exp2_scaled
from .near import CELLS, COUNT_BITS, ROW, near
from .pixels import check_colors, load_float, load_pixels, pixel_rows
from .simd import (
    LANES,
    fma,
    gather,
    greater,
    largest,
    lesser,
    load,
    load_rows,
    splat,
    splat_int,
    store,
    to_int,
    where_nan,
)
from .threads import run_blocks
from .yuv import float_yuv, yuv_of

SLOTS = (5, 10, 32)  # of neighbors, in registers: a kernel for each is compiled when it is first needed
BLOCK = 256  # pixels: what one step leaves for the next stays in the L1 cache

_COUNT = (1 << COUNT_BITS) - 1
_U_UNIT, _V_UNIT = np.float32(U_MAX / U_NUMERATOR_MAX), np.float32(V_MAX / V_NUMERATOR_MAX)
_A_UNIT, _B_UNIT = np.float32(500), np.float32(200)


@jit(inline=True)
def _bounds(block, count):
    """Image, first pixel and size of a block of images of `count` pixels."""
    blocks = (count + BLOCK - 1) // BLOCK
    image = block // blocks
    start = (block - image * blocks) * BLOCK
    return image, start, min(BLOCK, count - start)


@jit(inline=True)
def _cell_of(c, offset, factor):
    """I32 cell along one axis, clamped; NaN gives 0."""
    return to_int(lesser(greater((c + splat(offset)) * splat(factor), splat(0.0)), splat(np.float32(CELLS - 1))))


@jit(inline=True)
def _consider(found, first, second, x, y, place):
    """A candidate at (x, y)."""
    along, across = first - x, second - y
    return insert(found, fma(along, along, across * across), place)


@jit
def find_nearest(size, chroma, lists, slots, squares, places):
    """Squared distances and places in the lists of the nearest candidates, nearest first, as many as there are `slots`.

    `chroma` is (2, BLOCK), flat; `squares` and `places` are (BLOCK / 16, slots, 16), flat.
    """
    words, points, _, count, scale = lists
    (first_offset, first_factor), (second_offset, second_factor) = scale
    for i in range(0, size, LANES):
        first, second = load(chroma, i), load(chroma, BLOCK + i)
        row = _cell_of(first, first_offset, first_factor) * splat_int(CELLS)
        word = gather(words, row + _cell_of(second, second_offset, second_factor))
        place, most = (word >> splat_int(COUNT_BITS)) * splat_int(ROW), largest(word & splat_int(_COUNT))
        found = nothing_found(slots)
        for begin in range(0, most, ROW):
            c = load_rows(points, place + place)
            found = _consider(found, first, second, c[0], c[8], place)
            found = _consider(found, first, second, c[1], c[9], place + splat_int(1))
            found = _consider(found, first, second, c[2], c[10], place + splat_int(2))
            found = _consider(found, first, second, c[3], c[11], place + splat_int(3))
            if most - begin > ROW // 2:
                found = _consider(found, first, second, c[4], c[12], place + splat_int(4))
                found = _consider(found, first, second, c[5], c[13], place + splat_int(5))
                found = _consider(found, first, second, c[6], c[14], place + splat_int(6))
                found = _consider(found, first, second, c[7], c[15], place + splat_int(7))
            place = place + splat_int(ROW * count)
        keep(squares, places, i * len(slots), found)


@jit
def write_shares(at, size, squares, places, slots, soft, labels_of, last, labels, shares, weights):
    """Labels, shares and weights of a block: image, first pixel and count in `at`; k in planes, or `last`."""
    image, start, count = at
    k, scale, mean, weights_of = soft
    low, high, room = splat(np.float32(LOWEST) / scale), splat(np.float32(HIGHEST) / scale), LANES * len(slots)
    for i in range(0, size, LANES):
        within, base = min(start + i, count - LANES), i // LANES * room
        nearest, total = load(squares, base), splat(0.0)
        for j in range(base, base + LANES * k, LANES):
            power = exp2_scaled(greater(low, nearest - load(squares, j)), splat(scale), low, high)
            store(squares, j, power)
            total = total + power
        unit, weight, broken = splat(1.0) / total, splat(0.0), nearest - nearest
        for j in range(k):
            here = base + LANES * j
            share, label = load(squares, here) * unit, gather(labels_of, load(places, here))
            label = where_nan(broken, splat_int(j), label)  # as if the bins were sorted by a distance of NaN
            if mean or j == 0:
                weight = fma(share if mean else splat(1.0), gather(weights_of, label), weight)
            if last:
                store(squares, here, share)
                store(places, here, label)
            else:
                to = (image * k + j) * count + within
                store(labels, to, label)
                store(shares, to, share)
        store(weights, image * count + within, weight)
        if last:
            for lane in range(LANES):
                for j in range(k):
                    here, to = base + LANES * j + lane, (image * count + within + lane) * k + j
                    labels[to], shares[to] = places[here], squares[here]


def _kernels_in(lab: bool) -> tuple[Any, Any]:
    """The kernels of a space, for uint8 and for float images."""

    @jit
    def soft_uint8(first, last, rgb, count, planar, lists, slots, soft, to_last, luma, labels, shares, weights):
        """Blocks [first, last) of images of `count` >= 16 pixels; at least k `slots`."""
        chroma, room = np.empty(2 * BLOCK, np.float32), len(slots) * BLOCK
        squares, places = np.empty(room, np.float32), np.empty(room, np.int32)
        for block in range(first, last):
            image, start, size = _bounds(block, count)
            for i in range(0, size, LANES):
                within = min(start + i, count - LANES)
                red, green, blue = load_pixels(rgb, image, within, count, planar)
                if lab:
                    light, a, b = lab_of(red, green, blue)
                    one, other = a * splat(_A_UNIT), b * splat(_B_UNIT)
                else:
                    light, u, v = yuv_of(red, green, blue)
                    one, other = u * splat(_U_UNIT), v * splat(_V_UNIT)
                store(luma, image * count + within, light)
                store(chroma, i, one)
                store(chroma, BLOCK + i, other)
            find_nearest(size, chroma, lists, slots, squares, places)
            where, to = (image, start, count), (to_last, labels, shares, weights)
            write_shares(where, size, squares, places, slots, soft, lists[2], *to)

    @jit
    def soft_float(first, last, rgb, count, lists, slots, soft, to_last, luma, labels, shares, weights):
        """The same of an (N, 3) float image; True if a pixel leaves [0, 1]."""
        chroma, room = np.empty(2 * BLOCK, np.float32), len(slots) * BLOCK
        squares, places = np.empty(room, np.float32), np.empty(room, np.int32)
        left = False
        for block in range(first, last):
            image, start, size = _bounds(block, count)
            for i in range(0, size, LANES):
                for lane in range(LANES):
                    pixel = image * count + min(start + i, count - LANES) + lane
                    red, green, blue, beyond = load_float(rgb, pixel)
                    left |= beyond
                    light, one, other = float_lab(red, green, blue) if lab else float_yuv(red, green, blue)
                    chroma[i + lane], chroma[BLOCK + i + lane] = one, other
                    luma[pixel] = light
            find_nearest(size, chroma, lists, slots, squares, places)
            where, to = (image, start, count), (to_last, labels, shares, weights)
            write_shares(where, size, squares, places, slots, soft, lists[2], *to)
        return left

    return soft_uint8, soft_float


_KERNELS_IN = {"yuv": _kernels_in(False), "lab": _kernels_in(True)}

# --- host -------------------------------------------------------------------------------------------------------------


@face.encode_soft
def encode_soft(
    rgb: Array,
    bins: Any,
    k: int,
    sigma: float,
    lam: float,
    weighting: str,
    axis: int,
    channel: int,
    luma: Array,
    labels: Array,
    shares: Array,
    weights: Array,
) -> None:
    space, shape = space_of(bins), luma.shape
    total, after = math.prod(shape), math.prod(shape[axis:])
    last, in_place = after == 1, after == 1 or after >= LANES
    # Planes of fewer than 16 pixels are made as one plane, and dealt out at the end.
    images, count = (total // after, after) if after >= LANES else (1, max(total, LANES))
    single = [padded(array, images * count) for array in (luma, weights)]
    several = [padded(array, count * k) if in_place else np.empty(count * k, array.dtype) for array in (labels, shares)]
    slots = (0,) * next(size for size in SLOTS if size >= k)
    soft = k, _scale(sigma), weighting == "mean", np.asarray(bins.weights(lam), np.float32)
    lists = tuple(kept(bins, ("near", k), lambda: near(bins, k, space)))
    options = lists, slots, soft, last, single[0], *several, single[1]
    of_uint8, of_float = _KERNELS_IN[space]
    blocks = images * -(-count // BLOCK)
    if rgb.dtype == np.uint8:
        pixels, planar = _pixels(rgb, channel, images, count)
        run_blocks(of_uint8, blocks, total, pixels, count, planar, *options)
    else:
        rows = padded(pixel_rows(rgb, channel), 3 * images * count).reshape(-1, 3)
        check_colors(run_blocks(of_float, blocks, total, rows, count, *options))
    for array, buffer in zip((luma, weights), single, strict=True):
        unpad(array, buffer)
    for array, buffer in zip((labels, shares), several, strict=True):
        if in_place:
            unpad(array, buffer)
        else:
            array[...] = np.moveaxis(buffer.reshape(k, count)[:, :total].reshape(k, *shape), 0, axis)


def _pixels(rgb: Array, channel: int, images: int, count: int) -> tuple[Array, bool]:
    """uint8 RGB, flattened, and whether it is (images, 3, count) instead of (images, count, 3)."""
    if rgb.flags.c_contiguous and math.prod(rgb.shape[:channel]) == images and rgb.size == 3 * images * count:
        return plain(rgb).reshape(-1), True
    return padded(plain(np.moveaxis(rgb, channel, -1)), 3 * images * count), False


def _scale(sigma: float) -> np.float32:
    """``e^(-d^2 / (2 sigma^2)) = 2^(-d^2 scale)``, within what float32 and :func:`exp2_scaled` take."""
    return np.float32(min(max(LOG2E / (2 * sigma * sigma), 1e-30), 1e38)) if sigma * sigma > 0 else np.float32(1e38)
