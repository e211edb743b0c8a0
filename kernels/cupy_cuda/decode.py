"""Decode, annealed mean and confidence on a GPU: which instance of ``decode.cu`` runs, and on what.

Arguments are arrays that the public API has validated, of one library and device. Results go to `out` where it is
given, through a contiguous buffer if its strides ask for one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.constants import DEFAULT_TEMPERATURE, MAX_BINS

from ..common.device_arrays import (
    cast,
    contiguous,
    contiguous_like,
    deliver,
    dtype_name,
    empty,
    is_contiguous,
    is_double,
    moveaxis,
    pointer,
)
from ..common.host import without
from ..common.layout import planes
from ..common.scale import log2_scale
from .engine import Engine, index_type, index_value, scalar_type
from .tile import FAST_BINS, THREADS, tile

RGB, RGB_PLANES, CHROMA, CONFIDENCE, MODE = 1, 2, 4, 8, 16  # as in decode.cu
_PALETTE = np.dtype([("u", np.float32, (MAX_BINS + 1,)), ("v", np.float32, (MAX_BINS + 1,))])


def annealed_mean(
    engine: Engine,
    logits: Any,
    bins: Any,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    out: Any = None,
) -> Any:
    """``chroma = sum_b softmax(x / T)_b c_b``; dtype of the logits, float32 for float64."""
    axis %= logits.ndim
    with engine.context(logits):
        run = Run(engine, logits, axis)
        shape = (*logits.shape[:axis], 2, *logits.shape[axis + 1 :])
        out = empty(logits, shape, run.dtype) if out is None else out
        target = out if _fits(out, 2 * out.itemsize) else empty(logits, shape, run.dtype)
        run(bins, temperature, chroma=target, count=math.prod(shape[axis + 1 :]))
        return deliver(out, target)


def confidence(engine: Engine, logits: Any, *, axis: int = -3, out: Any = None) -> tuple[Any, Any]:
    """``top = max_b softmax(x)_b`` and ``ratio = top / second``, at T = 1, float32."""
    with engine.context(logits):
        out = out or _maps(logits, without(logits.shape, axis))
        run = Run(engine, logits, axis)
        targets = [contiguous_like(array) for array in out]
        run(None, 1.0, top=targets[0], ratio=targets[1])
        return deliver(out[0], targets[0]), deliver(out[1], targets[1])


def decode(
    engine: Engine,
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
    pixels, channel = without(logits.shape, axis), channel_axis % logits.ndim
    with engine.context(logits):
        if out is None:
            rgb = empty(logits, (*pixels[:channel], 3, *pixels[channel:]), "uint8")
            out = (rgb, *_maps(logits, pixels)) if confidence else rgb
        rgb, *maps = out if confidence else (out,)
        run = Run(engine, logits, axis)
        last = channel == logits.ndim - 1
        count = math.prod(pixels[channel:])
        direct = last or run.takes_planes(count)
        target = contiguous_like(rgb) if direct else empty(logits, (*pixels, 3), "uint8")
        targets = [contiguous_like(array) for array in maps]
        top, ratio = targets or (None, None)
        run(bins, temperature, luma=luma, rgb=target, planar=direct and not last, count=count, top=top, ratio=ratio)
        deliver(rgb, target if direct else moveaxis(target, -1, channel))
        for array, buffer in zip(maps, targets, strict=True):
            deliver(array, buffer)
    return out


class Run:
    """One pass over logits: their layout first, then what is wanted of them, each into its own contiguous array.

    Parameters
    ----------
    engine : Engine
    logits : array
        float64 is rounded to float32.
    axis : int
        Where the n bins are.
    """

    def __init__(self, engine: Engine, logits: Any, axis: int) -> None:
        self.engine = engine
        self.x, _ = planes(cast(logits, "float32") if is_double(logits) else logits, axis)
        self.images, self.n, self.count = self.x.shape
        self.pixels = self.images * self.count
        self.last = self.count == 1
        self.dtype = "float32" if is_double(logits) else dtype_name(logits)
        self.index = index_type(self.pixels * max(self.n, 3))

    def takes_planes(self, count: int) -> bool:
        """Whether results can be written as planes of `count` pixels."""
        return self.last or count == self.count

    def __call__(
        self,
        bins: Any,
        temperature: float,
        *,
        luma: Any = None,
        rgb: Any = None,
        planar: bool = False,
        chroma: Any = None,
        count: int = 1,
        top: Any = None,
        ratio: Any = None,
    ) -> None:
        """`count` pixels lie between the planes of chroma or of planar RGB."""
        want = (RGB_PLANES if planar else RGB) if rgb is not None else 0
        want |= (CHROMA if chroma is not None else 0) | (CONFIDENCE if top is not None else 0)
        want |= MODE if temperature == 0 else 0
        luma = None if luma is None else contiguous(luma)
        results = (luma, rgb, chroma, top, ratio)
        tail = (log2_scale(temperature), palette(bins), *map(pointer, results))
        kinds = (scalar_type(self.x), "float" if luma is None else scalar_type(luma), want)
        if self.last or self.n != FAST_BINS:
            self._tiled(kinds, count, tail)
        else:
            self._planar(kinds, tail, (self.x, luma, rgb if planar else None, chroma, top, ratio))

    def _planar(self, kinds: tuple[str, str, int], tail: tuple[Any, ...], in_planes: tuple[Any, ...]) -> None:
        def instance(pixels: int) -> str:
            logit, luma, want = kinds
            return f"fc::decode_planar<{logit}, {self.n}, {pixels}, {luma}, {want}, {self.index}>"

        each = self.engine.pixels_each(self.x, "decode", instance, 16 // self.x.itemsize, self.count, in_planes)
        sizes = self._size(self.count), self._size(self.pixels)
        self._launch(instance(each), each * THREADS, THREADS, (*sizes, *tail))

    def _tiled(self, kinds: tuple[str, str, int], count: int, tail: tuple[Any, ...]) -> None:
        logit, luma, want = kinds
        held = tile(self.n, self.x.itemsize, self.last)
        expression = f"fc::decode_tiled<{logit}, {held.instance}, {luma}, {want}, {self.index}>"
        head = (*held.sizes, self._size(count if self.last else self.count), self._size(self.pixels))
        self._launch(expression, held.threads, held.threads, (*head, *tail), shared=held.shared)

    def _launch(self, expression: str, pixels: int, threads: int, args: tuple[Any, ...], shared: int = 0) -> None:
        blocks = -(-self.pixels // pixels)
        self.engine.launch(self.x, "decode", expression, blocks, threads, (pointer(self.x), *args), shared)

    def _size(self, value: int) -> Any:
        return index_value(self.index, value)


def palette(bins: Any) -> Any:
    """The bins' colors as a launch argument: ``fc::Palette`` by value."""
    colors = np.zeros(1, _PALETTE)
    if bins is not None:
        colors["u"][0, : bins.n], colors["v"][0, : bins.n] = np.asarray(bins.colors, np.float32).T
    return colors


def _maps(like: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    return empty(like, shape, "float32"), empty(like, shape, "float32")


def _fits(array: Any, alignment: int) -> bool:
    return is_contiguous(array) and int(pointer(array)) % alignment == 0
