"""Weighted cross entropy on a GPU: the launches of ``loss.cu``.

Nothing comes back to the host: what the loss is divided by, the factor of the backward and the loss stay on the device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..common.cuda_tables import on_device
from ..common.device_arrays import contiguous, empty, moveaxis
from ..common.layout import planes
from .engine import Engine, index_type, label_type
from .lanes import lanes
from .tile import THREADS, Pass

HARD, SOFT, DENSE = 0, 1, 2  # as in loss.cu
PARTS, SUMMERS = 128, 512  # as in sums.cuh and loss.cu
EACH = 16  # numbers of a thread, at least: all that it has under way
CALL = 2 * PARTS + 4  # words of fc::Call, without what its blocks leave there


def weighted_cross_entropy(
    engine: Engine,
    logits: Any,
    labels: Any,
    weights: Any,
    *,
    shares: Any = None,
    over: Any = None,
    number: float | None = 1.0,
    factor: Any = None,
    losses: Any = None,
    gradient: Any = None,
) -> Any:
    """``sum_i w_i l_i / D`` with ``l_i = sum_k s_ik (logsumexp(x_i) - x_i[y_ik])`` and ``D = number + sum(over)``.

    ``gradient[...] = factor w_i / D (S_i softmax(x_i) - sum_k s_ik [b = y_ik])`` with ``S_i = sum_k s_ik``, rounded
    once; ``losses[...] = w_i l_i``. A pixel of weight 0 adds nothing, whatever its logits, labels or shares are. A D
    of 0 counts as 1.

    Parameters
    ----------
    engine : Engine
    logits : array, shape (N, n, ...)
        float32, float16 or bfloat16; contiguous, or channels-last in memory.
    labels : array, integer, or None
        Hard, shape (N, ...), where every share is 1; soft, shape (N, k, ...). One that is no bin makes the loss NaN,
        and the gradient of its pixel that of no label. None if shares are dense.
    weights : array, shape (N, ...), float32
    shares : array, float32, optional
        Soft, shape of the labels; dense, shape of the logits.
    over : array, float32, optional
        Of any shape.
    number : float, optional
        None: nothing is summed or divided, in one launch.
    factor : array of one float32, optional
        1 if it is not given.
    losses : array, shape of the weights, float32, contiguous, optional
        Written if given.
    gradient : array, dtype and memory layout of the logits, optional
        Written if given.

    Returns
    -------
    array, shape (), float32; None without `number`
        Bit for bit the same at every call.
    """
    with engine.context(logits):
        step = _Pass(engine, logits, labels, weights, shares, losses, gradient)
        if number is None:
            step.launch(None, None, None)
            return None
        call, loss = step.begin(over, number, factor), empty(logits, (), "float32")
        step.launch(call, None, loss)
        return loss


def loss_forward(
    engine: Engine, logits: Any, labels: Any, weights: Any, *, shares: Any, over: Any, number: float, gradient: Any
) -> tuple[Any, Any]:
    """The loss, and what :func:`loss_backward` must know of this call.

    Until then the gradient has the factor of the last backward on this device, which will hardly be another.
    """
    with engine.context(logits):
        step = _Pass(engine, logits, labels, weights, shares, None, gradient)
        call, loss = step.begin(over, number, _last_factor(logits)), empty(logits, (), "float32")
        step.launch(call, None, loss)
        return loss, call


def loss_backward(
    engine: Engine, call: Any, factor: Any, logits: Any, labels: Any, weights: Any, *, shares: Any, gradient: Any
) -> None:
    """Give the gradient of :func:`loss_forward`, with its arguments, the factor from above: one float32.

    It is computed once more, but where it has that factor already: then no memory is moved.
    """
    with engine.context(logits):
        _Pass(engine, logits, labels, weights, shares, None, gradient).launch(call, factor, None)


def _last_factor(like: Any) -> Any:
    """One float32 on the device of `like`, for ever: a backward writes it whenever it comes."""
    return on_device(np.ones(1, np.float32), like, "the factor of the last backward", lasting=True)


class _Pass:
    """The pass over the logits, with arrays as its kernel takes them."""

    def __init__(
        self, engine: Engine, logits: Any, labels: Any, weights: Any, shares: Any, losses: Any, gradient: Any
    ) -> None:
        self.run = run = Pass(engine, "loss", logits, 1)
        kind = DENSE if labels is None else HARD if shares is None else SOFT
        target, weights = None if gradient is None else _same_layout(gradient, run.x), contiguous(weights)
        if kind == DENSE and run.last:  # as the logits lie
            shares = moveaxis(shares, 1, -1)
        labels, shares = (None if array is None else contiguous(array) for array in (labels, shares))
        k = math.prod(shares.shape) // run.pixels if kind == SOFT else 1
        run.index = index_type(run.pixels * max(run.n, k, 3))
        words = kind, "fc::u8" if labels is None else label_type(labels), str(gradient is not None).lower()
        in_memory: tuple[Any, ...] = (run.x, target, shares if kind == DENSE else None)
        if not run.last:
            in_memory += weights, losses, labels if kind == HARD else None
        self.expression, self.blocks = lanes(
            run, lambda layout: f"fc::loss_pass<{layout}, {', '.join(map(str, words))}>", in_memory
        )
        between = math.prod(logits.shape[2:])
        self.args = (
            run.x,
            np.int32(run.n),
            *run.sizes(between, run.pixels),
            labels,
            shares,
            np.int32(k),
            weights,
            target,
            losses,
        )

    def begin(self, over: Any, number: float, factor: Any) -> Any:
        """What the loss is divided by, and the factor of its gradient, in memory of the call's own."""
        engine, x = self.run.engine, self.run.x
        call = empty(x, (CALL + self.blocks,), "int32")  # words that no hook on what autograd saves takes for numbers
        over = None if over is None else contiguous(over)
        count = 0 if over is None else math.prod(over.shape)
        blocks = min(max(-(-count // (SUMMERS * EACH)), 1), PARTS)
        args = over, np.uint64(count), np.float32(number), factor, call
        engine.launch(x, "loss", "fc::loss_begin", blocks, SUMMERS, args)
        return call

    def launch(self, call: Any, factor: Any, loss: Any) -> None:
        args = (*self.args, call, factor, loss)
        self.run.engine.launch(self.run.x, "loss", self.expression, self.blocks, THREADS, args)


def _same_layout(gradient: Any, x: Any) -> Any:
    view, copied = planes(gradient, 1)
    if copied:
        raise ValueError("gradient: expected contiguous or channels-last memory, got other strides")
    if view.shape != x.shape:
        raise ValueError(
            f"gradient: expected the memory layout of the logits, {tuple(x.shape)} as (images, bins, pixels), "
            f"got {tuple(view.shape)}"
        )
    return view
