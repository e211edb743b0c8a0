"""The K x K cells of the chroma plane: which cell a color lies in, and how many colors lie in each.

The plane is the UV rectangle, or the square of +-115 in ab of Lab. One rule serves fitting and labelling: half-open
cells [lo, hi), the top edge belongs to the last cell, values outside are clamped. An odd K keeps neutral gray in the
middle of a cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .color import Float, check_rgb, rgb_to
from .constants import AB_FIXED, CHROMA_MAX, U_COEFFICIENTS, U_NUMERATOR_MAX, V_COEFFICIENTS, V_NUMERATOR_MAX

Int = NDArray[np.int64]


def chroma_numerators(rgb: ArrayLike, space: str = "yuv") -> Int:
    """``(-299 R - 587 G + 886 B, 701 R - 587 G - 114 B)`` of uint8 colors, or ``rint(2^11 ab)``: chroma as integers.

    That of YUV is exact: ``U = U_MAX * numerators[..., 0] / 225930`` and ``V = V_MAX * numerators[..., 1] / 178755``.
    What is counted in integers adds up to the same bins, in whatever parts it was counted.

    Examples
    --------
    >>> chroma_numerators(np.array([[7, 7, 7], [0, 0, 255]], np.uint8))
    array([[     0,      0],
           [225930, -29070]])
    """
    if space == "lab":
        return np.rint(rgb_to(space, rgb)[..., 1:] * AB_FIXED).astype(np.int64)
    return np.asarray(rgb).astype(np.int64) @ np.array([U_COEFFICIENTS, V_COEFFICIENTS], dtype=np.int64).T


def cell_of_uint8(rgb: ArrayLike, cells: int) -> tuple[Int, Int]:
    """``min(K - 1, (a + a_max) * K // (2 a_max))`` for both chroma numerators: exact integer arithmetic.

    Examples
    --------
    >>> [int(i) for i in cell_of_uint8(np.array([128, 128, 128], np.uint8), 17)]
    [8, 8]
    """
    a = chroma_numerators(rgb)
    top = np.array([U_NUMERATOR_MAX, V_NUMERATOR_MAX], dtype=np.int64)
    index = np.minimum(cells - 1, (a + top) * cells // (2 * top))
    return index[..., 0], index[..., 1]


def cell_of_chroma(chroma: ArrayLike, cells: int, space: str = "yuv") -> tuple[Int, Int]:
    """``clip(floor((c + c_max) / (2 c_max) * K), 0, K - 1)`` for chroma (..., 2) in the units of the space.

    NaN falls into the middle cell (neutral), so that no index is ever out of range.

    Examples
    --------
    >>> [int(i) for i in cell_of_chroma([0.436, -1.0], 17)]
    [16, 0]
    >>> [int(i) for i in cell_of_chroma([4.9, -14.9], 23, "lab")]
    [11, 10]
    """
    top = np.array(CHROMA_MAX[space])
    chroma = np.nan_to_num(np.asarray(chroma, dtype=np.float64), nan=0.0, posinf=1e9, neginf=-1e9)
    scaled = np.floor((chroma + top) / (2 * top) * cells)
    index = np.clip(scaled, 0, cells - 1).astype(np.int64)
    return index[..., 0], index[..., 1]


def cell_of(rgb: ArrayLike, cells: int, space: str = "yuv") -> tuple[Int, Int]:
    """Cell on both axes of RGB on the last axis: exact for uint8, float64 arithmetic for floats in [0, 1].

    Examples
    --------
    >>> [int(i) for i in cell_of(np.array([1.0, 0.0, 0.0]), 17)]
    [5, 16]
    """
    rgb = check_rgb(rgb)
    if rgb.dtype == np.uint8 and space == "yuv":
        return cell_of_uint8(rgb, cells)
    return cell_of_chroma(rgb_to(space, rgb)[..., 1:], cells, space)


def cell_midpoints(cells: int, space: str = "yuv") -> Float:
    """``((2 i + 1) / K - 1) c_max``: midpoints of all cells, shape (K, K, 2), U or a on the first axis.

    Examples
    --------
    >>> cell_midpoints(3)[1, 2].round(3)
    array([0.  , 0.41])
    >>> cell_midpoints(23, "lab")[0, 11].round(9)
    array([-110.,    0.])
    """
    centered = (2 * np.arange(cells) + 1) / cells - 1
    first, second = (top * centered for top in CHROMA_MAX[space])
    return np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1)


def histogram(rgb: ArrayLike, cells: int, *, space: str = "yuv", channel_axis: int = -1) -> Int:
    """``H[i, j] = number of pixels with cell (i, j)``, shape (K, K), int64.

    Examples
    --------
    >>> int(histogram(np.zeros((2, 5, 3), np.uint8), 3)[1, 1])
    10
    """
    first, second = cell_of(np.moveaxis(np.asarray(rgb), channel_axis, -1), cells, space)
    counts = np.bincount((first * cells + second).ravel(), minlength=cells * cells)
    return counts.reshape(cells, cells).astype(np.int64)


def chroma_moments(rgb: ArrayLike, cells: int, *, space: str = "yuv", channel_axis: int = -1) -> tuple[Int, Int, Float]:
    """Count, sum and sum of squares of the chroma numerators: what fitting bins needs to know of an image.

    Parameters
    ----------
    rgb : array_like, uint8, 3 on `channel_axis`
    cells : int
        K.
    space : {"yuv", "lab"}
    channel_axis : int

    Returns
    -------
    counts : ndarray, shape (K, K), int64
    sums : ndarray, shape (K, K, 2), int64
        Sum of the numerators of :func:`chroma_numerators` over the pixels of each cell: exact, so that parts counted
        on several machines add up to the same bins.
    squares : ndarray, shape (2,), float64
        Sum of the squared numerators over all pixels.

    Examples
    --------
    >>> counts, sums, squares = chroma_moments(np.array([[[0, 0, 255]]], np.uint8), 3)
    >>> int(counts.sum()), sums.sum(axis=(0, 1)).tolist()
    (1, [225930, -29070])
    """
    rgb = np.moveaxis(np.asarray(rgb), channel_axis, -1).reshape(-1, 3)
    first, second = cell_of(rgb, cells, space)
    flat = first * cells + second
    numerators = chroma_numerators(rgb, space)
    counts = np.bincount(flat, minlength=cells * cells).astype(np.int64)
    sums = np.zeros((cells * cells, 2), dtype=np.int64)
    np.add.at(sums, flat, numerators)
    squares = (numerators.astype(np.float64) ** 2).sum(axis=0)
    return counts.reshape(cells, cells), sums.reshape(cells, cells, 2), squares
