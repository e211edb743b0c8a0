"""The second GPU backend: short Numba CUDA kernels of the main operations, for reading and for comparison.

Arguments are torch CUDA tensors or CuPy arrays that the public API has validated; uint16 logits, where a library has no
bfloat16, are its bits. Everything runs on the device and the current stream of the caller.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from fastcolor.reference.constants import DEFAULT_ALPHA, DEFAULT_LAM, DEFAULT_TEMPERATURE, DEFAULT_WINDOW

from ..common import device_arrays
from ..common.cuda_tables import on_device as there
from ..common.host import without
from ..common.layout import planes
from ..common.recursion import recursion
from ..common.scale import log2_scale
from . import decode as numba_cuda_decode
from . import encode as numba_cuda_encode
from . import temporal
from .device import launch, on_device
from .tile import threads_for, tile_bytes

__all__ = ["TemporalSmoother", "annealed_mean", "confidence", "decode", "encode"]


def encode(
    rgb: Any,
    bins: Any,
    *,
    lam: float = DEFAULT_LAM,
    label_dtype: str = "uint8",
    channel_axis: int = -1,
    out: tuple[Any, Any, Any] | None = None,
) -> tuple[Any, Any, Any]:
    """``luma = Y(rgb)``, ``labels = table[cell(rgb)]``, ``weights = bins.weights(lam)[labels]``."""
    with on_device(rgb) as stream:
        view, _ = planes(rgb, channel_axis)
        shape, post = without(rgb.shape, channel_axis), view.shape[2]
        out = out or tuple(device_arrays.empty(rgb, shape, dtype) for dtype in ("float32", label_dtype, "float32"))
        table, by_label = there(bins.table, rgb), there(bins.weights(lam).astype(np.float32), rgb)
        exact = device_arrays.dtype_name(rgb) == "uint8"
        kernel = numba_cuda_encode.encode_uint8 if exact else numba_cuda_encode.encode_float
        pixels = view.shape[0] * post
        with written(*out) as buffers:
            launch(kernel, stream, pixels, (view, post, pixels, bins.cells, table, by_label, *buffers))
    return out


def annealed_mean(
    logits: Any, bins: Any, *, temperature: float = DEFAULT_TEMPERATURE, axis: int = -3, out: Any = None
) -> Any:
    """``chroma = sum_b softmax(x / T)_b c_b``; dtype of the logits, float32 for float64."""
    axis %= logits.ndim
    after = logits.shape[axis + 1 :]
    with on_device(logits) as stream:
        run = _Logits(logits, axis, stream)
        if out is None:
            out = device_arrays.empty(logits, (*logits.shape[:axis], 2, *after), device_arrays.dtype_name(run.view))
        with written(out) as (chroma,):
            run(run.kernels.annealed, inverse(temperature), colors(bins, logits), chroma, math.prod(after))
    return out


def confidence(logits: Any, *, axis: int = -3, out: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
    """``top = max_b softmax(x)_b`` and ``ratio = top / second``, at T = 1, float32."""
    with on_device(logits) as stream:
        run, shape = _Logits(logits, axis, stream), without(logits.shape, axis)
        out = out or (device_arrays.empty(logits, shape, "float32"), device_arrays.empty(logits, shape, "float32"))
        with written(*out) as maps:
            run(run.kernels.top, *maps)
    return out


def decode(
    logits: Any,
    luma: Any,
    bins: Any,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    channel_axis: int = -1,
    confidence: bool = False,
    out: Any = None,
) -> Any:
    """``rgb = floor(255 clip(rgb(Y, annealed_mean(x))) + 0.5)``; ``(rgb, top, ratio)`` with confidence."""
    shape, channel = without(logits.shape, axis), channel_axis % logits.ndim
    after = shape[channel:]
    with on_device(logits) as stream:
        run = _Logits(logits, axis, stream)
        if out is None:
            out = device_arrays.empty(logits, (*shape[:channel], 3, *after), "uint8")
            maps = [device_arrays.empty(logits, shape, "float32") for _ in range(2 * confidence)]
            out = (out, *maps) if confidence else out
        with written(*(out if confidence else (out,))) as (rgb, *maps):
            top, ratio = maps or [device_arrays.empty(logits, (0,), "float32")] * 2
            level, unit = levels(luma)
            by_bin = colors(bins, logits)
            run(run.kernels.decode, inverse(temperature), by_bin, level, unit, rgb, math.prod(after), top, ratio)
    return out


class TemporalSmoother:
    """``rgb_t = decode(log p̂_t)`` with ``p̂_t = sum_{i=0..window} softmax(x_{t-i}) exp(-α i)``, by recursion.

    Parameters
    ----------
    bins : ColorBins
    alpha, window, temperature, ring : see the public class
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
        self._least = np.float32(numbers.least)
        self._recursion = (np.float32(numbers.decay), np.float32(numbers.leaving), numbers.exact, numbers.refresh)
        # p is stored as p * scale + offset, which a uint8 ring truncates, and read as stored * unit.
        coding = (255.0, 0.5, 1 / 255) if ring == "uint8" else (1.0, 0.0, 1.0)
        self._coding = tuple(np.float32(number) for number in coding)
        self.reset()

    def reset(self) -> None:
        """Forget all past frames."""
        self._frame = 0
        self._sums: Any = None
        self._past: Any = None

    def step(self, logits: Any, luma: Any, *, out: Any = None) -> Any:
        """Add the logits (n, H, W) of a frame and decode it with luma (H, W): RGB (H, W, 3), uint8."""
        with on_device(logits) as stream:
            out = device_arrays.empty(logits, (*luma.shape, 3), "uint8") if out is None else out
            nothing = device_arrays.empty(logits, (0,), "float32")
            with written(out) as (rgb,):
                self._advance(stream, logits, *levels(luma), rgb, nothing)
        return out

    def chroma(self, logits: Any, *, out: Any = None) -> Any:
        """Add the logits (n, H, W) of a frame: the chroma (2, H, W) of its annealed mean, float32."""
        with on_device(logits) as stream:
            out = device_arrays.empty(logits, (2, *logits.shape[1:]), "float32") if out is None else out
            nothing = device_arrays.empty(logits, (0,), "uint8")
            with written(out) as (chroma,):
                self._advance(stream, logits, nothing, np.float32(1), nothing, chroma)
        return out

    def _advance(self, stream: Any, logits: Any, level: Any, unit: np.float32, rgb: Any, chroma: Any) -> None:
        """One frame forward: into `chroma` if it has room, else into `rgb`."""
        if self._frame == 0:
            self._sums = device_arrays.zeros(logits, tuple(logits.shape), "float32")
            self._past = device_arrays.zeros(logits, (self.window + 1, *logits.shape), self.ring)
        run = _Logits(logits, 0, stream)
        run(
            temporal.step_kernel(run.bfloat16),
            *(level, unit, rgb, chroma, colors(self.bins, logits), inverse(self.temperature)),
            *(self._sums, self._past, self._coding, self._frame, self.window, self._recursion),
        )
        self._frame += 1

    @property
    def probabilities(self) -> Any:
        """``p̂ / sum_b p̂``, shape (n, H, W), float32; NaN where no frame had a valid pixel."""
        if self._frame == 0:
            raise RuntimeError("probabilities: expected at least one step() before; no frame has been seen")
        n, pixels = self._sums.shape[0], math.prod(self._sums.shape[1:])
        with on_device(self._sums) as stream:
            out = device_arrays.empty(self._sums, tuple(self._sums.shape), "float32")
            launch(temporal.normalise, stream, pixels, (self._sums, n, pixels, self._least, out))
        return out


