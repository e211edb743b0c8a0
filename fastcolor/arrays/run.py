"""The operations on arrays that can be read: choose a backend, allocate the result with the caller's library, run.

Arguments are checked before, axes are positive. ``torch_ops`` has the same functions for tensors that torch traces.
"""

from __future__ import annotations

from typing import Any

from ..kernels.common.host import without
from .checks import result, results
from .dispatch import choose
from .kinds import Seen, adopt, empty, native, native_as, zeros


def encode(rgb: Seen, bins: Any, lam: float, label_dtype: str, axis: int, backend: str) -> tuple[Any, ...]:
    kernels = choose(backend, rgb.device, "encode")
    shape = without(rgb.shape, axis)
    parts = [empty(rgb, shape, dtype) for dtype in ("float32", label_dtype, "float32")]
    if 0 not in shape:
        kernels.encode(
            native(rgb), bins, lam=lam, label_dtype=label_dtype, channel_axis=axis, out=tuple(map(native, parts))
        )
    return tuple(part.array for part in parts)


def histogram(rgb: Seen, cells: int, axis: int, backend: str) -> Any:
    kernels = choose(backend, rgb.device, "histogram")
    if 0 in rgb.shape:
        return zeros(rgb, (cells, cells), "int64")
    return adopt(rgb, kernels.histogram(native(rgb), cells, channel_axis=axis))


def annealed_mean(logits: Seen, bins: Any, temperature: float, axis: int, backend: str, out: Any = None) -> Any:
    kernels = choose(backend, logits.device, "annealed_mean")
    shape = (*logits.shape[:axis], 2, *logits.shape[axis + 1 :])
    chroma = result(out, logits, shape, "float32" if logits.dtype == "float64" else logits.dtype)
    if 0 not in shape:
        kernels.annealed_mean(native(logits), bins, temperature=temperature, axis=axis, out=native(chroma))
    return chroma.array


def confidence(logits: Seen, axis: int, backend: str) -> tuple[Any, Any]:
    kernels = choose(backend, logits.device, "confidence")
    shape = without(logits.shape, axis)
    top, ratio = empty(logits, shape, "float32"), empty(logits, shape, "float32")
    if 0 not in shape:
        kernels.confidence(native(logits), axis=axis, out=(native(top), native(ratio)))
    return top.array, ratio.array


def decode(
    logits: Seen,
    luma: Seen,
    bins: Any,
    temperature: float,
    axis: int,
    channel_axis: int,
    confidence: bool,
    backend: str,
    out: Any = None,
) -> Any:
    kernels = choose(backend, logits.device, "decode")
    pixels = luma.shape
    wanted = [((*pixels[:channel_axis], 3, *pixels[channel_axis:]), "uint8")]
    wanted += [(pixels, "float32")] * (2 if confidence else 0)
    outs = results(out, logits, wanted)
    if 0 not in pixels:
        views = tuple(map(native, outs))
        kernels.decode(
            native(logits),
            native_as(luma, "uint8", "float32"),
            bins,
            temperature=temperature,
            axis=axis,
            channel_axis=channel_axis,
            confidence=confidence,
            out=views if confidence else views[0],
        )
    return tuple(seen.array for seen in outs) if confidence else outs[0].array


def merge(chroma: Seen, luma: Seen, backend: str) -> Any:
    kernels = choose(backend, luma.device, "merge")
    rgb = empty(luma, (*luma.shape, 3), "uint8")
    if 0 not in luma.shape:
        if 0 in chroma.shape:
            raise ValueError(f"chroma: expected at least one sample, got shape {tuple(chroma.shape)}")
        kernels.merge(native_as(chroma, "float32"), native_as(luma, "uint8", "float32"), out=native(rgb))
    return rgb.array
