"""``ColorBins``: fit them on images, save and load them, or take the default ones."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from .arrays import checks
from .arrays.bins_key import make_key
from .arrays.kinds import as_numpy, kind
from .files.atomic import atomic_path
from .fitting.moments import AUTO_CELLS, ChromaMoments
from .reference import bins as _reference
from .reference.constants import DEFAULT_BINS, DEFAULT_CELLS, DEFAULT_LAM, MAX_BINS, MAX_CELLS

# What reading a damaged or foreign archive may raise, besides what it finds inside.
_NOT_BINS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError, RuntimeError),
    *(ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError),
)
METHODS = ("frequent", "kmeans")
CENTERS = ("mean", "midpoint")


@dataclass(frozen=True, eq=False)
class ColorBins(_reference.ColorBins):
    """``label = table[cell_u, cell_v]``, ``chroma = colors[label]``: n color bins over K x K cells of the UV rectangle.

    Attributes
    ----------
    table : ndarray, shape (K, K), uint8
        Label of each cell; U on the first axis, V on the second.
    colors : ndarray, shape (n, 2), float32
        Chroma (U, V) of each bin, in [-.436, .436] x [-.615, .615].
    prior : ndarray, shape (n,), float64
        Share of the training pixels in each bin; sums to 1.
    moments : ChromaMoments or None
        What the bins were fitted from; kept in files, so that parts can be merged.

    Raises
    ------
    ValueError, TypeError
        If the arrays do not fit together.

    References
    ----------
    ColorUNet (arXiv:1811.03120), section 3.1 and Figure 1.

    Examples
    --------
    >>> bins = ColorBins.default()
    >>> bins.n, bins.colors.shape, round(float(bins.prior.sum()), 6)
    (32, (32, 2), 1.0)
    """

    moments: ChromaMoments | None = None
    _n: int = field(init=False, repr=False)
    _key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        checks.bin_table(np.asarray(self.table), len(self.colors))  # before the cast to uint8 could wrap labels
        for name, dtype in (("table", np.uint8), ("colors", np.float32), ("prior", np.float64)):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=dtype, order="C"))
        _check(self)
        for array in (self.table, self.colors, self.prior):
            array.flags.writeable = False  # kernels cache what they derive from it
        object.__setattr__(self, "_n", len(self.colors))
        object.__setattr__(self, "_key", make_key(self))

    @property
    def n(self) -> int:
        """Number of bins."""
        return self._n  # torch.compile reads it without the array

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.table, self.colors, self.prior, self.moments)  # copies are checked and read-only too

    @classmethod
    def fit(
        cls,
        images: Iterable[Any] | Any,
        n: int = DEFAULT_BINS,
        cells: int | str = DEFAULT_CELLS,
        method: str = "frequent",
        centers: str = "mean",
    ) -> ColorBins:
        """Partition the K x K cells of the images' chroma into n bins.

        Parameters
        ----------
        images : array, path, or an iterable of them
            uint8 RGB arrays (..., 3) of any kind on the CPU, or paths of image files. All count alike, whatever their
            order; a grayscale file counts as neutral pixels.
        n : int
            Number of bins, 1..255.
        cells : int or "auto"
            K, odd to keep gray in the middle of a cell; "auto" chooses the K with the least quantization error on
            one image in three when fitted on the others: of the odd K in 9..33, or of 33, 49, 65, 97, 129 for kmeans.
        method : {"frequent", "kmeans"}
            ``frequent`` (the paper): the n most frequent cells, every other cell joins the nearest of them.
            ``kmeans``: weighted Lloyd iterations over the cells; wants fine cells, 65 say.
        centers : {"mean", "midpoint"}
            Bin color: mean chroma of the pixels with that label, or the midpoint of its cell.

        Raises
        ------
        ValueError
            No image, fewer occupied cells than bins, or an option out of range.
        TypeError
            An array that is not uint8.
        ImageError, OSError
            A file that cannot be read.

        Examples
        --------
        >>> photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        >>> ColorBins.fit(photo, n=8).n
        8
        """
        check_fit_options(n, cells, method, centers)
        moments = ChromaMoments(sizes_to_count(cells, method))
        for image in _each(images):
            moments.add(_pixels(image))
        return cls.from_moments(moments, n, cells, method, centers)

    @classmethod
    def from_moments(
        cls,
        moments: ChromaMoments,
        n: int = DEFAULT_BINS,
        cells: int | str = "auto",
        method: str = "frequent",
        centers: str = "mean",
    ) -> ColorBins:
        """The bins of moments counted before: what :meth:`fit` gives on the same images.

        Parameters
        ----------
        moments : ChromaMoments
        n, method, centers : see :meth:`fit`
        cells : int or "auto"
            One of the K that were counted; "auto" is that of the least held-out error.

        Raises
        ------
        ValueError
            Nothing was counted, or not with these cells; fewer occupied cells than bins.

        Examples
        --------
        >>> moments = ChromaMoments([9, 17])
        >>> moments.add(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        >>> ColorBins.from_moments(moments, n=8, cells=9).cells
        9
        """
        check_fit_options(n, cells, method, centers)
        if not moments.pixels:
            raise ValueError("images: expected at least one image with a pixel, got none")
        if cells == "auto":
            cells = _least_error(moments, n, method, centers)
        if cells not in moments.sizes:
            counted = ", ".join(map(str, moments.sizes))
            raise ValueError(f"cells: expected one that was counted ({counted}), got {cells}; count the images again")
        fitted = moments.fit(int(cells), n, method, centers)
        return cls(fitted.table, fitted.colors, fitted.prior, moments)

    def weights(self, lam: float = DEFAULT_LAM) -> np.ndarray:
        """Class weights of the prior, shape (n,), float64: ``w_b = 1 / ((1 - λ) p_b + λ / n)``, ``sum_b p_b w_b = 1``.

        Raises
        ------
        ValueError
            If λ is not in [0, 1].
        """
        return super().weights(checks.real("lam", lam, 0.0, 1.0))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ColorBins:
        """Read an npz file that :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged, or not a file of color bins.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            moments = ChromaMoments.from_arrays(arrays) if "images" in arrays else None
            return cls(arrays["table"], arrays["colors"], arrays["prior"], moments)
        except FileNotFoundError:
            raise FileNotFoundError(f"{os.fspath(path)}: no such file; `fastcolor fit` writes one") from None
        except _NOT_BINS as error:
            raise ValueError(
                f"{os.fspath(path)}: expected an npz file of color bins (table, colors, prior), got {error}; "
                "`fastcolor fit` writes one"
            ) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an npz file, whole or not at all."""
        arrays: dict[str, Any] = {"table": self.table, "colors": self.colors, "prior": self.prior}
        if self.moments is not None:
            arrays |= self.moments.to_arrays()
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def default(cls) -> ColorBins:
        """The bins of the bundled networks, fitted on 9,219 landscape photographs."""
        return _default()


@lru_cache(maxsize=1)
def _default() -> ColorBins:
    with as_file(files("fastcolor.data") / "bins-landscapes.npz") as path:
        return ColorBins.load(path)


def sizes_to_count(cells: int | str, method: str) -> tuple[int, ...]:
    """The K that fitting with `cells` and `method` needs moments of."""
    return AUTO_CELLS[method] if cells == "auto" else (int(cells),)


def check_fit_options(n: int, cells: int | str, method: str, centers: str) -> None:
    """Raise before the first image is read, not after the last."""
    checks.integer("n", n, 1, MAX_BINS)
    if cells != "auto":
        checks.integer("cells", cells, 1, MAX_CELLS)
    checks.choice("method", method, METHODS)
    checks.choice("centers", centers, CENTERS)


def _least_error(moments: ChromaMoments, n: int, method: str, centers: str) -> int:
    if len(moments.sizes) == 1:
        return moments.sizes[0]
    errors = moments.errors(n, method, centers)
    return min(errors, key=errors.__getitem__) if errors else moments.sizes[-1]


def _check(bins: ColorBins) -> None:
    n = len(bins.colors)
    if not 1 <= n <= MAX_BINS or bins.colors.shape != (n, 2):
        raise ValueError(f"colors: expected shape (n, 2) with n in 1..{MAX_BINS}, got {bins.colors.shape}")
    if bins.prior.shape != (n,) or not (bins.prior >= 0).all() or abs(bins.prior.sum() - 1) > 1e-6:
        raise ValueError(f"prior: expected {n} shares >= 0 that sum to 1, got {bins.prior}")
    if not np.isfinite(bins.colors).all():
        raise ValueError("colors: expected finite chroma, got NaN or inf")


def _each(images: Any) -> Iterable[Any]:
    one = isinstance(images, (str, os.PathLike)) or kind(images) is not None
    return [images] if one else images


def _pixels(image: Any) -> np.ndarray:
    """RGB uint8 (..., 3) of an array or of a file."""
    if isinstance(image, (str, os.PathLike)):
        from .files.images import read_photo

        photo = read_photo(image)
        return np.zeros((*photo.luma.shape, 3), np.uint8) if photo.rgb is None else photo.rgb  # all grays are alike
    seen = checks.array("images", image, ("uint8",))
    checks.ndim("images", seen, 1)
    checks.size_on_axis("images", seen, -1, "axis", 3)
    return as_numpy(image)
