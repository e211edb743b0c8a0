"""The face of a backend: signatures and defaults of its operations, and the results that they fill.

A decorated function gets all arguments by position, axes counted from the front, and contiguous results at the end; a
caller may leave the results to be made here, or bring some with any strides. What stands before the arrays, such as the
engine of CUDA kernels, is passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastcolor.reference.constants import DEFAULT_LAM, DEFAULT_NEIGHBORS, DEFAULT_SIGMA, DEFAULT_TEMPERATURE

from .device_arrays import contiguous_like, deliver, dtype_name, empty, is_contiguous, is_double
from .host import without


def encode(fill: Callable[..., None]) -> Any:
    """From ``fill(rgb, bins, lam, channel_axis, luma, labels, weights)``."""

    def encode(
        *arrays: Any, lam: float = DEFAULT_LAM, label_dtype: str = "uint8", channel_axis: int = -1, out: Any = None
    ) -> tuple[Any, Any, Any]:
        """``luma = Y(rgb)``, ``labels = table[cell(rgb)]``, ``weights = bins.weights(lam)[labels]``."""
        rgb, dtypes = arrays[-2], ("float32", label_dtype, "float32")
        out = out or tuple(empty(rgb, without(rgb.shape, channel_axis), dtype) for dtype in dtypes)
        _filled(fill, out, *arrays, lam, channel_axis % rgb.ndim)
        return out

    return encode


def encode_soft(fill: Callable[..., None]) -> Any:
    """From ``fill(rgb, bins, neighbors, sigma, lam, weighting, axis, channel_axis, luma, labels, shares, weights)``."""

    def encode_soft(
        *arrays: Any,
        neighbors: int = DEFAULT_NEIGHBORS,
        sigma: float = DEFAULT_SIGMA,
        lam: float = DEFAULT_LAM,
        weighting: str = "nearest",
        label_dtype: str = "int16",
        axis: int = -3,
        channel_axis: int = -1,
        out: Any = None,
    ) -> tuple[Any, Any, Any, Any]:
        """``share_j = exp(-d_j^2 / (2 σ^2)) / sum`` of the k nearest bins, nearest first."""
        rgb = arrays[-2]
        axis, channel = axis % rgb.ndim, channel_axis % rgb.ndim
        if out is None:
            shape = without(rgb.shape, channel)
            soft = (*shape[:axis], neighbors, *shape[axis:])
            wanted = (shape, "float32"), (soft, label_dtype), (soft, "float32"), (shape, "float32")
            out = tuple(empty(rgb, *of) for of in wanted)
        _filled(fill, out, *arrays, neighbors, sigma, lam, weighting, axis, channel)
        return out

    return encode_soft


def annealed_mean(fill: Callable[..., None]) -> Any:
    """From ``fill(logits, bins, temperature, axis, from_logits, chroma)``."""

    def annealed_mean(
        *arrays: Any,
        temperature: float = DEFAULT_TEMPERATURE,
        axis: int = -3,
        from_logits: bool = True,
        out: Any = None,
    ) -> Any:
        """``chroma = sum_b softmax(x / T)_b c_b``; dtype of the logits, float32 for float64."""
        logits = arrays[-2]
        axis %= logits.ndim
        if out is None:
            shape = (*logits.shape[:axis], 2, *logits.shape[axis + 1 :])
            out = empty(logits, shape, "float32" if is_double(logits) else dtype_name(logits))
        _filled(fill, (out,), *arrays, temperature, axis, from_logits)
        return out

    return annealed_mean


def confidence(fill: Callable[..., None]) -> Any:
    """From ``fill(logits, axis, from_logits, top, ratio)``."""

    def confidence(*arrays: Any, axis: int = -3, from_logits: bool = True, out: Any = None) -> tuple[Any, Any]:
        """``top = max_b softmax(x)_b`` and ``ratio = top / second``, at T = 1, float32."""
        logits = arrays[-1]
        out = out or tuple(empty(logits, without(logits.shape, axis), "float32") for _ in range(2))
        _filled(fill, out, *arrays, axis % logits.ndim, from_logits)
        return out

    return confidence


def decode(fill: Callable[..., None]) -> Any:
    """From ``fill(logits, luma, bins, temperature, axis, channel_axis, from_logits, rgb, *(top, ratio))``."""

    def decode(
        *arrays: Any,
        temperature: float = DEFAULT_TEMPERATURE,
        axis: int = -3,
        channel_axis: int = -1,
        confidence: bool = False,
        from_logits: bool = True,
        out: Any = None,
    ) -> Any:
        """``rgb = floor(255 clip(rgb(Y, annealed_mean(x))) + 0.5)``; ``(rgb, top, ratio)`` with confidence."""
        logits, luma = arrays[-3:-1]
        channel = channel_axis % logits.ndim
        if out is None:
            shape = tuple(luma.shape)
            rgb = empty(logits, (*shape[:channel], 3, *shape[channel:]), "uint8")
            out = (rgb, empty(logits, shape, "float32"), empty(logits, shape, "float32")) if confidence else rgb
        options = temperature, axis % logits.ndim, channel, from_logits
        _filled(fill, out if confidence else (out,), *arrays, *options)
        return out

    return decode


def merge(fill: Callable[..., None]) -> Any:
    """From ``fill(chroma, luma, space, rgb)``."""

    def merge(*arrays: Any, space: str = "yuv", out: Any = None) -> Any:
        """``rgb = join(Y, bilinear(chroma))``: chroma (N, 2, h, w), luma (N, H, W), rgb (N, H, W, 3) uint8."""
        luma = arrays[-1]
        out = empty(luma, (*luma.shape, 3), "uint8") if out is None else out
        _filled(fill, (out,), *arrays, space)
        return out

    return merge


def annealed_mean_gradient(fill: Callable[..., None]) -> Any:
    """From ``fill(gradient, logits, bins, temperature, axis, out)``, where `out` has any strides."""

    def annealed_mean_gradient(*arrays: Any, temperature: float = DEFAULT_TEMPERATURE, axis: int = -3, out: Any) -> Any:
        """``d (g . chroma) / d x_b = f_b (c_b - chroma) . g / T`` with ``f = softmax(x / T)``; T > 0.

        Parameters
        ----------
        gradient : array, 2 on `axis`
            g, in the dtype of the logits, float32 for float64.
        logits : array, n on `axis`
            float16, bfloat16, float32, or float64, which is rounded to float32.
        bins : ColorBins
        temperature, axis : see the annealed mean
        out : array, shape and dtype of the logits
            Written and returned; in the memory layout of the logits nothing n-wide is allocated.
        """
        fill(*arrays, temperature, axis % arrays[-2].ndim, out)
        return out

    return annealed_mean_gradient


def _filled(fill: Callable[..., None], results: Sequence[Any], *args: Any) -> None:
    """Call `fill` with buffers of the results: themselves, where they are contiguous."""
    if all(map(is_contiguous, results)):
        fill(*args, *results)
        return
    buffers = [contiguous_like(result) for result in results]
    fill(*args, *buffers)
    for result, buffer in zip(results, buffers, strict=True):
        deliver(result, buffer)
