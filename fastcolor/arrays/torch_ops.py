"""The operations as operators of torch (``torch.ops.fastcolor``): for torch.compile, torch.export and autograd.

An operator is opaque to the compiler: its fake kernel says shape and dtype of the results, its real one, the same on
every device, is ``run``. Results are always new. Bins travel as text (``bins_key``). On a GPU nothing waits for the
device or copies from the host, so that a CUDA graph can hold every operator after one call before its capture.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from ..kernels.common.host import without
from . import run, run_gradient, torch_func
from .bins_key import from_key, key_of
from .dispatch import choose
from .kinds import Seen, look, transformed
from .run_gradient import annealed_mean_gradient, logits_and_room

# Any strides are taken as they are, so the compiler may choose those of the arguments.
_ANY_LAYOUT = (torch.Tag.pt2_compliant_tag, torch.Tag.flexible_layout)
# The gradient has the strides of the logits: what the fake kernel was told must hold.
_EXACT_LAYOUT = (
    torch.Tag.pt2_compliant_tag,
    getattr(torch.Tag, "needs_exact_strides", torch.Tag.needs_fixed_stride_order),  # older torch has the latter alone
)


def _operator(
    schema: str, real: Callable[..., Any], fake: Callable[..., Any], tags: tuple[Any, ...] = _ANY_LAYOUT
) -> Any:
    """Register ``fastcolor::<schema>``; both functions have its arguments."""
    name = f"fastcolor::{schema.partition('(')[0]}"
    torch.library.define(name, schema[schema.index("(") :], tags=tags)
    torch.library.impl(name, "default", real)
    torch.library.register_fake(name, fake)
    return getattr(torch.ops.fastcolor, name.partition("::")[2])


def encode(rgb: Seen, bins: Any, lam: float, label_dtype: str, axis: int, backend: str) -> tuple[Any, Any, Any]:
    parts: tuple[Any, Any, Any] = _encode(rgb.array, key_of(bins), lam, label_dtype, axis, backend)
    return parts


def encode_soft(rgb: Seen, bins: Any, *options: Any) -> tuple[Any, Any, Any, Any]:
    parts: tuple[Any, Any, Any, Any] = _encode_soft(rgb.array, key_of(bins), *options)
    return parts


def histogram(rgb: Seen, cells: int, space: str, axis: int, backend: str) -> Tensor:
    counts: Tensor = _histogram(rgb.array, cells, space, axis, backend)
    return counts


def annealed_mean(
    logits: Seen,
    bins: Any,
    temperature: float,
    axis: int,
    from_logits: bool,
    backend: str,
    out: Tensor | None = None,
) -> Tensor:
    _no_out(out)
    operator = torch_func.AnnealedMean.apply if transformed() else _annealed_mean
    chroma: Tensor = operator(logits.array, key_of(bins), temperature, axis, from_logits, backend)
    return chroma


def confidence(logits: Seen, axis: int, from_logits: bool, backend: str) -> tuple[Any, Any]:
    maps: tuple[Any, Any] = _confidence(logits.array, axis, from_logits, backend)
    return maps


def decode(
    logits: Seen,
    luma: Seen,
    bins: Any,
    temperature: float,
    axis: int,
    channel_axis: int,
    confidence: bool,
    from_logits: bool,
    backend: str,
    out: Tensor | None = None,
) -> Any:
    _no_out(out)
    operator = _decode_confidence if confidence else _decode
    return operator(logits.array, luma.array, key_of(bins), temperature, axis, channel_axis, from_logits, backend)


def merge(chroma: Seen, luma: Seen, space: str, backend: str) -> Tensor:
    rgb: Tensor = _merge(chroma.array, luma.array, space, backend)
    return rgb


def cross_entropy(*parts: Any) -> Tensor:
    """Of a :class:`fastcolor.arrays.run_gradient.Loss`."""
    operator = torch_func.CrossEntropy.apply if transformed() else _cross_entropy
    loss: Tensor = operator(*parts)
    return loss


def checked_labels(labels: Tensor, n: int) -> Tensor:
    checked: Tensor = _checked_labels(labels, n)
    return checked


def checked_weights(weights: Tensor, divides: bool) -> Tensor:
    checked: Tensor = _checked_weights(weights, divides)
    return checked


_REASON = "TemporalSmoother changes its state, which a compiled graph cannot; call it outside, or without fullgraph"
_SAYS_WHY = "reason" in signature(torch.compiler.disable).parameters  # not in torch 2.6


@torch.compiler.disable(**({"reason": _REASON} if _SAYS_WHY else {}))
def eagerly(function: Callable[..., Any], *arguments: Any) -> Any:
    """The call, outside of any compiled graph."""
    return function(*arguments)


def _no_out(out: Any) -> None:
    if out is not None:
        raise ValueError(
            "out: expected None where torch compiles or differentiates, got an array; the result is a new tensor there"
        )


# --- what each operator runs, and what it tells the compiler ---------------------------------------------------------


def _like(array: Tensor, shape: Any, dtype: torch.dtype) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype, device=array.device)


def _fake_encode(
    rgb: Tensor, bins: str, lam: float, label_dtype: str, axis: int, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    shape = without(rgb.shape, axis)
    luma, labels, weights = (torch.float32, getattr(torch, label_dtype), torch.float32)
    return _like(rgb, shape, luma), _like(rgb, shape, labels), _like(rgb, shape, weights)


def _fake_encode_soft(
    rgb: Tensor,
    bins: str,
    neighbors: int,
    sigma: float,
    lam: float,
    weighting: str,
    label_dtype: str,
    axis: int,
    channel_axis: int,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = without(rgb.shape, channel_axis)
    soft = (*shape[:axis], neighbors, *shape[axis:])
    labels = _like(rgb, soft, getattr(torch, label_dtype))
    return _like(rgb, shape, torch.float32), labels, _like(rgb, soft, torch.float32), _like(rgb, shape, torch.float32)


def _fake_annealed_mean(
    logits: Tensor, bins: str, temperature: float, axis: int, from_logits: bool, backend: str
) -> Tensor:
    dtype = torch.float32 if logits.dtype == torch.float64 else logits.dtype
    return _like(logits, (*logits.shape[:axis], 2, *logits.shape[axis + 1 :]), dtype)


def _fake_confidence(logits: Tensor, axis: int, from_logits: bool, backend: str) -> tuple[Tensor, Tensor]:
    shape = without(logits.shape, axis)
    return _like(logits, shape, torch.float32), _like(logits, shape, torch.float32)


def _fake_decode(
    logits: Tensor,
    luma: Tensor,
    bins: str,
    temperature: float,
    axis: int,
    channel_axis: int,
    from_logits: bool,
    backend: str,
) -> Tensor:
    return _like(luma, (*luma.shape[:channel_axis], 3, *luma.shape[channel_axis:]), torch.uint8)


def _fake_decode_confidence(
    logits: Tensor, luma: Tensor, bins: str, temperature: float, axis: int, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    rgb = _fake_decode(logits, luma, bins, temperature, axis, *rest)
    return rgb, *_fake_confidence(logits, axis, *rest[1:])


def _seen(tensor: Tensor) -> Seen:
    seen = look(tensor)
    assert seen is not None
    return seen


def _run_decode(
    confidence: bool, logits: Tensor, luma: Tensor, bins: str, temperature: float, axis: int, channel: int, *rest: Any
) -> Any:
    return run.decode(_seen(logits), _seen(luma), from_key(bins), temperature, axis, channel, confidence, *rest)


_encode = _operator(
    "encode(Tensor rgb, str bins, float lam, str label_dtype, int axis, str backend) -> (Tensor, Tensor, Tensor)",
    lambda rgb, bins, *rest: run.encode(_seen(rgb), from_key(bins), *rest),
    _fake_encode,
)
_encode_soft = _operator(
    "encode_soft(Tensor rgb, str bins, int neighbors, float sigma, float lam, str weighting, str label_dtype, int axis,"
    " int channel_axis, str backend) -> (Tensor, Tensor, Tensor, Tensor)",
    lambda rgb, bins, *rest: run.encode_soft(_seen(rgb), from_key(bins), *rest),
    _fake_encode_soft,
)
_histogram = _operator(
    "histogram(Tensor rgb, int cells, str space, int axis, str backend) -> Tensor",
    lambda rgb, *rest: run.histogram(_seen(rgb), *rest),
    lambda rgb, cells, space, axis, backend: _like(rgb, (cells, cells), torch.int64),
)
_annealed_mean = _operator(
    "annealed_mean(Tensor logits, str bins, float temperature, int axis, bool from_logits, str backend) -> Tensor",
    lambda logits, bins, *rest: run.annealed_mean(_seen(logits), from_key(bins), *rest),
    _fake_annealed_mean,
)
_annealed_mean_backward = _operator(
    "annealed_mean_backward(Tensor gradient, Tensor logits, str bins, float temperature, int axis, str backend)"
    " -> Tensor",
    lambda gradient, logits, bins, *rest: annealed_mean_gradient(gradient, logits, from_key(bins), *rest),
    lambda gradient, logits, bins, temperature, axis, backend: logits_and_room(logits, axis)[1],
    _EXACT_LAYOUT,
)
_confidence = _operator(
    "confidence(Tensor logits, int axis, bool from_logits, str backend) -> (Tensor, Tensor)",
    lambda logits, *rest: run.confidence(_seen(logits), *rest),
    _fake_confidence,
)
_decode = _operator(
    "decode(Tensor logits, Tensor luma, str bins, float temperature, int axis, int channel_axis, bool from_logits,"
    " str backend) -> Tensor",
    lambda *arguments: _run_decode(False, *arguments),
    _fake_decode,
)
_decode_confidence = _operator(
    "decode_confidence(Tensor logits, Tensor luma, str bins, float temperature, int axis, int channel_axis,"
    " bool from_logits, str backend) -> (Tensor, Tensor, Tensor)",
    lambda *arguments: _run_decode(True, *arguments),
    _fake_decode_confidence,
)
_merge = _operator(
    "merge(Tensor chroma, Tensor luma, str space, str backend) -> Tensor",
    lambda chroma, luma, *rest: run.merge(_seen(chroma), _seen(luma), *rest),
    lambda chroma, luma, space, backend: _like(luma, (*luma.shape, 3), torch.uint8),
)


_LOSS = "Tensor logits, Tensor? labels, Tensor? shares, Tensor weights, Tensor? over, SymInt? number"
_cross_entropy = _operator(
    f"cross_entropy({_LOSS}) -> Tensor",
    run_gradient.cross_entropy,
    lambda logits, labels, shares, weights, over, number: _like(
        weights, () if number is not None else weights.shape, weights.dtype
    ),
)
_cross_entropy_backward = _operator(
    f"cross_entropy_backward(Tensor gradient, {_LOSS}) -> Tensor",
    run_gradient.cross_entropy_gradient,
    lambda gradient, logits, *rest: logits_and_room(logits)[1],
    _EXACT_LAYOUT,
)
_checked_labels = _operator(
    "checked_labels(Tensor labels, int n) -> Tensor",
    run_gradient.checked_labels,
    lambda labels, n: torch.empty_like(labels, dtype=torch.int64),
)
_checked_weights = _operator(
    "checked_weights(Tensor weights, bool divides) -> Tensor",
    lambda weights, divides: run_gradient.checked_weights(weights, divides).clone(),
    lambda weights, divides: torch.empty_like(weights),
)


# --- autograd ---------------------------------------------------------------------------------------------------------


def _keep_logits(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, *ctx.options, _, backend = inputs
    ctx.options.append(backend)  # probabilities that require a gradient were refused before
    choose(backend, str(logits.device), "annealed_mean_gradient")  # told now, not in the backward
    ctx.save_for_backward(logits)


def _through_annealed_mean(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    (logits,) = ctx.saved_tensors
    return _annealed_mean_backward(gradient, logits, *ctx.options), None, None, None, None, None


def _once_only(ctx: Any, *gradients: Any) -> None:
    raise torch_func.once_only("annealed_mean")


def _keep_loss(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.number = inputs
    ctx.save_for_backward(*tensors)


def _through_loss(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    return _cross_entropy_backward(gradient, *ctx.saved_tensors, ctx.number), *[None] * 5


def _loss_once_only(ctx: Any, *gradients: Any) -> None:
    raise torch_func.once_only("weighted_cross_entropy")


torch.library.register_autograd("fastcolor::annealed_mean", _through_annealed_mean, setup_context=_keep_logits)
torch.library.register_autograd("fastcolor::annealed_mean_backward", _once_only)
torch.library.register_autograd("fastcolor::cross_entropy", _through_loss, setup_context=_keep_loss)
torch.library.register_autograd("fastcolor::cross_entropy_backward", _loss_once_only)
