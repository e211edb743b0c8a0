"""Weighted cross entropy on logits, and its gradient in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .color import Float
from .ops import softmax


def _pixel_weights(labels: ArrayLike, weights: ArrayLike, mask: ArrayLike | None) -> Float:
    """Weight of every pixel: from one weight a bin (n,) or one a pixel, zero where the mask is zero."""
    labels, weights = np.asarray(labels), np.asarray(weights, dtype=np.float64)
    per_pixel = weights if weights.shape == labels.shape else weights[labels]
    return per_pixel if mask is None else per_pixel * np.asarray(mask, dtype=np.float64)


def weighted_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, weights: ArrayLike, mask: ArrayLike | None = None
) -> float:
    """``sum_i m_i w_i (logsumexp(x_i) - x_i[y_i]) / sum_i m_i w_i``; 0 if the weights sum to 0.

    Class-rebalanced cross entropy on hard labels: Zhang et al. 2016, equations 2 and 3, with the one-hot targets of
    ColorUNet, section 3.2.

    Parameters
    ----------
    logits : array_like, shape (N, n, H, W)
        Any shape with the n bins on axis 1.
    labels : array_like, shape (N, H, W), int
    weights : array_like, shape (N, H, W) or (n,)
        A weight for each pixel, as `encode` returns it, or one for each bin.
    mask : array_like, shape (N, H, W), optional
        0 where a pixel does not count (padding).

    Examples
    --------
    >>> round(weighted_cross_entropy(np.zeros((1, 4, 1, 1)), [[[2]]], np.ones(4)), 6)
    1.386294
    """
    w = _pixel_weights(labels, weights, mask)
    if w.sum() == 0:
        return 0.0
    x = np.asarray(logits, dtype=np.float64)
    peak = x.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(x - peak).sum(axis=1)) + peak[:, 0]
    picked = np.take_along_axis(x, np.asarray(labels)[:, None], axis=1)[:, 0]
    return float((w * (log_sum - picked)).sum() / w.sum())


def weighted_cross_entropy_gradient(
    logits: ArrayLike, labels: ArrayLike, weights: ArrayLike, mask: ArrayLike | None = None
) -> Float:
    """``d loss / d x_ib = m_i w_i (softmax(x_i)_b - [b = y_i]) / sum_j m_j w_j``, shape of the logits.

    Examples
    --------
    >>> weighted_cross_entropy_gradient(np.zeros((1, 2, 1, 1)), [[[1]]], np.ones(2)).ravel().tolist()
    [0.5, -0.5]
    """
    w = _pixel_weights(labels, weights, mask)
    x = np.asarray(logits, dtype=np.float64)
    if w.sum() == 0:
        return np.zeros_like(x, order="C")
    gradient = softmax(x, axis=1)
    index = np.asarray(labels)[:, None]
    np.put_along_axis(gradient, index, np.take_along_axis(gradient, index, axis=1) - 1.0, axis=1)
    return gradient * (w / w.sum())[:, None]
