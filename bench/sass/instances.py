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
OTHER_BINS, MANY_BINS = 24, 313  # whose colors are a launch argument, and whose are a table
SHAPE = (64, 128)
ODD = "odd size"


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
    for instance in (*_of_logits(), *_of_images(), *_of_variants()):
        if instance.launch.expression not in seen:
            seen.add(instance.launch.expression)
            yield instance


def _of_logits() -> Iterator[Instance]:
    for operation, run in calls.OF_LOGITS.items():
        for dtype, layout, n in product(LOGITS, ("planar", "last"), (FAST_BINS, OTHER_BINS, MANY_BINS)):
            if not _leave_out(operation, dtype, n):
                logits, axis = _array(LOGITS[dtype], layout, n)
                yield from _launched(run, (operation, dtype, layout, n), x=logits, axis=axis, bins=calls.bins_of(n))


def _of_images() -> Iterator[Instance]:
    for operation, run in calls.OF_IMAGES.items():
        for dtype, layout in product(RGB, ("last", "planar")):
            rgb, axis = _array(RGB[dtype], layout, 3)
            yield from _launched(run, (operation, dtype, layout, 0), rgb=rgb, axis=axis)
    for operation, run in calls.OF_LUMA.items():
        for dtype in ("float32",) if "Lab" in operation else ("uint8", "float32"):
            yield from _launched(run, (operation, dtype, "planar", 0), luma=np.zeros(SHAPE, dtype))


def _of_variants() -> Iterator[Instance]:
    """Options of decode, and the narrow path of every operation, which an odd size takes; float32 alone."""
    bins, (x, _) = calls.bins_of(FAST_BINS), _array(np.float32, "planar", FAST_BINS)
    of = "float32", "planar", FAST_BINS
    for operation, run in calls.VARIANTS.items():
        yield from _launched(run, (operation, *of), x=x, axis=0, bins=bins)
    for operation, run in calls.OF_LOGITS.items():
        yield from _launched(run, (f"{operation}, {ODD}", *of), x=x[:, 1:, 1:].copy(), axis=0, bins=bins)


def _leave_out(operation: str, dtype: str, n: int) -> bool:
    """Instances of smoothing take seconds to compile: any n for float32 alone, the float16 ring for float16 alone."""
    if not operation.startswith("temporal"):
        return n == MANY_BINS and dtype == "bfloat16"
    return (n != FAST_BINS and dtype != "float32") or ("float16" in operation and dtype != "float16")


def _launched(run: Callable[..., object], of: tuple[str, str, str, int], **options: Any) -> Iterator[Instance]:
    """The instances of one operation; `of` is its name, dtype, layout and n."""
    engine = Recorder()
    run(engine, **options)
    return (Instance(*of, launch) for launch in engine.launches)


def _array(dtype: Any, layout: str, channels: int) -> tuple[np.ndarray, int]:
    """Zeros of a picture with channels first or last, and their axis."""
    if layout == "planar":
        return np.zeros((channels, *SHAPE), dtype), 0
    return np.zeros((*SHAPE, channels), dtype), 2
