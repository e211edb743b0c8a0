"""The state of temporal smoothing on the CPU: sums and ring, stored by block as the kernel wants them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.constants import DEFAULT_ALPHA, DEFAULT_TEMPERATURE, DEFAULT_WINDOW
from numpy.typing import NDArray

from ..common.host import NO_BYTES, NO_FLOATS, Array, deliver, flat_buffer, levels, padded, plain, unpad
from ..common.layout import planes
from ..common.recursion import recursion
from ..common.scale import log2_scale
from . import temporal
from .simd import LANES
from .temporal import BLOCK
from .threads import run_blocks

_RINGS = {"float32": np.float32, "float16": np.int16, "uint8": np.uint8}  # float16 as bits


class TemporalSmoother:
    """``rgb_t = decode(log p̂_t)`` with ``p̂_t = sum_{i=0..window} softmax(x_{t-i}) exp(-α i)``, by recursion.

    A pixel whose logits are invalid (NaN, +inf, or -inf in every bin) is black in that frame and counts as probability
    zero in every bin for the frames that follow.

    Parameters
    ----------
    bins : ColorBins
    alpha, window, temperature : see the public class
    ring : {"float32", "float16", "uint8"}
        Storage of past probabilities.
    """

    def __init__(
        self,
        bins: Any,
        *,
        alpha: float = DEFAULT_ALPHA,
        window: int = DEFAULT_WINDOW,
        temperature: float = DEFAULT_TEMPERATURE,
        ring: str = "float32",
    ) -> None:
        self.bins, self.window, self.temperature, self.ring = bins, window, temperature, ring
        numbers = recursion(alpha, window, ring)
        self._least = numbers.least
        self._rules = (np.float32(numbers.decay), np.float32(numbers.leaving), numbers.exact, numbers.refresh)
        self.reset()

    def reset(self) -> None:
        """Forget all past frames."""
        self._frame = 0
        self._shape: tuple[int, ...] = ()
        self._sums: Array = np.empty(0, np.float32)
        self._past: Array = np.empty(0, _RINGS[self.ring])

    def step(self, logits: Array, luma: Array, *, out: Array | None = None) -> NDArray[np.uint8]:
        """Add the logits (n, H, W) of a frame and decode it with luma (H, W): RGB (H, W, 3), uint8."""
        out = np.empty((*luma.shape, 3), np.uint8) if out is None else out
        buffer = flat_buffer(out)
        count = max(luma.size, LANES)
        full = padded(buffer, 3 * count)
        level, unit = levels(luma)
        self._advance(logits, padded(level, count), unit, full, NO_FLOATS)
        unpad(buffer, full)
        deliver(out, buffer)
        return out

    def chroma(self, logits: Array, *, out: Array | None = None) -> NDArray[np.float32]:
        """Add the logits (n, H, W) of a frame: the chroma (2, H, W) of its annealed mean, float32."""
        pixels = logits[0].size
        result = np.empty((2, max(pixels, LANES)), np.float32)
        self._advance(logits, NO_FLOATS, np.float32(1), NO_BYTES, result.reshape(-1))
        chroma = result[:, :pixels].reshape(2, *logits.shape[1:])
        if out is None:
            return chroma
        out[...] = chroma
        return out

    def _advance(self, logits: Array, level: Array, unit: np.float32, rgb: Array, chroma: Array) -> None:
        """One frame forward: into `chroma` if it has room, else into `rgb`."""
        if self._frame == 0:
            self._allocate(logits.shape)
        flat, count, transposed = self._flatten(logits)
        colors = plain(np.ascontiguousarray(self.bins.colors, np.float32))
        run_blocks(
            temporal.step,
            -(-count // BLOCK),
            count,
            *(flat, len(logits), count, transposed, level, unit, rgb, chroma, colors),
            *(log2_scale(self.temperature, 1.0), self._sums, self._past, self._frame, self.window, self._rules),
        )
        self._frame += 1

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """``p̂ / sum_b p̂``, shape (n, H, W), float32; NaN where no frame had a valid pixel."""
        if self._frame == 0:
            raise RuntimeError("probabilities: expected at least one step() before; no frame has been seen")
        n, count = self._shape[0], math.prod(self._shape[1:])
        stored = self._sums.reshape(-1, n, BLOCK).transpose(1, 0, 2).reshape(n, -1)
        result = np.maximum(stored[:, :count], 0)
        if count > LANES and count % LANES:  # the last vector overlaps the one before it in the image, not in the state
            tail = count - count % LANES
            result[:, count - LANES :] = np.maximum(stored[:, tail : tail + LANES], 0)
        total = result.sum(axis=0)
        result /= np.where(total > self._least, total, np.float32(np.nan))
        return result.reshape(self._shape)

    def _allocate(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        size = -(-max(math.prod(shape[1:]), LANES) // BLOCK) * shape[0] * BLOCK
        self._sums = np.zeros(size, np.float32)
        self._past = np.zeros((self.window + 1) * size, _RINGS[self.ring])

    def _flatten(self, logits: Array) -> tuple[Array, int, bool]:
        """Flat logits, pixels (at least 16), and whether they are channels-last."""
        view, _ = planes(logits, 0)
        transposed = view.shape[2] == 1
        pixels = view.shape[0] * view.shape[2]
        if pixels < LANES:
            view = np.ascontiguousarray(np.moveaxis(view, 1, -1)).reshape(pixels, -1, 1)
            view = np.concatenate([view, np.zeros((LANES - pixels, len(logits), 1), view.dtype)])
            transposed = True
        flat = view.view(np.int16) if view.dtype == np.float16 else view
        return plain(flat).reshape(-1), max(pixels, LANES), transposed
