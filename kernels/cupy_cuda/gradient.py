"""The gradient of the annealed mean on a GPU: which instance of ``gradient.cu`` runs, and on what."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..common import face
from ..common.device_arrays import contiguous, empty, is_double
from ..common.layout import planes
from ..common.scale import log2_scale
from .engine import Engine
from .tile import Pass

WIDE = 4  # pixels a thread


@face.annealed_mean_gradient
def annealed_mean_gradient(
    engine: Engine, gradient: Any, logits: Any, bins: Any, temperature: float, axis: int, out: Any
) -> None:
    with engine.context(logits):
        run, target, slope = Pass(engine, "gradient", logits, axis), planes(out, axis)[0], contiguous(gradient)
        assert target.shape == run.x.shape, "logits and gradient lie in the same way"
        buffer = empty(run.x, tuple(run.x.shape), "float32") if is_double(logits) else target
        # pixels between the planes of the slope
        between = [math.prod(logits.shape[axis + 1 :])] if run.last else []
        colors = run.colors(bins)
        plan = run.plan("annealed_gradient", (), WIDE, (run.x, slope, buffer), colors)
        numbers = log2_scale(temperature), np.float32(min(1 / temperature, 1e38)), colors.argument
        run.launch(plan, *run.sizes(run.count, *between, run.pixels), slope, *numbers, buffer)
        if buffer is not target:
            target[...] = buffer
