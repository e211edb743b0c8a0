"""Which bins can be among the k nearest of a color: a short list for each of many small cells, instead of all n.

A color p of a cell lies within r of its midpoint m, so that every distance changes by r at most between them. The k-th
nearest bin of p is therefore no farther from p than ``d_k(m) + r``, and a bin that is as near as that to p lies within
``d_k(m) + 2 r`` of m. No other bin can be one of the k nearest of p, nor tie with the last of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastcolor.reference.bins import space_of
from fastcolor.reference.constants import ALLOWANCE, CHROMA_MAX
from numpy.typing import NDArray

from .kept import kept

CELLS = 64  # along each axis, whatever K the bins have: of the 313 bins 9 are left for the 5 nearest
_SLACK = 1e-3  # of half a cell: more than float32 can move a color across an edge, or a distance


class Candidates(NamedTuple):
    """``bins[first[cell] : first[cell + 1]]`` are those of a cell, ascending, so that the lower of two comes first.

    Attributes
    ----------
    first : ndarray, shape (CELLS * CELLS + 1,), int32
        By the flat index of the cell.
    bins : ndarray, uint16
    """

    first: NDArray[np.int32]
    bins: NDArray[np.uint16]


def candidates(bins: Any, neighbors: int) -> Candidates:
    """The lists of all cells for the `neighbors` nearest bins, at least so many in each."""
    return kept(bins, ("candidates", neighbors), lambda: _lists(bins, neighbors))


def _lists(bins: Any, neighbors: int) -> Candidates:
    colors = np.asarray(bins.colors, np.float64)
    (first_middle, first_reach), (second_middle, second_reach) = map(_along, CHROMA_MAX[space_of(bins)])
    counts, lists = [0], []
    for middle, reach in zip(first_middle, first_reach, strict=True):  # a row of cells at a time
        distance = np.hypot(middle - colors[:, 0], second_middle[:, None] - colors[:, 1])
        kth = np.partition(distance, neighbors - 1, axis=-1)[:, neighbors - 1]
        cell, label = np.nonzero(distance <= (kth + 2 * np.hypot(reach, second_reach))[:, None])
        counts.extend(np.bincount(cell, minlength=CELLS))
        lists.append(label.astype(np.uint16))
    return Candidates(np.cumsum(counts, dtype=np.int32), np.concatenate(lists))


def _along(top: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middles of cells over [-top, top], and how far a color of a cell may lie from it: half of the width, and
    beyond the edge of the plane as far as RGB that exceeds [0, 1] by the allowance can take it.
    """
    middles = top * ((2 * np.arange(CELLS) + 1) / CELLS - 1)
    reach = np.full(CELLS, top / CELLS * (1 + _SLACK))
    reach[[0, -1]] += 2 * ALLOWANCE * top
    return middles, reach
