"""What has a gradient under torch.func's transforms: grad, vjp, jacrev, vmap, and these within each other.

They do not see the autograd of torch.library's operators, but that of a Function with `setup_context` and `vmap`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import Function

from . import checks
from .dispatch import choose


class _OneByOne(Function):
    """vmap is a loop over the batch."""

    @classmethod
    def vmap(cls, info: Any, in_dims: Any, *arguments: Any) -> Any:
        if not info.batch_size:
            raise ValueError("vmap: expected a batch of at least one, got none; leave an empty batch out")
        pairs = list(zip(arguments, in_dims, strict=True))
        rows = [[a if dim is None else a.select(dim, i) for a, dim in pairs] for i in range(info.batch_size)]
        results = [cls.apply(*row) for row in rows]
        if isinstance(results[0], Tensor):
            return torch.stack(results), 0
        return tuple(map(torch.stack, zip(*results, strict=True))), (0,) * len(results[0])


class AnnealedMean(_OneByOne):
    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.fastcolor.annealed_mean(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        logits, *ctx.options, _, backend = inputs
        ctx.options.append(backend)
        if ctx.needs_input_grad[0]:
            choose(backend, str(logits.device), "annealed_mean_gradient")  # told now, not in the backward
        ctx.save_for_backward(logits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        operator = torch.ops.fastcolor.annealed_mean_backward
        return once("annealed_mean", operator, gradient, *ctx.saved_tensors, *ctx.options), *[None] * 5

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise checks.no_forward_mode("annealed_mean", "logits")


class CrossEntropy(_OneByOne):
    """``w_i l_i`` of every pixel, or the loss that they add up to."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.fastcolor.cross_entropy(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *tensors, ctx.number = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        operator = torch.ops.fastcolor.cross_entropy_backward
        return once("weighted_cross_entropy", operator, gradient, *ctx.saved_tensors, ctx.number), *[None] * 5

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise checks.no_forward_mode("weighted_cross_entropy", "logits")


def once(name: str, run: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """``run(*arguments)``, a derivative of `name`, with an error as its own."""
    result: Tensor = _Once.apply(name, run, *arguments)
    return result


class _Once(_OneByOne):
    """``run(*arguments)``, the derivative of `name`, which has none itself."""

    @staticmethod
    def forward(name: str, run: Callable[..., Tensor], *arguments: Any) -> Tensor:
        return run(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.name = inputs[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> NoReturn:
        raise once_only(ctx.name)

    jvp = backward


def once_only(function: str) -> RuntimeError:
    return RuntimeError(f"{function}: expected one derivative, got a second; it is differentiable once")
