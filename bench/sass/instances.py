"""The instances of the kernels that the rules look at: those that the host code really launches.

The operations run on small NumPy arrays with an engine that writes down each launch and runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from fastcolor.kernels.cupy_cuda.engine import Engine
from fastcolor.kernels.cupy_cuda.tile import FAST_BINS

from . import calls

# As the kernel modules have it, uint16 is bfloat16 by its bits.
LOGITS = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
RGB = {"uint8": np.uint8, "float32": np.float32, "float64": np.float64}
LAYOUTS = ("planar", "last")
OTHER_BINS, MANY_BINS = 24, 313  # whose colors are a launch argument, and whose are a table
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
        images = 3 if "of images" in self.operation else 1
        return images * SHAPE[0] * SHAPE[1] / (self.launch.blocks * self.launch.threads)

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
        self, like: Any, name: str, expression: str, blocks: int, threads: int, args: Any, shared: int = 0
    ) -> None:
        self.launches.append(Launch(name, expression, blocks, threads, shared))


def instances() -> Iterator[Instance]:
    """Every operation x type x layout x n; what several launch, such as the sum over blocks, once."""
    seen = set()
    for operation, run, array, dtype, layout, n in _asked():
        engine = Recorder()
        run(engine, array, axis=0 if layout == "planar" else array.ndim - 1)
        for launch in engine.launches:
            if launch.expression not in seen:
                seen.add(launch.expression)
                yield Instance(operation, dtype, layout, n, launch)


def _asked() -> Iterator[tuple[str, Callable[..., None], np.ndarray, str, str, int]]:
    """Operation, call, array that it is called with, dtype, layout, n; options and odd sizes in float32 alone."""
    for n in (FAST_BINS, OTHER_BINS, MANY_BINS):
        for (operation, run), dtype, layout in product(calls.OF_LOGITS.items(), LOGITS, LAYOUTS):
            if not _left_out(operation, dtype, n):
                yield operation, run, _zeros(layout, n, LOGITS[dtype]), dtype, layout, n
        for (operation, run), dtype in product(calls.AT_WIDTHS.items() if n == FAST_BINS else (), LOGITS):
            yield operation, run, _zeros("planar", n, LOGITS[dtype]), dtype, "planar", n
    for operation, run in calls.OF_IMAGES.items():
        for dtype, layout in product(RGB, reversed(LAYOUTS)):
            yield operation, run, _zeros(layout, 3, RGB[dtype]), dtype, layout, 0
    for operation, run in calls.OF_LUMA.items():
        for dtype in ("float32",) if "Lab" in operation else ("uint8", "float32"):
            yield operation, run, np.zeros(SHAPE, dtype), dtype, "planar", 0
    logits, of = _zeros("planar", FAST_BINS), ("float32", "planar", FAST_BINS)
    for operation, run in calls.VARIANTS.items():
        yield operation, run, logits, *of
    for operation, run in calls.OF_LOGITS.items():  # the narrow path
        yield f"{operation}, odd size", run, logits[:, 1:, 1:].copy(), *of


def _left_out(operation: str, dtype: str, n: int) -> bool:
    """Instances of smoothing take seconds to compile: any n for float32 alone, the float16 ring for float16 alone."""
    if not operation.startswith("temporal"):
        return n == MANY_BINS and dtype == "bfloat16"
    return (n != FAST_BINS and dtype != "float32") or ("float16" in operation and dtype != "float16")


def _zeros(layout: str, channels: int, dtype: Any = np.float32) -> np.ndarray:
    """A picture with channels first or last."""
    return np.zeros((channels, *SHAPE) if layout == "planar" else (*SHAPE, channels), dtype)
