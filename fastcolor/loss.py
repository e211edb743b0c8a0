"""Class-rebalanced cross entropy for torch: forward and backward are one pass over the logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .arrays import checks
from .arrays.dispatch import choose
from .arrays.kinds import Seen, is_traced
from .arrays.run_gradient import checked_labels, loss_and_gradient, scale_in_place
from .arrays.torch_func import scaled_once
from .errors import BackendUnavailableError
from .reference.constants import MAX_BINS

_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_REALS = (*checks.LOGIT_DTYPES, "bool", *_INTEGERS)

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
        float32, float16 or bfloat16 (arithmetic in float32), or float64; any shape with the n bins on axis 1.
    labels : Tensor, shape (N, H, W), integer
        0 <= label < n.
    weights : Tensor, shape (N, H, W) or (n,), real
        A weight >= 0 for each pixel, as :func:`fastcolor.encode` gives it, or one for each bin.
    mask : Tensor, shape (N, H, W), real or bool, optional
        0 or False where a pixel does not count (padding).

    Returns
    -------
    Tensor
        A scalar, float64 for float64 logits and else float32; differentiable once, in the logits.

    Raises
    ------
    TypeError
        If an argument is no tensor, or has another dtype.
    ValueError
        Shapes or devices that do not fit; weights or a mask that require a gradient; forward mode (jvp, jacfwd); on
        the CPU, labels out of range. On a GPU these make the loss NaN: to see them, the host would have to wait for
        the device.

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
    seen = _check(logits, labels, weights, mask)
    precise = torch.float64 if logits.dtype == torch.float64 else torch.float32
    pixel = weights.to(precise)
    if weights.shape != labels.shape:
        pixel = pixel[labels.long().clamp(0, logits.shape[1] - 1)]  # what is out of range is found below
    if mask is not None:
        pixel = pixel * mask.to(precise)
    if _is_fused(logits):
        if not seen.traced:
            loss: Tensor = _Fused.apply(logits, labels, pixel.detach(), logits[:0] * 1)
            return loss
        from .arrays import torch_ops

        return torch_ops.weighted_cross_entropy(logits, labels, pixel.detach(), seen.wants_gradient)
    mass = pixel.sum(dtype=torch.float64)
    losses = cross_entropies(logits.to(precise), _checked(labels, logits.shape[1])) * pixel
    return losses.sum() / mass.to(precise).clamp_min(torch.finfo(precise).tiny)


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """``logsumexp(x_i) - x_i[y_i]`` for every pixel i, by torch; NaN where y_i is no bin, as in a GPU's kernels."""
    known = (labels >= 0) & (labels < logits.shape[1])
    losses = F.cross_entropy(logits, torch.where(known, labels, 0), reduction="none")
    return torch.where(known, losses, torch.nan)


def _checked(labels: Tensor, n: int) -> Tensor:
    """The labels as int64; ValueError on the CPU if one is out of range."""
    if labels.device.type != "cpu":
        return labels.long()
    if not is_traced(labels):
        return checked_labels(labels, n)
    from .arrays import torch_ops

    return torch_ops.checked_labels(labels, n)


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


def _check(logits: Any, labels: Any, weights: Any, mask: Any) -> Seen:
    named = {"logits": logits, "labels": labels, "weights": weights}
    if mask is not None:
        named["mask"] = mask
    x, y, *factors = checks.tensors(**named)
    checks.dtype("logits", x, checks.LOGIT_DTYPES)
    checks.dtype("labels", y, _INTEGERS, "labels are the numbers of bins")
    for name, factor in zip(("weights", "mask"), factors, strict=False):
        checks.dtype(name, factor, _REALS)
        checks.no_gradient("weighted_cross_entropy", **{name: factor})
    checks.no_tangent("weighted_cross_entropy", "logits", x)
    _check_shapes(x, y, *factors)
    return x


class _Fused(torch.autograd.Function):
    """`source` is of the graph of the logits and empty: they themselves would be kept in memory until the backward."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weights: Tensor, source: Tensor) -> Tensor:
        loss, gradient = loss_and_gradient(logits, labels, weights, ctx.needs_input_grad[0])
        ctx.save_for_backward(gradient, source)
        return loss

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        gradient, source = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: a second derivative must not be lost without a word
            return scaled_once(factor, gradient, source), None, None, None
        batched = torch._C._functorch.is_legacy_batchedtensor(factor)  # is_grads_batched=True
        if batched or torch._C._autograd._get_current_graph_task_keep_graph():
            return gradient * factor.to(gradient.dtype), None, None, None
        scale_in_place(gradient, factor)  # the graph ends here, so nobody reads the saved gradient again
        return gradient, None, None, None


def _check_shapes(logits: Seen, labels: Seen, weights: Seen, mask: Seen | None = None) -> None:
    if len(logits.shape) < 2:
        raise ValueError(f"logits: expected shape (N, n, ...), got {logits.shape}; the bins are on axis 1")
    n, pixels = logits.shape[1], (logits.shape[0], *logits.shape[2:])
    checks.shape("labels", labels, pixels, "it must be the shape of logits without the bins")
    if weights.shape not in (pixels, (n,)):
        raise ValueError(
            f"weights: expected shape {pixels} or ({n},), got {weights.shape}; one for each pixel, as encode "
            "gives it, or one for each bin"
        )
    if mask is not None:
        checks.shape("mask", mask, pixels, "it must be the shape of labels")
