"""Class-rebalanced cross entropy for torch: on the CPU, forward and backward are one pass over the logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ._array import as_numpy

_FUSED = (torch.float32, torch.float64, torch.bfloat16)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, mask: Tensor | None = None) -> Tensor:
    """``sum_i m_i w_i (logsumexp(x_i) - x_i[y_i]) / sum_i m_i w_i``; 0 if the weights sum to 0.

    On the CPU the gradient is computed along with the loss: no log-softmax is ever stored, and channels-last memory
    is taken as it is.

    Parameters
    ----------
    logits : Tensor, shape (N, n, H, W)
        float32, bfloat16 (arithmetic in float32), or float64; any shape with the n bins on axis 1.
    labels : Tensor, shape (N, H, W), integer
        0 <= label < n.
    weights : Tensor, shape (N, H, W) or (n,)
        A weight >= 0 for each pixel, as :func:`fastcolor.encode` gives it, or one for each bin.
    mask : Tensor, shape (N, H, W), optional
        0 or False where a pixel does not count (padding).

    Returns
    -------
    Tensor
        A scalar, float64 for float64 logits and else float32; differentiable once, in the logits.

    Raises
    ------
    ValueError
        Shapes that do not fit, or labels out of range.

    References
    ----------
    Zhang et al. 2016 (arXiv:1603.08511), equations 2 and 3, with the one-hot targets of ColorUNet
    (arXiv:1811.03120), section 3.2.

    Examples
    --------
    >>> logits = torch.zeros(1, 4, 2, 2)
    >>> float(weighted_cross_entropy(logits, torch.zeros(1, 2, 2, dtype=torch.uint8), torch.ones(4)))  # log 4
    1.3862943649291992
    """
    _check_shapes(logits, labels, weights, mask)
    precise = torch.float64 if logits.dtype == torch.float64 else torch.float32
    pixel = weights.to(precise)
    if weights.shape != labels.shape:
        pixel = pixel[labels.long()]
    if mask is not None:
        pixel = pixel * mask
    mass = pixel.sum(dtype=torch.float64)
    if logits.device.type == "cpu" and logits.dtype in _FUSED:
        loss: Tensor = _Fused.apply(logits, labels, pixel.detach(), float(mass))
        return loss
    losses = F.cross_entropy(logits.to(precise), labels.long(), reduction="none") * pixel
    return losses.sum() / mass.to(precise).clamp_min(torch.finfo(precise).tiny)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weights: Tensor, mass: float) -> Tensor:
        from .kernels.loss_cpu import weighted_cross_entropy as kernel

        labels = labels if labels.dtype == torch.uint8 else labels.long()
        low, high = torch.aminmax(labels) if labels.numel() else (torch.tensor(0), torch.tensor(0))
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(f"labels: expected 0 to {logits.shape[1] - 1}, got {int(low)} to {int(high)}")
        scale = 1.0 / mass if mass > 0 else 0.0
        gradient = None
        if ctx.needs_input_grad[0]:
            logits, gradient = _beside(logits)
            ctx.save_for_backward(gradient)
        x, y, w = as_numpy(logits), as_numpy(labels), as_numpy(weights)
        total = kernel(x, y, w, scale, None if gradient is None else as_numpy(gradient)) if logits.numel() else 0.0
        precise = torch.float64 if logits.dtype == torch.float64 else torch.float32
        return torch.tensor(total * scale, dtype=precise)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient if factor == 1 else gradient * factor.to(gradient.dtype)), None, None, None


def _beside(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The logits in a layout that the kernel takes as it is, and memory of the same layout for the gradient."""
    last = torch.movedim(logits, 1, -1)
    if last.is_contiguous() and not logits.is_contiguous():
        return logits, torch.movedim(torch.empty(last.shape, dtype=logits.dtype), -1, 1)
    return logits.contiguous(), torch.empty(logits.shape, dtype=logits.dtype)


def _check_shapes(logits: Tensor, labels: Tensor, weights: Tensor, mask: Tensor | None) -> None:
    if logits.ndim < 2:
        raise ValueError(f"logits: expected shape (N, n, ...), got {tuple(logits.shape)}")
    n, pixels = logits.shape[1], (logits.shape[0], *logits.shape[2:])
    if tuple(labels.shape) != pixels:
        raise ValueError(f"labels: expected shape {pixels}, that of the logits without the bins, got {labels.shape}")
    if labels.is_floating_point():
        raise ValueError(f"labels: expected integers, got {labels.dtype}")
    if tuple(weights.shape) not in (pixels, (n,)):
        raise ValueError(f"weights: expected shape {pixels} or ({n},), got {tuple(weights.shape)}")
    if mask is not None and tuple(mask.shape) != pixels:
        raise ValueError(f"mask: expected shape {pixels}, got {tuple(mask.shape)}")
