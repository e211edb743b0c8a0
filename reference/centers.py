"""Bins from their centers: the 313 of Zhang et al., regular grids, and any others."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from .bins import ColorBins, nearest_center_table
from .cells import cell_midpoints, cell_of_chroma
from .color import Float, rgb_to_lab
from .constants import CHROMA_MAX, MAX_CELLS

GRID_STEP = 10.0  # of ab
GRID_EDGE = 110.0  # the outermost points
_ON_MIDPOINT = 1e-6  # of a cell: centers that were stored as float32 lie that close to the middle of theirs


@cache
def zhang_centers() -> Float:
    """Points (10 i, 10 j) whose square of +-10 meets the hull of sRGB's projection on ab: (313, 2), by a, then b.

    The bins of Zhang et al. 2016, section 2.1 ("in gamut"), in the order of their file ``pts_in_hull.npy``. Any
    half-width in (9.726, 10.070] gives the same set; the twelve edges of the RGB cube span the hull.

    Examples
    --------
    >>> zhang_centers().shape, zhang_centers()[0].tolist()
    ((313, 2), [-90.0, 50.0])
    """
    points = grid_centers(GRID_STEP, "lab")
    hull = _convex_hull(_cube_edges())
    edges = np.roll(hull, -1, axis=0) - hull
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=-1)  # outward: the hull turns left
    nearest = points @ normals.T - GRID_STEP * np.abs(normals).sum(axis=-1)  # of each square, along each normal
    meets = (nearest <= (hull * normals).sum(axis=-1)).all(axis=-1)
    overlaps = (points + GRID_STEP >= hull.min(axis=0)) & (points - GRID_STEP <= hull.max(axis=0))
    return points[meets & overlaps.all(axis=-1)]


def grid_centers(step: float, space: str = "lab") -> Float:
    """All points (step i, step j) within +-110 of ab, or within the UV rectangle, row by row: (m^2, 2) for ab.

    Examples
    --------
    >>> grid_centers(10.0).shape, grid_centers(10.0)[23 * 11 + 12].tolist()
    ((529, 2), [0.0, 10.0])
    """
    axes = [step * np.arange(-(reach := int(edge / step + 1e-9)), reach + 1) for edge in edges_of(space)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


def edges_of(space: str) -> tuple[float, float]:
    """How far a grid reaches to either side of neutral."""
    return (GRID_EDGE, GRID_EDGE) if space == "lab" else CHROMA_MAX[space]


def bins_of_centers(centers: ArrayLike, prior: ArrayLike | None = None, space: str = "lab") -> ColorBins:
    """``table[cell] = argmin_b |midpoint(cell) - center_b|``, ties to the lowest bin; ``colors = centers``.

    Parameters
    ----------
    centers : array_like, shape (n, 2)
        Chroma in the units of the space, n in 1..1024.
    prior : array_like, shape (n,), optional
        Shares that sum to 1; None is 1 / n each, which weights no bin above another.
    space : {"yuv", "lab"}

    Notes
    -----
    The cells are the fewest that have every center in the middle of one, else 255 x 255. Where each color lies in a
    cell with a center, as with the 313 and with whole grids, the label is the nearest center of each color, not only of
    its cell.

    Examples
    --------
    >>> bins = bins_of_centers(zhang_centers())
    >>> bins.n, bins.cells
    (313, 23)
    """
    points = np.asarray(centers, dtype=np.float64)
    n = len(points)
    cells = next((k for k in range(1, MAX_CELLS + 1, 2) if _on_midpoints(points, k, space)), MAX_CELLS)
    shares = np.full(n, 1 / n) if prior is None else np.asarray(prior, dtype=np.float64)
    return ColorBins(nearest_center_table(points, cells, space), points.astype(np.float32), shares, space=space)


def _on_midpoints(points: Float, cells: int, space: str) -> bool:
    """Whether every point is the middle of a cell of its own."""
    if cells * cells < len(points):
        return False
    first, second = cell_of_chroma(points, cells, space)
    away = np.abs(cell_midpoints(cells, space)[first, second] - points)
    close = (away <= _ON_MIDPOINT * 2 * np.array(CHROMA_MAX[space]) / cells).all()
    return bool(close) and len(np.unique(first * cells + second)) == len(points)


def _cube_edges() -> Float:
    """ab of the colors on the twelve edges of the RGB cube."""
    ramp = np.arange(256, dtype=np.uint8)
    edges = []
    for axis in range(3):
        for corner in range(4):
            line = np.empty((256, 3), np.uint8)
            line[:, axis] = ramp
            line[:, (axis + 1) % 3], line[:, (axis + 2) % 3] = 255 * (corner & 1), 255 * (corner >> 1)
            edges.append(line)
    return rgb_to_lab(np.concatenate(edges))[:, 1:]


def _convex_hull(points: Float) -> Float:
    """Corners of the convex hull, turning left: Andrew's monotone chain."""

    def chain(ordered: Float) -> list[Float]:
        corners: list[Float] = []
        for point in ordered:
            while len(corners) > 1 and _turn(corners[-2], corners[-1], point) <= 0:
                corners.pop()
            corners.append(point)
        return corners[:-1]

    ordered = np.unique(points, axis=0)
    return np.array(chain(ordered) + chain(ordered[::-1]))


def _turn(a: Float, b: Float, c: Float) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
