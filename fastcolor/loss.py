"""Class-rebalanced cross entropy for torch: forward and backward are one pass over the logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from . import _validate
from ._array import traced
from ._dispatch import choose
from ._run_gradient import loss_and_gradient, scale_in_place
from .errors import BackendUnavailableError
from .reference.constants import MAX_BINS

# What the kernels take; anything else is left to torch, on the same device.
_FUSED = {
    "cpu": (torch.float32, torch.float64, torch.bfloat16),
    "cuda": (torch.float32, torch.float16, torch.bfloat16),
}


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, mask: Tensor | None = None) -> Tensor:
    """``sum_i m_i w_i (logsumexp(x_i) - x_i[y_i]) / sum_i m_i w_i``; 0 if the weights sum to 0.

    The gradient is computed along with the loss: no log-softmax is ever stored, and channels-last memory is taken as it
    is. Where no kernel runs (float16 on the CPU; float64, more than 255 bins, or no CuPy on a GPU), torch's own cross
    entropy does the work, on the device of the logits.

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
        Shapes that do not fit, or, on the CPU, labels out of range. On a GPU these make the loss NaN: to see them,
        the host would have to wait for the device.

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
    _validate.no_tangent("weighted_cross_entropy", logits=logits)
    _check_shapes(logits, labels, weights, mask)
    precise = torch.float64 if logits.dtype == torch.float64 else torch.float32
    pixel = weights.to(precise)
    if weights.shape != labels.shape:
        pixel = pixel[labels.long().clamp(0, logits.shape[1] - 1)]  # what is out of range is found below
    if mask is not None:
        pixel = pixel * mask
    if _is_fused(logits):
        if not traced(logits):
            loss: Tensor = _Fused.apply(logits, labels, pixel.detach())
            return loss
        from . import _torch_ops

        return _torch_ops.weighted_cross_entropy(logits, labels, pixel.detach(), _validate.wants_gradient(logits))
    mass = pixel.sum(dtype=torch.float64)
    losses = F.cross_entropy(logits.to(precise), labels.long(), reduction="none") * pixel
    return losses.sum() / mass.to(precise).clamp_min(torch.finfo(precise).tiny)


def _is_fused(logits: Tensor) -> bool:
    where = logits.device.type
    few = where == "cpu" or logits.shape[1] <= MAX_BINS  # on a GPU the bins of a pixel share a tile of its fast memory
    return few and logits.dtype in _FUSED.get(where, ()) and _has_kernels(where)


@torch.compiler.assume_constant_result
def _has_kernels(device: str) -> bool:
    try:
        choose("auto", device, "weighted_cross_entropy")
    except BackendUnavailableError:
        return False
    return True


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        loss, gradient = loss_and_gradient(logits, labels, weights, ctx.needs_input_grad[0])
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        if torch._C._autograd._get_current_graph_task_keep_graph():
            return gradient * factor.to(gradient.dtype), None, None
        scale_in_place(gradient, factor)  # the graph ends here, so nobody reads the saved gradient again
        return gradient, None, None


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
    for name, tensor in (("labels", labels), ("weights", weights), ("mask", mask)):
        if tensor is not None and tensor.device != logits.device:
            raise ValueError(
                f"{name}: expected device '{logits.device}' like logits, got '{tensor.device}'; "
                "tensors are never moved unasked"
            )
