"""Soft targets: shares of the nearest bins, and the prior that they make."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .bins import ColorBins
from .cells import Int
from .color import Float, check_rgb, rgb_to
from .constants import DEFAULT_LAM, DEFAULT_NEIGHBORS, DEFAULT_SIGMA


def encode_soft(
    rgb: ArrayLike,
    bins: ColorBins,
    *,
    neighbors: int = DEFAULT_NEIGHBORS,
    sigma: float = DEFAULT_SIGMA,
    lam: float = DEFAULT_LAM,
    weighting: str = "nearest",
    axis: int = -3,
    channel_axis: int = -1,
) -> tuple[Float, Int, Float, Float]:
    """``share_j = exp(-d_j^2 / (2 σ^2)) / sum``, d_j the distances to the k nearest bins; ties to the lowest bin.

    Zhang et al. 2016, section 2.2: k = 5, σ = 5 (the released Caffe layer has k = 10).

    Parameters
    ----------
    rgb : array_like, 3 on `channel_axis`
        uint8 in 0..255 or floats in [0, 1].
    bins : ColorBins
    neighbors : int
        k, at most n.
    sigma : float
        σ > 0, in the units of the space.
    lam : float
        λ of the class rebalancing.
    weighting : {"nearest", "mean"}
        Weight of a pixel: that of its nearest bin (Zhang et al. 2016, equation 3), or ``sum_j share_j w_j``.
    axis : int
        Where `labels` and `shares` have their k.
    channel_axis : int

    Returns
    -------
    luma : ndarray, shape (...) of `rgb` without its channel axis
    labels, shares : ndarrays, k on `axis`, nearest first
        The shares of a pixel sum to 1.
    weights : ndarray, shape of the luma

    Examples
    --------
    >>> from fastcolor.reference import bins_of_centers
    >>> bins = bins_of_centers([[0, 0], [10, 0], [100, 0]])
    >>> luma, labels, shares, weights = encode_soft(np.zeros((1, 1, 3), np.uint8), bins, neighbors=2)
    >>> labels.ravel().tolist(), shares.ravel().round(6).tolist()
    ([0, 1], [0.880797, 0.119203])
    """
    pixels = rgb_to(bins.space, np.moveaxis(check_rgb(rgb), channel_axis, -1))
    squares = ((pixels[..., None, 1:] - bins.colors.astype(np.float64)) ** 2).sum(axis=-1)  # (..., n)
    labels = np.argsort(squares, axis=-1, kind="stable")[..., :neighbors]
    nearest = np.take_along_axis(squares, labels, axis=-1)
    with np.errstate(over="ignore"):
        # The nearest bin has exp(0), never 0 / 0; divided twice, so that no square of σ leaves float64.
        shares = np.exp((nearest[..., :1] - nearest) / sigma / sigma / 2)
    shares /= shares.sum(axis=-1, keepdims=True)
    w = bins.weights(lam)[labels]
    weights = w[..., 0] if weighting == "nearest" else (shares * w).sum(axis=-1)
    return pixels[..., 0], np.moveaxis(labels, -1, axis), np.moveaxis(shares, -1, axis), weights


def soft_prior(
    rgb: ArrayLike, bins: ColorBins, *, neighbors: int = DEFAULT_NEIGHBORS, sigma: float = DEFAULT_SIGMA
) -> Float:
    """``p_b = mean over the pixels of the share of bin b``: the prior of soft targets, shape (n,).

    How the published prior of the 313 bins was made (richzhang/colorization, issue 47), not by a blur along the bins'
    numbers. No pixel, no prior: NaN.

    Examples
    --------
    >>> from fastcolor.reference import bins_of_centers
    >>> soft_prior(np.zeros((2, 2, 3), np.uint8), bins_of_centers([[0, 0], [10, 0]])).round(6)
    array([0.880797, 0.119203])
    """
    _, labels, shares, _ = encode_soft(rgb, bins, neighbors=min(neighbors, bins.n), sigma=sigma, axis=0)
    totals = np.bincount(labels.ravel(), shares.ravel(), minlength=bins.n)
    with np.errstate(invalid="ignore"):
        return totals / totals.sum()
