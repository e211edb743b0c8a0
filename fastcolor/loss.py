"""Class-rebalanced cross entropy for torch: forward and backward are one pass over the logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arrays import checks, targets
from .arrays.dispatch import choose
from .arrays.kinds import Seen
from .arrays.run_gradient import loss_and_gradient, scale_in_place
from .arrays.torch_func import scaled_once
from .errors import BackendUnavailableError
from .reference.constants import MAX_BINS
from .reference.loss import REDUCTIONS

_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_REALS = (*checks.LOGIT_DTYPES, "bool", *_INTEGERS)

# What the kernels take; anything else is left to torch, on the same device.
_FUSED = {
    "cpu": (torch.float32, torch.float64, torch.bfloat16),
    "cuda": (torch.float32, torch.float16, torch.bfloat16),
}


def weighted_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    mask: Tensor | None = None,
    shares: Tensor | None = None,
    reduction: str = "weighted",
) -> Tensor:
    """``sum_i m_i w_i l_i / sum_i m_i w_i``, ``l_i = logsumexp(x_i) - sum_k s_ik x_i[y_ik]``; 0 if no weight is left.

    With hard labels ``l_i = logsumexp(x_i) - x_i[y_i]``. The gradient is computed along with the loss: no log-softmax
    is ever stored, soft targets stay k numbers a pixel, and channels-last memory is taken as it is. Where no kernel
    runs (float16 on the CPU; float64, or no CuPy on a GPU; more than 1,024 bins), torch's own operations do the work,
    on the device of the logits.

    Parameters
    ----------
    logits : Tensor, shape (N, n, H, W)
        float32, float16 or bfloat16 (arithmetic in float32), or float64; any shape with the n bins on axis 1.
    labels : Tensor
        Hard: integers (N, H, W), 0 <= label < n. Soft: integers (N, k, H, W), with `shares`, as
        :func:`fastcolor.encode_soft` gives them. Dense: floats (N, n, H, W), the share of every bin.
    weights : Tensor, shape (N, H, W) or (n,), real
        A weight >= 0 for each pixel, as :func:`fastcolor.encode` gives it, or one for each bin: a pixel then has
        ``sum_k s_k w_k``.
    mask : Tensor, shape (N, H, W), real or bool, optional
        0 or False where a pixel does not count (padding), whatever stands there: NaN logits, label 255.
    shares : Tensor, shape of the labels, real, optional
        How much each of the k labels counts; they need not sum to 1, then ``l_i = sum_k s_ik (logsumexp(x_i) -
        x_i[y_ik])``. A share of 0 adds nothing, even where its logit is -inf.
    reduction : {"weighted", "sum", "mean", "none"}
        ``"weighted"`` divides the sum of ``m_i w_i l_i`` by that of ``m_i w_i``; ``"sum"`` by nothing; ``"mean"`` by
        the number of pixels N H W, or by the sum of the mask; ``"none"`` gives ``m_i w_i l_i``, shape (N, H, W).

    Returns
    -------
    Tensor
        float64 for float64 logits and else float32; differentiable once, in the logits.

    Raises
    ------
    TypeError
        If an argument is no tensor, or has another dtype.
    ValueError
        Shapes or devices that do not fit; weights that may be one a pixel or one a bin; weights, shares or a mask that
        require a gradient; forward mode (jvp, jacfwd); on the CPU, labels out of range where a pixel counts. On a GPU
        these make the loss NaN: to see them, the host would have to wait for the device.

    References
    ----------
    Zhang et al. 2016 (arXiv:1603.08511), equations 2 and 3; with the one-hot targets of ColorUNet (arXiv:1811.03120),
    section 3.2, where labels are hard.

    Examples
    --------
    >>> logits = torch.zeros(1, 4, 2, 2)
    >>> float(weighted_cross_entropy(logits, torch.zeros(1, 2, 2, dtype=torch.uint8), torch.ones(4)))  # log 4
    1.3862943649291992
    """
    checks.choice("reduction", reduction, REDUCTIONS)
    seen = _check(logits, labels, weights, mask, shares)
    target = targets.of(logits, labels, shares)
    pixel = targets.pixel_weights(target, weights, mask)
    if reduction == "none":
        return _each(target, pixel)
    loss = _sum(seen, target, pixel, reduction == "weighted")
    if reduction == "mean":
        return loss / _number_of_pixels(pixel, mask)
    return loss


def _number_of_pixels(weights: Tensor, mask: Tensor | None) -> Tensor | int:
    """All, or the sum of the mask; 1 where that is 0."""
    if mask is None:
        return max(weights.numel(), 1)
    counted = mask.sum(dtype=weights.dtype)
    return torch.where(counted > 0, counted, 1)


def _sum(seen: Seen, target: targets.Target, weights: Tensor, weighted: bool) -> Tensor:
    """``sum_i w_i l_i``, over the sum of the weights if `weighted`."""
    if not _is_fused(target.logits):
        losses = targets.losses_by_torch(target, weights)
        mass = weights.sum(dtype=torch.float64).to(losses.dtype) if weighted else losses.new_ones(())
        return losses.sum() / torch.where(mass > 0, mass, 1)
    if not seen.traced:
        source = target.logits[:0] * 1
        loss: Tensor = _Fused.apply(*target, weights, weighted, source)
        return loss
    from .arrays import torch_ops

    return torch_ops.weighted_cross_entropy(*target, weights, weighted, seen.wants_gradient)


def _each(target: targets.Target, weights: Tensor) -> Tensor:
    """``w_i l_i`` of every pixel."""
    if not _is_fused(target.logits):
        return targets.losses_by_torch(target, weights)
    from .arrays import torch_ops

    return torch_ops.cross_entropies(*target, weights)


def _is_fused(logits: Tensor) -> bool:
    where = logits.device.type
    return logits.shape[1] <= MAX_BINS and logits.dtype in _FUSED.get(where, ()) and _has_kernels(where)


@torch.compiler.assume_constant_result
def _has_kernels(device: str) -> bool:
    try:
        choose("auto", device, "weighted_cross_entropy")
    except BackendUnavailableError:
        return False
    return True


class _Fused(torch.autograd.Function):
    """`source` is of the graph of the logits and empty: they themselves would be kept in memory until the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor | None,
        shares: Tensor | None,
        weights: Tensor,
        weighted: bool,
        source: Tensor,
    ) -> Tensor:
        loss, gradient = loss_and_gradient(logits, labels, shares, weights, weighted, ctx.needs_input_grad[0])
        ctx.save_for_backward(gradient, source)
        return loss

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        gradient, source = ctx.saved_tensors
        nothing = (None,) * 5
        if torch.is_grad_enabled():  # create_graph=True: a second derivative must not be lost without a word
            return scaled_once(factor, gradient, source), *nothing
        batched = torch._C._functorch.is_legacy_batchedtensor(factor)  # is_grads_batched=True
        if batched or torch._C._autograd._get_current_graph_task_keep_graph():
            return gradient * factor.to(gradient.dtype), *nothing
        scale_in_place(gradient, factor)  # the graph ends here, so nobody reads the saved gradient again
        return gradient, *nothing


