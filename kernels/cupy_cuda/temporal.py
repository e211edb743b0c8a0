"""Temporal smoothing on a GPU: the state, and which instance of ``temporal.cu`` brings it forward.

Sums (n, pixels) and ring (window + 1, n, pixels) are made with the caller's library at the first frame and stay planar,
whatever the layout of a frame. The number of the frame is an argument of the launch: a CUDA graph that captured a step
would replay that frame.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.constants import DEFAULT_ALPHA, DEFAULT_TEMPERATURE, DEFAULT_WINDOW

from ..common.device_arrays import cast, contiguous, contiguous_like, deliver, empty, is_double, pointer, zeros
from ..common.layout import planes
from ..common.recursion import REFRESH, recursion
from ..common.scale import log2_scale
from .decode import palette
from .engine import Engine, index_type, index_value, is_wide, scalar_type
from .tile import FAST_BINS, THREADS, tile

RGB, CHROMA, MODE = 1, 2, 4  # as in temporal.cu
WIDE = 4  # pixels a thread
_STEEPEST = np.float32(2.0**100)  # 1 / T, so that its product with a logarithm stays finite
_STEP = np.dtype(
    [(name, np.float32) for name in ("decay", "leaving", "scale")]
    + [(name, np.uint32) for name in ("exact", "slot", "length", "seen", "period", "due")]
)


class TemporalSmoother:
    """``rgb_t = decode(log p̂_t)`` with ``p̂_t = sum_{i=0..window} softmax(x_{t-i}) exp(-α i)``, by recursion.

    Parameters
    ----------
    engine : Engine
    bins : ColorBins
    alpha, window, temperature, ring : see the public class
    """

    def __init__(
        self,
        engine: Engine,
        bins: Any,
        *,
        alpha: float = DEFAULT_ALPHA,
        window: int = DEFAULT_WINDOW,
        temperature: float = DEFAULT_TEMPERATURE,
        ring: str = "float32",
    ) -> None:
        self.engine, self.bins, self.window, self.temperature, self.ring = engine, bins, window, temperature, ring
        self._rules = recursion(alpha, window, ring)
        self.reset()

    def reset(self) -> None:
        """Forget all past frames."""
        self._frame = 0
        self._shape: tuple[int, ...] = ()
        self._sums: Any = None
        self._past: Any = None

    def step(self, logits: Any, luma: Any, *, out: Any = None) -> Any:
        """Add the logits (n, H, W) of a frame and decode it with luma (H, W): RGB (H, W, 3), uint8."""
        with self.engine.context(logits):
            out = empty(logits, (*luma.shape, 3), "uint8") if out is None else out
            rgb = contiguous_like(out)
            self._advance(logits, contiguous(luma), rgb, None)
            return deliver(out, rgb)

    def chroma(self, logits: Any, *, out: Any = None) -> Any:
        """Add the logits (n, H, W) of a frame: the chroma (2, H, W) of its annealed mean, float32."""
        with self.engine.context(logits):
            out = empty(logits, (2, *logits.shape[1:]), "float32") if out is None else out
            chroma = contiguous_like(out)
            self._advance(logits, None, None, chroma)
            return deliver(out, chroma)

    @property
    def probabilities(self) -> Any:
        """``p̂ / sum_b p̂``, shape (n, H, W), float32; NaN where no frame had a valid pixel."""
        if self._frame == 0:
            raise RuntimeError("probabilities: expected at least one step() before; no frame has been seen")
        n, pixels = self._shape[0], math.prod(self._shape[1:])
        index = index_type(n * pixels)
        with self.engine.context(self._sums):
            out = empty(self._sums, self._shape, "float32")
            args = (np.int32(n), index_value(index, pixels), np.float32(self._rules.least), pointer(out))
            self._launch(f"fc::temporal_probabilities<{index}>", pixels, THREADS, (pointer(self._sums), *args))
        return out

    def _advance(self, logits: Any, luma: Any, rgb: Any, chroma: Any) -> None:
        """One frame forward, into `rgb` or into `chroma`; a launch that fails leaves the state as it was."""
        if self._frame == 0:
            self._allocate(logits)
        x, _ = planes(cast(logits, "float32") if is_double(logits) else logits, 0)
        n, pixels, last = len(logits), x.shape[0] * x.shape[2], x.shape[2] == 1
        want = (RGB if chroma is None else CHROMA) | (MODE if self.temperature == 0 else 0)
        index = index_type(pixels * max(n, 3))
        luma_type = "float" if luma is None else scalar_type(luma)
        kinds = f"{luma_type}, {scalar_type(self._past)}, {want}, {index}>"
        state = (luma, self._sums, self._past, rgb, chroma)
        tail = (index_value(index, pixels), self._step(), palette(self.bins), *map(pointer, state))
        if last or n != FAST_BINS:
            self._tiled(x, last, kinds, tail)
        else:
            each = WIDE if is_wide(WIDE, pixels, (x, *state)) else 1
            expression = f"fc::temporal_planar<{scalar_type(x)}, {n}, {each}, {kinds}"
            self._launch(expression, -(-pixels // each), THREADS, (pointer(x), *tail))
        self._frame += 1

    def _tiled(self, x: Any, last: bool, kinds: str, tail: tuple[Any, ...]) -> None:
        held = tile(x.shape[1], x.itemsize, last)
        expression = f"fc::temporal_tiled<{scalar_type(x)}, {held.instance}, {kinds}"
        args = (pointer(x), *held.sizes, *tail)
        self._launch(expression, x.shape[0] * x.shape[2], held.threads, args, shared=held.shared)

    def _launch(self, expression: str, work: int, threads: int, args: tuple[Any, ...], shared: int = 0) -> None:
        """One thread for each of `work` parts."""
        self.engine.launch(self._sums, "temporal", expression, -(-work // threads), threads, args, shared)

    def _step(self) -> Any:
        """``fc::Step`` of the frame that comes now."""
        rules, length = self._rules, self.window + 1
        scale = min(log2_scale(self.temperature, 1.0), _STEEPEST)
        due = -self._frame % REFRESH if rules.refresh else REFRESH
        place = (self._frame % length, length, min(self._frame, length))
        return np.array([(rules.decay, rules.leaving, scale, rules.exact, *place, REFRESH, due)], _STEP)

    def _allocate(self, logits: Any) -> None:
        n, pixels = len(logits), math.prod(logits.shape[1:])
        self._shape = tuple(logits.shape)
        self._sums = zeros(logits, (n, pixels), "float32")
        self._past = zeros(logits, (self.window + 1, n, pixels), self.ring)
