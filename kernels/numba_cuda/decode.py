"""Annealed mean, decode and confidence as Numba CUDA kernels: a block copies its logits to shared memory, then each
thread reduces the column of its pixel. The logits are read once.
"""

from __future__ import annotations

import math
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from fastcolor.reference.bins import space_of
from numba import cuda

from ..common import face
from ..common.cuda_tables import on_device as there
from ..common.device_arrays import cast, contiguous, dtype_name, empty, is_double
from ..common.layout import planes
from ..common.scale import log2_scale
from .color import store_rgb
from .device import launch, on_device
from .math import channel_zero, color_of, sureness_of
from .tile import pixels_for, tile_bytes, tile_functions


@lru_cache(maxsize=2)
def kernels(bfloat16: bool) -> SimpleNamespace:
    """The kernels ``annealed``, ``decode`` and ``top`` for logits in bfloat16 (as uint16), or in float32 and float16.

    All arrays are flat. Logits, or probabilities, are (pre, n, post), results with channels (pre, channels, post) of
    their own `post`.
    """
    load, narrow = tile_functions(bfloat16)

    @cuda.jit
    def annealed(x, n, post, pixels, width, from_logits, inverse_t, colors, chroma, chroma_post):
        tile, pixel, thread, stride = load(x, n, post, pixels, width, from_logits)
        if pixel < pixels:
            u, v = color_of(tile, thread, stride, n, inverse_t, colors)
            at = channel_zero(pixel, 2, chroma_post)
            chroma[at] = narrow(u)
            chroma[at + chroma_post] = narrow(v)

    @cuda.jit
    def decode(
        x, n, post, pixels, width, from_logits, inverse_t, colors, luma, luma_unit, lab, rgb, rgb_post, top, ratio
    ):  # fmt: skip
        tile, pixel, thread, stride = load(x, n, post, pixels, width, from_logits)
        if pixel < pixels:
            u, v = color_of(tile, thread, stride, n, inverse_t, colors)
            level = np.float32(luma[pixel]) * luma_unit
            store_rgb(rgb, channel_zero(pixel, 3, rgb_post), rgb_post, level, u, v, lab)
            if top.size > 0:  # confidence is wanted, too
                top[pixel], ratio[pixel] = sureness_of(tile, thread, stride, n)

    @cuda.jit
    def top(x, n, post, pixels, width, from_logits, top, ratio):
        tile, pixel, thread, stride = load(x, n, post, pixels, width, from_logits)
        if pixel < pixels:
            top[pixel], ratio[pixel] = sureness_of(tile, thread, stride, n)

    return SimpleNamespace(annealed=annealed, decode=decode, top=top)


@face.annealed_mean
def annealed_mean(logits: Any, bins: Any, temperature: float, axis: int, from_logits: bool, chroma: Any) -> None:
    with on_device(logits) as stream:
        run, between = Run(logits, axis, from_logits, stream), math.prod(logits.shape[axis + 1 :])
        run(run.kernels.annealed, inverse(temperature), colors(bins, logits), chroma, between)


@face.confidence
def confidence(logits: Any, axis: int, from_logits: bool, top: Any, ratio: Any) -> None:
    with on_device(logits) as stream:
        run = Run(logits, axis, from_logits, stream)
        run(run.kernels.top, top, ratio)


@face.decode
def decode(
    logits: Any,
    luma: Any,
    bins: Any,
    temperature: float,
    axis: int,
    channel: int,
    from_logits: bool,
    rgb: Any,
    *maps: Any,
) -> None:
    between = math.prod(luma.shape[channel:])
    with on_device(logits) as stream:
        run = Run(logits, axis, from_logits, stream)
        top, ratio = maps or [empty(logits, (0,), "float32")] * 2
        by_bin = colors(bins, logits)
        run(run.kernels.decode, inverse(temperature), by_bin, *levels(luma, bins), rgb, between, top, ratio)


class Run:
    """Logits as the kernels want them, contiguous (pre, n, post), and a launch with a tile for each block of pixels."""

    def __init__(self, logits: Any, axis: int, from_logits: bool, stream: Any) -> None:
        self.view, _ = planes(cast(logits, "float32") if is_double(logits) else logits, axis)
        self.bfloat16 = dtype_name(self.view) in ("bfloat16", "uint16")
        self.kernels, self._from_logits, self._stream = kernels(self.bfloat16), from_logits, stream

    def __call__(self, kernel: Any, *args: Any) -> None:
        images, n, post = self.view.shape
        pixels, width = images * post, pixels_for(n)
        head = self.view, n, post, pixels, width, self._from_logits
        launch(kernel, self._stream, pixels, (*head, *args), width, tile_bytes(n))


def levels(luma: Any, bins: Any) -> tuple[Any, np.float32, bool]:
    """Contiguous luma, uint8 or float32, what turns it into levels 0..255, or L in 0..100; and whether it is L."""
    lab = space_of(bins) == "lab"
    unit = np.float32(1 if lab or dtype_name(luma) == "uint8" else 255)
    return contiguous(luma), unit, lab


def colors(bins: Any, like: Any) -> Any:
    return there(np.asarray(bins.colors, np.float32), like)


def inverse(temperature: float) -> np.float32:
    """1 / T, inf for the mode."""
    return log2_scale(temperature, 1.0)
