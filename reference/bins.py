"""Color bins: a table from cells to labels, one chroma per bin, and a prior.

Whatever the partition, labelling a pixel is one look-up: ``label = table[cell]``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cells import cell_midpoints
from .color import Float
from .constants import DEFAULT_LAM

Table = NDArray[Any]  # of uint8, or uint16 for more bins than it counts


def class_weights(prior: ArrayLike, lam: float = DEFAULT_LAM) -> Float:
    """``w_b = 1 / ((1 - λ) p_b + λ / n)``, scaled so that ``sum_b p_b w_b = 1``.

    Zhang et al. 2016, equation 4 (without their smoothing of the prior, as in ColorUNet, section 3.2).

    Parameters
    ----------
    prior : array_like, shape (n,)
        Share of the pixels in each bin.
    lam : float
        λ in [0, 1]: 0 weights by inverse frequency, 1 not at all. With λ = 0 a bin of prior 0 has the largest weight
        of the others: it is never inf or NaN.

    Examples
    --------
    >>> class_weights([0.75, 0.25], lam=0.0)
    array([0.66666667, 2.        ])
    >>> class_weights([0.75, 0.25], lam=1.0)
    array([1., 1.])
    """
    p = np.asarray(prior, dtype=np.float64)
    mixed = (1.0 - lam) * p + lam / p.size
    w = 1.0 / np.where(mixed > 0, mixed, mixed[mixed > 0].min())
    return w / np.sum(p * w)


@dataclass(frozen=True, eq=False)
class ColorBins:
    """``label = table[cell]``, ``chroma = colors[label]``: n color bins over the K x K cells of a chroma plane.

    Attributes
    ----------
    table : ndarray, shape (K, K), uint8, or uint16 for more than 255 bins
        Label of each cell; the first axis is U, or a.
    colors : ndarray, shape (n, 2), float32
        Chroma (U, V) or (a, b) that each bin decodes to.
    prior : ndarray, shape (n,), float64
        Share of the training pixels in each bin; sums to 1.
    space : {"yuv", "lab"}
        The plane: UV of BT.601, or ab of CIE Lab.
    """

    table: Table
    colors: NDArray[np.float32]
    prior: Float
    space: str = field(default="yuv", kw_only=True)

    @property
    def n(self) -> int:
        """Number of bins."""
        return len(self.colors)

    @property
    def cells(self) -> int:
        """K, the number of cells along each axis of the plane."""
        return len(self.table)

    def weights(self, lam: float = DEFAULT_LAM) -> Float:
        """Class weights of the prior, shape (n,): see :func:`class_weights`."""
        return class_weights(self.prior, lam)


def space_of(bins: Any) -> str:
    """The plane of the bins; sets of another's making that do not say are of YUV."""
    space: str = getattr(bins, "space", "yuv")
    return space


def as_table(labels: ArrayLike, n: int) -> Table:
    """Labels below n in the narrowest type that the kernels take."""
    return np.asarray(labels).astype(np.uint8 if n <= 255 else np.uint16)


def nearest_cell_table(selected: ArrayLike, cells: int, space: str = "yuv") -> Table:
    """``table[i, j] = argmin_b |midpoint(i, j) - midpoint(selected_b)|^2``, ties to the lowest bin.

    The distance is counted in integers, in YUV ``436^2 di^2 + 615^2 dj^2`` up to a factor, so that ties are exact.

    Examples
    --------
    >>> nearest_cell_table([4, 0], 3).tolist()
    [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    """
    su, sv = np.divmod(np.asarray(selected, dtype=np.int64), cells)
    i, j = np.indices((cells, cells), dtype=np.int64)[..., None]
    first, second = (1, 1) if space == "lab" else (436**2, 615**2)
    distance = first * (i - su) ** 2 + second * (j - sv) ** 2  # (K, K, n)
    return as_table(distance.argmin(axis=-1), su.size)


def nearest_center_table(centers: ArrayLike, cells: int, space: str = "yuv") -> Table:
    """``table[i, j] = argmin_b |midpoint(i, j) - center_b|^2`` in the units of the space, ties to the lowest bin.

    Examples
    --------
    >>> nearest_center_table([[0.0, 0.0], [0.4, 0.0]], 3).tolist()
    [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    """
    points = np.asarray(centers, dtype=np.float64)
    rows = [((row[:, None] - points) ** 2).sum(axis=-1).argmin(axis=-1) for row in cell_midpoints(cells, space)]
    return as_table(rows, len(points))
