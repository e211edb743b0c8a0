"""The gradient of the annealed mean on a GPU: which instance of ``gradient.cu`` runs, and on what."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.constants import DEFAULT_TEMPERATURE

from ..common.device_arrays import cast, contiguous, empty, is_double, pointer
from ..common.layout import planes
from ..common.scale import log2_scale
from .decode import palette
from .engine import Engine, index_type, index_value, scalar_type
from .tile import FAST_BINS, THREADS, tile

WIDE = 4  # pixels a thread


def annealed_mean_gradient(
    engine: Engine,
    gradient: Any,
    logits: Any,
    bins: Any,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    out: Any,
) -> Any:
    """``d (g . chroma) / d x_b = f_b (c_b - chroma) . g / T`` with ``f = softmax(x / T)``; T > 0.

    Parameters
    ----------
    engine : Engine
    gradient : array, 2 on `axis`
        g, in the dtype of the logits, float32 for float64.
    logits : array, n on `axis`
        float64 is rounded to float32.
    bins : ColorBins
    temperature, axis : see the annealed mean
    out : array, shape and dtype of the logits
        Written and returned: with bins adjacent in memory if those of the logits are, else contiguous.
    """
    axis %= logits.ndim
    with engine.context(logits):
        double, between = is_double(logits), math.prod(logits.shape[axis + 1 :])
        x, target = planes(cast(logits, "float32") if double else logits, axis)[0], planes(out, axis)[0]
        buffer = empty(x, tuple(x.shape), "float32") if double else target
        _run(engine, x, contiguous(gradient), between, bins, temperature, buffer)
        if double:
            target[...] = buffer
    return out


def _run(engine: Engine, x: Any, slope: Any, between: int, bins: Any, temperature: float, target: Any) -> None:
    """`between` pixels lie between the planes of the slope."""
    images, n, count = x.shape
    pixels, last = images * count, count == 1
    assert target.shape == x.shape, "logits and gradient lie in the same way"
    index, kind = index_type(pixels * n), scalar_type(x)
    if last or n != FAST_BINS:
        held = tile(n, x.itemsize, last)
        each, threads, shared = 1, held.threads, held.shared
        expression = f"fc::annealed_gradient_tiled<{kind}, {held.instance}, {index}>"
        head = (*held.sizes, *_sizes(index, count, between, pixels))
    else:

        def instance(pixels: int) -> str:
            return f"fc::annealed_gradient_planar<{kind}, {n}, {pixels}, {index}>"

        each = engine.pixels_each(x, "gradient", instance, WIDE, count, (x, slope, target))
        expression, threads, shared = instance(each), THREADS, 0
        head = _sizes(index, count, pixels)
    over = np.float32(min(1 / temperature, 1e38))
    args = (pointer(x), *head, pointer(slope), log2_scale(temperature), over, palette(bins), pointer(target))
    engine.launch(x, "gradient", expression, -(-pixels // (each * threads)), threads, args, shared)


def _sizes(index: str, *values: int) -> tuple[Any, ...]:
    return tuple(index_value(index, value) for value in values)
