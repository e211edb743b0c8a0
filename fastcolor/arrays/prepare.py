"""What the public operations share between checking arguments and running a kernel."""

from __future__ import annotations

from typing import Any

from ..reference.bins import ColorBins
from . import checks, kinds
from .kinds import native


def check_logits(logits: Any, axis: int, bins: ColorBins) -> int:
    """The axis of the n bins, made positive, of logits that any decoding takes."""
    checks.arrays(logits=logits)
    checks.dtype("logits", logits, checks.LOGIT_DTYPES)
    checks.color_bins(bins)
    return checks.size_on_axis("logits", logits, axis, "axis", bins.n)


def result(name: str, out: Any, like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """`out` if it is given and fits, else a new array of the kind of `like`."""
    if out is None:
        return kinds.empty(like, shape, dtype)
    checks.output(name, out, like, shape, dtype)
    return out


def results(out: Any, like: Any, wanted: list[tuple[tuple[int, ...], str]]) -> tuple[Any, ...]:
    """:func:`result` for several arrays."""
    if out is None:
        return tuple(result("out", None, like, shape, dtype) for shape, dtype in wanted)
    given = out if isinstance(out, (tuple, list)) else (out,)
    if len(given) != len(wanted):
        raise ValueError(f"out: expected {len(wanted)} array(s), got {len(given)}; confidence=True returns three")
    return tuple(result("out", o, like, shape, dtype) for o, (shape, dtype) in zip(given, wanted, strict=True))


def float32(array: Any) -> Any:
    """What kernels take of an array, as float32: rare dtypes are cast once, float32 goes through untouched."""
    return native(array if kinds.dtype_name(array) == "float32" else kinds.cast(array, "float32"))


def float32_or_uint8(luma: Any) -> Any:
    """What kernels take of luma: uint8 or float32."""
    return native(luma) if kinds.dtype_name(luma) == "uint8" else float32(luma)
