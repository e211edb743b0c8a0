"""The operations on arrays that can be read: choose a backend, allocate the result with the caller's library, run.

Arguments are checked before, axes are positive. ``torch_ops`` has the same functions for tensors that torch traces.
"""

from __future__ import annotations

import math
from typing import Any

from ..kernels.common.device_arrays import deliver, is_contiguous, is_torch, library, moveaxis
from ..kernels.common.host import without
from ..kernels.common.recording import scratch
from ..reference.bins import space_of
from ..reference.color import within
from ..reference.constants import CHROMA_LIMIT, LUMA_MAX
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


def encode_soft(
    rgb: Seen,
    bins: Any,
    neighbors: int,
    sigma: float,
    lam: float,
    weighting: str,
    label_dtype: str,
    axis: int,
    channel_axis: int,
    backend: str,
) -> tuple[Any, ...]:
    kernels = choose(backend, rgb.device, "encode_soft")
    shape = without(rgb.shape, channel_axis)
    soft = (*shape[:axis], neighbors, *shape[axis:])
    wanted = (shape, "float32"), (soft, label_dtype), (soft, "float32"), (shape, "float32")
    parts = [empty(rgb, *of) for of in wanted]
    if 0 not in shape:
        kernels.encode_soft(
            native(rgb),
            bins,
            neighbors=neighbors,
            sigma=sigma,
            lam=lam,
            weighting=weighting,
            label_dtype=label_dtype,
            axis=axis,
            channel_axis=channel_axis,
            out=tuple(map(native, parts)),
        )
    return tuple(part.array for part in parts)


def histogram(rgb: Seen, cells: int, space: str, axis: int, backend: str) -> Any:
    kernels = choose(backend, rgb.device, "histogram")
    if 0 in rgb.shape:
        return zeros(rgb, (cells, cells), "int64")
    return adopt(rgb, kernels.histogram(native(rgb), cells, space=space, channel_axis=axis))


def annealed_mean(
    logits: Seen, bins: Any, temperature: float, axis: int, from_logits: bool, backend: str, out: Any = None
) -> Any:
    kernels = choose(backend, logits.device, "annealed_mean")
    shape = (*logits.shape[:axis], 2, *logits.shape[axis + 1 :])
    chroma = result(out, logits, shape, "float32" if logits.dtype == "float64" else logits.dtype)
    if 0 not in shape:
        options = {"temperature": temperature, "axis": axis, "from_logits": from_logits}
        kernels.annealed_mean(native(logits), bins, **options, out=native(chroma))
    return chroma.array


def confidence(logits: Seen, axis: int, from_logits: bool, backend: str) -> tuple[Any, Any]:
    kernels = choose(backend, logits.device, "confidence")
    shape = without(logits.shape, axis)
    top, ratio = empty(logits, shape, "float32"), empty(logits, shape, "float32")
    if 0 not in shape:
        kernels.confidence(native(logits), axis=axis, from_logits=from_logits, out=(native(top), native(ratio)))
    return top.array, ratio.array


def decode(
    logits: Seen,
    luma: Seen,
    bins: Any,
    temperature: float,
    axis: int,
    channel_axis: int,
    confidence: bool,
    from_logits: bool,
    backend: str,
    out: Any = None,
) -> Any:
    low = without(logits.shape, axis)
    more = ["merge"] * (luma.shape != low) + ["confidence"] * confidence
    kernels = choose(backend, logits.device, *more, "decode")
    wanted = [((*luma.shape[:channel_axis], 3, *luma.shape[channel_axis:]), "uint8")]
    wanted += [(low, "float32")] * (2 if confidence else 0)
    outs = results(out, logits, wanted)
    if 0 not in luma.shape:
        views = tuple(map(native, outs))
        options: dict[str, Any] = {"temperature": temperature, "axis": axis, "from_logits": from_logits}
        if luma.shape == low:
            options |= {
                "channel_axis": channel_axis,
                "confidence": confidence,
                "out": views if confidence else views[0],
            }
            kernels.decode(native(logits), native_as(luma, "uint8", "float32"), bins, **options)
        else:
            _decode_larger(kernels, logits, luma, bins, options, channel_axis, *views)
    return tuple(seen.array for seen in outs) if confidence else outs[0].array


def _decode_larger(
    kernels: Any, logits: Seen, luma: Seen, bins: Any, options: dict[str, Any], channel: int, rgb: Any, *maps: Any
) -> None:
    """Logits (..., n, h, w) on luma (..., H, W): what is between, chroma at low resolution, is small."""
    axis = options["axis"]
    shape = (*logits.shape[:axis], 2, *logits.shape[axis + 1 :])
    # float32, whatever the logits: ab in half precision would be seen.
    chroma = scratch(native(logits), math.prod(shape), "float32").reshape(shape)
    kernels.annealed_mean(native(logits), bins, **options, out=chroma)
    if maps:
        kernels.confidence(native(logits), axis=axis, from_logits=options["from_logits"], out=maps)
    whole = channel == len(luma.shape) and is_contiguous(rgb)
    joined = rgb if whole else native(empty(logits, (*luma.shape, 3), "uint8"))
    _merge(kernels, chroma, luma, space_of(bins), joined)
    if not whole:
        deliver(rgb, moveaxis(joined, -1, channel))


def merge(chroma: Seen, luma: Seen, space: str, backend: str) -> Any:
    kernels = choose(backend, luma.device, "merge")
    rgb = empty(luma, (*luma.shape, 3), "uint8")
    if 0 not in luma.shape:
        if 0 in chroma.shape:
            raise ValueError(f"chroma: expected at least one sample, got shape {tuple(chroma.shape)}")
        _merge(kernels, native_as(chroma, "float32"), luma, space, native(rgb))
    return rgb.array


def _merge(kernels: Any, chroma: Any, luma: Seen, space: str, rgb: Any) -> None:
    """As kernels take it: one dimension of images. `rgb` (..., H, W, 3) is contiguous."""
    small = chroma.reshape(-1, *chroma.shape[-3:])
    large = native_as(luma, "uint8", "float32").reshape(-1, *luma.shape[-2:])
    kernels.merge(small, large, space=space, out=rgb.reshape(-1, *rgb.shape[-3:]))


def check_range(values: Seen, what: str, space: str) -> None:
    """Raise ValueError where values leave their range."""
    array = native_as(values, "float64", "float32")  # NumPy has no bfloat16
    if what == "chroma":
        for part, limit in enumerate(CHROMA_LIMIT[space]):
            within(f"chroma, {space[part + 1]}", _extent(array[..., part, :, :]), -limit, limit)
    else:
        within(what, _extent(array), 0.0, 1.0 if what == "rgb" else LUMA_MAX[space])


def _extent(array: Any) -> tuple[float, float]:
    """The least and the largest value that are numbers."""
    if is_torch(array):
        unknown = array.isnan()
        return float(array.masked_fill(unknown, math.inf).amin()), float(array.masked_fill(unknown, -math.inf).amax())
    lib = library(array)
    known = array[~lib.isnan(array)]
    return (float(known.min()), float(known.max())) if known.size else (math.nan, math.nan)
