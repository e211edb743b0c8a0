"""Temporal smoothing on a GPU: the state, and which instance of ``temporal.cu`` brings it forward.

Sums (n, pixels) and ring (window + 1, n, pixels) are made with the caller's library at the first frame and stay planar,
whatever the layout of a frame. The number of the frame is an argument of the launch: a CUDA graph that captured a step
would replay that frame.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.bins import space_of

from ..common.device_arrays import contiguous, empty, zeros
from ..common.recording import keep
from ..common.scale import log2_scale
from ..common.smoother import REFRESH, Smoother
from .engine import Engine, index_type, index_value, scalar_type
from .tile import FAST_BINS, THREADS, Pass

RGB, CHROMA, MODE, PROBABILITIES, LAB = 1, 2, 4, 8, 16  # as in temporal.cu
_STEEPEST = np.float32(2.0**100)  # 1 / T, so that its product with a logarithm stays finite
_STEP = np.dtype(
    [(name, np.float32) for name in ("decay", "leaving", "scale")]
    + [(name, np.uint32) for name in ("exact", "slot", "length", "seen", "period", "due")]
)


class TemporalSmoother(Smoother):
    """The state as sums and ring of the caller's library; the first argument is the engine."""

    def __init__(self, engine: Engine, bins: Any, **options: Any) -> None:
        super().__init__(bins, **options)
        self.engine, self._steps = engine, dict[tuple[int, int], Any]()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_steps": {}}  # what the engine holds is not to be copied

    def _advance(self, logits: Any, luma: Any, rgb: Any, chroma: Any) -> None:
        with self.engine.context(logits):
            if self._frame == 0:
                n, pixels = len(logits), math.prod(logits.shape[1:])
                self._sums = zeros(logits, (n, pixels), "float32")
                self._past = zeros(logits, (self.window + 1, n, pixels), self.ring)
            # Rows of other than 32 bins are copied to planes first, as the state lies.
            logits = logits if len(logits) == FAST_BINS else contiguous(logits)
            run = Pass(self.engine, "temporal", logits, 0, ("planar", "tiled"))
            luma = None if luma is None else contiguous(luma)
            want = (RGB if chroma is None else CHROMA) | (MODE if self.temperature == 0 else 0)
            want |= 0 if self.from_logits else PROBABILITIES
            want |= LAB if chroma is None and space_of(self.bins) == "lab" else 0
            kinds = ("float" if luma is None else scalar_type(luma), scalar_type(self._past), want)
            state = (luma, keep(self._sums), keep(self._past), rgb, chroma)
            colors = run.colors(self.bins)
            plan = run.plan("temporal", kinds, (run.x, *state), colors)
            run.launch(plan, *run.sizes(run.pixels), self._step, colors.argument, *state)

    def _normalised(self) -> Any:
        n, pixels = self._sums.shape
        index = index_type(n * pixels)
        with self.engine.context(self._sums):
            out = empty(self._sums, self._shape, "float32")
            sizes = np.int32(n), index_value(index, pixels)
            args = (self._sums, *sizes, np.float32(self._rules.least), out)
            expression = f"fc::temporal_probabilities<{index}>"
            self.engine.launch(self._sums, "temporal", expression, -(-pixels // THREADS), THREADS, args)
        return out

    def _step(self) -> Any:
        """``fc::Step`` of the frame that comes now; where the past is never summed anew, they repeat."""
        frame, length = self._frame, self.window + 1
        slot, seen = frame % length, min(frame, length)
        if self._rules.refresh:
            return self._record(slot, seen, -frame % REFRESH)
        if (slot, seen) not in self._steps:
            self._steps[slot, seen] = self.engine.hold(self._record(slot, seen, REFRESH))
        return self._steps[slot, seen]

    def _record(self, slot: int, seen: int, due: int) -> Any:
        rules, scale = self._rules, min(log2_scale(self.temperature, 1.0), _STEEPEST)
        numbers = rules.decay, rules.leaving, scale, rules.exact
        return np.array([(*numbers, slot, self.window + 1, seen, REFRESH, due)], _STEP)
