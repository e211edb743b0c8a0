"""What has a gradient, run on tensors: weighted cross entropy with its gradient, and that of the annealed mean."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .dispatch import choose
from .kinds import as_numpy, settled

# Taken as they are, beside int64.
_LABELS = {"cpu": (torch.uint8,), "cuda": (torch.uint8, torch.int16, torch.uint16, torch.int32)}
BACKEND = "auto"  # of the loss, which has no argument for it


class Loss(NamedTuple):
    """What a loss is of.

    Attributes
    ----------
    logits : Tensor, shape (N, n, ...)
    labels, shares : Tensor or None
        As in :class:`fastcolor.arrays.targets.Target`.
    weights : Tensor, shape (N, ...)
    over : Tensor or None
        The sum of the losses is divided by the sum of these numbers, and
    number : int or None
        this one; None: each pixel has its own loss.
    """

    logits: Tensor
    labels: Tensor | None
    shares: Tensor | None
    weights: Tensor
    over: Tensor | None
    number: int | None


def cross_entropy(*parts: Any) -> Tensor:
    """``w_i l_i`` of a :class:`Loss`: of each pixel, or their sum over the divisor. Nothing waits for a GPU."""
    given = fitted(Loss(*parts))
    logits, weights = given.logits, given.weights
    if given.number is None:
        losses = torch.zeros(weights.shape, dtype=weights.dtype, device=logits.device)
        if logits.numel():
            _run(given, losses=losses)
        return losses
    return _total(given, _run(given) if logits.numel() else 0.0)


def cross_entropy_gradient(factor: Tensor, *parts: Any) -> Tensor:
    """``sum_i f_i d(w_i l_i) / d x`` over the divisor, in the memory layout of the logits; `factor` as the loss is."""
    given = fitted(Loss(*parts))
    logits, gradient = logits_and_room(given.logits)
    if given.number is None:
        weights = torch.where(given.weights != 0, given.weights * factor.to(given.weights.dtype), 0)
        given = given._replace(weights=weights)
    if logits.numel():
        one = None if given.number is None else factor.view(1)
        _run(given._replace(logits=logits), gradient=gradient, factor=one)
    return gradient


def loss_and_gradient(*parts: Any) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient in the memory layout of the logits."""
    given = fitted(Loss(*parts))
    logits, gradient = logits_and_room(given.logits)
    total = _run(given._replace(logits=logits), gradient=gradient) if logits.numel() else 0.0
    return _total(given, total), gradient


def is_in_two_steps(logits: Tensor) -> bool:
    """Whether :func:`begin` and :func:`end` are for these logits: on a GPU."""
    return hasattr(_kernels(logits), "loss_forward")


def begin(given: Loss) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, its gradient, and what :func:`end` must know of this call."""
    logits, gradient = logits_and_room(given.logits)
    if not logits.numel():
        return torch.zeros((), device=logits.device), gradient, gradient
    arrays, options = _arrays(given._replace(logits=logits))
    loss, call = _kernels(logits).loss_forward(*arrays, **options, gradient=_native(gradient))
    return _tensor(loss), gradient, _tensor(call)


def end(factor: Tensor, gradient: Tensor, call: Tensor, given: Loss, backend: str) -> None:
    """Give the gradient that :func:`begin` left, by this backend, the factor of the loss from above."""
    if gradient.numel():
        (logits, labels, weights), options = _arrays(given._replace(logits=_laid_out(given.logits)))
        arrays = _native(call), _native(factor.view(1)), logits, labels, weights
        _kernels(gradient, backend).loss_backward(*arrays, shares=options["shares"], gradient=_native(gradient))


def _kernels(logits: Tensor, backend: str | None = None) -> Any:
    return choose(backend or BACKEND, str(logits.device), "weighted_cross_entropy")


def _arrays(given: Loss) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of the kernels."""
    logits, labels, shares, weights, over = (None if array is None else _native(array) for array in given[:5])
    return [logits, labels, weights], {"shares": shares, "over": over, "number": given.number}


def _run(given: Loss, **results: Tensor | None) -> Any:
    arrays, options = _arrays(given)
    views = {name: None if array is None else _native(array) for name, array in results.items()}
    return _kernels(given.logits).weighted_cross_entropy(*arrays, **options, **views)


