"""The loss of soft and dense targets against the float64 reference; see :mod:`compare`, whose loss has hard labels."""

from __future__ import annotations

import math
from typing import Any

import compare
import numpy as np
from compare import FLOAT32, Arithmetic, u

from fastcolor import reference


def dense(labels: Any, shares: Any, n: int) -> np.ndarray:
    """Shares (N, k, ...) of labels as float64 targets (N, n, ...); a label that comes twice counts twice."""
    target = np.zeros((labels.shape[0], n, *labels.shape[2:]))
    for k in range(labels.shape[1]):
        here = labels[:, k : k + 1].astype(np.int64)
        before = np.take_along_axis(target, here, axis=1)
        np.put_along_axis(target, here, before + shares[:, k : k + 1].astype(np.float64), axis=1)
    return target


def assert_targets_close(
    loss: Any, gradient: Any, logits: Any, target: Any, weights: Any, *, k: int, arithmetic: Arithmetic = FLOAT32
) -> None:
    """The loss and its gradient for `target` (N, n, ...), of which k shares a pixel are not 0.

    ``S log sum e^y - sum_k s_k y_k`` with ``S = sum_k s_k`` errs as with a hard label: by the sum and its logarithm,
    S times, and by 4 u of each ``s_k |y_k|``. The two sums over k round k times more. An entry of the gradient is a
    softmax times S and the weight, less a share times the weight: k + 4 roundings of both.
    """
    x, t = (np.moveaxis(compare.as_float64(part), 1, -1) for part in (logits, target))
    w = compare.as_float64(weights)
    share_of_loss = w / w.sum()
    e, relative = compare._weights(x, 1.0, arithmetic)
    total, mass = e.sum(axis=-1), t.sum(axis=-1)
    of_sum = (e * relative).sum(axis=-1) / total + compare.sum_error(e) / total + arithmetic.exp
    picked = (t * np.abs(x - x.max(axis=-1, keepdims=True))).sum(axis=-1)
    of_log = (arithmetic.log + (k + 4) * u) * np.maximum(math.log(2), np.log(total))
    terms = (share_of_loss * (mass * np.log(total) + picked)).reshape(-1)
    bound = (share_of_loss * (mass * (of_sum / (1 - of_sum) + of_log) + (k + 4) * u * picked)).sum()
    arrays = compare.as_float64(logits), compare.as_float64(target), w
    expected = reference.weighted_cross_entropy(*arrays)
    rounding = float(compare.sum_error(terms)) + 8 * u * abs(expected)
    compare.assert_close("loss", loss, np.asarray(expected), bound + rounding)

    p = e / total[..., None] * mass[..., None]
    bound = p * (relative + of_sum[..., None] + (k + 4) * u) + t * (k + 4) * u
    bound = np.moveaxis(bound * share_of_loss[..., None], -1, 1) + compare.SMALLEST_NORMAL
    expected_gradient = reference.weighted_cross_entropy_gradient(*arrays)
    half_ulp, smallest = compare.HALF_ULP[str(gradient.dtype).removeprefix("torch.")]
    bound = bound + half_ulp * (np.abs(expected_gradient) + bound) + smallest
    compare.assert_close("gradient", gradient, expected_gradient, bound)
