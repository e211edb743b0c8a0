"""Two ways to fit color bins to what was counted of photographs: the most frequent cells, and k-means."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .bins import ColorBins, Table, nearest_cell_table, nearest_center_table
from .cells import Int, cell_midpoints, cell_of_chroma
from .color import Float
from .constants import AB_FIXED, DEFAULT_BINS, MAX_BINS, U_MAX, U_NUMERATOR_MAX, V_MAX, V_NUMERATOR_MAX

# chroma = _SCALE * numerators
_SCALE = {
    "yuv": np.array([U_MAX / U_NUMERATOR_MAX, V_MAX / V_NUMERATOR_MAX]),
    "lab": np.array([1 / AB_FIXED, 1 / AB_FIXED]),
}
_MAX_ITERATIONS = 300
_STARTS = 4  # of k-means
_CLOSE = 1.05  # starts whose error is within this factor of the least compete by the color of gray


def frequent_cells(counts: ArrayLike, n: int) -> Int:
    """Flat indices of the n cells with the highest counts, most frequent first; ties to the lower index.

    Examples
    --------
    >>> frequent_cells([[1, 5], [0, 5]], 2).tolist()
    [1, 3]
    """
    flat = np.asarray(counts).ravel()
    return np.argsort(-flat, kind="stable")[:n]


def label_means(table: Table, counts: ArrayLike, sums: ArrayLike, fallback: ArrayLike, space: str = "yuv") -> Float:
    """Mean chroma of the pixels with each label, shape (n, 2); `fallback` (n, 2) where a label has no pixel."""
    fallback = np.asarray(fallback, dtype=np.float64)
    n = len(fallback)
    total = np.bincount(table.ravel(), np.asarray(counts).ravel(), minlength=n)[:, None]
    summed = np.stack(
        [np.bincount(table.ravel(), s.ravel(), minlength=n) for s in np.moveaxis(np.asarray(sums), -1, 0)], axis=-1
    )
    return np.where(total > 0, _SCALE[space] * summed / np.maximum(total, 1), fallback)


def fit_bins(
    counts: ArrayLike,
    sums: ArrayLike,
    n: int = DEFAULT_BINS,
    *,
    space: str = "yuv",
    method: str = "frequent",
    centers: str = "mean",
    seed: int = 0,
) -> ColorBins:
    """Partition the K x K cells into n bins from the counts and chroma sums of :func:`chroma_moments`.

    Parameters
    ----------
    counts : array_like, shape (K, K), int
    sums : array_like, shape (K, K, 2), int
    n : int
        Number of bins, 1..1024.
    space : {"yuv", "lab"}
        Of the cells.
    method : {"frequent", "kmeans"}
        ``frequent``: the n most frequent cells, every other cell joins the nearest of them (ColorUNet, section 3.1).
        ``kmeans``: weighted Lloyd iterations over the cells, from four seeded starts. Of those within 5 % of the
        least error the one whose bin of neutral gray decodes closest to gray: a tint is seen first where there was
        no color.
    centers : {"mean", "midpoint"}
        Bin color: mean chroma of the pixels with that label, or the midpoint of the selected cell (for ``kmeans``
        the cell that the center lies in).
    seed : int
        First start of ``kmeans``.

    Raises
    ------
    ValueError
        If n is out of range or fewer than n cells hold a pixel.

    Examples
    --------
    >>> from fastcolor.reference import chroma_moments
    >>> counts, sums, _ = chroma_moments(np.eye(3, dtype=np.uint8)[None] * 255, 5)
    >>> fit_bins(counts, sums, 3).prior.round(3).tolist()
    [0.333, 0.333, 0.333]
    """
    counts, sums = np.asarray(counts), np.asarray(sums)
    occupied = int((counts > 0).sum())
    if not 1 <= n <= MAX_BINS:
        raise ValueError(f"n: expected 1 to {MAX_BINS} bins, got {n}")
    if occupied < n:
        raise ValueError(
            f"n: {n} bins need {n} cells that hold a pixel, got {occupied} of {counts.size}; "
            "use fewer bins, more cells or more images"
        )
    cells = len(counts)
    if method == "frequent":
        selected = frequent_cells(counts, n)
        table = nearest_cell_table(selected, cells, space)
        points = cell_midpoints(cells, space).reshape(-1, 2)[selected]
    elif method == "kmeans":
        table, points = _kmeans(counts, sums, n, seed, space)
    else:
        raise ValueError(f"method: expected 'frequent' or 'kmeans', got {method!r}")
    if centers == "mean":
        colors = label_means(table, counts, sums, points, space)
    elif centers == "midpoint":
        colors = _midpoint_of(points, cells, space)
    else:
        raise ValueError(f"centers: expected 'mean' or 'midpoint', got {centers!r}")
    prior = np.bincount(table.ravel(), counts.ravel(), minlength=n) / counts.sum()
    return ColorBins(table, colors.astype(np.float32), prior, space=space)


def _midpoint_of(points: Float, cells: int, space: str) -> Float:
    return cell_midpoints(cells, space)[cell_of_chroma(points, cells, space)]


def _kmeans(counts: Int, sums: Int, n: int, seed: int, space: str) -> tuple[Table, Float]:
    """The best of several starts: a small error, and a gray that stays gray."""
    fits = [_lloyd(counts, sums, n, seed + start, space) for start in range(_STARTS)]
    costs = [_cost(counts, *fit, space).sum() for fit in fits]
    close = [fit for fit, cost in zip(fits, costs, strict=True) if cost <= _CLOSE**2 * min(costs)]
    gray = cell_of_chroma([0.0, 0.0], len(counts), space)
    return min(close, key=lambda fit: float((fit[1][fit[0][gray]] ** 2).sum()))


def _lloyd(counts: Int, sums: Int, n: int, seed: int, space: str = "yuv") -> tuple[Table, Float]:
    """Weighted Lloyd: cells join the center nearest to their midpoint, centers move to the mean of their pixels."""
    cells = len(counts)
    centers = _spread_start(counts, n, seed, space)
    table = nearest_center_table(centers, cells, space)
    for _ in range(_MAX_ITERATIONS):
        centers = label_means(table, counts, sums, centers, space)
        centers = _fill_empty(table, counts, centers, space)
        moved = nearest_center_table(centers, cells, space)
        if np.array_equal(moved, table):
            break
        table = moved
    prior = np.bincount(table.ravel(), counts.ravel(), minlength=n)
    centers = centers[np.argsort(-prior, kind="stable")]  # most frequent first, as in `frequent`
    return nearest_center_table(centers, cells, space), centers


def _spread_start(counts: Int, n: int, seed: int, space: str) -> Float:
    """k-means++: each next center is an occupied cell drawn with probability counts * (distance to the nearest)^2."""
    rng = np.random.default_rng(seed)
    points, mass = cell_midpoints(len(counts), space).reshape(-1, 2), counts.ravel().astype(np.float64)
    chosen = [int(mass.argmax())]
    distance = np.full(len(points), np.inf)
    for _ in range(n - 1):
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=-1))
        cumulative = np.cumsum(mass * distance)
        chosen.append(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")))
    return points[chosen]


def _fill_empty(table: Table, counts: Int, centers: Float, space: str) -> Float:
    """Move a center that lost all its pixels to the occupied cell that costs most: one a round."""
    totals = np.bincount(table.ravel(), counts.ravel(), minlength=len(centers))
    if totals.all():
        return centers
    costliest = int(_cost(counts, table, centers, space).argmax())
    centers = centers.copy()
    centers[int(np.argmin(totals))] = cell_midpoints(len(counts), space).reshape(-1, 2)[costliest]
    return centers


def _cost(counts: Int, table: Table, centers: Float, space: str) -> Float:
    """``counts |midpoint - center|^2`` of each cell, (K, K)."""
    return counts * ((cell_midpoints(len(counts), space) - centers[table]) ** 2).sum(axis=-1)


def quantization_error(bins: ColorBins, counts: ArrayLike, sums: ArrayLike, squares: ArrayLike) -> float:
    """``sqrt(mean |c - colors[label]|^2)`` in the units of the space, from the moments of :func:`chroma_moments` alone.

    Examples
    --------
    >>> from fastcolor.reference import chroma_moments
    >>> counts, sums, squares = chroma_moments(np.eye(3, dtype=np.uint8)[None] * 255, 5)
    >>> quantization_error(fit_bins(counts, sums, 3), counts, sums, squares) < 1e-7
    True
    """
    labels, counts = bins.table.ravel(), np.asarray(counts).ravel()
    colors = bins.colors.astype(np.float64)[labels]  # (K * K, 2)
    scale = _SCALE[bins.space]
    summed = scale * np.asarray(sums).reshape(-1, 2)
    squared = (scale**2 * np.asarray(squares)).sum()
    total = squared - 2 * (colors * summed).sum() + (counts[:, None] * colors**2).sum()
    return float(np.sqrt(max(total, 0.0) / counts.sum()))
