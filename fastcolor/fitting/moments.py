"""What fitting bins needs to know of a data set: counts and sums of chroma in cells, mergeable across machines."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays.dispatch import choose
from ..reference.bins import ColorBins
from ..reference.constants import AB_FIXED, AB_MAX, MAX_CELLS
from ..reference.fitting import fit_bins, quantization_error

# What `cells="auto"` chooses from; odd, see reference.cells. K-means wants cells finer than its bins.
AUTO_CELLS = {"frequent": tuple(range(9, 34, 2)), "kmeans": (33, 49, 65, 97, 129)}

_PARTS = 2  # fitted on, held out
_HOLD_OUT = 3  # one image in three is held out when cells are chosen
_CHUNK = 1 << 17  # pixels whose squared numerators surely add up exactly in float64: 2^17 * (115 * 2^11)^2 < 2^53
_LARGEST = int(AB_MAX * AB_FIXED)  # numerator, of either plane
_MOST_PIXELS = 1 << 45  # of which int64 holds the sums
_HALF = 1 << 62  # the squares of many images outgrow int64: files hold them as two


class ChromaMoments:
    """``counts``, ``sums`` and ``squares`` of the chroma of many images, for one or several K.

    All are exact integers, and whether an image is held out when K is chosen depends on the image alone: moments
    counted in parts, in any order, and added are equal to those of the whole.

    Parameters
    ----------
    sizes : iterable of int
        The K to count for.
    space : {"yuv", "lab"}
        Whose chroma to count.

    Attributes
    ----------
    images : int
        Number of images counted.
    counts, sums : dict of ndarrays, int64
        For each K pixels (2, K, K) and chroma numerators (2, K, K, 2) of the images fitted on and of those held out.
    squares : ndarray, shape (2, 2), Python integers
        Squared numerators of both.

    Examples
    --------
    >>> a, b = ChromaMoments([17]), ChromaMoments([17])
    >>> a.add(np.zeros((2, 2, 3), np.uint8)); b.add(np.full((4, 1, 3), 255, np.uint8))
    >>> (a + b).pixels
    8
    """

    space = "yuv"  # of what was pickled before there was another

    def __init__(self, sizes: Iterable[int], space: str = "yuv") -> None:
        self.sizes, self.space = tuple(sorted({int(k) for k in sizes})), space
        self.images = 0
        self.counts = {k: np.zeros((_PARTS, k, k), np.int64) for k in self.sizes}
        self.sums = {k: np.zeros((_PARTS, k, k, 2), np.int64) for k in self.sizes}
        self.squares = np.zeros((_PARTS, 2), dtype=object)

    @property
    def pixels(self) -> int:
        """Number of pixels counted."""
        return int(self.counts[self.sizes[0]].sum()) if self.sizes else 0

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Count an image (..., 3), uint8."""
        pixels = np.reshape(rgb, (-1, 3))
        part, squares = 0, [0, 0]
        for k in self.sizes:
            counts, sums, squares = _count(pixels, k, self.space)
            part = _part(counts, sums)  # the same for every K
            self.counts[k][part] += counts
            self.sums[k][part] += sums
        self.squares[part] += squares
        self.images += 1

    def __iadd__(self, other: ChromaMoments) -> ChromaMoments:
        """Add the moments of other images.

        Raises
        ------
        ValueError
            If they were counted for different K, or in another space.
        """
        if self.space != other.space:
            raise ValueError(
                f"moments: expected the same space to merge, got {self.space} and {other.space}; "
                "count both with the same --space"
            )
        if self.sizes != other.sizes:
            raise ValueError(
                f"moments: expected the same numbers of cells to merge, got {_list(self.sizes)} and "
                f"{_list(other.sizes)}; count both with the same --cells"
            )
        self.images += other.images
        self.squares += other.squares
        for k in self.sizes:
            self.counts[k] += other.counts[k]
            self.sums[k] += other.sums[k]
        return self

    def __add__(self, other: ChromaMoments) -> ChromaMoments:
        """The moments of both sets of images."""
        both = ChromaMoments(self.sizes, self.space)
        both += self
        both += other
        return both

    def fit(self, cells: int, n: int, method: str, centers: str) -> ColorBins:
        """Bins of all images, with K = `cells`."""
        return self._fit(cells, n, method, centers, slice(None))

    def errors(self, n: int, method: str, centers: str) -> dict[int, float]:
        """``{K: RMS chroma error of the held-out images with bins fitted on the others}``, in its units.

        K whose cells cannot give n bins are left out. So few images that none is held out, or all are, are measured
        by the bins fitted on them all.
        """
        fitted, held = slice(0, 1), slice(1, 2)
        if not all(self.counts[self.sizes[0]].sum(axis=(1, 2))):
            fitted = held = slice(None)
        result = {}
        for k in self.sizes:
            if (self.counts[k][fitted].sum(axis=0) > 0).sum() >= n:
                bins = self._fit(k, n, method, centers, fitted)
                moments = (self.counts[k][held], self.sums[k][held], self.squares[held].astype(np.float64))
                result[k] = quantization_error(bins, *(m.sum(axis=0) for m in moments))
        return result

    def _fit(self, cells: int, n: int, method: str, centers: str, parts: slice) -> ColorBins:
        counts, sums = self.counts[cells][parts].sum(axis=0), self.sums[cells][parts].sum(axis=0)
        return fit_bins(counts, sums, n, space=self.space, method=method, centers=centers)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays that :meth:`from_arrays` understands; for an npz file."""
        arrays: dict[str, NDArray[Any]] = {"images": np.asarray(self.images, np.int64)}
        arrays["squares"] = np.array([[divmod(s, _HALF) for s in part] for part in self.squares], np.int64)
        for k in self.sizes:
            arrays[f"counts_{k}"], arrays[f"sums_{k}"] = self.counts[k], self.sums[k]
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], space: str = "yuv") -> ChromaMoments:
        """The inverse of :meth:`to_arrays`; raises ValueError if something is missing or does not fit."""
        sizes = {int(name.removeprefix("counts_")) for name in arrays if name.startswith("counts_")}
        if not sizes or max(sizes) > MAX_CELLS:
            raise ValueError(f"counts_K: expected some with K up to {MAX_CELLS}, got K = {sorted(sizes)}")
        moments = cls(sizes, space)
        moments.images = int(_checked(arrays, "images", (), negative=False))
        halves = _checked(arrays, "squares", (_PARTS, 2, 2), negative=False).astype(object)
        moments.squares = halves[..., 0] * _HALF + halves[..., 1]
        for k in moments.sizes:
            moments.counts[k] = _checked(arrays, f"counts_{k}", (_PARTS, k, k), negative=False).copy()
            moments.sums[k] = _checked(arrays, f"sums_{k}", (_PARTS, k, k, 2)).copy()
        moments._check()
        return moments

    def _check(self) -> None:
        """ValueError if these cannot have been counted: the pixels differ between K, or the chroma is beyond the plane.

        In float64, for what a file says may be more than int64 can add up.
        """
        pixels = [self.counts[k].astype(np.float64).sum(axis=(1, 2)) for k in self.sizes]
        if max(p.sum() for p in pixels) > _MOST_PIXELS or any((p != pixels[0]).any() for p in pixels):
            raise ValueError(f"counts: expected the same pixels for every K, at most {_MOST_PIXELS:.0e}, got others")
        for k in self.sizes:
            if (np.abs(self.sums[k].astype(np.float64)) > self.counts[k][..., None] * float(_LARGEST)).any():
                raise ValueError(f"sums_{k}: expected chroma within the plane, got sums beyond it")


def _count(pixels: NDArray[np.uint8], k: int, space: str) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
    """Counts (K, K), sums (K, K, 2) and squares (2) of the chroma of pixels (N, 3)."""
    kernels = choose("auto", "cpu", "chroma_moments")
    counts, sums, squares = np.zeros((k, k), np.int64), np.zeros((k, k, 2), np.int64), [0, 0]
    for start in range(0, len(pixels), _CHUNK):
        part = kernels.chroma_moments(pixels[start : start + _CHUNK], k, space=space)
        more_counts, more_sums, more_squares = part
        counts += more_counts
        sums += more_sums
        squares = [total + int(more) for total, more in zip(squares, more_squares, strict=True)]
    return counts, sums, squares


def _part(counts: NDArray[np.int64], sums: NDArray[np.int64]) -> int:
    """1 (held out) for one image in three, by a hash of what is the same for every K and every order of pixels.

    An image, its mirror image and its copy thus fall into the same part.
    """
    total = np.array([counts.sum(), *sums.sum(axis=(0, 1))], dtype="<i8")
    return int(zlib.crc32(total.tobytes()) % _HOLD_OUT == 0)


def _checked(
    arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...], *, negative: bool = True
) -> NDArray[np.int64]:
    array = arrays.get(name)
    if array is None:
        raise ValueError(f"{name}: expected int64 of shape {shape}, got nothing of this name")
    if array.shape != shape or array.dtype != np.int64:
        raise ValueError(f"{name}: expected int64 of shape {shape}, got {array.dtype} of shape {array.shape}")
    if not negative and array.min(initial=0) < 0:
        raise ValueError(f"{name}: expected no number below 0, got {array.min()}")
    return array


def _list(sizes: tuple[int, ...]) -> str:
    return f"K = {', '.join(map(str, sizes))}"
