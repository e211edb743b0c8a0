"""Which bins can be among the k nearest of a color, by fine cells: lists that are proven complete.

Cells of half-width h cover the chroma plane. Bin b stays out of a cell's list if k others are nearer wherever in the
cell the color lies. For one of them, a, that is ``|p - b|^2 - |p - a|^2 > 0``, linear in p: its least value over the
cell is that at the midpoint m less ``h (|g_1| + |g_2|)``, with ``g = 2 (a - b)`` its gradient. Bins that coincide are
nearer in the order of their labels. Only bins within ``d_k(m) + 2 r`` of m need be looked at, where r is half of the
diagonal and d_k(m) the distance of the k-th nearest: k bins are within ``d_k(m) + r`` of any p of the cell, and so
within ``d_k(m) + 2 r`` of m, and what is further from m is further from p.

Rounding. A color's cell is known within 3 roundings of a number below 128, 2^-15 of a cell: h is that much larger. A
squared distance in float32 errs by 4 u of itself: the least value must be above 8 u of the largest square in the cell,
and the distance is taken 2^-20 larger. So a list has also what float32 takes for one of the k nearest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastcolor.reference.constants import CHROMA_MAX

from ..common.host import Array
from .jit import jit

CELLS = 128  # along each axis: of the 313 bins a cell has 6 candidates for the 5 nearest; all lists fit the L2 cache
ROW = 8  # candidates that are loaded at a time
REACH = 1 + 1 / 64  # times the largest chroma: float RGB may leave [0, 1] by 1/256, and yuv by 2/256 with it
COUNT_BITS = 11  # of a cell's word: how many candidates it has; the bits above number its list

_WIDER = 1 + 2.0**-14
_SURE = 8 * 2.0**-24
_FAR = 1 + 2.0**-20


class Near(NamedTuple):
    """Lists by cell, as kernels take them.

    Attributes
    ----------
    words : (CELLS * CELLS,) int32
        Number of the list and of its candidates, for each cell.
    points : float32
        Rows of 16: 8 times the first coordinate, 8 times the second, infinity where there is no candidate. The first
        row of each list, then the second of each, and so on.
    labels : int32
        Of the candidates, 8 a row.
    lists : int
        How many there are.
    scale : ((offset, factor), (offset, factor))
        Cell along each axis: ``(c + offset) * factor``, truncated.
    """

    words: Array
    points: Array
    labels: Array
    lists: int
    scale: Any


@jit
def candidates(colors, k, first_top, second_top, cells):
    """Lists (cells^2, n) of labels in ascending order, -1 behind the last; and their lengths."""
    n = len(colors)
    lists, lengths = np.full((cells * cells, n), -1, np.int16), np.empty(cells * cells, np.int64)
    first_half, second_half = first_top / cells * _WIDER, second_top / cells * _WIDER
    reach = 2 * np.sqrt(first_half**2 + second_half**2)
    squares, close = np.empty(n), np.empty(n, np.int64)
    for cell in range(cells * cells):
        first = (2 * (cell // cells) + 1 - cells) / cells * first_top
        second = (2 * (cell % cells) + 1 - cells) / cells * second_top
        for b in range(n):
            squares[b] = (colors[b, 0] - first) ** 2 + (colors[b, 1] - second) ** 2
        edge = ((np.sqrt(np.partition(squares, k - 1)[k - 1]) + reach) * _FAR) ** 2
        found = 0
        for b in range(n):
            if squares[b] <= edge:
                close[found] = b
                found += 1
        length = 0
        for b in close[:found]:
            most = (np.sqrt(squares[b]) + reach / 2) ** 2
            nearer = 0
            for a in close[:found]:
                first_gap, second_gap = colors[a, 0] - colors[b, 0], colors[a, 1] - colors[b, 1]
                least = squares[b] - squares[a] - 2 * (abs(first_gap) * first_half + abs(second_gap) * second_half)
                nearer += least > _SURE * most or (first_gap == 0 and second_gap == 0 and a < b)
                if nearer == k:
                    break
            if nearer < k:
                lists[cell, length] = b
                length += 1
        lengths[cell] = length
    return lists, lengths


def near(bins: Any, k: int, space: str) -> Near:
    """The lists of `bins` for k neighbors, each kept once however many cells have it."""
    colors = np.asarray(bins.colors, np.float32)
    tops = [top * REACH for top in CHROMA_MAX[space]]
    lists, lengths = candidates(colors.astype(np.float64), k, *tops, CELLS)
    width = -(-int(lengths.max()) // ROW) * ROW
    lists = np.pad(lists, ((0, 0), (0, max(width - lists.shape[1], 0))), constant_values=-1)[:, :width]
    distinct, where = np.unique(lists, axis=0, return_inverse=True)
    count = (distinct >= 0).sum(axis=1)[where.reshape(-1)]
    rows = distinct.reshape(len(distinct), -1, ROW).transpose(1, 0, 2)  # (rows of a list, lists, 8)
    points = np.where(rows[..., None] >= 0, colors[rows], np.float32(np.inf)).swapaxes(-1, -2)
    scale = tuple((np.float32(top), np.float32(CELLS / (2 * top))) for top in tops)
    words = where.reshape(-1) << COUNT_BITS | count
    flat = np.ascontiguousarray(points).reshape(-1), np.ascontiguousarray(rows, np.int32).reshape(-1)
    return Near(words.astype(np.int32), *flat, len(distinct), scale)
