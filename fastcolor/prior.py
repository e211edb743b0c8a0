"""The prior of soft targets, counted over images; and priors on bins that no color can reach."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import checks
from .encoding import encode_soft, histogram
from .fitting.images import each_image
from .reference.bins import ColorBins
from .reference.constants import MAX_NEIGHBORS

MOST_UNREACHABLE = 0.01  # of a prior
_CHUNK = 1 << 20  # pixels whose labels and shares are in memory at once


def soft_prior(images: Iterable[Any] | Any, bins: ColorBins, neighbors: int, sigma: float) -> NDArray[np.float64]:
    """``p_b = mean over all pixels of the share of bin b``, shape (n,): see :meth:`fastcolor.ColorBins.fit_prior`."""
    checks.integer("neighbors", neighbors, 1, MAX_NEIGHBORS)
    totals = np.zeros(bins.n)
    for image in each_image(images):
        pixels = image.reshape(-1, 3)
        for start in range(0, len(pixels), _CHUNK):
            some = pixels[start : start + _CHUNK]
            _, labels, shares, _ = encode_soft(some, bins, neighbors=min(neighbors, bins.n), sigma=sigma, axis=0)
            totals += np.bincount(labels.ravel(), shares.ravel(), minlength=bins.n)
    if not totals.any():
        raise ValueError("images: expected at least one image with a pixel, got none")
    return totals / totals.sum()


def warn_of_unreachable(bins: ColorBins) -> None:
    """Warn if more than 1 % of the prior lies on bins that are the label of no uint8 color.

    Class weights then balance against what never comes: the others are weighted too high.
    """
    share = float(bins.prior[~np.isin(np.arange(bins.n), reachable(bins))].sum())
    if share > MOST_UNREACHABLE:
        warnings.warn(
            f"prior: {share:.0%} of it lies on bins that no color reaches; is it of other bins, or in another order? "
            "ColorBins.fit_prior counts one",
            stacklevel=4,
        )


def reachable(bins: ColorBins) -> NDArray[np.int64]:
    """Labels that some uint8 color has, ascending."""
    return np.unique(bins.table[_cells_of_colors(bins.space, bins.cells)]).astype(np.int64)


@lru_cache(maxsize=8)
def _cells_of_colors(space: str, cells: int) -> NDArray[np.bool_]:
    """Which cells hold one of the 2^24 colors: a few tenths of a second."""
    counts = np.zeros((cells, cells), np.int64)
    plane = np.stack(np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8)), axis=-1)
    for red in range(0, 256, 16):
        reds = np.broadcast_to(np.arange(red, red + 16, dtype=np.uint8)[:, None, None, None], (16, 256, 256, 1))
        others = np.broadcast_to(plane, (16, 256, 256, 2))
        counts += histogram(np.concatenate([reds, others], axis=-1), cells, space=space)
    return counts > 0
