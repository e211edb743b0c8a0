"""What makes a step fast on a GPU beside the kernels: TF32, cuDNN's choice by trial, torch.compile within a time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COMPILE_SECONDS = 60.0


def set_fast_math(device: torch.device) -> None:
    """On a CUDA device: float32 products in TF32, and cuDNN tries its kernels once for each shape."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


def spare_depthwise(network: nn.Module) -> None:
    """Depthwise convolutions that are strided or wider than 3x3 in float32 under autocast, for training on a CPU.

    oneDNN's backward pass of these in bfloat16 takes 3 to 20 times that in float32, and 40 % of a step of
    EfficientNet-Lite0.
    """
    for module in network.modules():
        if (
            isinstance(module, nn.Conv2d)
            and module.groups > 1
            and (max(module.stride) > 1 or max(module.kernel_size) > 3)
        ):
            module.forward = partial(_in_float32, module)  # type: ignore[method-assign]


def _in_float32(layer: nn.Conv2d, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        options = (layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        return F.conv2d(x.float(), layer.weight, *options).to(x.dtype)  # type: ignore[arg-type]


@contextmanager
def whole_float32() -> Iterator[None]:
    """Without TF32, whose ten bits are too few where what is computed becomes a level of 0..255."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def few_shapes() -> Iterator[None]:
    """Without cuDNN's trials, which cost more than they bring where a shape comes now and then."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def rehearse(model: nn.Module, step: Callable[[], Tensor]) -> None:
    """Make what the first step makes: kernels, plans, compiled code. `step` gives a loss of the shapes that will come.

    The buffers of `model` are as before afterwards, its gradients are gone.
    """
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    try:
        step().backward()
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, value in model.named_buffers():
                value.copy_(buffers[name])


def compiled(
    model: nn.Module,
    step: Callable[[nn.Module], Tensor],
    say: Callable[[str], object],
    seconds: float = COMPILE_SECONDS,
) -> nn.Module:
    """``torch.compile(model)``, tried forward and backward by `step`; `model` itself if that fails or takes too long.

    Parameters
    ----------
    model : Module
        Its buffers are as before afterwards, its gradients are gone.
    step : callable
        From a module to a loss, of the shapes that will come.
    say : callable
        Gets a line: that it was compiled, or why not.
    seconds : float
        What is given up after this time; without limit in a thread, or where there are no alarms.
    """
    try:
        # The backward graph is compiled at the first backward. On CUDA that is another thread's, and an alarm would
        # wait for its end: here it is this one's.
        with _at_most(seconds), torch.autograd.set_multithreading_enabled(False):
            runner: nn.Module = torch.compile(model, dynamic=False)  # type: ignore[assignment]
            rehearse(model, lambda: step(runner))
        said = "compiled by torch.compile"
    except (Exception, _TooLong) as error:
        runner, said = model, f"not compiled, it goes on without: {str(error).strip().partition(chr(10))[0]}"
        torch._dynamo.reset()
    say(said)
    return runner


class _TooLong(BaseException):
    """Not an Exception: the compiler takes those for its own."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: object) -> None:
        raise _TooLong(f"it took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
