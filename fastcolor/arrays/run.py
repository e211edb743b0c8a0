"""The operations on arrays that can be read: choose a backend, allocate the result with the caller's library, run.

Arguments are checked before, axes are positive. ``_torch_ops`` has the same functions for tensors that torch traces.
"""

from __future__ import annotations

import math
from typing import Any

from ..kernels.common.host import without
from . import kinds
from .dispatch import choose
from .kinds import native
from .prepare import float32, float32_or_uint8, result, results


def encode(rgb: Any, bins: Any, lam: float, label_dtype: str, axis: int, backend: str) -> tuple[Any, Any, Any]:
    kernels = choose(backend, kinds.device(rgb), "encode")
    shape = without(rgb.shape, axis)
    luma, labels, weights = (kinds.empty(rgb, shape, dtype) for dtype in ("float32", label_dtype, "float32"))
    if math.prod(shape):
        views = native(luma), native(labels), native(weights)
        kernels.encode(native(rgb), bins, lam=lam, label_dtype=label_dtype, channel_axis=axis, out=views)
    return luma, labels, weights


def histogram(rgb: Any, cells: int, axis: int, backend: str) -> Any:
    kernels = choose(backend, kinds.device(rgb), "histogram")
    if not math.prod(rgb.shape):
        return kinds.zeros(rgb, (cells, cells), "int64")
    return kinds.adopt(rgb, kernels.histogram(native(rgb), cells, channel_axis=axis))


def annealed_mean(logits: Any, bins: Any, temperature: float, axis: int, backend: str, out: Any = None) -> Any:
    kernels = choose(backend, kinds.device(logits), "annealed_mean")
    shape = (*logits.shape[:axis], 2, *logits.shape[axis + 1 :])
    name = kinds.dtype_name(logits)
    out = result("out", out, logits, shape, "float32" if name == "float64" else name)
    if math.prod(shape):
        kernels.annealed_mean(native(logits), bins, temperature=temperature, axis=axis, out=native(out))
    return out


def confidence(logits: Any, axis: int, backend: str) -> tuple[Any, Any]:
    kernels = choose(backend, kinds.device(logits), "confidence")
    shape = without(logits.shape, axis)
    top, ratio = kinds.empty(logits, shape, "float32"), kinds.empty(logits, shape, "float32")
    if math.prod(shape):
        kernels.confidence(native(logits), axis=axis, out=(native(top), native(ratio)))
    return top, ratio


def decode(
    logits: Any,
    luma: Any,
    bins: Any,
    temperature: float,
    axis: int,
    channel_axis: int,
    confidence: bool,
    backend: str,
    out: Any = None,
) -> Any:
    kernels = choose(backend, kinds.device(logits), "decode")
    pixels = tuple(luma.shape)
    shapes = [((*pixels[:channel_axis], 3, *pixels[channel_axis:]), "uint8")]
    shapes += [(pixels, "float32")] * (2 if confidence else 0)
    outs = results(out, logits, shapes)
    if math.prod(pixels):
        views = tuple(map(native, outs))
        kernels.decode(
            native(logits),
            float32_or_uint8(luma),
            bins,
            temperature=temperature,
            axis=axis,
            channel_axis=channel_axis,
            confidence=confidence,
            out=views if confidence else views[0],
        )
    return outs if confidence else outs[0]


def merge(chroma: Any, luma: Any, backend: str) -> Any:
    kernels = choose(backend, kinds.device(luma), "merge")
    out = kinds.empty(luma, (*luma.shape, 3), "uint8")
    if math.prod(luma.shape):
        if not math.prod(chroma.shape):
            raise ValueError(f"chroma: expected at least one sample, got shape {tuple(chroma.shape)}")
        kernels.merge(float32(chroma), float32_or_uint8(luma), out=native(out))
    return out
