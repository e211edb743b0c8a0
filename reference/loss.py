"""Weighted cross entropy on logits, with hard, soft or dense targets, and its gradient in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .color import Float
from .ops import softmax

REDUCTIONS = ("weighted", "sum", "mean", "none")


def weighted_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike,
    mask: ArrayLike | None = None,
    shares: ArrayLike | None = None,
    reduction: str = "weighted",
) -> Any:
    """``sum_i m_i w_i l_i / sum_i m_i w_i``, ``l_i = logsumexp(x_i) - sum_k s_ik x_i[y_ik]``; 0 if no weight is left.

    Class-rebalanced cross entropy: Zhang et al. 2016, equations 2 and 3; with the one-hot targets of ColorUNet,
    section 3.2, where labels are hard: ``s = 1``. In general ``l_i = sum_k s_ik (logsumexp(x_i) - x_i[y_ik])``.

    Parameters
    ----------
    logits : array_like, shape (N, n, H, W)
        Any shape with the n bins on axis 1.
    labels : array_like
        Hard, integers (N, H, W); soft, integers (N, k, H, W) with `shares`; dense, floats (N, n, H, W): the share of
        every bin.
    weights : array_like, shape (N, H, W) or (n,)
        A weight for each pixel, as `encode` returns it, or one for each bin: then a pixel has ``sum_k s_k w_k``.
    mask : array_like, shape (N, H, W), optional
        0 where a pixel does not count (padding), whatever stands there.
    shares : array_like, shape of the labels, optional
        As `encode_soft` returns them.
    reduction : {"weighted", "sum", "mean", "none"}
        Divide the sum of ``m_i w_i l_i`` by that of ``m_i w_i``; by nothing; by the number of pixels, or the sum of the
        mask; or do not sum.

    Examples
    --------
    >>> round(weighted_cross_entropy(np.zeros((1, 4, 1, 1)), [[[2]]], np.ones(4)), 6)
    1.386294
    """
    x, target, w = _prepared(logits, labels, weights, mask, shares)
    peak = x.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(x - peak).sum(axis=1))
    # What is far below the peak and has no share must not give 0 * inf.
    picked = (target * np.where(target != 0, x - peak, 0.0)).sum(axis=1)
    losses = w * (target.sum(axis=1) * log_sum - picked)
    return losses if reduction == "none" else float(losses.sum() * _factor(w, mask, reduction))


def weighted_cross_entropy_gradient(
    logits: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike,
    mask: ArrayLike | None = None,
    shares: ArrayLike | None = None,
    reduction: str = "weighted",
) -> Float:
    """``d loss / d x_ib = m_i w_i (S_i softmax(x_i)_b - sum_k s_ik [b = y_ik]) / sum_j m_j w_j``, shape of the logits.

    ``S_i = sum_k s_ik``, which is 1. With another reduction, another divisor; with ``"none"`` that of ``"sum"``.

    Examples
    --------
    >>> weighted_cross_entropy_gradient(np.zeros((1, 2, 1, 1)), [[[1]]], np.ones(2)).ravel().tolist()
    [0.5, -0.5]
    """
    x, target, w = _prepared(logits, labels, weights, mask, shares)
    gradient = softmax(x, axis=1) * target.sum(axis=1, keepdims=True) - target
    return np.where(w[:, None] == 0, 0.0, gradient * w[:, None]) * _factor(w, mask, reduction)


def _factor(weights: Float, mask: ArrayLike | None, reduction: str) -> float:
    """What the sum of the losses is multiplied by."""
    if reduction in ("sum", "none"):
        return 1.0
    counted = np.ones_like(weights) if mask is None else np.asarray(mask, dtype=np.float64)
    mass = float((weights if reduction == "weighted" else counted).sum())
    return 1 / mass if mass > 0 else 0.0


def _prepared(
    logits: ArrayLike, labels: ArrayLike, weights: ArrayLike, mask: ArrayLike | None, shares: ArrayLike | None
) -> tuple[Float, Float, Float]:
    """Logits, dense targets and the weight of every pixel; all are harmless where a pixel does not count."""
    x = np.asarray(logits, dtype=np.float64)
    pixels = (x.shape[0], *x.shape[2:])
    counts = np.ones(pixels, bool) if mask is None else np.asarray(mask) != 0
    target = _dense(x.shape, np.asarray(labels), shares, counts)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape == pixels == (x.shape[1],):
        raise ValueError(f"weights: expected one a pixel or one a bin, got shape {w.shape}, which may be either")
    if w.shape != pixels:
        w = np.moveaxis(np.where(counts[:, None], target, 0.0), 1, -1) @ w
    w = np.where(counts, w, 0.0) * (1.0 if mask is None else np.nan_to_num(np.asarray(mask, dtype=np.float64)))
    live = (w != 0)[:, None]
    return np.where(live, x, 0.0), np.where(live, target, 0.0), w


def _dense(
    shape: tuple[int, ...], labels: NDArray[np.generic], shares: ArrayLike | None, counts: NDArray[np.bool_]
) -> Float:
    """The share of every bin, shape of the logits; nothing where a pixel does not count."""
    if shares is None and labels.dtype.kind == "f":
        return labels.astype(np.float64)
    hard = shares is None
    index = np.where(counts[:, None], labels[:, None] if hard else labels, 0)
    share = np.where(counts[:, None], 1.0 if hard else np.asarray(shares, dtype=np.float64), 0.0)
    target = np.zeros(shape)
    for k in range(index.shape[1]):  # one by one: a label that comes twice counts twice
        here = index[:, k : k + 1].astype(np.int64)
        before = np.take_along_axis(target, here, axis=1)
        np.put_along_axis(target, here, before + share[:, k : k + 1], axis=1)
    return target