def _check(logits: Any, labels: Any, weights: Any, mask: Any, shares: Any) -> Seen:
    named = {"logits": logits, "labels": labels, "weights": weights}
    named |= {name: value for name, value in (("mask", mask), ("shares", shares)) if value is not None}
    seen = dict(zip(named, checks.tensors(**named), strict=True))
    checks.dtype("logits", seen["logits"], checks.LOGIT_DTYPES)
    if not _is_dense(seen):
        checks.dtype(
            "labels", seen["labels"], _INTEGERS, "labels are numbers of bins; floats are the shares of all bins"
        )
    for name in ("weights", "mask", "shares"):
        if name in seen:
            checks.dtype(name, seen[name], _REALS)
    factors = {name: one for name, one in seen.items() if name != "logits"}
    checks.no_gradient("weighted_cross_entropy", **factors)
    checks.no_tangent("weighted_cross_entropy", "logits", seen["logits"])
    _check_shapes(seen)
    return seen["logits"]


def _is_dense(seen: dict[str, Seen]) -> bool:
    return "shares" not in seen and seen["labels"].dtype in checks.LOGIT_DTYPES


def _check_shapes(seen: dict[str, Seen]) -> None:
    logits, weights = seen["logits"].shape, seen["weights"].shape
    if len(logits) < 2 or logits[1] < 1:
        raise ValueError(f"logits: expected shape (N, n, ...), n >= 1, got {logits}; the bins are on axis 1")
    n, pixels = logits[1], (logits[0], *logits[2:])
    _check_labels(seen, pixels)
    if weights == pixels == (n,):
        raise ValueError(
            f"weights: expected one a pixel or one a bin, got shape {weights}, which may be either beside logits "
            f"{logits}; give all but weights by bin one more axis of size 1: logits (N, n, 1), labels (N, 1)"
        )
    if weights not in (pixels, (n,)):
        raise ValueError(
            f"weights: expected shape {pixels} or ({n},), got {weights}; one for each pixel, as encode gives it, or "
            "one for each bin"
        )
    if "mask" in seen:
        checks.shape("mask", seen["mask"], pixels, "it must be the shape of logits without the bins")


def _check_labels(seen: dict[str, Seen], pixels: tuple[int, ...]) -> None:
    labels, logits = seen["labels"], seen["logits"].shape
    if _is_dense(seen):
        checks.shape("labels", labels, logits, "floats are the shares of all bins")
    elif "shares" not in seen:
        checks.shape("labels", labels, pixels, "it must be the shape of logits without the bins")
    else:
        k = labels.shape[1] if len(labels.shape) == len(logits) else 0
        hint = "with shares it has the k nearest bins where logits have all n: encode_soft(..., axis=1)"
        if k == 0:
            raise ValueError(f"labels: expected shape (N, k, ...) beside logits {logits}, got {labels.shape}; {hint}")
        checks.shape("labels", labels, (pixels[0], k, *pixels[1:]), hint)
        checks.shape("shares", seen["shares"], labels.shape, "it must be the shape of labels")
