"""What fitting bins needs to know of a data set: counts and sums of chroma in cells, mergeable across machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._dispatch import choose
from .reference.bins import ColorBins, fit_bins, quantization_error

AUTO_CELLS = tuple(range(9, 34, 2))  # what `cells="auto"` chooses from; odd, see reference.cells
KMEANS_CELLS = 65
_PARTS = 2  # fitted on, held out
_HOLD_OUT = 3  # every third image is held out when cells are chosen


@dataclass
class _Cells:
    """Counts (2, K, K) and sums (2, K, K, 2) of the images fitted on and of those held out."""

    counts: NDArray[np.int64]
    sums: NDArray[np.int64]

    @classmethod
    def zeros(cls, cells: int) -> _Cells:
        shape = (_PARTS, cells, cells)
        return cls(np.zeros(shape, np.int64), np.zeros((*shape, 2), np.int64))


@dataclass
class ChromaMoments:
    """``counts``, ``sums`` and ``squares`` of the chroma of many images, for one or several K.

    Sums are exact integers: moments counted in parts and added give the same bins as those of the whole.

    Parameters
    ----------
    sizes : iterable of int
        The K to count for.

    Attributes
    ----------
    images : int
        Number of images seen.

    Examples
    --------
    >>> a, b = ChromaMoments([17]), ChromaMoments([17])
    >>> a.add(np.zeros((2, 2, 3), np.uint8)); b.add(np.full((4, 1, 3), 255, np.uint8))
    >>> (a + b).pixels
    8
    """

    sizes: Iterable[int]
    images: int = 0
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros((_PARTS, 2)))

    def __post_init__(self) -> None:
        self.sizes = tuple(self.sizes)
        self._cells = {k: _Cells.zeros(k) for k in self.sizes}

    @property
    def pixels(self) -> int:
        """Number of pixels seen."""
        first = next(iter(self._cells.values()), None)
        return 0 if first is None else int(first.counts.sum())

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Count an image (..., 3), uint8. Every third one is held out from the choice of K."""
        part = int(self.images % _HOLD_OUT == _HOLD_OUT - 1)
        kernels = choose("auto", "cpu")
        for k, cells in self._cells.items():
            counts, sums, squares = kernels.chroma_moments(rgb, k)
            cells.counts[part] += counts
            cells.sums[part] += sums
        self.squares[part] += squares
        self.images += 1

    def __add__(self, other: ChromaMoments) -> ChromaMoments:
        """The moments of both sets of images.

        Raises
        ------
        ValueError
            If they were counted for different K.
        """
        if self._cells.keys() != other._cells.keys():
            raise ValueError(
                f"moments: expected the same numbers of cells to merge, got {self.sizes} and {other.sizes}; "
                "count both with the same --cells"
            )
        both = ChromaMoments(self.sizes, self.images + other.images, self.squares + other.squares)
        for k, cells in both._cells.items():
            cells.counts += self._cells[k].counts + other._cells[k].counts
            cells.sums += self._cells[k].sums + other._cells[k].sums
        return both

    def fit(self, cells: int, n: int, method: str, centers: str) -> ColorBins:
        """Bins of all images, with K = `cells`."""
        return self._fit(cells, n, method, centers, parts=slice(None))

    def _fit(self, cells: int, n: int, method: str, centers: str, parts: slice) -> ColorBins:
        moments = self._cells[cells]
        counts, sums = moments.counts[parts].sum(axis=0), moments.sums[parts].sum(axis=0)
        return fit_bins(counts, sums, n, method=method, centers=centers)

    def errors(self, n: int, method: str, centers: str) -> dict[int, float]:
        """``{K: RMS chroma error of the held-out images with bins fitted on the others}``.

        K that cannot hold n bins are left out. With fewer than three images, none is held out and the error is that of the images fitted on.
        """
        held = 1 if self.images >= _HOLD_OUT else 0
        result = {}
        for k, cells in self._cells.items():
            try:
                bins = self._fit(k, n, method, centers, parts=slice(0, 1))
            except ValueError:
                continue
            result[k] = quantization_error(bins, cells.counts[held], cells.sums[held], self.squares[held])
        return result

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays that :meth:`from_arrays` understands; for an npz file."""
        arrays: dict[str, NDArray[Any]] = {"images": np.int64(self.images)[...], "squares": self.squares}
        for k, cells in self._cells.items():
            arrays[f"counts_{k}"], arrays[f"sums_{k}"] = cells.counts, cells.sums
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ChromaMoments:
        """The inverse of :meth:`to_arrays`; raises ValueError or KeyError if something does not fit."""
        sizes = sorted(int(name.removeprefix("counts_")) for name in arrays if name.startswith("counts_"))
        moments = cls(sizes, int(arrays["images"]), np.asarray(arrays["squares"], np.float64).reshape(_PARTS, 2))
        for k, cells in moments._cells.items():
            for target, name in ((cells.counts, f"counts_{k}"), (cells.sums, f"sums_{k}")):
                if arrays[name].shape != target.shape or arrays[name].dtype != np.int64:
                    raise ValueError(f"{name}: expected int64 of shape {target.shape}, got {arrays[name].shape}")
                target[...] = arrays[name]
        return moments