class _Logits:
    """Logits as the kernels want them, contiguous (pre, n, post), and a launch with a tile for each block of pixels."""

    def __init__(self, logits: Any, axis: int, stream: Any) -> None:
        rounded = device_arrays.cast(logits, "float32") if device_arrays.is_double(logits) else logits
        self.view, _ = planes(rounded, axis)
        self.bfloat16 = device_arrays.dtype_name(self.view) in ("bfloat16", "uint16")
        self.kernels, self._stream = numba_cuda_decode.kernels(self.bfloat16), stream

    def __call__(self, kernel: Any, *args: Any) -> None:
        images, n, post = self.view.shape
        pixels = images * post
        launch(kernel, self._stream, pixels, (self.view, n, post, pixels, *args), threads_for(n), tile_bytes(n))


@contextmanager
def written(*arrays: Any) -> Iterator[list[Any]]:
    """Contiguous buffers for results: the arrays themselves where they are contiguous, else copied back at the end."""
    buffers = [device_arrays.contiguous_like(array) for array in arrays]
    yield buffers
    for array, buffer in zip(arrays, buffers, strict=True):
        device_arrays.deliver(array, buffer)


def levels(luma: Any) -> tuple[Any, np.float32]:
    """Contiguous luma, uint8 or float32, and what turns it into levels 0..255."""
    if device_arrays.dtype_name(luma) == "uint8":
        return device_arrays.contiguous(luma), np.float32(1)
    return device_arrays.contiguous(device_arrays.cast(luma, "float32")), np.float32(255)


def colors(bins: Any, like: Any) -> Any:
    return there(np.asarray(bins.colors, np.float32), like)


def inverse(temperature: float) -> np.float32:
    """1 / T, inf for the mode."""
    return log2_scale(temperature, 1.0)
