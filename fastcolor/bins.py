"""``ColorBins``: fit them on images, save and load them, or take the default ones."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from .arrays import checks
from .arrays.bins_key import make_key
from .errors import BinsError, in_short
from .files.atomic import atomic_path
from .files.npz import read_npz
from .fitting.images import each_image
from .fitting.moments import AUTO_CELLS, ChromaMoments
from .prior import soft_prior, warn_of_unreachable
from .reference import bins as _reference
from .reference import centers as _centers
from .reference.color import check_chroma
from .reference.constants import (
    DEFAULT_BINS,
    DEFAULT_CELLS,
    DEFAULT_LAM,
    DEFAULT_NEIGHBORS,
    DEFAULT_SIGMA,
    MAX_BINS,
    MAX_CELLS,
    SPACES,
)

# The arrays in a file: the bins, their space, and the moments that they were fitted from.
_PARTS = ("table", "colors", "prior")
_STORED = "|".join([*_PARTS, "space", "images", "squares", "(counts|sums)_[1-9][0-9]{0,2}"])
METHODS = ("frequent", "kmeans")
CENTERS = ("mean", "midpoint")


@dataclass(frozen=True, eq=False)
class ColorBins(_reference.ColorBins):
    """``label = table[cell]``, ``chroma = colors[label]``: n color bins over K x K cells of the UV or the ab plane.

    Sets are equal if table, colors, prior and space are.

    Attributes
    ----------
    table : ndarray, shape (K, K), uint8, or uint16 for more than 255 bins
        Label of each cell; U or a on the first axis, V or b on the second.
    colors : ndarray, shape (n, 2), float32
        Chroma of each bin: (U, V) in [-.436, .436] x [-.615, .615], or (a, b) in [-128, 128]^2.
    prior : ndarray, shape (n,), float64
        Share of the training pixels in each bin; sums to 1.
    space : {"yuv", "lab"}
        The plane: UV of BT.601, whose luma is Y, or ab of CIE Lab, whose luma is L.
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
        checks.choice("space", self.space, SPACES)
        for name, dtype in (("colors", np.float32), ("prior", np.float64)):
            real = checks.plain(name, getattr(self, name))
            with np.errstate(over="ignore"):  # to inf, which is refused
                object.__setattr__(self, name, np.array(real, dtype=dtype, order="C"))
        checks.bin_colors(self.colors, self.prior)
        check_chroma(self.colors, self.space, -1)
        n, table = len(self.colors), checks.plain("table", self.table)
        checks.bin_table(table, n)  # before a cast could wrap labels
        object.__setattr__(self, "table", np.array(_reference.as_table(table, n), order="C"))
        for array in (self.table, self.colors, self.prior):
            array.flags.writeable = False  # kernels cache what they derive from it
        object.__setattr__(self, "_n", n)
        object.__setattr__(self, "_key", make_key(self))

    @property
    def n(self) -> int:
        """Number of bins."""
        return self._n  # torch.compile reads it without the array

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, ColorBins) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:
        arrays = self.table, self.colors, self.prior, self.moments
        return partial(type(self), space=self.space), arrays  # copies are checked and read-only too

    @classmethod
    def fit(
        cls,
        images: Iterable[Any] | Any,
        n: int = DEFAULT_BINS,
        cells: int | str = DEFAULT_CELLS,
        method: str = "frequent",
        centers: str = "mean",
        *,
        space: str = "yuv",
    ) -> ColorBins:
        """Partition the K x K cells of the images' chroma into n bins.

        Parameters
        ----------
        images : array, path, or an iterable of them
            uint8 RGB arrays (..., 3) of any kind on the CPU, or paths of image files. All count alike, whatever their
            order; a grayscale file counts as neutral pixels.
        n : int
            Number of bins, 1..1024.
        cells : int or "auto"
            K, odd to keep gray in the middle of a cell; "auto" chooses the K with the least quantization error on
            one image in three when fitted on the others: of the odd K in 9..33, or of 33, 49, 65, 97, 129 for kmeans.
        method : {"frequent", "kmeans"}
            ``frequent`` (the paper): the n most frequent cells, every other cell joins the nearest of them.
            ``kmeans``: weighted Lloyd iterations over the cells; wants fine cells, 65 say.
        centers : {"mean", "midpoint"}
            Bin color: mean chroma of the pixels with that label, or the midpoint of its cell.
        space : {"yuv", "lab"}
            The plane that is partitioned.

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
        checks.choice("space", space, SPACES)
        moments = ChromaMoments(sizes_to_count(cells, method), space)
        for image in each_image(images):
            moments.add(image)
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
        return cls(fitted.table, fitted.colors, fitted.prior, moments, space=moments.space)

    @classmethod
    def zhang(cls, prior: Any = None) -> ColorBins:
        """The 313 points (10 i, 10 j) of ab whose square of +-10 meets the hull of sRGB: ``bins.space == "lab"``.

        Labels are the nearest points; 52 of them are that of no uint8 color, but neighbors of some. Generated, in the
        order of the published ``pts_in_hull.npy``: a ascending, then b.

        Parameters
        ----------
        prior : array_like, shape (313,), optional
            As in the published ``prior_probs.npy``; None is 1 / 313 each, which gives all bins the weight 1.
            :meth:`fit_prior` counts one.

        References
        ----------
        Zhang et al. 2016 (arXiv:1603.08511), section 2.1.

        Examples
        --------
        >>> bins = ColorBins.zhang()
        >>> bins.n, bins.colors[0].tolist()
        (313, [-90.0, 50.0])
        """
        return cls.from_centers(_centers.zhang_centers(), prior)

    @classmethod
    def grid(cls, step: float = 10.0, space: str = "lab", prior: Any = None) -> ColorBins:
        """All points ``(step i, step j)`` within +-110 of ab, row by row; within the rectangle for UV.

        With a step of 10 these are 529, number 23 i + j, as in colorization-pytorch.

        Parameters
        ----------
        step : float
            Between points, in the units of the space, > 0.
        space : {"yuv", "lab"}
        prior : see :meth:`from_centers`

        Raises
        ------
        ValueError
            If these are more than 1,024, or `step` is not above 0.

        Examples
        --------
        >>> ColorBins.grid(10).n
        529
        """
        checks.choice("space", space, SPACES)
        step = checks.positive("step", step)
        count = math.prod(2 * int(min(edge / step, MAX_BINS) + 1e-9) + 1 for edge in _centers.edges_of(space))
        if count > MAX_BINS:
            raise ValueError(
                f"step: expected a grid of at most {MAX_BINS} points, got {count} or more; take a larger step"
            )
        return cls.from_centers(_centers.grid_centers(step, space), prior, space)

    @classmethod
    def from_centers(cls, centers: Any, prior: Any = None, space: str = "lab") -> ColorBins:
        """``table[cell] = argmin_b |midpoint(cell) - center_b|``: each cell joins its nearest center.

        Parameters
        ----------
        centers : array_like, shape (n, 2)
            Chroma in the units of the space, n in 1..1024; ``numpy.load("pts_in_hull.npy")``, say.
        prior : array_like, shape (n,), optional
            Shares that sum to 1; None is 1 / n each.
        space : {"yuv", "lab"}

        Raises
        ------
        ValueError
            If shapes do not fit, a center lies outside the plane, or shares are negative or do not sum to 1.

        Warns
        -----
        UserWarning
            If more than 1 % of the prior lies on bins that are the label of no uint8 color.

        Notes
        -----
        The cells are the fewest that have each center in the middle of its own, else 255 x 255: then a color whose cell
        lies between two bins may have the label of the second nearest center.

        Examples
        --------
        >>> ColorBins.from_centers([[0, 0], [40, 20], [-40, 20]]).n
        3
        """
        checks.choice("space", space, SPACES)
        points = checks.plain("centers", centers).astype(np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not 1 <= len(points) <= MAX_BINS:
            raise ValueError(f"centers: expected shape (n, 2) with n in 1..{MAX_BINS}, got {points.shape}")
        if not np.isfinite(points).all():
            raise ValueError("centers: expected finite chroma, got NaN or inf")
        shares = None if prior is None else checks.plain("prior", prior).astype(np.float64)
        bins = _centers.bins_of_centers(points, shares, space)
        made = cls(bins.table, bins.colors, bins.prior, space=space)
        if prior is not None:
            warn_of_unreachable(made)
        return made

    def fit_prior(
        self, images: Iterable[Any] | Any, neighbors: int = DEFAULT_NEIGHBORS, sigma: float = DEFAULT_SIGMA
    ) -> ColorBins:
        """These bins with ``prior_b = mean over all pixels of the share of bin b``, the shares of :func:`encode_soft`.

        How the published prior of the 313 was made (richzhang/colorization, issue 47). ``neighbors=1`` counts labels.

        Parameters
        ----------
        images : see :meth:`fit`
        neighbors : int
            k in 1..32; more than n are n.
        sigma : float
            σ > 0, in the units of the space.

        Returns
        -------
        ColorBins
            A new set, without moments.

        Raises
        ------
        ValueError
            No image, or an option out of range.
        TypeError
            An array that is not uint8.
        ImageError, OSError
            A file that cannot be read.

        Examples
        --------
        >>> gray = np.full((8, 8, 3), 128, np.uint8)
        >>> bins = ColorBins.zhang().fit_prior(gray)
        >>> int((bins.prior > 0).sum()), round(float(bins.prior.max()), 3)
        (5, 0.649)
        """
        prior = soft_prior(images, self, neighbors, sigma)
        return type(self)(self.table, self.colors, prior, space=self.space)

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
        BinsError
            If it cannot be read, is damaged, or not a file of color bins.
        """
        try:
            arrays = read_npz(path, _STORED)
            if missing := [name for name in _PARTS if name not in arrays]:
                raise ValueError(f"one without {', '.join(missing)}")
            space = str(arrays.get("space", "yuv"))  # files did not say before there was another
            checks.choice("space", space, SPACES)
            moments = ChromaMoments.from_arrays(arrays, space) if "images" in arrays else None
            return cls(arrays["table"], arrays["colors"], arrays["prior"], moments, space=space)
        except FileNotFoundError:
            raise FileNotFoundError(f"{os.fspath(path)}: no such file; `fastcolor fit` writes one") from None
        except (OSError, ValueError, TypeError) as error:
            raise BinsError(
                f"{os.fspath(path)}: expected an npz file of color bins (table, colors, prior), got {in_short(error)}; "
                "`fastcolor fit` writes one"
            ) from error

    def save(self, path: str | os.PathLike[str], *, replace: bool = True) -> None:
        """Write an npz file, whole or not at all; without `replace`, FileExistsError if there is one."""
        arrays: dict[str, Any] = {"table": self.table, "colors": self.colors, "prior": self.prior}
        if self.space != "yuv":
            arrays["space"] = np.array(self.space)
        if self.moments is not None:
            arrays |= self.moments.to_arrays()
        with atomic_path(path, replace=replace) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def default(cls) -> ColorBins:
        """The bins of the bundled network `landscapes`, fitted on 9,219 landscape photographs."""
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
    if not (isinstance(cells, str) and cells == "auto"):
        checks.integer("cells", cells, 1, MAX_CELLS)
    checks.choice("method", method, METHODS)
    checks.choice("centers", centers, CENTERS)


def _least_error(moments: ChromaMoments, n: int, method: str, centers: str) -> int:
    if len(moments.sizes) == 1:
        return moments.sizes[0]
    errors = moments.errors(n, method, centers)
    return min(errors, key=errors.__getitem__) if errors else moments.sizes[-1]
