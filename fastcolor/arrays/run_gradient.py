"""What has a gradient, run on tensors: weighted cross entropy with its gradient, and that of the annealed mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .dispatch import choose
from .kinds import as_numpy

# Taken as they are, beside int64.
_LABELS = {"cpu": (torch.uint8,), "cuda": (torch.uint8, torch.int32)}


def loss_and_gradient(
    logits: Tensor, labels: Tensor | None, shares: Tensor | None, weights: Tensor, weighted: bool, wanted: bool
) -> tuple[Tensor, Tensor]:
    """``sum_i w_i l_i``, over ``sum_i w_i`` if `weighted`, and its gradient in the logits in their memory layout.

    An empty tensor if the gradient is not wanted. On a GPU nothing waits for the device: the sum of the weights stays
    there, and labels out of range, which the CPU refuses, make the loss NaN.
    """
    where = logits.device
    labels = _fit_labels(logits, labels, weights)
    precise = torch.float64 if logits.dtype == torch.float64 else torch.float32
    gradient = None
    if wanted:
        logits, gradient = logits_and_room(logits)
    if not logits.numel():
        loss = torch.zeros((), dtype=precise, device=where)
    else:
        scale = torch.ones(1, dtype=precise, device=where)
        if weighted:
            mass = weights.sum(dtype=torch.float64)
            scale = torch.where(mass > 0, 1 / mass, 0).to(precise).view(1)
        total = _run_loss(logits, labels, shares, weights, scale, gradient=gradient)
        loss = total if isinstance(total, Tensor) else torch.tensor(float(total), dtype=precise)
    return loss, torch.empty(0, dtype=logits.dtype, device=where) if gradient is None else gradient


def cross_entropies(logits: Tensor, labels: Tensor | None, shares: Tensor | None, weights: Tensor) -> Tensor:
    """``w_i l_i`` of every pixel, shape of the weights."""
    labels = _fit_labels(logits, labels, weights)
    losses = torch.zeros(weights.shape, dtype=weights.dtype, device=logits.device)
    if logits.numel():
        scale = torch.ones(1, dtype=weights.dtype, device=logits.device)
        _run_loss(logits, labels, shares, weights, scale, losses=losses)
    return losses


def cross_entropies_gradient(
    gradient: Tensor, logits: Tensor, labels: Tensor | None, shares: Tensor | None, weights: Tensor
) -> Tensor:
    """``sum_i g_i w_i d l_i / d x``, in the memory layout of the logits."""
    factors = torch.where(weights != 0, weights * gradient.to(weights.dtype), 0)
    return loss_and_gradient(logits, labels, shares, factors, False, True)[1]


def _run_loss(
    logits: Tensor,
    labels: Tensor | None,
    shares: Tensor | None,
    weights: Tensor,
    scale: Tensor,
    **results: Tensor | None,
) -> Any:
    kernels = choose("auto", str(logits.device), "weighted_cross_entropy")
    *arrays, soft = [None if array is None else _native(array) for array in (logits, labels, weights, scale, shares)]
    views = {name: None if array is None else _native(array) for name, array in results.items()}
    return kernels.weighted_cross_entropy(*arrays, shares=soft, **views)


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
    return as_numpy(tensor) if tensor.device.type == "cpu" else tensor.detach().resolve_neg()


def logits_and_room(logits: Tensor, axis: int = 1) -> tuple[Tensor, Tensor]:
    """The logits in a layout that the kernels take as it is, and memory of the same layout for the gradient."""
    last = torch.movedim(logits, axis, -1)
    if last.is_contiguous() and not logits.is_contiguous():
        return logits, torch.movedim(torch.empty(last.shape, dtype=logits.dtype, device=logits.device), -1, axis)
    return logits.contiguous(), torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)


def scale_in_place(gradient: Tensor, factor: Tensor) -> None:
    """``gradient *= factor``; costs nothing for a factor of 1, which is the usual one."""
    if gradient.device.type == "cpu":
        if factor != 1:
            gradient.mul_(factor.to(gradient.dtype))
    else:
        kernels = choose("auto", str(gradient.device), "scale_unless_one")
        kernels.scale_unless_one(_native(gradient), _native(factor.float().view(1)))


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
