"""What has a gradient, run on tensors: weighted cross entropy with its gradient, and that of the annealed mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .dispatch import choose
from .kinds import as_numpy

_LABELS = {"cpu": (torch.uint8,), "cuda": (torch.uint8, torch.int32)}  # taken as they are, beside int64


def loss_and_gradient(logits: Tensor, labels: Tensor, weights: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient in the logits in their memory layout; an empty tensor if it is not wanted.

    On a GPU nothing waits for the device: the sum of the weights stays there, and labels out of range, which the CPU
    refuses, make the loss NaN.
    """
    n, where = logits.shape[1], logits.device
    labels = labels if labels.dtype in _LABELS.get(where.type, ()) else labels.long()
    if where.type == "cpu":
        _check_range(labels, n)
    precise = torch.float64 if logits.dtype == torch.float64 else torch.float32
    gradient = None
    if wanted:
        logits, gradient = logits_and_room(logits)
    if not logits.numel():
        loss = torch.zeros((), dtype=precise, device=where)
    else:
        mass = weights.sum(dtype=torch.float64)
        scale = torch.where(mass > 0, 1 / mass, 0).to(precise).view(1)
        kernels = choose("auto", str(logits.device), "weighted_cross_entropy")
        arrays = [_native(array) for array in (logits, labels, weights, scale)]
        total = kernels.weighted_cross_entropy(*arrays, gradient=None if gradient is None else _native(gradient))
        loss = total if isinstance(total, Tensor) else torch.tensor(float(total), dtype=precise)
    return loss, torch.empty(0, dtype=logits.dtype, device=where) if gradient is None else gradient


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


def _check_range(labels: Tensor, n: int) -> None:
    low, high = torch.aminmax(labels) if labels.numel() else (torch.tensor(0), torch.tensor(0))
    if low < 0 or high >= n:
        raise ValueError(f"labels: expected 0 to {n - 1}, got {int(low)} to {int(high)}")
