"""Every CUDA kernel at awkward sizes and addresses, for a process that a sanitizer watches.

Arrays end where their memory ends, so that a sanitizer sees one element too many; without one, canaries follow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from fastcolor.kernels import _cuda_decode, _cuda_encode, _cuda_gradient, _cuda_loss, _cuda_merge, _cuda_smoother
from fastcolor.kernels._cuda_engine import Engine
from fastcolor.kernels._cuda_source import OPTIONS

from fastcolor import reference

from .host_module import HostModule
from .translate import compiled, sanitizer

Array = np.ndarray
CANARY = 0xA5
AFTER = 0 if sanitizer(None) else 64  # bytes
BINS, FEW_BINS, CELLS, FINE_CELLS = 32, 5, 17, 129
# Around a warp of one pixel a thread, around whole words, and several blocks with a tail.
SIZES = (1, 33, 132, 520)
OFFSETS = (0, 8)
rng = np.random.default_rng(11)


def placed(values: Array, offset: int = 0) -> Array:
    """A copy that lies `offset` bytes after the first of its memory, and ends AFTER bytes before the last."""
    values = np.ascontiguousarray(values)
    buffer = np.full(offset + values.nbytes + AFTER, CANARY, np.uint8)
    copy = buffer[offset : offset + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


@dataclass
class Check:
    """A result and what it shall be within `tolerance`; around one that is `placed` canaries must be left."""

    result: Array
    expected: Any
    tolerance: float = 0.0
    offset: int | None = None

    def __call__(self) -> None:
        if self.offset is not None:
            memory = self.result
            while memory.base is not None:
                memory = memory.base
            around = np.delete(memory, np.s_[self.offset : self.offset + self.result.nbytes])
            assert (around == CANARY).all(), "the canaries around an output are gone"
        difference = np.abs(self.result.astype(np.float64) - np.asarray(self.expected, np.float64))
        assert float(difference.max(initial=0)) <= self.tolerance, f"{difference.max()} from the reference"


def target(shape: tuple[int, ...], dtype: str, offset: int) -> Array:
    return placed(np.zeros(shape, dtype), offset)


def bins_of(n: int, cells: int = CELLS) -> reference.ColorBins:
    colors = (rng.uniform(-1, 1, (n, 2)) * [0.4, 0.6]).astype(np.float32)
    prior = rng.random(n) + 0.01
    return reference.ColorBins(rng.integers(0, n, (cells, cells)).astype(np.uint8), colors, prior / prior.sum())


def logits_of(n: int, pixels: int, dtype: str, last: bool, offset: int) -> tuple[Array, Array, int]:
    """Logits as a kernel takes them, as the reference takes them, and the axis of the bins."""
    values = rng.standard_normal((1, pixels, n) if last else (n, 1, pixels)).astype(np.float32)
    if dtype == "bfloat16":
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        return placed(bits, offset), (bits.astype(np.uint32) << 16).view(np.float32), -1 if last else 0
    x = placed(values.astype(dtype), offset)
    return x, x.astype(np.float32), -1 if last else 0


def decoding(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    for dtype, n in (("float32", BINS), ("float16", BINS), ("float32", FEW_BINS)):
        bins = bins_of(n)
        for last in (False, True):
            x, values, axis = logits_of(n, pixels, dtype, last, offset)
            luma = placed(rng.random((1, pixels), np.float32), offset)
            out = (target((1, pixels, 3), "uint8", offset), *(target((1, pixels), "float32", offset) for _ in "ab"))
            _cuda_decode.decode(engine, x, luma, bins, axis=axis, confidence=True, out=out)
            expected = reference.decode(values, luma, bins, axis=axis, confidence=True)
            for result, truth, tolerance in zip(out, expected, (1, 1e-5, np.inf), strict=True):
                yield Check(result, truth, tolerance, offset)
            if n == FEW_BINS or dtype == "float16":
                continue
            chroma = target((1, pixels, 2) if last else (2, 1, pixels), dtype, offset)
            _cuda_decode.annealed_mean(engine, x, bins, axis=axis, out=chroma)
            yield Check(chroma, reference.annealed_mean(values, bins, axis=axis), 1e-6, offset)
    planes = target((3, 1, pixels), "uint8", offset)
    x, values, _ = logits_of(BINS, pixels, "float32", False, offset)
    bins = bins_of(BINS)
    _cuda_decode.decode(engine, x, luma, bins, axis=0, channel_axis=0, out=planes)
    yield Check(planes, reference.decode(values, luma, bins, axis=0, channel_axis=0), 1, offset)


def encoding(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    bins = bins_of(BINS)
    for dtype, labels, planar in (
        ("uint8", "uint8", False),
        ("uint8", "int64", True),
        ("float32", "int32", True),
        ("float64", "uint8", False),
    ):
        shape = (3, 1, pixels) if planar else (1, pixels, 3)
        values = rng.integers(0, 256, shape) if dtype == "uint8" else rng.random(shape)
        rgb = placed(values.astype(dtype), offset)
        axis = 0 if planar else -1
        out = tuple(target((1, pixels), kind, offset) for kind in ("float32", labels, "float32"))
        _cuda_encode.encode(engine, rgb, bins, channel_axis=axis, label_dtype=labels, out=out)
        expected = reference.encode(rgb, bins, channel_axis=axis)
        for result, truth, tolerance in zip(out, expected, (1e-6, 0, 1e-5), strict=True):
            yield Check(result, truth, tolerance, offset)
        for cells in (CELLS, FINE_CELLS) if dtype == "uint8" else ():
            counts = _cuda_encode.histogram(engine, rgb, cells, channel_axis=axis)
            yield Check(counts, reference.histogram(rgb, cells, channel_axis=axis))


def merging(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    for dtype in ("uint8", "float32"):
        shape = (3, pixels)
        chroma = placed(rng.uniform(-0.3, 0.3, (2, 2, 5)).astype(np.float32), offset)
        luma = placed((rng.integers(0, 256, shape) if dtype == "uint8" else rng.random(shape)).astype(dtype), offset)
        rgb = target((*shape, 3), "uint8", offset)
        _cuda_merge.merge(engine, chroma, luma, out=rgb)
        yield Check(rgb, reference.merge(chroma, luma), 1, offset)


def smoothing(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    for dtype, ring, n, last in (
        ("float32", "float32", BINS, False),
        ("float16", "uint8", BINS, False),
        ("float32", "float16", BINS, True),
        ("bfloat16", "uint8", FEW_BINS, True),
        ("float32", "float32", FEW_BINS, False),
    ):
        bins = bins_of(n)
        smoother = _cuda_smoother.TemporalSmoother(engine, bins, window=2, ring=ring)
        truth = reference.TemporalSmoother(bins, window=2)
        luma = placed(rng.random((1, pixels), np.float32), offset)
        for _ in range(4):
            x, values, axis = logits_of(n, pixels, dtype, last, offset)
            rgb = target((1, pixels, 3), "uint8", offset)
            smoother.step(np.moveaxis(x, axis, 0), luma, out=rgb)
            expected = truth.step(np.moveaxis(values, axis, 0), luma)
            # How far a coarse ring may be off is for the tests of agreement.
            yield Check(rgb, expected, 1 if ring == "float32" else 255, offset)
        yield Check(smoother.probabilities.sum(0), 1, 1e-5)
    chroma = target((2, 1, pixels), "float32", offset)
    smoother.chroma(np.moveaxis(x, axis, 0), out=chroma)
    yield Check(chroma, 0, 1, offset)


def gradients(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    for dtype, n, last in (("float32", BINS, False), ("float16", BINS, True), ("float32", FEW_BINS, True)):
        x, _, axis = logits_of(n, pixels, dtype, last, offset)
        slope = placed(np.ones((1, pixels, 2) if last else (2, 1, pixels), dtype), offset)
        gradient = target(x.shape, dtype, offset)
        _cuda_gradient.annealed_mean_gradient(engine, slope, x, bins_of(n), axis=axis, out=gradient)
        # Moving all logits of a pixel alike changes nothing.
        yield Check(gradient.astype(np.float32).sum(axis), 0, 1e-2)
        yield Check(gradient, 0, np.inf, offset)


def losses(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    for dtype, labels_dtype, n, last in (
        ("float32", "uint8", BINS, False),
        ("float16", "int64", BINS, True),
        ("bfloat16", "uint8", BINS, False),
        ("float32", "int64", FEW_BINS, True),
        ("float32", "uint8", FEW_BINS, False),
    ):
        x, values, axis = logits_of(n, pixels, dtype, last, offset)
        labels = placed(rng.integers(0, n, (1, 1, pixels)).astype(labels_dtype), offset)
        weights = placed(rng.random((1, 1, pixels), np.float32), offset)
        gradient = target(x.shape, str(x.dtype), offset)
        scale, factor = placed(np.full(1, 0.5, np.float32)), placed(np.full(1, 2, np.float32))
        batch = [np.moveaxis(array, axis, 0)[None] for array in (x, gradient)]
        loss = _cuda_loss.weighted_cross_entropy(engine, batch[0], labels, weights, scale, batch[1])
        _cuda_loss.scale_unless_one(engine, batch[1], factor)
        logs = np.moveaxis(values, axis, 0).astype(np.float64)
        logs = np.log(np.exp(logs).sum(0)) - np.take_along_axis(logs, labels[0][None].astype(np.int64), 0)[0]
        expected = 0.5 * (weights[0] * logs).sum()
        yield Check(loss, expected, 1e-4 * expected)
        yield Check(gradient, 0, np.inf, offset)


ALL = (decoding, encoding, merging, smoothing, gradients, losses)


def instances(sizes: tuple[int, ...], offsets: tuple[int, ...]) -> set[tuple[str, tuple[str, ...]]]:
    """Texts and name expressions that all operations would launch."""
    found = set()

    def note(code: str, options: Any, name_expressions: tuple[str, ...]) -> Any:
        found.add((code, name_expressions))
        return _Idle()

    with np.errstate(all="ignore"):
        for operation, pixels, offset in product(ALL, sizes, offsets):
            list(operation(Engine(note, nullcontext), pixels, offset))
    return found


class _Idle:
    def get_function(self, name: str) -> Callable[..., None]:
        return lambda *args, **settings: None


def prepare(sanitize: str, sizes: tuple[int, ...] = SIZES, offsets: tuple[int, ...] = OFFSETS) -> None:
    """Compile what :func:`run` needs, as much at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wanted = instances(sizes, offsets)
        list(pool.map(lambda item: compiled(item[0], OPTIONS, item[1], sanitize=sanitize), wanted))


def run(sizes: tuple[int, ...] = SIZES, offsets: tuple[int, ...] = OFFSETS, **settings: Any) -> None:
    """All checks of the operations, with HostModule as `settings` say."""
    engine = Engine(partial(HostModule, **settings), nullcontext)
    for operation, pixels, offset in product(ALL, sizes, offsets):
        for check in operation(engine, pixels, offset):
            check()


if __name__ == "__main__":
    run(*(tuple(map(int, argument.split(","))) for argument in sys.argv[1:]))
    print("clean")
