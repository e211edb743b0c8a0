"""Which bins can be among the k nearest of a color: a short list for each cell, instead of all n.

A color p of a cell lies within r of its midpoint m, so that every distance changes by r at most between them. The k-th
nearest bin of p is therefore no farther from p than ``d_k(m) + r``, and a bin that is as near as that to p lies within
``d_k(m) + 2 r`` of m. No other bin can be one of the k nearest of p, nor tie with the last of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastcolor.reference.constants import ALLOWANCE, CHROMA_MAX
from numpy.typing import NDArray

from .kept import kept

SLACK = 1e-3  # of a cell: more than float32 can move a color across its edge, or a distance


class Candidates(NamedTuple):
    """``bins[first[cell] : first[cell + 1]]`` are those of a cell, ascending, so that the lower of two comes first.

    Attributes
    ----------
    first : ndarray, shape (K * K + 1,), int32
        By the flat index of the cell.
    bins : ndarray, uint16
    """

    first: NDArray[np.int32]
    bins: NDArray[np.uint16]


def candidates(bins: Any, neighbors: int) -> Candidates:
    """The lists of all cells for the `neighbors` nearest bins, at least so many in each."""
    return kept(bins, ("candidates", neighbors), lambda: _lists(bins, neighbors))


def space_of(bins: Any) -> str:
    """The chroma plane of the bins."""
    return getattr(bins, "space", "yuv")


def _lists(bins: Any, neighbors: int) -> Candidates:
    colors, cells = np.asarray(bins.colors, np.float64), bins.cells
    (first_middle, first_reach), (second_middle, second_reach) = (
        (_middles(cells, top), _reach(cells, top)) for top in CHROMA_MAX[space_of(bins)]
    )
    counts, lists = [0], []
    for middle, reach in zip(first_middle, first_reach, strict=True):  # a row of cells at a time: n K distances
        distance = np.hypot(middle - colors[:, 0], second_middle[:, None] - colors[:, 1])
        kth = np.partition(distance, neighbors - 1, axis=-1)[:, neighbors - 1]
        cell, label = np.nonzero(distance <= (kth + 2 * np.hypot(reach, second_reach))[:, None])
        counts.extend(np.bincount(cell, minlength=cells))
        lists.append(label.astype(np.uint16))
    return Candidates(np.cumsum(counts, dtype=np.int32), np.concatenate(lists))


def _middles(cells: int, top: float) -> NDArray[np.float64]:
    return top * ((2 * np.arange(cells) + 1) / cells - 1)


def _reach(cells: int, top: float) -> NDArray[np.float64]:
    """How far a color of a cell may lie from its middle: half of its width, and beyond the edge of the plane as far as
    RGB that exceeds [0, 1] by the allowance can take it.
    """
    reach = np.full(cells, top / cells * (1 + SLACK))
    reach[[0, -1]] += 2 * ALLOWANCE * top
    return reach
