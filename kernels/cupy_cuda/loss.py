"""Weighted cross entropy on a GPU: which instance of ``loss.cu`` runs, and on what.

Nothing comes back to the host: the scale is read, and the loss is left, on the device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..common.device_arrays import contiguous, empty, pointer
from ..common.layout import planes
from .engine import Engine, index_type, index_value, scalar_type
from .tile import THREADS, Pass

WIDE = 4  # pixels a thread
SUMMERS = 1024  # as in loss.cu
_MOST_BLOCKS = 2048  # of a pass that goes round and round, and may have nothing to do


def weighted_cross_entropy(
    engine: Engine, logits: Any, labels: Any, weights: Any, scale: Any, gradient: Any = None
) -> Any:
    """``scale sum_i w_i (logsumexp(x_i) - x_i[y_i])``; ``gradient[...] = scale w_i (softmax(x_i) - [b = y_i])``.

    Parameters
    ----------
    engine : Engine
    logits : array, shape (N, n, ...)
        float32, float16 or bfloat16; contiguous, or channels-last in memory.
    labels : array, shape (N, ...), uint8, int32 or int64
        One that is no bin makes the loss NaN, and the gradient of its pixel that of no label.
    weights : array, shape of the labels, float32
    scale : array of one float32
    gradient : array, dtype and memory layout of the logits, optional
        Written if given.

    Returns
    -------
    array, shape (), float32
        Bit for bit the same at every call.
    """
    with engine.context(logits):
        run = Pass(engine, "loss", logits, 1)
        target = None if gradient is None else _same_layout(gradient, run.x)
        labels, weights = contiguous(labels), contiguous(weights)
        kinds = (scalar_type(labels), "false" if gradient is None else "true")
        plan = run.plan("loss", kinds, WIDE, (run.x, labels, weights, target))
        blocks = run.blocks(plan)
        sums, loss = empty(run.x, (blocks,), "float32"), empty(run.x, (), "float32")
        run.launch(plan, *run.sizes(run.count, run.pixels), *map(pointer, (labels, weights, scale, target, sums)))
        args = (pointer(sums), np.uint32(blocks), pointer(scale), pointer(loss))
        engine.launch(run.x, "loss", "fc::loss_total", 1, SUMMERS, args)
        return loss


def scale_unless_one(engine: Engine, gradient: Any, factor: Any) -> Any:
    """``gradient *= factor``, one float32 on the device, in place; a factor of 1 moves no memory."""
    with engine.context(gradient):
        values = _dense(gradient)
        count = math.prod(values.shape)
        index = index_type(count)
        blocks = min(-(-count // (THREADS * (16 // values.itemsize))), _MOST_BLOCKS)
        expression = f"fc::scale_unless_one<{scalar_type(values)}, {index}>"
        args = (pointer(values), index_value(index, count), pointer(factor))
        engine.launch(values, "loss", expression, blocks, THREADS, args)
    return gradient


def _same_layout(gradient: Any, x: Any) -> Any:
    view = _dense(gradient)
    if view.shape != x.shape:
        raise ValueError(
            f"gradient: expected the memory layout of the logits, {tuple(x.shape)} as (images, bins, pixels), "
            f"got {tuple(view.shape)}"
        )
    return view


def _dense(gradient: Any) -> Any:
    view, copied = planes(gradient, 1)
    if copied:
        raise ValueError("gradient: expected contiguous or channels-last memory, got other strides")
    return view
