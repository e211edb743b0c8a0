"""Class-rebalanced cross entropy for torch: on the CPU forward and backward are one pass over the logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, mask: Tensor | None = None) -> Tensor:
    per_pixel = weights if weights.shape == labels.shape else weights[labels.long()]
    per_pixel = per_pixel if mask is None else per_pixel * mask
    loss = F.cross_entropy(logits.float(), labels.long(), reduction="none") * per_pixel
    total = per_pixel.sum()
    return loss.sum() / total.clamp_min(1e-30)
