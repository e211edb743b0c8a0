"""Weighted cross entropy and its gradient in float64, pixel by pixel: for float64 logits, and for tiny images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..common.host import Array, bfloat16_bits, from_bfloat16, plain
from ..common.layout import planes
from .jit import jit
from .threads import run_blocks

_NO_LABELS = np.zeros((1, 1, 1), np.int64)


@jit
def loss_exact(first, last, x, labels, shares, dense, weights, scale, losses, gradient, wanted):
    """Pixels [first, last) of logits (images, n, count), labels and shares (images, k, count); no labels if `dense`."""
    n, count = x.shape[1:]
    summed = 0.0
    for number in range(first, last):
        image = number // count
        i = number - image * count
        weight = weights[number]
        losses[number] = 0
        if weight == 0:
            if wanted:
                for b in range(n):
                    gradient[image, b, i] = 0
            continue
        top, total, mass = -math.inf, 0.0, 0.0
        for b in range(n):
            if x[image, b, i] > top:
                top = x[image, b, i]
        for b in range(n):
            total += math.exp(x[image, b, i] - top)
        for j in range(shares.shape[1]):
            mass += shares[image, j, i]
        loss = mass * math.log(total)
        if wanted:
            for b in range(n):
                gradient[image, b, i] = scale * weight * mass * math.exp(x[image, b, i] - top) / total
        for j in range(shares.shape[1]):
            label, share = j if dense else labels[image, j, i], shares[image, j, i]
            if label < 0 or label >= n:
                loss = math.nan
            elif share != 0:
                loss -= share * (x[image, label, i] - top)
                if wanted:
                    gradient[image, label, i] -= scale * weight * share
        losses[number] = weight * loss
        summed += weight * loss
    return summed


# --- host -------------------------------------------------------------------------------------------------------------


def run_exact(
    x: Array,
    labels: Array | None,
    shares: Array | None,
    weights: Array,
    scale: float,
    losses: Array | None,
    gradient: Array | None,
) -> float:
    """The sum of losses of logits (images, n, count), whatever their dtype; bfloat16 goes through float32."""
    exact = plain(np.asarray(from_bfloat16(x), np.float64))
    images, _, count = exact.shape
    wanted, pixels = gradient is not None, images * count
    made = np.empty(pixels)
    out = np.empty_like(exact) if wanted else exact
    parts = run_blocks(
        *(loss_exact, pixels, pixels, exact, *_targets(labels, shares, images, count), labels is None),
        *(plain(np.asarray(weights, np.float64)).reshape(-1), scale, made, out, wanted),
    )
    if losses is not None:
        losses.reshape(-1)[...] = made
    if gradient is not None:
        target = planes(gradient, 1)[0]
        target[...] = bfloat16_bits(out) if x.dtype == np.uint16 else out
    return float(sum(parts))


def _targets(labels: Array | None, shares: Array | None, images: int, count: int) -> tuple[Any, Any]:
    """Labels and shares (images, k, count), in the order of the pixels of the logits."""
    if shares is None:
        labels = _arranged(np.expand_dims(np.asarray(labels), 1), np.int64, images, count)
        return labels, np.ones(labels.shape)
    part = _arranged(shares, np.float64, images, count)
    return _NO_LABELS if labels is None else _arranged(labels, np.int64, images, count), part


def _arranged(array: Array, dtype: Any, images: int, count: int) -> Array:
    """(N, k, ...) as (images, k, count), where all pixels may be images of their own."""
    k = array.shape[1]
    if len(array) != images:
        array = np.moveaxis(array, 1, -1)
    return plain(np.asarray(array, dtype)).reshape(images, k, count)
