"""Steps of the smoothing recursion in torch, for :class:`bench.peers.color.Smoother`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from .color import LOG2_E, sum_of
from .torch import to_rgb

Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _factors(alpha: float, window: int) -> tuple[float, float]:
    """What is left of a frame after one more, and after it leaves the window."""
    return math.exp(-alpha), math.exp(-alpha * (window + 1))


def step_eager(bins: Any, temperature: float, alpha: float, window: int) -> Step:
    """In place wherever torch allows it."""
    colors, (decay, last) = torch.tensor(bins.colors), _factors(alpha, window)

    def step(x: Tensor, y: Tensor, total: Tensor, oldest: Tensor) -> Tensor:
        p = torch.softmax(x, 0)
        total.mul_(decay).add_(p).sub_(oldest, alpha=last).clamp_(min=0)
        oldest.copy_(p)
        q = torch.softmax(torch.log(total).mul_(1 / temperature), 0)
        u, v = torch.einsum("nhw,nc->chw", q, colors)
        return to_rgb(y, u, v)

    return step


def step_planes(bins: Any, temperature: float, alpha: float, window: int, levels: int = 0) -> Step:
    """Hand-fused: maximum and mass over the planes, one n-wide update of the state, decoding over the planes.

    `levels` = 255 keeps the ring as uint8, 0 as it is.
    """
    colors, factor, (decay, last) = bins.colors.tolist(), 1 / temperature, _factors(alpha, window)

    def step(x: Tensor, y: Tensor, total: Tensor, oldest: Tensor) -> Tensor:
        peak = reduce(torch.maximum, x)
        mass = sum_of(torch.exp2((plane - peak) * LOG2_E) for plane in x)
        p = torch.exp2((x - peak) * LOG2_E) * (1 / mass)
        old = oldest.float() * (last / levels) if levels else oldest * last
        total.copy_((total * decay + p - old).clamp_min(0))
        oldest.copy_((p * levels + 0.5).to(torch.uint8) if levels else p)
        weight = u = v = torch.zeros_like(peak)
        for plane, (cu, cv) in zip(total, colors, strict=True):
            e = torch.exp2(torch.log2(plane) * factor)
            weight, u, v = weight + e, u + e * cu, v + e * cv
        return to_rgb(y, u / weight, v / weight)

    return step


def step_wide(bins: Any, temperature: float, alpha: float, window: int) -> Step:
    """Written for the compiler with n-wide expressions, which it fuses as it sees fit."""
    cu, cv = (torch.tensor(bins.colors[:, k]).reshape(-1, 1, 1) for k in range(2))
    decay, last = _factors(alpha, window)

    def step(x: Tensor, y: Tensor, total: Tensor, oldest: Tensor) -> Tensor:
        p = torch.softmax(x, 0)
        s = (total * decay + p - oldest * last).clamp_min(0)
        total.copy_(s)
        oldest.copy_(p)
        e = torch.exp2(torch.log2(s) * (1 / temperature))
        scale = 1 / e.sum(0)
        return to_rgb(y, (e * cu).sum(0) * scale, (e * cv).sum(0) * scale)

    return step
