"""The instances of the kernels that the rules look at: those that the host code really launches.

The operations run on small NumPy arrays with an engine that writes down each launch and runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from fastcolor.kernels import _cuda_decode, _cuda_encode, _cuda_gradient, _cuda_loss, _cuda_merge, _cuda_smoother
from fastcolor.kernels._cuda_engine import Engine

from fastcolor import ColorBins

# As the kernel modules have it, uint16 is bfloat16 by its bits.
LOGITS = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
RGB = {"uint8": np.uint8, "float32": np.float32, "float64": np.float64}
RINGS = ("float32", "float16", "uint8")
FAST_BINS, OTHER_BINS = 32, 24
SHAPE = (64, 128)


class Launch(NamedTuple):
    """What the host code asks for: an instance of ``<source>.cu``, threads and dynamic shared memory a block."""

    source: str
    expression: str
    blocks: int
    threads: int
    shared: int

    @property
    def kernel(self) -> str:
        """The name without namespace and arguments.

        >>> Launch("decode", "fc::decode_planar<float, 32>", 1, 128, 0).kernel
        'decode_planar'
        """
        return self.expression.removeprefix("fc::").partition("<")[0]

    def with_wide_index(self) -> Launch:
        """The same for arrays of 2^31 elements and more."""
        return self._replace(expression=self.expression.replace("fc::u32", "fc::u64"))


class Instance(NamedTuple):
    """A launch with what it is for.

    ``dtype`` is that of the logits, the RGB or (merge) the luma; ``layout`` is planar or last, for bins and for colors
    alike; ``n`` is 0 where there are no bins.
    """

    operation: str
    dtype: str
    layout: str
    n: int
    launch: Launch

    @property
    def pixels(self) -> float:
        """Pixels a thread."""
        return SHAPE[0] * SHAPE[1] / (self.launch.blocks * self.launch.threads)

    def __str__(self) -> str:
        index = "64" if "fc::u64" in self.launch.expression else "32"
        bins = f", n = {self.n}" if self.n else ""
        return f"{self.operation}, {self.dtype}, {self.layout}{bins}, {index}-bit index: {self.launch.kernel}"


class Recorder(Engine):
    """An engine that writes down its launches."""

    def __init__(self) -> None:
        super().__init__(lambda **_: None, lambda _: nullcontext())
        self.launches: list[Launch] = []

    def launch(
        self, like: Any, name: str, expression: str, blocks: int, threads: int, args: tuple[Any, ...], shared: int = 0
    ) -> None:
        """Write it down."""
        self.launches.append(Launch(name, expression, blocks, threads, shared))


def instances() -> Iterator[Instance]:
    """Every operation x type x layout x n; what several launch, such as the sum over blocks, once."""
    yield from {instance.launch.expression: instance for instance in _instances()}.values()


def _instances() -> Iterator[Instance]:
    for operation, run in OF_LOGITS.items():
        for dtype, layout, n in product(LOGITS, ("planar", "last"), (FAST_BINS, OTHER_BINS)):
            if _leave_out(operation, dtype, n):
                continue
            logits, axis = _array(LOGITS[dtype], layout, n)
            for launch in _launches(lambda engine: run(engine, logits, axis, _bins(n))):  # noqa: B023
                yield Instance(operation, dtype, layout, n, launch)
    for operation, run_image in OF_IMAGES.items():
        for dtype, layout in product(RGB, ("last", "planar")):
            rgb, axis = _array(RGB[dtype], layout, 3)
            for launch in _launches(lambda engine: run_image(engine, rgb, axis)):  # noqa: B023
                yield Instance(operation, dtype, layout, 0, launch)
    for dtype in ("uint8", "float32"):
        for launch in _launches(partial(_merge, luma=np.zeros(SHAPE, dtype))):
            yield Instance("merge", dtype, "planar", 0, launch)


def _leave_out(operation: str, dtype: str, n: int) -> bool:
    """Instances of smoothing take seconds to compile: any n for float32 alone, the float16 ring for float16 alone."""
    if not operation.startswith("temporal"):
        return False
    return (n != FAST_BINS and dtype != "float32") or ("float16" in operation and dtype != "float16")


def _launches(run: Callable[[Engine], object]) -> list[Launch]:
    engine = Recorder()
    run(engine)
    return engine.launches


def _array(dtype: Any, layout: str, channels: int) -> tuple[np.ndarray, int]:
    """Zeros of a picture with channels first or last, and their axis."""
    if layout == "planar":
        return np.zeros((channels, *SHAPE), dtype), 0
    return np.zeros((*SHAPE, channels), dtype), 2


def _bins(n: int) -> ColorBins:
    """Any n bins on 17 x 17 cells."""
    table = (np.arange(17 * 17) % n).astype(np.uint8).reshape(17, 17)
    return ColorBins(table, np.zeros((n, 2), np.float32), np.full(n, 1 / n))


_LUMA = np.zeros(SHAPE, np.float32)


def _decode(engine: Engine, logits: Any, axis: int, bins: ColorBins, *, confidence: bool) -> None:
    _cuda_decode.decode(engine, logits, _LUMA, bins, axis=axis, confidence=confidence)


def _temporal(engine: Engine, logits: Any, axis: int, bins: ColorBins, *, ring: str) -> None:
    smoother = _cuda_smoother.TemporalSmoother(engine, bins, ring=ring, window=2)
    smoother.step(np.moveaxis(logits, axis, 0), _LUMA)


def _loss(engine: Engine, logits: Any, axis: int, bins: ColorBins, *, gradient: bool, labels: str = "uint8") -> None:
    x = np.moveaxis(logits, axis, 0)[None]
    scale, target = np.ones(1, np.float32), np.zeros_like(x) if gradient else None
    _cuda_loss.weighted_cross_entropy(engine, x, np.zeros((1, *SHAPE), labels), _LUMA[None], scale, target)
    if target is not None:
        _cuda_loss.scale_unless_one(engine, target, scale)


def _gradient(engine: Engine, logits: Any, axis: int, bins: ColorBins) -> None:
    slope = np.zeros((*logits.shape[:axis], 2, *logits.shape[axis + 1 :]), logits.dtype)
    _cuda_gradient.annealed_mean_gradient(engine, slope, logits, bins, axis=axis, out=np.zeros_like(logits))


def _merge(engine: Engine, luma: Any) -> None:
    _cuda_merge.merge(engine, np.zeros((2, SHAPE[0] // 4, SHAPE[1] // 4), np.float32), luma)


OF_LOGITS: dict[str, Callable[[Engine, Any, int, ColorBins], object]] = {
    "decode": partial(_decode, confidence=False),
    "decode + confidence": partial(_decode, confidence=True),
    "annealed_mean": lambda engine, x, axis, bins: _cuda_decode.annealed_mean(engine, x, bins, axis=axis),
    "confidence": lambda engine, x, axis, bins: _cuda_decode.confidence(engine, x, axis=axis),
    **{f"temporal, {ring} ring": partial(_temporal, ring=ring) for ring in RINGS},
    "gradient of annealed_mean": _gradient,
    "loss and gradient": partial(_loss, gradient=True),
    "loss": partial(_loss, gradient=False, labels="int64"),
}
OF_IMAGES: dict[str, Callable[[Engine, Any, int], object]] = {
    "encode": lambda engine, rgb, axis: _cuda_encode.encode(engine, rgb, _bins(FAST_BINS), channel_axis=axis),
    "encode to int64": lambda engine, rgb, axis: _cuda_encode.encode(
        engine, rgb, _bins(FAST_BINS), channel_axis=axis, label_dtype="int64"
    ),
    "histogram": lambda engine, rgb, axis: _cuda_encode.histogram(engine, rgb, 65, channel_axis=axis),
    "histogram of 255 cells": lambda engine, rgb, axis: _cuda_encode.histogram(engine, rgb, 255, channel_axis=axis),
}