def _total(given: Loss, total: Any) -> Tensor:
    if isinstance(total, Tensor):
        return total
    return torch.tensor(float(total), dtype=given.weights.dtype, device=given.logits.device)


def _tensor(array: Any) -> Tensor:
    return array if isinstance(array, Tensor) else torch.from_numpy(array)


def fitted(given: Loss) -> Loss:
    """With labels in a type that kernels take, and weights that their arithmetic holds."""
    logits, labels, _, weights, over, _ = given
    divides = over is not None and over.data_ptr() == weights.data_ptr()  # torch.compile may wrap one tensor twice
    fit = checked_weights(weights, divides)
    labels = _fit_labels(logits, labels, weights)
    return given._replace(labels=labels, weights=fit, over=fit if divides else over)


def checked_weights(weights: Tensor, divides: bool) -> Tensor:
    """The weights of the pixels; on the CPU, ValueError where one is negative or not finite.

    Where their own sum `divides` the loss their scale is free, and one whose sum or its reciprocal would leave float32
    becomes 1.
    """
    if weights.device.type != "cpu" or not weights.numel():
        return weights
    low, high = map(float, torch.aminmax(weights))
    if not 0 <= low <= high < math.inf:  # nor with NaN
        raise ValueError(
            f"weights: expected finite numbers >= 0, times the mask, got {low:g} to {high:g}; a pixel that is not to "
            "count has mask 0, whatever its weight"
        )
    return weights / high if divides and high and not 2.0**-100 <= high <= 2.0**80 else weights


def _fit_labels(logits: Tensor, labels: Tensor | None, weights: Tensor) -> Tensor | None:
    """Labels in a type that the kernels take; on the CPU they are checked, but where the weight is 0."""
    if labels is None:
        return None
    where = logits.device.type
    labels = labels if labels.dtype in _LABELS.get(where, ()) else labels.long()
    if where == "cpu" and not _in_range(labels, logits.shape[1]):
        live = weights != 0 if labels.dim() == weights.dim() else (weights != 0).unsqueeze(1).expand_as(labels)
        _check_range(labels[live], logits.shape[1])
    return labels


def annealed_mean_gradient(
    gradient: Tensor, logits: Tensor, bins: Any, temperature: float, axis: int, backend: str
) -> Tensor:
    """``d (g . chroma) / d x_b = f_b (c_b - chroma) . g / T`` with ``f = softmax(x / T)``, for g = `gradient`.

    In float32, as the operation itself; in the memory layout of the logits, NaN where the chroma is NaN.
    """
    logits, result = logits_and_room(logits, axis)
    if logits.numel():
        kernels = choose(backend, str(logits.device), "annealed_mean_gradient")
        arrays = _native(gradient), _native(logits), bins
        kernels.annealed_mean_gradient(*arrays, temperature=temperature, axis=axis, out=_native(result))
    return result


def _native(tensor: Tensor) -> Any:
    return as_numpy(tensor) if tensor.device.type == "cpu" else settled(tensor)


def logits_and_room(logits: Tensor, axis: int = 1) -> tuple[Tensor, Tensor]:
    """The logits in a layout that the kernels take as it is, and memory of the same layout for the gradient."""
    if logits.is_contiguous() or not (last := torch.movedim(logits, axis, -1)).is_contiguous():
        return logits.contiguous(), torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
    return logits, torch.movedim(torch.empty(last.shape, dtype=logits.dtype, device=logits.device), -1, axis)


def _laid_out(logits: Tensor) -> Tensor:
    """As :func:`logits_and_room`, without the room."""
    last = torch.movedim(logits, 1, -1)
    return logits if last.is_contiguous() else logits.contiguous()


def checked_labels(labels: Tensor, n: int) -> Tensor:
    """A new tensor of the labels as int64; on the CPU, ValueError if one is out of range."""
    labels = labels.to(torch.int64, copy=True)
    if labels.device.type == "cpu":
        _check_range(labels, n)
    return labels


def _in_range(labels: Tensor, n: int) -> bool:
    if not labels.numel():
        return True
    low, high = torch.aminmax(labels)
    return bool(low >= 0 and high < n)


def _check_range(labels: Tensor, n: int) -> None:
    if not _in_range(labels, n):
        raise ValueError(f"labels: expected 0 to {n - 1}, got {int(labels.min())} to {int(labels.max())}")
