"""Color bins: a table from cells to labels, one chroma per bin, and a prior; two ways to fit them.

Whatever the partition, labelling a pixel is one look-up: ``label = table[cell_u, cell_v]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cells import Int, cell_midpoints, cell_of_chroma
from .color import Float
from .constants import DEFAULT_BINS, DEFAULT_LAM, MAX_BINS, U_MAX, U_NUMERATOR_MAX, V_MAX, V_NUMERATOR_MAX

Table = NDArray[np.uint8]
_SCALE = np.array([U_MAX / U_NUMERATOR_MAX, V_MAX / V_NUMERATOR_MAX])  # chroma = _SCALE * numerators
_MAX_ITERATIONS = 300
_STARTS = 4  # of k-means
_CLOSE = 1.05  # starts whose error is within this factor of the least compete by the color of gray


def class_weights(prior: ArrayLike, lam: float = DEFAULT_LAM) -> Float:
    """``w_b = 1 / ((1 - λ) p_b + λ / n)``, scaled so that ``sum_b p_b w_b = 1``.

    Zhang et al. 2016, equation 4 (without their smoothing of the prior, as in ColorUNet, section 3.2).

    Parameters
    ----------
    prior : array_like, shape (n,)
        Share of the pixels in each bin.
    lam : float
        λ in [0, 1]: 0 weights by inverse frequency, 1 not at all. With λ = 0 a bin of prior 0 has weight inf,
        which carries no share of the normalisation.

    Examples
    --------
    >>> class_weights([0.75, 0.25], lam=0.0)
    array([0.66666667, 2.        ])
    >>> class_weights([0.75, 0.25], lam=1.0)
    array([1., 1.])
    """
    p = np.asarray(prior, dtype=np.float64)
    with np.errstate(divide="ignore"):
        w = 1.0 / ((1.0 - lam) * p + lam / p.size)
    return w / np.sum(p[p > 0] * w[p > 0])


@dataclass(frozen=True, eq=False)
class ColorBins:
    """``label = table[cell_u, cell_v]``, ``chroma = colors[label]``: n color bins over the K x K cells of UV.

    Attributes
    ----------
    table : ndarray, shape (K, K), uint8
        Label of each cell; the first axis is U.
    colors : ndarray, shape (n, 2), float32
        Chroma (U, V) that each bin decodes to.
    prior : ndarray, shape (n,), float64
        Share of the training pixels in each bin; sums to 1.
    """

    table: Table
    colors: NDArray[np.float32]
    prior: Float

    @property
    def n(self) -> int:
        """Number of bins."""
        return len(self.colors)

    @property
    def cells(self) -> int:
        """K, the number of cells along U and along V."""
        return len(self.table)

    def weights(self, lam: float = DEFAULT_LAM) -> Float:
        """Class weights of the prior, shape (n,): see :func:`class_weights`."""
        return class_weights(self.prior, lam)


def frequent_cells(counts: ArrayLike, n: int) -> Int:
    """Flat indices of the n cells with the highest counts, most frequent first; ties to the lower index.

    Examples
    --------
    >>> frequent_cells([[1, 5], [0, 5]], 2).tolist()
    [1, 3]
    """
    flat = np.asarray(counts).ravel()
    return np.argsort(-flat, kind="stable")[:n]


def nearest_cell_table(selected: ArrayLike, cells: int) -> Table:
    """``table[i, j] = argmin_b |midpoint(i, j) - midpoint(selected_b)|^2``, ties to the lowest bin.

    The distance is counted in integers, ``436^2 di^2 + 615^2 dj^2`` up to a factor, so that ties are exact.

    Examples
    --------
    >>> nearest_cell_table([4, 0], 3).tolist()
    [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    """
    su, sv = np.divmod(np.asarray(selected, dtype=np.int64), cells)
    i, j = np.indices((cells, cells), dtype=np.int64)[..., None]
    distance = 436**2 * (i - su) ** 2 + 615**2 * (j - sv) ** 2  # (K, K, n)
    return distance.argmin(axis=-1).astype(np.uint8)


def nearest_center_table(centers: ArrayLike, cells: int) -> Table:
    """``table[i, j] = argmin_b |midpoint(i, j) - center_b|^2`` in UV, ties to the lowest bin.

    Examples
    --------
    >>> nearest_center_table([[0.0, 0.0], [0.4, 0.0]], 3).tolist()
    [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    """
    difference = cell_midpoints(cells)[:, :, None, :] - np.asarray(centers, dtype=np.float64)  # (K, K, n, 2)
    return (difference**2).sum(axis=-1).argmin(axis=-1).astype(np.uint8)


def label_means(table: Table, counts: ArrayLike, sums: ArrayLike, fallback: ArrayLike) -> Float:
    """Mean chroma of the pixels with each label, shape (n, 2); `fallback` (n, 2) where a label has no pixel."""
    fallback = np.asarray(fallback, dtype=np.float64)
    n = len(fallback)
    total = np.bincount(table.ravel(), np.asarray(counts).ravel(), minlength=n)[:, None]
    summed = np.stack(
        [np.bincount(table.ravel(), s.ravel(), minlength=n) for s in np.moveaxis(np.asarray(sums), -1, 0)], axis=-1
    )
    return np.where(total > 0, _SCALE * summed / np.maximum(total, 1), fallback)


def fit_bins(
    counts: ArrayLike,
    sums: ArrayLike,
    n: int = DEFAULT_BINS,
    *,
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
        Number of bins, 1..255.
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
        table = nearest_cell_table(selected, cells)
        points = cell_midpoints(cells).reshape(-1, 2)[selected]
    elif method == "kmeans":
        table, points = _kmeans(counts, sums, n, seed)
    else:
        raise ValueError(f"method: expected 'frequent' or 'kmeans', got {method!r}")
    if centers == "mean":
        colors = label_means(table, counts, sums, points)
    elif centers == "midpoint":
        colors = _midpoint_of(points, cells)
    else:
        raise ValueError(f"centers: expected 'mean' or 'midpoint', got {centers!r}")
    prior = np.bincount(table.ravel(), counts.ravel(), minlength=n) / counts.sum()
    return ColorBins(table, colors.astype(np.float32), prior)


def _midpoint_of(points: Float, cells: int) -> Float:
    return cell_midpoints(cells)[cell_of_chroma(points, cells)]


def _kmeans(counts: Int, sums: Int, n: int, seed: int) -> tuple[Table, Float]:
    """The best of several starts: a small error, and a gray that stays gray."""
    fits = [_lloyd(counts, sums, n, seed + start) for start in range(_STARTS)]
    costs = [_cost(counts, *fit).sum() for fit in fits]
    close = [fit for fit, cost in zip(fits, costs, strict=True) if cost <= _CLOSE**2 * min(costs)]
    gray = cell_of_chroma([0.0, 0.0], len(counts))
    return min(close, key=lambda fit: float((fit[1][fit[0][gray]] ** 2).sum()))


def _lloyd(counts: Int, sums: Int, n: int, seed: int) -> tuple[Table, Float]:
    """Weighted Lloyd: cells join the center nearest to their midpoint, centers move to the mean of their pixels."""
    cells = len(counts)
    centers = _spread_start(counts, n, seed)
    table = nearest_center_table(centers, cells)
    for _ in range(_MAX_ITERATIONS):
        centers = label_means(table, counts, sums, centers)
        centers = _fill_empty(table, counts, centers)
        moved = nearest_center_table(centers, cells)
        if np.array_equal(moved, table):
            break
        table = moved
    prior = np.bincount(table.ravel(), counts.ravel(), minlength=n)
    centers = centers[np.argsort(-prior, kind="stable")]  # most frequent first, as in `frequent`
    return nearest_center_table(centers, cells), centers


def _spread_start(counts: Int, n: int, seed: int) -> Float:
    """k-means++: each next center is an occupied cell drawn with probability counts * (distance to the nearest)^2."""
    rng = np.random.default_rng(seed)
    points, mass = cell_midpoints(len(counts)).reshape(-1, 2), counts.ravel().astype(np.float64)
    chosen = [int(mass.argmax())]
    distance = np.full(len(points), np.inf)
    for _ in range(n - 1):
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=-1))
        cumulative = np.cumsum(mass * distance)
        chosen.append(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")))
    return points[chosen]


def _fill_empty(table: Table, counts: Int, centers: Float) -> Float:
    """Move a center that lost all its pixels to the occupied cell that costs most: one a round."""
    totals = np.bincount(table.ravel(), counts.ravel(), minlength=len(centers))
    if totals.all():
        return centers
    costliest = int(_cost(counts, table, centers).argmax())
    centers = centers.copy()
    centers[int(np.argmin(totals))] = cell_midpoints(len(counts)).reshape(-1, 2)[costliest]
    return centers


def _cost(counts: Int, table: Table, centers: Float) -> Float:
    """``counts |midpoint - center|^2`` of each cell, (K, K)."""
    return counts * ((cell_midpoints(len(counts)) - centers[table]) ** 2).sum(axis=-1)


def quantization_error(bins: ColorBins, counts: ArrayLike, sums: ArrayLike, squares: ArrayLike) -> float:
    """``sqrt(mean |c - colors[label]|^2)`` in UV units, from the moments of :func:`chroma_moments` alone.

    Examples
    --------
    >>> from fastcolor.reference import chroma_moments
    >>> counts, sums, squares = chroma_moments(np.eye(3, dtype=np.uint8)[None] * 255, 5)
    >>> quantization_error(fit_bins(counts, sums, 3), counts, sums, squares) < 1e-7
    True
    """
    labels, counts = bins.table.ravel(), np.asarray(counts).ravel()
    colors = bins.colors.astype(np.float64)[labels]  # (K * K, 2)
    summed = _SCALE * np.asarray(sums).reshape(-1, 2)
    squared = (_SCALE**2 * np.asarray(squares)).sum()
    total = squared - 2 * (colors * summed).sum() + (counts[:, None] * colors**2).sum()
    return float(np.sqrt(max(total, 0.0) / counts.sum()))
