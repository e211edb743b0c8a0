"""Comparators of the loss with soft and dense targets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from compare import (
    FLOAT32,
    HALF_ULP,
    SMALLEST_NORMAL,
    Arithmetic,
    Float,
    _weights,
    as_float64,
    as_seen,
    assert_close,
    sum_error,
    u,
)


def dense_targets(n: int, labels: Any, shares: Any) -> Float:
    """The share of every bin, (N, n, ...), of labels and shares (N, k, ...); a label that comes twice adds."""
    labels, shares = (np.moveaxis(as_float64(array), 1, -1) for array in (labels, shares))
    target = np.zeros((*labels.shape[:-1], n))
    for j in range(labels.shape[-1]):
        index = labels[..., j : j + 1].astype(np.int64)
        before = np.take_along_axis(target, index, axis=-1)
        np.put_along_axis(target, index, before + shares[..., j : j + 1], axis=-1)
    return np.moveaxis(target, -1, 1)


def assert_losses_close(
    losses: Any,
    gradient: Any,
    logits: Any,
    target: Float,
    weights: Any,
    *,
    added: int,
    arithmetic: Arithmetic = FLOAT32,
) -> None:
    """``w_i l_i`` (N, ...) and the gradient of their sum, for targets (N, n, ...) of which a pixel `added` so many.

    ``l = S log sum e^y - sum_b s_b y_b`` with y below the largest logit and ``S = sum s``. The logarithm errs as in
    compare.assert_loss_close: by the relative error of its sum, by its own, and by 4 u. S and the second sum have
    `added` terms, in any order, of which each rounds twice (difference, product). The last difference and the product
    with w round once each.

    An entry of the gradient is ``w (S p_b - s_b)``: p errs as there; S by its sum; a reciprocal, and factors and
    products that round seven times at most; and s_b, which may be subtracted share by share from something as large as
    the greater of both, by `added` more.
    """
    x, s = (np.moveaxis(array, 1, -1) for array in (as_seen(logits), target))
    w = as_float64(weights)
    counts = w != 0
    x, s = np.where(counts[..., None], x, 0.0), np.where(counts[..., None], s, 0.0)
    e, relative = _weights(x, 1.0, arithmetic)
    total, mass = e.sum(axis=-1), s.sum(axis=-1)
    of_sum = (e * relative).sum(axis=-1) / total + sum_error(e) / total + arithmetic.exp
    of_sum = of_sum / (1 - of_sum)
    logs = np.maximum(math.log(2), np.log(total))
    below = s * np.where(s != 0, x.max(axis=-1, keepdims=True) - x, 0.0)
    expected = w * (mass * np.log(total) + below.sum(axis=-1))
    of_mass = np.minimum(added * u * mass, sum_error(s) + u * mass)
    bound = mass * (of_sum + (arithmetic.log + 4 * u) * logs) + of_mass * logs
    bound = bound + np.minimum(added * u * below.sum(axis=-1), sum_error(below)) + 2 * u * below.sum(axis=-1)
    assert_close("losses", losses, expected, w * bound + 3 * u * expected + SMALLEST_NORMAL)

    p = e / total[..., None]
    expected = np.moveaxis(w[..., None] * (mass[..., None] * p - s), -1, 1)
    factors = arithmetic.reciprocal + 7 * u
    bound = p * (mass[..., None] * (relative + of_sum[..., None] + factors) + of_mass[..., None]) + 8 * u * s
    bound = bound + np.where(s != 0, added * u * np.maximum(mass[..., None] * p, s), 0.0)
    bound = np.moveaxis(bound * w[..., None], -1, 1) + SMALLEST_NORMAL
    half_ulp, smallest = HALF_ULP[str(gradient.dtype).removeprefix("torch.")]
    assert_close("gradient", gradient, expected, bound + half_ulp * (np.abs(expected) + bound) + smallest)
