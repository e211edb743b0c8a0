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
from .lanes import FEW, lanes
from .palette import by_value, in_table
from .tile import THREADS, Pass


@face.annealed_mean_gradient
def annealed_mean_gradient(
    engine: Engine, gradient: Any, logits: Any, bins: Any, temperature: float, axis: int, out: Any
) -> None:
    with engine.context(logits):
        run = Pass(engine, "gradient", logits, axis, operation="annealed_mean_gradient")
        target, slope = planes(out, axis)[0], contiguous(gradient)
        assert target.shape == run.x.shape, "logits and gradient lie in the same way"
        buffer = empty(run.x, tuple(run.x.shape), "float32") if is_double(logits) else target
        # lanes that read different bins find their colors in shared memory
        colors = in_table(bins, run.x) if run.last or run.n > FEW else by_value(bins)
        in_memory = (run.x, buffer) if run.last else (run.x, buffer, slope)
        expression, blocks = lanes(run, lambda layout: f"fc::annealed_gradient<{layout}, {colors.type}>", in_memory, 4)
        between = math.prod(logits.shape[axis + 1 :])  # pixels between the planes of the slope
        numbers = log2_scale(temperature), np.float32(min(1 / temperature, 1e38)), colors.argument
        args = (run.x, np.int32(run.n), *run.sizes(between, run.pixels), slope, *numbers, buffer)
        engine.launch(run.x, "gradient", expression, blocks, THREADS, args, colors.shared)
        if buffer is not target:
            target[...] = buffer
