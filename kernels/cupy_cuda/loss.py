"""Weighted cross entropy on a GPU: which instance of ``loss.cu`` runs, and on what.

Nothing comes back to the host: the scale is read, and the loss is left, on the device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..common.device_arrays import contiguous, empty, moveaxis
from ..common.layout import planes
from .engine import Engine, index_type, index_value, label_type, scalar_type
from .tile import THREADS, Pass

GRADIENT, LOSSES = 1, 2  # as in loss.cu
HARD, SOFT, DENSE = 0, 1, 2
WIDE = 4  # pixels a thread
SUMMERS = 1024  # as in loss.cu
_MOST_BLOCKS = 2048  # of a pass that goes round and round, and may have nothing to do


def weighted_cross_entropy(
    engine: Engine,
    logits: Any,
    labels: Any,
    weights: Any,
    scale: Any,
    *,
    shares: Any = None,
    losses: Any = None,
    gradient: Any = None,
) -> Any:
    """``scale sum_i w_i l_i`` with ``l_i = sum_k s_ik (logsumexp(x_i) - x_i[y_ik])``.

    ``gradient[...] = scale w_i (S_i softmax(x_i) - sum_k s_ik [b = y_ik])`` with ``S_i = sum_k s_ik``, and
    ``losses[...] = w_i l_i``. A pixel of weight 0 adds nothing, whatever its logits, labels or shares are.

    Parameters
    ----------
    engine : Engine
    logits : array, shape (N, n, ...)
        float32, float16 or bfloat16; contiguous, or channels-last in memory.
    labels : array, integer, or None
        Hard, shape (N, ...), where every share is 1; soft, shape (N, k, ...). One that is no bin makes the loss NaN,
        and the gradient of its pixel that of no label. None if shares are dense.
    weights : array, shape (N, ...), float32
    scale : array of one float32
    shares : array, float32, optional
        Soft, shape of the labels; dense, shape of the logits.
    losses : array, shape of the weights, float32, contiguous, optional
        Written if given.
    gradient : array, dtype and memory layout of the logits, optional
        Written if given.

    Returns
    -------
    array, shape (), float32
        Bit for bit the same at every call.
    """
    kind = DENSE if labels is None else HARD if shares is None else SOFT
    with engine.context(logits):
        run = Pass(engine, "loss", logits, 1, ("planar", "tiled", "rows") if kind == HARD else ("rows",))
        target, weights = None if gradient is None else _same_layout(gradient, run.x), contiguous(weights)
        labels, shares = _contiguous(run, kind, labels, shares)
        want = (GRADIENT if gradient is not None else 0) | (LOSSES if losses is not None else 0)
        kinds = ("fc::u8" if labels is None else label_type(labels), want)
        by_pixel = {HARD: labels, SOFT: None, DENSE: shares}[kind]  # what is read for neighbouring pixels at once
        in_planes = (run.x, weights, target, losses, by_pixel)
        arrays: tuple[Any, ...] = (labels,)
        if run.kind in ("planar", "tiled"):
            plan, sizes = run.plan("loss", kinds, WIDE, in_planes), run.sizes(run.count, run.pixels)
        else:
            plan = run.plan("loss", (kind, *kinds), WIDE, in_planes)
            sizes = run.sizes(math.prod(logits.shape[2:]), run.pixels)
            arrays += shares, np.int32(1 if kind == HARD else math.prod(shares.shape) // run.pixels)
        blocks = run.blocks(plan)
        sums, loss = engine.scratch(run.x, blocks, "float32"), empty(run.x, (), "float32")
        run.launch(plan, *sizes, *arrays, weights, scale, target, losses, sums)
        engine.launch(run.x, "loss", "fc::loss_total", 1, SUMMERS, (sums, np.uint32(blocks), loss))
        return loss


def _contiguous(run: Pass, kind: int, labels: Any, shares: Any) -> tuple[Any, Any]:
    """Labels and shares with the pixels last; shares of every bin as the logits lie."""
    if kind == DENSE and run.last:
        shares = moveaxis(shares, 1, -1)
    return None if labels is None else contiguous(labels), None if shares is None else contiguous(shares)


def scale_unless_one(engine: Engine, gradient: Any, factor: Any) -> Any:
    """``gradient *= factor``, one float32 on the device, in place; a factor of 1 moves no memory."""
    with engine.context(gradient):
        values = _dense(gradient)
        count = math.prod(values.shape)
        index = index_type(count)
        blocks = min(-(-count // (THREADS * (16 // values.itemsize))), _MOST_BLOCKS)
        expression = f"fc::scale_unless_one<{scalar_type(values)}, {index}>"
        args = (values, index_value(index, count), factor)
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
