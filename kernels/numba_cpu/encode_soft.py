"""Soft targets: the k nearest bins of a color and their shares, 16 pixels at a time.

The candidates of a pixel (:mod:`near`) lie side by side: 16 rows, one for each pixel, are transposed to vectors. A candidate
moves up through the k nearest found so far as far as it is nearer, with its place; equal ones stay behind, so that ties
go to the lowest bin. Labels are looked up at the end, and nothing n-wide exists.
"""

from __future__ import annotations

import numpy as np
from fastcolor.reference.constants import U_MAX, U_NUMERATOR_MAX, V_MAX, V_NUMERATOR_MAX

from .jit import jit
from .near import CELLS, COUNT_BITS, ROW
from .simd import (
    LANES,
    fma,
    gather,
    greater,
    largest,
    lesser,
    load,
    splat,
    splat_int,
    store,
    store_columns,
    to_int,
    where_greater,
)

_U_UNIT, _V_UNIT = np.float32(U_MAX / U_NUMERATOR_MAX), np.float32(V_MAX / V_NUMERATOR_MAX)
_COUNT = (1 << COUNT_BITS) - 1


@jit(inline=True)
def _cell_of(c, offset, factor):
    """I32 cell along one axis, clamped; NaN gives 0."""
    return to_int(lesser(greater((c + splat(offset)) * splat(factor), splat(0.0)), splat(np.float32(CELLS - 1))))


@jit
def nearest_of(first, second, lists, k, room, places, squares):
    """The k nearest candidates of 16 pixels: their squared distances and places in the lists, nearest first.

    `first` and `second` are F32; `room` holds 16 vectors, `places` and `squares` hold k.
    """
    words, points, _, count, scale = lists
    cell = _cell_of(first, *scale[0]) * splat_int(CELLS) + _cell_of(second, *scale[1])
    word = gather(words, cell)
    number, length = word >> splat_int(COUNT_BITS), word & splat_int(_COUNT)
    most, found, begin = largest(length), 0, 0
    while begin < most:
        row = number + splat_int(begin // ROW * count)
        # Lists that have no such row: the first row once more, at an infinite distance.
        row = where_greater(length, splat_int(begin), row, number)
        store_columns(points, row << splat_int(4), room)
        for c in range(min(ROW, most - begin)):
            along, across = first - load(room, LANES * c), second - load(room, LANES * (ROW + c))
            square = fma(along, along, across * across)
            square = where_greater(length, splat_int(begin + c), square, splat(np.float32(np.inf)))
            place = (row << splat_int(3)) + splat_int(c)
            for j in range(found):
                held, where = load(squares, LANES * j), load(places, LANES * j)
                store(squares, LANES * j, lesser(square, held))
                store(places, LANES * j, where_greater(held, square, place, where))
                place = where_greater(held, square, where, place)
                square = greater(held, square)
            if found < k:
                store(squares, LANES * found, square)
                store(places, LANES * found, place)
                found += 1
        begin += ROW
