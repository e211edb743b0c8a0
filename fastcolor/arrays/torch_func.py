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
        return (
            _Once.apply("annealed_mean", operator, gradient, *ctx.saved_tensors, *ctx.options),
            *[None] * 5,
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise checks.no_forward_mode("annealed_mean", "logits")


class WeightedCrossEntropy(_OneByOne):
    """The loss, and its gradient in the logits."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.fastcolor.weighted_cross_entropy(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output[1], inputs[0])  # the logits are for who asks for a second derivative in them

    @staticmethod
    def backward(ctx: Any, factor: Tensor | None, _: None) -> Any:
        if factor is None:
            return (None,) * 6
        return scaled_once(factor, *ctx.saved_tensors), *[None] * 5

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise checks.no_forward_mode("weighted_cross_entropy", "logits")


class CrossEntropies(_OneByOne):
    """``w_i l_i`` of every pixel."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.fastcolor.cross_entropies(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        operator = torch.ops.fastcolor.cross_entropies_backward
        return _Once.apply("weighted_cross_entropy", operator, gradient, *ctx.saved_tensors), *[None] * 3

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise checks.no_forward_mode("weighted_cross_entropy", "logits")


def scaled_once(factor: Tensor, gradient: Tensor, source: Tensor) -> Tensor:
    """``factor * gradient`` of the loss, with an error as derivative if `source` requires one."""
    product: Tensor = _Once.apply("weighted_cross_entropy", _scaled, factor, gradient, source)
    return product


def _scaled(factor: Tensor, gradient: Tensor, source: Tensor) -> Tensor:
    return gradient * factor.to(gradient.dtype)


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
