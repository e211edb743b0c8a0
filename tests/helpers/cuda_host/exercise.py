"""Every CUDA kernel at awkward sizes and addresses, for a process that a sanitizer watches.

Arrays end where their memory ends, so that a sanitizer sees one element too many; without one, canaries follow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import compare
import compare_loss
import numpy as np
from fastcolor.kernels.cupy_cuda import decode as cuda_decode
from fastcolor.kernels.cupy_cuda import encode as cuda_encode
from fastcolor.kernels.cupy_cuda import encode_soft as cuda_encode_soft
from fastcolor.kernels.cupy_cuda import gradient as cuda_gradient
from fastcolor.kernels.cupy_cuda import loss as cuda_loss
from fastcolor.kernels.cupy_cuda import merge as cuda_merge
from fastcolor.kernels.cupy_cuda import temporal
from fastcolor.kernels.cupy_cuda.engine import Engine
from fastcolor.kernels.cupy_cuda.source import OPTIONS
from fastcolor.reference.constants import DEFAULT_ALPHA, DEFAULT_LAM, DEFAULT_TEMPERATURE

from bench.cases import PLANAR, STREAMED, at_width
from fastcolor import reference

from .host_module import HostModule
from .translate import compiled, sanitizer

Array = np.ndarray
CANARY = 0xA5
AFTER = 0 if sanitizer(None) else 64  # bytes
BINS, FEW_BINS, MANY_BINS, CELLS, FINE_CELLS = 32, 5, 520, 17, 129  # many: lanes of a row take two groups each
# Around a warp of one pixel a thread, around whole words, and several blocks with a tail.
SIZES = (1, 33, 132, 520)
MOST_OF_MANY = 132  # pixels: those of many bins take long
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
    """Results that are `placed` at `offset`, and what compares them with the reference: canaries must be left around.

    The comparators are those of :mod:`compare`, with its derived tolerances.
    """

    against_reference: Callable[[], None]
    results: tuple[Array, ...]
    offset: int

    def __call__(self) -> None:
        for result in self.results:
            memory = result
            while memory.base is not None:
                memory = memory.base
            around = np.delete(memory, np.s_[self.offset : self.offset + result.nbytes])
            assert (around == CANARY).all(), "the canaries around an output are gone"
        self.against_reference()


def target(shape: tuple[int, ...], dtype: str, offset: int) -> Array:
    return placed(np.zeros(shape, dtype), offset)


def bins_of(n: int, cells: int = CELLS) -> reference.ColorBins:
    colors = (rng.uniform(-1, 1, (n, 2)) * [0.4, 0.6]).astype(np.float32)
    prior = rng.random(n) + 0.01
    table = rng.integers(0, n, (cells, cells)).astype(np.uint8 if n <= 255 else np.uint16)
    return reference.ColorBins(table, colors, prior / prior.sum())


def is_quick(n: int, pixels: int) -> bool:
    return n < MANY_BINS or pixels <= MOST_OF_MANY


def logits_of(n: int, pixels: int, dtype: str, last: bool, offset: int) -> tuple[Array, Array, int]:
    """Logits as a kernel takes them, as the reference takes them, and the axis of the bins."""
    values = rng.standard_normal((1, pixels, n) if last else (n, 1, pixels)).astype(np.float32)
    if dtype == "bfloat16":
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        return placed(bits, offset), (bits.astype(np.uint32) << 16).view(np.float32), -1 if last else 0
    x = placed(values.astype(dtype), offset)
    return x, x.astype(np.float32), -1 if last else 0


def named(result: Array, dtype: str) -> Any:
    """A result with its type's name; the bits of bfloat16 as the numbers that they are."""
    values = (result.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else result
    return compare.Typed(values, dtype)


def decoding(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    close: dict[str, Any] = {"arithmetic": compare.ON_HOST}
    for dtype, n in (("float32", BINS), ("float16", BINS), ("float32", FEW_BINS), ("float32", MANY_BINS)):
        bins = bins_of(n)
        for last in (False, True) if is_quick(n, pixels) else ():
            x, values, axis = logits_of(n, pixels, dtype, last, offset)
            luma = placed(rng.random((1, pixels), np.float32), offset)
            rgb = target((1, pixels, 3), "uint8", offset)
            top, ratio = (target((1, pixels), "float32", offset) for _ in range(2))
            cuda_decode.decode(engine, x, luma, bins, axis=axis, confidence=True, out=(rgb, top, ratio))
            options: dict[str, Any] = {"temperature": DEFAULT_TEMPERATURE, "axis": axis, **close}
            yield Check(partial(compare.assert_decoded, rgb, values, luma, bins, **options), (rgb,), offset)
            sure = partial(compare.assert_confidence_close, top, ratio, values, axis=axis, **close)
            yield Check(sure, (top, ratio), offset)
            if n != BINS or dtype == "float16":
                continue
            chroma = target((1, pixels, 2) if last else (2, 1, pixels), dtype, offset)
            cuda_decode.annealed_mean(engine, x, bins, axis=axis, out=chroma)
            yield Check(partial(compare.assert_chroma_close, chroma, values, bins, **options), (chroma,), offset)
    planes = target((3, 1, pixels), "uint8", offset)
    x, values, _ = logits_of(BINS, pixels, "float32", False, offset)
    bins = bins_of(BINS)
    cuda_decode.decode(engine, x, luma, bins, axis=0, channel_axis=0, out=planes)
    options = {"temperature": DEFAULT_TEMPERATURE, "axis": 0, "channel_axis": 0}
    yield Check(partial(compare.assert_decoded, planes, values, luma, bins, **options), (planes,), offset)


def widths(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    """Every kind of kernel and number of pixels that the table may have for planes of the unrolled n."""
    bins = bins_of(BINS)
    for dtype, (kind, each) in product(("float32", "bfloat16"), (*PLANAR, *STREAMED)):
        if pixels % each:
            continue  # as with one pixel a thread
        running = {"running": 0.0, "exp": compare.ON_HOST.exp + (compare.RUNNING if kind == "streamed" else 0)}
        x, values, _ = logits_of(BINS, pixels, dtype, False, offset)
        luma = placed(rng.random((1, pixels), np.float32), offset)
        rgb, chroma = target((1, pixels, 3), "uint8", offset), target((2, 1, pixels), str(x.dtype), offset)
        top, ratio = (target((1, pixels), "float32", offset) for _ in range(2))
        with at_width(kind, each):
            cuda_decode.decode(engine, x, luma, bins, axis=0, confidence=True, out=(rgb, top, ratio))
            cuda_decode.annealed_mean(engine, x, bins, axis=0, out=chroma)
        close: dict[str, Any] = {"axis": 0, "arithmetic": replace(compare.ON_HOST, **running)}
        options = {"temperature": DEFAULT_TEMPERATURE, **close}
        yield Check(partial(compare.assert_decoded, rgb, values, luma, bins, **options), (rgb,), offset)
        yield Check(partial(compare.assert_confidence_close, top, ratio, values, **close), (top, ratio), offset)
        mean = partial(compare.assert_chroma_close, named(chroma, dtype), values, bins, **options)
        yield Check(mean, (chroma,), offset)


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
        out: Any = tuple(target((1, pixels), kind, offset) for kind in ("float32", labels, "float32"))
        cuda_encode.encode(engine, rgb, bins, channel_axis=axis, label_dtype=labels, out=out)
        seen = np.moveaxis(rgb, axis, -1)
        yield Check(partial(compare.assert_encoded, out, seen, bins, DEFAULT_LAM), out, offset)
        for cells in (CELLS, FINE_CELLS) if dtype == "uint8" else ():
            counts = cuda_encode.histogram(engine, rgb, cells, channel_axis=axis)
            yield Check(partial(compare.assert_histogram_close, counts, seen, cells), (), offset)


def encoding_lab(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    """Few bins, whose weights come with the launch, and many."""
    for dtype, labels, n, planar in (
        ("uint8", "uint8", BINS, False),
        ("uint8", "int16", MANY_BINS, True),
        ("float32", "int64", MANY_BINS, False),
    ):
        bins = lab_bins(n)
        rgb, axis, seen = image_of(dtype, planar, pixels, offset)
        out: Any = tuple(target((1, pixels), kind, offset) for kind in ("float32", labels, "float32"))
        cuda_encode.encode(engine, rgb, bins, channel_axis=axis, label_dtype=labels, out=out)
        yield Check(partial(_assert_about, out, reference.encode(seen, bins)), out, offset)
        for cells in (CELLS, FINE_CELLS) if dtype == "uint8" else ():
            counts = cuda_encode.histogram(engine, rgb, cells, space="lab", channel_axis=axis)
            expected = reference.histogram(seen, cells, space="lab")
            yield Check(partial(np.testing.assert_array_equal, counts, expected), (), offset)


def softly(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    """Labels and shares in planes and in rows, of a few neighbors and of many, in both spaces."""
    for dtype, labels, space, neighbors, planar, last in (
        ("uint8", "int16", "lab", 5, False, False),
        ("uint8", "uint8", "yuv", 5, True, True),
        ("uint8", "int64", "lab", 12, True, True),
        ("float32", "int32", "lab", 7, True, False),
    ):
        bins = lab_bins(BINS) if space == "lab" else bins_of(BINS)
        rgb, axis, seen = image_of(dtype, planar, pixels, offset)
        soft = (1, pixels, neighbors) if last else (neighbors, 1, pixels)
        shapes = ((1, pixels), "float32"), (soft, labels), (soft, "float32"), ((1, pixels), "float32")
        out: Any = tuple(target(shape, kind, offset) for shape, kind in shapes)
        options: dict[str, Any] = {"neighbors": neighbors, "sigma": 5.0 if space == "lab" else 0.1}
        options |= {"weighting": "mean", "axis": 2 if last else 0}
        cuda_encode_soft.encode_soft(engine, rgb, bins, channel_axis=axis, label_dtype=labels, out=out, **options)
        luma, numbers, *rest = reference.encode_soft(seen, bins, **options)
        yield Check(partial(_assert_about, (out[0], *out[2:]), (luma, *rest)), out, offset)
        yield Check(partial(_assert_mostly, out[1], numbers), (), offset)


def image_of(dtype: str, planar: bool, pixels: int, offset: int) -> tuple[Array, int, Array]:
    """RGB as a kernel takes it, the axis of its channels, and as the reference takes it."""
    shape = (3, 1, pixels) if planar else (1, pixels, 3)
    values = rng.integers(0, 256, shape) if dtype == "uint8" else rng.random(shape)
    rgb, axis = placed(values.astype(dtype), offset), 0 if planar else -1
    return rgb, axis, np.moveaxis(rgb, axis, -1)


def lab_bins(n: int) -> reference.ColorBins:
    """Any labels, on 23 x 23 cells."""
    colors = rng.uniform(-80, 80, (n, 2)).astype(np.float32)
    prior = rng.random(n) + 0.01
    table = rng.integers(0, n, (23, 23)).astype(np.uint8 if n <= 255 else np.uint16)
    return reference.ColorBins(table, colors, prior / prior.sum(), space="lab")


def _assert_about(results: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    """Luma, labels and what follows; other tests hold them to derived bounds."""
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, wanted, rtol=2e-4, atol=2e-5)


def _assert_mostly(labels: Array, expected: Array) -> None:
    """Two bins may be equally near but for a rounding: seldom."""
    assert (labels != expected).sum() <= 2


def merging(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    for dtype, space in (("uint8", "yuv"), ("float32", "yuv"), ("float32", "lab")):
        for images in (1, 2):
            shape = (images, 3, pixels)
            chroma = placed((rng.uniform(-0.3, 0.3, (images, 2, 2, 5))).astype(np.float32), offset)
            luma = rng.integers(0, 256, shape) if dtype == "uint8" else rng.random(shape)
            if space == "lab":
                chroma, luma = placed(200 * chroma, offset), 100 * luma
            luma = placed(luma.astype(dtype), offset)
            rgb = target((*shape, 3), "uint8", offset)
            cuda_merge.merge(engine, chroma, luma, space=space, out=rgb)
            yield Check(partial(_assert_level, rgb, reference.merge(chroma, luma, space=space)), (rgb,), offset)


def _assert_level(rgb: Array, expected: Array) -> None:
    assert np.abs(rgb.astype(int) - expected).max() <= 1


def smoothing(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    """Four frames, then one of which the chroma is asked for; the past frames leave the window of two."""
    for dtype, ring, n, last in (
        ("float32", "float32", BINS, False),
        ("float16", "uint8", BINS, False),
        ("float32", "float16", BINS, True),
        ("bfloat16", "uint8", FEW_BINS, True),
        ("float32", "float32", FEW_BINS, False),
        ("float32", "uint8", MANY_BINS, True),
    ):
        if not is_quick(n, 4 * pixels):
            continue
        options: dict[str, Any] = {
            "alpha": DEFAULT_ALPHA,
            "window": 2,
            "temperature": DEFAULT_TEMPERATURE,
            "ring": ring,
        }
        bins = bins_of(n)
        smoother, truth = (
            temporal.TemporalSmoother(engine, bins, **options),
            compare.SmoothedTruth(bins, **options, arithmetic=compare.ON_HOST),
        )
        luma = placed(rng.random((1, pixels), np.float32), offset)
        # What a coarse ring makes of one value may be many levels where the distribution is flat: the bound says where.
        levels = 1 if ring == "float32" else 255
        for frame in range(5):
            x, values, axis = logits_of(n, pixels, dtype, last, offset)
            truth.step(np.moveaxis(values, axis, 0))
            if frame < 4:
                rgb = target((1, pixels, 3), "uint8", offset)
                smoother.step(np.moveaxis(x, axis, 0), luma, out=rgb)
                yield Check(partial(truth.assert_rgb, rgb, luma, levels=levels), (rgb,), offset)
            else:
                chroma = target((2, 1, pixels), "float32", offset)
                smoother.chroma(np.moveaxis(x, axis, 0), out=chroma)
                yield Check(partial(truth.assert_chroma, chroma), (chroma,), offset)
            yield Check(partial(truth.assert_probabilities, smoother.probabilities), (), offset)


def gradients(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    for dtype, n, last in (
        ("float32", BINS, False),
        ("float16", BINS, True),
        ("float32", FEW_BINS, True),
        ("float16", FEW_BINS, False),
        ("float32", MANY_BINS, True),
        ("float32", MANY_BINS, False),
    ):
        if not is_quick(n, pixels):
            continue
        x, values, axis = logits_of(n, pixels, dtype, last, offset)
        shape = (1, pixels, 2) if last else (2, 1, pixels)
        slope, bins = placed(rng.standard_normal(shape).astype(dtype), offset), bins_of(n)
        gradient = target(x.shape, dtype, offset)
        cuda_gradient.annealed_mean_gradient(engine, slope, x, bins, axis=axis, out=gradient)
        arguments = (gradient, slope, values, bins)
        options: dict[str, Any] = {"temperature": DEFAULT_TEMPERATURE, "axis": axis, "arithmetic": compare.ON_HOST}
        yield Check(partial(compare.assert_annealed_gradient_close, *arguments, **options), (gradient,), offset)


def losses(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    for dtype, labels_dtype, n, last in (
        ("float32", "uint8", BINS, False),
        ("float16", "int64", BINS, True),
        ("bfloat16", "uint8", BINS, False),
        ("float32", "int64", FEW_BINS, True),
        ("float32", "uint8", FEW_BINS, False),
        ("float32", "int16", MANY_BINS, True),
    ):
        if not is_quick(n, pixels):
            continue
        x, values, axis = logits_of(n, pixels, dtype, last, offset)
        labels = placed(rng.integers(0, n, (1, 1, pixels)).astype(labels_dtype), offset)
        weights = placed(rng.random((1, 1, pixels), np.float32) + np.float32(0.1), offset)
        gradient = target(x.shape, str(x.dtype), offset)
        batch, batch_values, batch_gradient = (np.moveaxis(a, axis, 0)[None] for a in (x, values, gradient))
        options: dict[str, Any] = {"shares": None, "gradient": batch_gradient}
        cuda_loss._last_factor(batch)[...] = 1
        arrays = batch, labels, weights
        loss, call = cuda_loss.loss_forward(engine, *arrays, over=weights, number=0.0, **options)
        arguments = (loss, named(batch_gradient, dtype), batch_values, labels, weights)
        close = partial(compare.assert_loss_close, *arguments, arithmetic=compare.ON_HOST)
        yield Check(close, (gradient,), offset)
        # A power of two above 1 rounds nothing but what was subnormal, and that to the next but one at most.
        before = gradient.copy()
        cuda_loss.loss_backward(engine, call, placed(np.full(1, -2, np.float32)), *arrays, **options)
        expected = -2 * np.asarray(named(before, dtype))
        bound = 3 * compare.HALF_ULP[dtype][1]
        yield Check(
            partial(compare.assert_close, "scaled", named(gradient, dtype), expected, bound), (gradient,), offset
        )


def soft_losses(engine: Engine, pixels: int, offset: int) -> Iterator[Check]:
    """k labels a pixel, one of which comes twice, and then the same shares for every bin."""
    for dtype, n, last, k in (
        ("float32", BINS, False, 3),
        ("float16", FEW_BINS, True, 3),
        ("float32", MANY_BINS, True, 10),
        ("bfloat16", MANY_BINS, False, 2),
    ):
        if not is_quick(n, pixels):
            continue
        x, values, axis = logits_of(n, pixels, dtype, last, offset)
        labels = placed(rng.integers(0, n, (1, k, 1, pixels)).astype(np.int16), offset)
        labels[:, -1] = labels[:, 0]
        shares = placed(rng.random(labels.shape, np.float32), offset)
        every = compare_loss.dense_targets(n, labels, shares)
        rows = placed(np.moveaxis(every, 1, -1 if last else 1).astype(np.float32), offset)
        weights = placed(rng.random((1, 1, pixels), np.float32), offset)
        for parts in (
            {"labels": labels, "shares": shares},
            {"labels": None, "shares": np.moveaxis(rows, -1 if last else 1, 1)},
        ):
            gradient, losses = target(x.shape, str(x.dtype), offset), target(weights.shape, "float32", offset)
            batch, batch_values, batch_gradient = (np.moveaxis(a, axis, 0)[None] for a in (x, values, gradient))
            options: dict[str, Any] = {"weights": weights, "losses": losses, "gradient": batch_gradient}
            loss = cuda_loss.weighted_cross_entropy(engine, batch, **parts, **options)
            arguments = (losses, named(batch_gradient, dtype), batch_values, every, weights)
            added = k if parts["labels"] is not None else n
            close = partial(compare_loss.assert_losses_close, *arguments, added=added, arithmetic=compare.ON_HOST)
            yield Check(close, (gradient, losses), offset)
            total, bound = losses.sum(dtype=np.float64), float(compare.sum_error(losses.reshape(-1).astype(np.float64)))
            yield Check(partial(compare.assert_close, "loss", loss, total, bound + 4 * compare.u * total), (), offset)


ALL = (decoding, widths, encoding, encoding_lab, softly, merging, smoothing, gradients, losses, soft_losses)


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
