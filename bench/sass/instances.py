"""The instances of the kernels that the rules look at: those that the host code really launches.

The operations run on small NumPy arrays with an engine that writes down each launch and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from fastcolor.kernels import _cuda_decode
from fastcolor.kernels._cuda_engine import Engine

from fastcolor import ColorBins

# As the kernel modules have it, uint16 is bfloat16 by its bits.
LOGITS = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
FAST_BINS, OTHER_BINS = 32, 24
_SHAPE = (64, 128)


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
    """A launch with what it is for. ``logits`` is a type; ``layout`` says where the bins are: planar or last."""

    operation: str
    logits: str
    layout: str
    n: int
    launch: Launch

    @property
    def pixels(self) -> int:
        """Pixels a thread."""
        return _SHAPE[0] * _SHAPE[1] // (self.launch.blocks * self.launch.threads)

    def __str__(self) -> str:
        index = "64" if "fc::u64" in self.launch.expression else "32"
        return f"{self.operation}, {self.logits}, {self.layout}, n = {self.n}, {index}-bit index: {self.launch.kernel}"


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


def bins_of(n: int) -> ColorBins:
    """Any n bins on 17 x 17 cells."""
    table = (np.arange(17 * 17) % n).astype(np.uint8).reshape(17, 17)
    return ColorBins(table, np.zeros((n, 2), np.float32), np.full(n, 1 / n))


def _logits(dtype: str, layout: str, n: int) -> tuple[np.ndarray, int]:
    shape = (n, *_SHAPE) if layout == "planar" else (*_SHAPE, n)
    return np.zeros(shape, LOGITS[dtype]), 0 if layout == "planar" else -1


def _record(operation: str, dtype: str, layout: str, n: int) -> list[Launch]:
    """The launches of one operation on one kind of logits."""
    engine = Recorder()
    logits, axis = _logits(dtype, layout, n)
    luma = np.zeros(_SHAPE, np.float32)
    match operation:
        case "decode":
            _cuda_decode.decode(engine, logits, luma, bins_of(n), axis=axis)
        case "decode + confidence":
            _cuda_decode.decode(engine, logits, luma, bins_of(n), axis=axis, confidence=True)
        case "annealed_mean":
            _cuda_decode.annealed_mean(engine, logits, bins_of(n), axis=axis)
        case "confidence":
            _cuda_decode.confidence(engine, logits, axis=axis)
        case _:
            raise ValueError(operation)
    return engine.launches


OF_LOGITS = ("decode", "decode + confidence", "annealed_mean", "confidence")


def instances() -> Iterator[Instance]:
    """Every operation x type x layout x n."""
    for operation in OF_LOGITS:
        for dtype in LOGITS:
            for layout in ("planar", "last"):
                for n in (FAST_BINS, OTHER_BINS):
                    for launch in _record(operation, dtype, layout, n):
                        yield Instance(operation, dtype, layout, n, launch)
