"""Class-rebalanced cross entropy for torch: forward and backward are one pass over the logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arrays import checks, run_gradient, targets
from .arrays.dispatch import choose
from .arrays.kinds import Seen, is_traced
from .arrays.plans import PLANS
from .arrays.run_gradient import Loss
from .arrays.signature import places, sign, sign_after
from .arrays.torch_func import once
from .errors import BackendUnavailableError
from .kernels.common import recording
from .reference.constants import MAX_BINS
from .reference.loss import REDUCTIONS

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
        require a gradient; forward mode (jvp, jacfwd); on the CPU, where a pixel counts, labels out of range, and
        weights that are negative or not finite. On a GPU such labels make the loss NaN, and weights are taken as they
        come: to see them, the host would have to wait for the device.

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
    arguments = logits, labels, weights, mask, shares, reduction
    if _is_direct(*arguments):
        loss: Tensor = _OnGpu.apply(*arguments)
        return loss
    seen, given = _looked_at(*arguments)
    return _loss(seen, given)


def _looked_at(
    logits: Tensor, labels: Tensor, weights: Tensor, mask: Tensor | None, shares: Tensor | None, reduction: str
) -> tuple[Seen, Loss]:
    """Checked arguments as the loss that they ask for."""
    checks.choice("reduction", reduction, REDUCTIONS)
    seen = _check(logits, labels, weights, mask, shares)
    target = targets.of(logits, labels, shares)
    pixel, counted = targets.pixel_weights(target, weights, mask)
    *_, itself, by_mask, number = _form(logits, labels, weights, mask, shares, reduction)
    over = pixel if itself else counted if by_mask else None
    return seen, Loss(*target, pixel, over, None if reduction == "none" else number)


def _form(
    logits: Tensor, labels: Tensor, weights: Tensor, mask: Tensor | None, shares: Tensor | None, reduction: str
) -> tuple[bool, bool, bool, bool, int]:
    """Whether a :class:`Loss` has labels, and shares; whether its weights divide it, or a mask; and its number."""
    dense, by_mask = shares is None and labels.is_floating_point(), reduction == "mean" and mask is not None
    pixels = max(logits.numel() // logits.shape[1], 1)
    number = 0 if by_mask or reduction == "weighted" else 1 if reduction == "sum" else pixels
    return not dense, dense or shares is not None, reduction == "weighted", by_mask, number


def _of_form(form: tuple[bool, bool, bool, bool, int], *parts: Tensor) -> Loss:
    """The loss of that form from its tensors."""
    (labelled, shared, itself, by_mask, number), (logits, *rest) = form, parts
    labels, shares = rest.pop(0) if labelled else None, rest.pop(0) if shared else None
    weights = rest.pop(0)
    return Loss(logits, labels, shares, weights, weights if itself else rest[0] if by_mask else None, number)


def _loss(seen: Seen, given: Loss) -> Tensor:
    """``w_i l_i`` of each pixel, or their sum over a divisor, which counts as 1 where it is 0."""
    if not _is_fused(given.logits):
        divides = given.over is given.weights
        weights = targets.checked_weights(given.weights, divides)
        losses = targets.losses_by_torch(targets.Target(*given[:3]), weights)
        if given.number is None:
            return losses
        if given.over is None:
            return losses.sum() / given.number
        divisor = (weights if divides else given.over).sum(dtype=torch.float64).to(losses.dtype)
        return losses.sum() / torch.where(divisor > 0, divisor, 1)
    if seen.traced or given.number is None:
        from .arrays import torch_ops

        return torch_ops.cross_entropy(*given)
    if not seen.wants_gradient:
        return run_gradient.cross_entropy(*given)
    loss: Tensor = _OnCpu.apply(given.logits[:0] * 1, *given)
    return loss


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


class _OnCpu(torch.autograd.Function):
    """The gradient is kept, and in place of the logits `source`, which is of their graph and empty."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, *given: Any) -> Tensor:
        loss, gradient = run_gradient.loss_and_gradient(*given)
        ctx.save_for_backward(source, gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        source, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: a second derivative must not be lost without a word
            gradient = once("weighted_cross_entropy", _times, factor, gradient, source)
        elif _is_read_again(factor):
            gradient = _times(factor, gradient)
        elif factor != 1:
            gradient.mul_(factor.to(gradient.dtype))
        return None, gradient, *[None] * 5


def _is_direct(logits: Any, *others: Any) -> bool:
    """Whether autograd and a GPU's kernels take the loss, by its plan where it has one, before it is looked at."""
    if is_traced(logits) or not logits.requires_grad or not torch.is_grad_enabled() or others[-1] == "none":
        return False
    if logits.dim() < 2 or not _is_fused(logits) or not run_gradient.is_in_two_steps(logits):
        return False
    if torch.autograd.forward_ad._current_level >= 0:
        return False
    return not any(other.requires_grad for other in others[:-1] if isinstance(other, Tensor))


def _begin(*arguments: Any) -> tuple[Tensor, ...]:
    """The loss, its gradient, the call, and all tensors of the loss."""
    given = run_gradient.fitted(_looked_at(*arguments)[1])
    over = given.over if given.over is not given.weights else None
    parts = tuple(part for part in (*given[:4], over) if part is not None)
    results = run_gradient.begin(given)
    if any(all(part is not one for one in arguments) for part in parts):
        recording.spoil()
    return *results, *parts


def _end(gradient: Tensor, factor: Tensor, backend: str, form: Any, call: Tensor, *parts: Tensor) -> Tensor:
    run_gradient.end(factor, gradient, call, _of_form(form, *parts), backend)
    return gradient


def _anew(factor: Tensor, form: Any, *parts: Tensor) -> Tensor:
    return run_gradient.cross_entropy_gradient(factor, *_of_form(form, *parts))


class _OnGpu(torch.autograd.Function):
    """Beside the gradient all is kept that it was made of: for a factor that was not expected it is made once more."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        backend = run_gradient.BACKEND
        signed = sign(("loss", backend), arguments, {}, backend)
        loss, *kept = PLANS.signed(signed, _begin, *arguments) if signed else _begin(*arguments)
        ctx.form, ctx.backend, ctx.key = _form(*arguments), backend, signed and signed.key
        if any(one.is_inference() for one in kept):  # which autograd does not save: copies, that may lie otherwise
            kept, ctx.key = [one.clone() if one.is_inference() else one for one in kept], None
        ctx.save_for_backward(*kept)
        ctx.places = places(kept)
        return loss

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        gradient, call, *parts = kept = list(ctx.saved_tensors)
        if torch.is_grad_enabled():
            gradient = once("weighted_cross_entropy", _anew, factor, ctx.form, *parts)
        elif _is_batched(factor):
            one = torch.ones((), device=gradient.device)
            gradient = _times(factor, _anew(one, ctx.form, *parts))
        elif _is_read_again(factor):
            gradient = _anew(factor, ctx.form, *parts)
        else:
            arguments = gradient, factor, ctx.backend, ctx.form, call, *parts
            signed = ctx.key and sign_after(ctx.key, kept, ctx.places, factor)
            gradient = PLANS.signed(signed, _end, *arguments) if signed else _end(*arguments)
        return gradient, None, None, None, None, None


def _times(factor: Tensor, gradient: Tensor, *_: Tensor) -> Tensor:
    return gradient * factor.to(gradient.dtype)


def _is_read_again(factor: Tensor) -> bool:
    """Whether what was saved is: by retain_graph=True, or by is_grads_batched=True."""
    return _is_batched(factor) or torch._C._autograd._get_current_graph_task_keep_graph()


def _is_batched(factor: Tensor) -> bool:
    return torch._C._functorch.is_legacy_batchedtensor(factor)


def _check(logits: Any, labels: Any, weights: Any, mask: Any, shares: Any) -> Seen:
    named = {"logits": logits, "labels": labels, "weights": weights}
    named |= {name: value for name, value in (("mask", mask), ("shares", shares)) if value is not None}
    seen = dict(zip(named, checks.tensors(**named), strict=True))
    checks.dtype("logits", seen["logits"], checks.LOGIT_DTYPES)
    if not _is_dense(seen):
        checks.dtype(
            "labels", seen["labels"], checks.INTEGERS, "labels are numbers of bins; floats are the shares of all bins"
        )
    for name in ("weights", "mask", "shares"):
        if name in seen:
            checks.dtype(name, seen[name], checks.REALS)
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
