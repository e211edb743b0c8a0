"""Temporal smoothing and decoding of a frame as Numba CUDA kernels, a thread for each pixel.

Sums (n, pixels) and ring (window + 1, n, pixels) lie planar, so that neighbouring threads meet neighbouring addresses.
How rounding errors live on, and why a ring of few bits has two ways to be read, stands in ``numba_cpu/temporal.py``.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda

from ..common.device_arrays import empty, zeros
from ..common.smoother import REFRESH, Smoother
from .color import store_rgb
from .decode import Run, colors, inverse, levels
from .device import launch, on_device
from .math import INF, NAN, ZERO, channel_zero, color_of, exp, log, peak
from .tile import tile_functions


@lru_cache(maxsize=2)
def step_kernel(bfloat16: bool) -> Any:
    """The kernel ``step`` for logits in bfloat16 (as uint16), or in float32 and float16."""
    load, _ = tile_functions(bfloat16)

    @cuda.jit
    def step(
        x, n, post, pixels, width, from_logits, luma, luma_unit, lab, rgb, chroma, colors, inverse_t,
        sums, ring, coding, frame, window, numbers,
    ):  # fmt: skip
        """Logits (pre, n, post), flattened; the result is chroma (2, pixels) where there is room for it, else RGB."""
        decay, _, _, refresh = numbers
        tile, pixel, thread, stride = load(x, n, post, pixels, width, from_logits)
        if pixel < pixels:
            if refresh and (frame + cuda.blockIdx.x) % REFRESH == 0:  # another share of the blocks in each frame
                sum_past(sums, ring, coding, pixel, pixels, n, frame, window, decay)
            total = softmax_sum(tile, thread, stride, n)
            advance(tile, thread, stride, n, total, sums, ring, coding, pixel, pixels, frame, window, numbers)
            u, v = color_of(tile, thread, stride, n, inverse_t, colors)
            if chroma.size > 0:
                chroma[pixel], chroma[pixel + pixels] = u, v
            else:
                level = np.float32(luma[pixel]) * luma_unit
                store_rgb(rgb, channel_zero(pixel, 3, 1), 1, level, u, v, lab)

    return step


@cuda.jit(device=True)
def softmax_sum(tile, at, stride, n):
    """Turn the row into ``exp(x - max x)`` and give its sum: NaN where the pixel is invalid."""
    top, total = peak(tile, at, stride, n), ZERO
    for b in range(n):
        weight = exp(tile[at + b * stride] - top)
        tile[at + b * stride] = weight
        total += weight
    return total


@cuda.jit(device=True)
def advance(tile, at, stride, n, total, sums, ring, coding, pixel, pixels, frame, window, numbers):
    """Bring a pixel's sums forward by the softmax ``tile / total``, and leave their logarithms in the row.

    This frame's probabilities replace, in the ring, those that leave the window.
    """
    decay, leaving, exact, _ = numbers
    scale, offset, unit = coding
    valid = total == total
    slot = frame % (window + 1) * n * pixels + pixel
    most = ZERO
    for b in range(n):
        p = tile[at + b * stride] / total if valid else ZERO  # an invalid pixel counts as probability zero
        place = slot + b * pixels
        past = np.float32(ring[place]) * unit
        ring[place] = p * scale + offset
        if exact:
            p = np.float32(ring[place]) * unit
        s = sums[pixel + b * pixels] * decay + (p - past * leaving)
        sums[pixel + b * pixels] = s
        tile[at + b * stride] = s
        if s > most:
            most = s
    for b in range(n):
        share = tile[at + b * stride] / most  # most > 0 where the pixel is valid
        value = log(share) if share > ZERO else -INF
        tile[at + b * stride] = value if valid else NAN


@cuda.jit(device=True)
def sum_past(sums, ring, coding, pixel, pixels, n, frame, window, decay):
    """The window form: sum a pixel's past anew from the ring, as it was before this frame."""
    length, unit = window + 1, coding[2]
    for b in range(n):
        total = ZERO
        for age in range(frame if frame < length else length, 0, -1):
            past = np.float32(ring[((frame - age) % length * n + b) * pixels + pixel]) * unit
            total = total * decay + past
        sums[pixel + b * pixels] = total


@cuda.jit
def normalise(sums, n, pixels, least, probabilities):
    """``p̂ / sum_b p̂``; NaN where the sum is not above `least`. Both arrays are (n, pixels), flattened."""
    pixel = cuda.grid(1)
    if pixel < pixels:
        total = ZERO
        for at in range(pixel, n * pixels, pixels):
            total += positive(sums[at])
        if not total > least:
            total = NAN
        for at in range(pixel, n * pixels, pixels):
            probabilities[at] = positive(sums[at]) / total


@cuda.jit(device=True)
def positive(x):
    """Rounding can leave a sum that should be 0 below it."""
    return x if x > ZERO else ZERO


class TemporalSmoother(Smoother):
    """The state as sums and ring of the caller's library."""

    def _advance(self, logits: Any, luma: Any, rgb: Any, chroma: Any) -> None:
        with on_device(logits) as stream:
            if self._frame == 0:
                self._sums = zeros(logits, self._shape, "float32")
                self._past = zeros(logits, (self.window + 1, *self._shape), self.ring)
            run = Run(logits, 0, self.from_logits, stream)
            no_floats, no_bytes = empty(logits, (0,), "float32"), empty(logits, (0,), "uint8")
            light = (no_bytes, np.float32(1), False) if luma is None else levels(luma, self.bins)
            # p is stored as p * scale + offset, which a uint8 ring truncates, and read as stored * unit.
            coding = (255.0, 0.5, 1 / 255) if self.ring == "uint8" else (1.0, 0.0, 1.0)
            run(
                step_kernel(run.bfloat16),
                *(*light, no_bytes if rgb is None else rgb),
                *(no_floats if chroma is None else chroma, colors(self.bins, logits), inverse(self.temperature)),
                *(self._sums, self._past, tuple(map(np.float32, coding)), self._frame, self.window, self._numbers),
            )

    def _normalised(self) -> Any:
        n, pixels = self._shape[0], math.prod(self._shape[1:])
        with on_device(self._sums) as stream:
            out = empty(self._sums, self._shape, "float32")
            launch(normalise, stream, pixels, (self._sums, n, pixels, np.float32(self._rules.least), out))
        return out
