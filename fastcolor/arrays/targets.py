"""What the logits of a loss are compared with: one label a pixel, some with shares, or the share of every bin."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from . import run_gradient
from .kinds import is_traced


class Target(NamedTuple):
    """Logits and what they should be.

    Attributes
    ----------
    logits : Tensor, shape (N, n, ...)
    labels : Tensor or None
        Hard (N, ...), soft (N, k, ...), or None where `shares` has every bin.
    shares : Tensor or None
        In the precision of the arithmetic; None where labels are hard.
    """

    logits: Tensor
    labels: Tensor | None
    shares: Tensor | None


def of(logits: Tensor, labels: Tensor, shares: Tensor | None) -> Target:
    """The target of hard, soft or dense labels."""
    if shares is not None:
        return Target(logits, labels, _cast(shares, precision(logits)))
    if labels.dtype.is_floating_point:
        return Target(logits, None, _cast(labels, precision(logits)))
    return Target(logits, labels, None)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Without its graph; itself, where there is nothing to do."""
    return (tensor.detach() if tensor.requires_grad else tensor).to(dtype)


def precision(logits: Tensor) -> torch.dtype:
    """Of the arithmetic."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def pixel_weights(target: Target, weights: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """``m_i w_i``, 0 where the mask is, whatever the weight; of weights by bin ``sum_k s_k w_k``. And m, in numbers."""
    logits = target.logits
    pixel = _cast(weights, precision(logits))
    if pixel.shape != (logits.shape[0], *logits.shape[2:]):
        pixel = _by_bin(target, pixel)
    if mask is None:
        return pixel, None
    counted = mask.to(pixel.dtype)
    return torch.where(counted != 0, pixel * counted, 0), counted


def _by_bin(target: Target, weights: Tensor) -> Tensor:
    logits, labels, shares = target
    if labels is None:
        assert shares is not None
        with torch.autocast(shares.device.type, enabled=False):  # which would round both to half precision
            return torch.tensordot(shares, weights, dims=([1], [0]))
    of_labels = weights[labels.long().clamp(0, logits.shape[1] - 1)]  # what is out of range is found later
    return of_labels if shares is None else (shares * of_labels).sum(dim=1)


def losses_by_torch(target: Target, weights: Tensor) -> Tensor:
    """``w_i l_i`` by torch's own operations; NaN where a label is no bin, as in a GPU's kernels."""
    logits, labels, shares = target
    live = (weights != 0).unsqueeze(1)
    x = torch.where(live, logits, 0).to(precision(logits))
    total = x.logsumexp(dim=1, keepdim=True)
    below = torch.where(total.isfinite(), total, torch.nan) - x
    if labels is not None:
        index = torch.where(live, labels.unsqueeze(1) if shares is None else labels, 0)
        index = _checked(index, logits.shape[1])
        known = (index >= 0) & (index < logits.shape[1])
        below = torch.where(known, below.gather(1, torch.where(known, index, 0)), torch.nan)
    share = torch.ones_like(below) if shares is None else torch.where(live, shares, 0)
    losses = (share * torch.where(share != 0, below, 0)).sum(dim=1)  # a bin of share 0 may be at infinity
    return torch.where(weights != 0, losses * weights, 0)


def checked_weights(weights: Tensor, divides: bool) -> Tensor:
    """The weights of the pixels; ValueError on the CPU if one is negative or not finite."""
    if weights.device.type != "cpu" or not is_traced(weights):
        return run_gradient.checked_weights(weights, divides)
    from . import torch_ops

    return torch_ops.checked_weights(weights, divides)


def _checked(labels: Tensor, n: int) -> Tensor:
    """The labels as int64; ValueError on the CPU if one is out of range."""
    if labels.device.type != "cpu":
        return labels.long()
    if not is_traced(labels):
        return run_gradient.checked_labels(labels, n)
    from . import torch_ops

    return torch_ops.checked_labels(labels, n)
