"""Every backend that runs here, through the public API, against the reference: any dtype, layout, library and shape."""

from __future__ import annotations

import tracemalloc
from typing import Any

import anywhere
import compare
import numpy as np
import pytest
import strategies as make
import torch
from fastcolor.reference.constants import U_MAX, V_MAX
from hypothesis import given
from hypothesis import strategies as st

import fastcolor
from fastcolor import reference

RGB_DTYPES = ("uint8", "float32", "float64")
LUMA_DTYPES = ("uint8", "float32", "float64")
LOGIT_DTYPES = ("float32", "float16", "bfloat16", "float64")


def logit_dtypes(kind: str) -> list[str]:
    return [dtype for dtype in LOGIT_DTYPES if dtype != "bfloat16" or make.has_bfloat16(kind)]


logit_arrays = pytest.mark.arrays("dtype", logit_dtypes)
rgb_arrays = pytest.mark.arrays("dtype", lambda kind: RGB_DTYPES)
data_of = given(st.data(), make.generators)


def same_kind(result: Any, like: Any, dtype: str, shape: tuple[int, ...]) -> Any:
    """The result as NumPy float64, once its library, device, dtype and shape are right."""
    assert type(result) is type(like)
    assert str(result.dtype).removeprefix("torch.") == dtype
    assert tuple(result.shape) == tuple(shape)
    if isinstance(like, torch.Tensor):
        assert result.device == like.device
        assert result.is_contiguous()
    elif not isinstance(like, np.ndarray):
        assert result.device == like.device
        assert result.flags.c_contiguous
    return compare.as_float64(result)


class Unchanged:
    """A block within which arrays, with all the memory they are views of, keep every byte."""

    def __init__(self, *arrays: Any) -> None:
        self.arrays = arrays

    def __enter__(self) -> None:
        self.before = [make.memory_of(array) for array in self.arrays]

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            assert [make.memory_of(array) for array in self.arrays] == self.before, "an input was written to"


# Shapes of logits around the pixels: where the bins go, given the pixel shape.
@st.composite
def bin_axes(draw: st.DrawFn, pixels: tuple[int, ...]) -> int:
    return draw(st.sampled_from([-3, -1, 0, -2][: 4 if len(pixels) >= 2 else 1])) if len(pixels) >= 2 else 0


@st.composite
def pixel_shapes(draw: st.DrawFn, limit: int) -> tuple[int, ...]:
    """(H, W) mostly; also none, one, three and four dimensions of pixels."""
    height, width = draw(make.shapes(max_pixels=max(limit, 1)))
    kind = draw(st.sampled_from(["(H, W)", "(H, W)", "(N, H, W)", "(P,)", "()", "(N, M, H, W)"]))
    return {
        "(H, W)": (height, width),
        "(N, H, W)": (2, height, max(width // 2, min(width, 1))),
        "(P,)": (height * width,),
        "()": (),
        "(N, M, H, W)": (2, 1, height, max(width // 2, min(width, 1))),
    }[kind]


@st.composite
def logits_and_bins(draw: st.DrawFn, rng: np.random.Generator, kind: str, dtype: str) -> tuple[Any, int, Any]:
    bins = draw(make.bins())
    pixels = draw(pixel_shapes(make.MAX_LOGITS // bins.n))
    axis = draw(bin_axes(pixels))
    x = make.make_logits(rng, draw(make.logit_kinds), bins.n, pixels)
    axis_of = axis if axis >= 0 else axis + len(pixels) + 1
    x = np.moveaxis(x, 0, axis_of)
    return make.as_kind(x, kind, dtype, draw(make.layouts_of(kind))), axis, bins


def pixels_of(array: Any, axis: int) -> tuple[int, ...]:
    shape = list(array.shape)
    del shape[axis]
    return tuple(shape)


# --- encode, histogram ------------------------------------------------------------------------------------------------


@st.composite
def rgb_images(draw: st.DrawFn, rng: np.random.Generator, kind: str, dtype: str) -> tuple[Any, int, Any]:
    """An image of the library, its channel axis, and the same as NumPy with the channels last."""
    pixels = draw(pixel_shapes(10_000))
    image = make.make_rgb(rng, draw(make.image_kinds), pixels)
    if dtype != "uint8":
        image = image / 255.0
        if draw(st.booleans()):
            image = rng.uniform(*make.UNIT, image.shape)
    axis = draw(st.sampled_from([-1, 0, -2, -3][: 1 + min(len(pixels), 3)]))
    moved = np.moveaxis(image, -1, axis)
    array = make.as_kind(moved, kind, dtype, draw(make.layouts_of(kind)))
    return array, axis, np.moveaxis(compare.as_numpy(array), axis, -1)


@pytest.mark.ops("encode")
@rgb_arrays
@data_of
def test_encode(backend: str, kind: str, dtype: str, data: st.DataObject, rng: np.random.Generator) -> None:
    rgb, axis, seen = data.draw(rgb_images(rng, kind, dtype))
    bins, lam = data.draw(make.bins()), data.draw(make.lams)
    label_dtype = data.draw(st.sampled_from(["uint8", "int64", "int32"]))
    with Unchanged(rgb):
        results = fastcolor.encode(rgb, bins, lam=lam, label_dtype=label_dtype, channel_axis=axis, backend=backend)
    pixels = pixels_of(rgb, axis)
    dtypes = ("float32", label_dtype, "float32")
    luma, labels, weights = (same_kind(r, rgb, d, pixels) for r, d in zip(results, dtypes, strict=True))
    compare.assert_encoded((luma, labels, weights), seen, bins, lam)


@pytest.mark.ops("histogram")
@rgb_arrays
@data_of
def test_histogram(backend: str, kind: str, dtype: str, data: st.DataObject, rng: np.random.Generator) -> None:
    rgb, axis, seen = data.draw(rgb_images(rng, kind, dtype))
    cells = data.draw(make.cell_counts)
    with Unchanged(rgb):
        result = fastcolor.histogram(rgb, cells, channel_axis=axis, backend=backend)
    counts = same_kind(result, rgb, "int64", (cells, cells))
    compare.assert_histogram_close(counts, seen, cells)


@pytest.mark.ops("encode")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_encode_of_nan_is_neutral(backend: str, dtype: str) -> None:
    """A NaN pixel has a NaN luma, and chroma in the middle cell, so that no index is out of range."""
    bins = make.make_bins(np.random.default_rng(0), 32, 17)
    rgb = np.random.default_rng(1).random((40, 3)).astype(dtype)
    rgb[::3] = np.nan
    luma, labels, _ = anywhere.encode(rgb, bins, backend=backend)
    assert np.isnan(luma[::3]).all()
    assert (labels[::3] == bins.table[8, 8]).all()
    compare.assert_encoded(anywhere.encode(rgb[1::3], bins, backend=backend), rgb[1::3], bins, 0.2)


# --- annealed mean, confidence, decode --------------------------------------------------------------------------------


@pytest.mark.ops("annealed_mean")
@logit_arrays
@data_of
def test_annealed_mean(backend: str, kind: str, dtype: str, data: st.DataObject, rng: np.random.Generator) -> None:
    logits, axis, bins = data.draw(logits_and_bins(rng, kind, dtype))
    temperature = data.draw(make.temperatures)
    with Unchanged(logits):
        chroma = fastcolor.annealed_mean(logits, bins, temperature=temperature, axis=axis, backend=backend)
    shape = list(logits.shape)
    shape[axis] = 2
    same_kind(chroma, logits, "float32" if dtype == "float64" else dtype, tuple(shape))
    compare.assert_chroma_close(
        chroma, logits, bins, temperature=temperature, axis=axis, arithmetic=compare.arithmetic_of(backend)
    )


@pytest.mark.ops("confidence")
@logit_arrays
@data_of
def test_confidence(backend: str, kind: str, dtype: str, data: st.DataObject, rng: np.random.Generator) -> None:
    logits, axis, _ = data.draw(logits_and_bins(rng, kind, dtype))
    with Unchanged(logits):
        results = fastcolor.confidence(logits, axis=axis, backend=backend)
    top, ratio = (same_kind(r, logits, "float32", pixels_of(logits, axis)) for r in results)
    compare.assert_confidence_close(top, ratio, logits, axis=axis, arithmetic=compare.arithmetic_of(backend))


@st.composite
def lumas(draw: st.DrawFn, rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Luma of the library, and the same as NumPy."""
    dtype = draw(st.sampled_from(LUMA_DTYPES))
    luma = rng.integers(0, 256, shape) if dtype == "uint8" else rng.uniform(*make.UNIT, shape)
    if dtype != "uint8" and draw(st.booleans()):
        luma = np.where(rng.random(shape) < 0.1, np.nan, luma)
    array = make.as_kind(np.asarray(luma), kind, dtype, draw(make.layouts_of(kind)))
    return array, compare.as_numpy(array)


def sure(backend: str) -> st.SearchStrategy[bool]:
    """Whether to ask for the confidence as well, of a backend that has it."""
    return st.booleans() if anywhere.has(backend, "confidence") else st.just(False)


@pytest.mark.ops("decode")
@logit_arrays
@data_of
def test_decode(backend: str, kind: str, dtype: str, data: st.DataObject, rng: np.random.Generator) -> None:
    logits, axis, bins = data.draw(logits_and_bins(rng, kind, dtype))
    pixels = pixels_of(logits, axis)
    luma, seen_luma = data.draw(lumas(rng, kind, pixels))
    temperature, confidence = data.draw(make.temperatures), data.draw(sure(backend))
    channel_axis = data.draw(
        st.sampled_from([-1, 0, -3, -2][: min(len(pixels) + 1, 4)] if len(pixels) > 1 else [-1, 0])
    )
    with Unchanged(logits, luma):
        result = fastcolor.decode(
            logits, luma, bins, temperature=temperature, axis=axis, channel_axis=channel_axis, confidence=confidence,
            backend=backend,
        )  # fmt: skip
    rgb = result[0] if confidence else result
    shape = list(pixels)
    shape.insert(channel_axis if channel_axis >= 0 else len(pixels) + 1 + channel_axis, 3)
    same_kind(rgb, logits, "uint8", tuple(shape))
    arithmetic = compare.arithmetic_of(backend)
    axes = {"axis": axis, "channel_axis": channel_axis}
    compare.assert_decoded(rgb, logits, seen_luma, bins, temperature=temperature, **axes, arithmetic=arithmetic)
    if confidence:
        top, ratio = (same_kind(r, logits, "float32", pixels) for r in result[1:])
        compare.assert_confidence_close(top, ratio, logits, axis=axis, arithmetic=arithmetic)


@pytest.mark.ops("annealed_mean")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("planar", [True, False])
@pytest.mark.parametrize("temperature", [0.05, 0.2, 0.38, 1.0, 4.0])
def test_chroma_is_as_accurate_as_measured(backend: str, dtype: str, planar: bool, temperature: float) -> None:
    """``32 * 0.37 * eps / 2 * |c|max``, 7e-7 |c|max: a weight e^-x carries an error of x eps / 2, and x e^-x <= 0.37.

    Narrower than the worst case, as its errors do not all have the same sign; for float32 results. An approximate
    exponential adds its own error: a share e of each weight moves the mean by e |c - mean| <= 2 e |c|max at most.
    """
    extra = compare.arithmetic_of(backend).exp - compare.FLOAT32.exp
    rng = np.random.default_rng(11)
    bins = make.make_bins(rng, 32, 17)
    for kind in make.FINITE_LOGITS:
        x = make.make_logits(rng, kind, 32, (100, 101)).astype(dtype).astype(np.float32)
        array = x if planar else np.ascontiguousarray(x.transpose(1, 2, 0)).transpose(2, 0, 1)
        chroma = anywhere.annealed_mean(array, bins, temperature=temperature, backend=backend)
        expected = reference.annealed_mean(x, bins, temperature=temperature)
        share = 32 * 0.37 * compare.u + 2 * extra
        assert np.abs(chroma - expected).max() <= share * np.abs(bins.colors).max(), kind


# --- merge ------------------------------------------------------------------------------------------------------------


@pytest.mark.ops("merge")
@logit_arrays
@data_of
def test_merge(backend: str, kind: str, dtype: str, data: st.DataObject, rng: np.random.Generator) -> None:
    have = tuple(max(side, 1) for side in data.draw(make.shapes(max_pixels=2000)))
    want = data.draw(make.shapes(max_pixels=20_000))
    values = rng.uniform(-1, 1, (2, *have)) * np.array([U_MAX, V_MAX])[:, None, None]
    if data.draw(st.booleans()):
        values[rng.random(values.shape) < 0.05] = np.nan
    chroma = make.as_kind(values, kind, dtype, data.draw(make.layouts_of(kind)))
    luma, seen_luma = data.draw(lumas(rng, kind, want))
    with Unchanged(chroma, luma):
        rgb = fastcolor.merge(chroma, luma, backend=backend)
    same_kind(rgb, luma, "uint8", (*want, 3))
    compare.assert_merged(rgb, chroma, seen_luma)


# --- temporal smoothing -----------------------------------------------------------------------------------------------


def smoothed(kind: str) -> list[tuple[str, str]]:
    """All rings, all kinds of logits, not all pairs: each is a kernel to compile."""
    narrow = [("bfloat16", "uint8")] if make.has_bfloat16(kind) else [("float32", "float16"), ("float32", "uint8")]
    return [*((dtype, "float32") for dtype in logit_dtypes(kind)), *narrow]


@pytest.mark.ops("TemporalSmoother")
@pytest.mark.arrays("dtype, ring", smoothed)
@data_of
def test_temporal_smoother(
    backend: str, kind: str, dtype: str, ring: str, data: st.DataObject, rng: np.random.Generator
) -> None:
    n = data.draw(st.sampled_from([3, 1, 2, 8, 9, 32, 33]))
    bins = make.make_bins(rng, n, 5)
    shape = data.draw(make.shapes(max_pixels=600))
    options = {
        "alpha": data.draw(st.sampled_from([0.2, 0.0, 1.0, 50.0])),
        "window": data.draw(st.sampled_from([2, 0, 1, 20])),
        "temperature": data.draw(make.temperatures),
        "ring": ring,
    }
    smoother = fastcolor.TemporalSmoother(bins, backend=backend, **options)
    truth = compare.SmoothedTruth(bins, **options, arithmetic=compare.arithmetic_of(backend))
    for _ in range(data.draw(st.integers(1, 6))):
        x = make.make_logits(rng, data.draw(make.logit_kinds), n, shape)
        logits = make.as_kind(x, kind, dtype, data.draw(make.layouts_of(kind)))
        luma, seen_luma = data.draw(lumas(rng, kind, shape))
        with Unchanged(logits, luma):
            rgb = smoother.step(logits, luma)
        same_kind(rgb, logits, "uint8", (*shape, 3))
        truth.step(logits)
        # T > 1 lifts what rounding left of an improbable bin, T = 0 decides ties by it: only the bound holds there
        sharp = 0 < options["temperature"] <= 1 and ring == "float32"
        truth.assert_rgb(rgb, seen_luma, levels=1 if sharp else 255)
        probabilities = smoother.probabilities
        same_kind(probabilities, logits, "float32", (n, *shape))
        truth.assert_probabilities(probabilities)


@pytest.mark.ops("TemporalSmoother")
@pytest.mark.parametrize(("ring", "levels"), [("float32", 1), ("float16", 1), ("uint8", 3)])
def test_rings_cost_no_more_levels_than_documented(backend: str, ring: str, levels: int) -> None:
    """Defaults of the paper over 60 frames of a slowly changing scene."""
    rng = np.random.default_rng(12)
    bins = fastcolor.ColorBins.default()
    scene, luma = 3 * rng.standard_normal((bins.n, 40, 50)), rng.random((40, 50)).astype(np.float32)
    fast, slow = anywhere.TemporalSmoother(bins, ring=ring, backend=backend), reference.TemporalSmoother(bins)
    for _ in range(60):
        scene = 0.95 * scene + 0.9 * rng.standard_normal(scene.shape)
        x = scene.astype(np.float32)
        difference = np.abs(fast.step(x, luma).astype(int) - slow.step(x, luma))
        assert difference.max() <= levels
    assert difference.mean() < 0.5


# --- out= -------------------------------------------------------------------------------------------------------------


@st.composite
def outputs(draw: st.DrawFn, kind: str, dtype: str, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """An output to write to, the buffer it is cut out of, and the slices; the rest of the buffer holds canaries."""
    step, margin = draw(st.sampled_from([1, 2])), draw(st.sampled_from([0, 1, 3]))
    where = tuple(slice(margin, margin + step * size, step) for size in shape)
    sizes = tuple(2 * margin + step * size for size in shape)
    buffer = make.as_kind(np.full(sizes, 77), kind, dtype)
    return buffer[where], buffer, where


def assert_canaries(buffer: Any, where: Any) -> None:
    values = compare.as_float64(buffer).copy()
    values[where] = 77
    assert (values == 77).all(), "something outside `out` was written"


@pytest.mark.ops("annealed_mean")
@logit_arrays
@data_of
def test_out_of_annealed_mean(
    backend: str, kind: str, dtype: str, data: st.DataObject, rng: np.random.Generator
) -> None:
    logits, axis, bins = data.draw(logits_and_bins(rng, kind, dtype))
    shape = list(logits.shape)
    shape[axis] = 2
    out, buffer, where = data.draw(outputs(kind, "float32" if dtype == "float64" else dtype, tuple(shape)))
    result = fastcolor.annealed_mean(logits, bins, axis=axis, backend=backend, out=out)
    assert result is out
    fresh = fastcolor.annealed_mean(logits, bins, axis=axis, backend=backend)
    np.testing.assert_array_equal(compare.as_float64(out), compare.as_float64(fresh))
    assert_canaries(buffer, where)


@pytest.mark.ops("decode")
@data_of
def test_out_of_decode(backend: str, kind: str, data: st.DataObject, rng: np.random.Generator) -> None:
    bins = data.draw(make.bins())
    shape = data.draw(make.shapes(max_pixels=make.MAX_LOGITS // bins.n))
    logits = make.as_kind(make.make_logits(rng, "mixed", bins.n, shape), kind, "float32")
    luma = make.as_kind(rng.random(shape), kind, "float32")
    confidence, channel_axis = data.draw(sure(backend)), data.draw(st.sampled_from([-1, 0, 1]))
    channels = [*shape]
    channels.insert(channel_axis % 3, 3)
    wanted = [("uint8", tuple(channels))] + [("float32", shape)] * (2 * confidence)
    drawn = [data.draw(outputs(kind, *one)) for one in wanted]
    out = tuple(view for view, _, _ in drawn) if confidence else drawn[0][0]
    options = {"channel_axis": channel_axis, "confidence": confidence, "backend": backend}
    result = fastcolor.decode(logits, luma, bins, out=out, **options)
    fresh = fastcolor.decode(logits, luma, bins, **options)
    results, fresh = (result, fresh) if confidence else ((result,), (fresh,))
    for (view, buffer, where), returned, new in zip(drawn, results, fresh, strict=True):
        assert returned is view
        np.testing.assert_array_equal(compare.as_float64(view), compare.as_float64(new))
        assert_canaries(buffer, where)


@pytest.mark.ops("TemporalSmoother")
@data_of
def test_out_of_the_smoother(backend: str, kind: str, data: st.DataObject, rng: np.random.Generator) -> None:
    bins = make.make_bins(rng, 9, 3)
    shape = data.draw(make.shapes(max_pixels=3000))
    smoothers = [fastcolor.TemporalSmoother(bins, window=1, backend=backend) for _ in range(2)]
    for _ in range(3):
        logits = make.as_kind(make.make_logits(rng, "mixed", 9, shape), kind, "float32")
        luma = make.as_kind(rng.random(shape), kind, "float32")
        out, buffer, where = data.draw(outputs(kind, "uint8", (*shape, 3)))
        assert smoothers[0].step(logits, luma, out=out) is out
        fresh = smoothers[1].step(logits, luma)
        np.testing.assert_array_equal(compare.as_numpy(out), compare.as_numpy(fresh))
        assert_canaries(buffer, where)


# --- large images, threads, memory ------------------------------------------------------------------------------------

LARGE = (541, 739)


@pytest.fixture
def _restore_threads() -> Any:
    before = fastcolor.get_num_threads()
    yield
    fastcolor.set_num_threads(before)


def large_results(rng: np.random.Generator, bins: Any, backend: str) -> list[Any]:
    """All operations on an image large enough to be cut over threads, none of its sizes a multiple of anything."""
    rgb = make.make_rgb(rng, "uniform", LARGE)
    logits = 3 * rng.standard_normal((bins.n, *LARGE), dtype=np.float32)
    chroma = rng.uniform(-0.4, 0.4, (2, 37, 41)).astype(np.float32)
    luma, labels, weights = fastcolor.encode(rgb, bins, backend=backend)
    smoother = fastcolor.TemporalSmoother(bins, window=1, backend=backend)
    steps = [smoother.step(logits * scale, luma) for scale in (1, -1, 2)]
    last = np.ascontiguousarray(logits.transpose(1, 2, 0))
    return [
        *(luma, labels, weights, *steps, smoother.probabilities),
        fastcolor.histogram(rgb, 17, backend=backend),
        fastcolor.histogram(rgb / np.float32(255), 17, backend=backend),
        *fastcolor.encode(rgb / np.float32(255), bins, backend=backend),
        *fastcolor.decode(logits, luma, bins, confidence=True, backend=backend),
        fastcolor.annealed_mean(logits, bins, backend=backend),
        fastcolor.annealed_mean(last, bins, axis=-1, backend=backend),
        *fastcolor.confidence(last, axis=-1, backend=backend),
        fastcolor.merge(chroma, luma, backend=backend),
    ]


@pytest.mark.usefixtures("_restore_threads")
def test_any_number_of_threads_gives_the_same_bits() -> None:
    """Of the one backend that has threads."""
    backend = "numba"
    bins = make.make_bins(np.random.default_rng(13), 5, 17)
    results = {}
    for threads in (1, 2, 3):
        fastcolor.set_num_threads(threads)
        results[threads] = large_results(np.random.default_rng(14), bins, backend)
    for threads in (2, 3):
        for one, many in zip(results[1], results[threads], strict=True):
            np.testing.assert_array_equal(one, many)


@pytest.mark.ops("encode", "histogram")
def test_large_images(backend: str) -> None:
    """Cut over threads (if there are any), against the reference."""
    rng = np.random.default_rng(15)
    bins = make.make_bins(rng, 5, 33)
    rgb = make.make_rgb(rng, "uniform", LARGE)
    compare.assert_encoded(anywhere.encode(rgb, bins, backend=backend), rgb, bins, 0.2)
    np.testing.assert_array_equal(anywhere.histogram(rgb, 33, backend=backend), reference.histogram(rgb, 33))


@pytest.mark.ops("decode")
def test_large_frames_of_logits(backend: str) -> None:
    rng, arithmetic = np.random.default_rng(16), compare.arithmetic_of(backend)
    bins = make.make_bins(rng, 5, 33)
    logits, luma = make.make_logits(rng, "mixed", 5, LARGE).astype(np.float32), rng.random(LARGE, dtype=np.float32)
    rgb, *maps = anywhere.decoded(logits, luma, bins, backend=backend)
    compare.assert_decoded(rgb, logits, luma, bins, temperature=0.38, arithmetic=arithmetic)
    if maps:
        compare.assert_confidence_close(*maps, logits, arithmetic=arithmetic)


@pytest.mark.ops("merge")
def test_large_merged_images(backend: str) -> None:
    rng = np.random.default_rng(17)
    luma, chroma = rng.random(LARGE, dtype=np.float32), rng.uniform(-0.4, 0.4, (2, 37, 41)).astype(np.float32)
    compare.assert_merged(anywhere.merge(chroma, luma, backend=backend), chroma, luma)


@pytest.mark.ops("decode", "annealed_mean", "confidence", "TemporalSmoother")
@pytest.mark.devices("cpu")
@pytest.mark.parametrize("planar", [True, False])
def test_nothing_as_large_as_the_logits_is_allocated(backend: str, kind: str, planar: bool) -> None:
    """NumPy's allocations, torch's memory being only viewed: two of 32 planes beside the result and a copy of it."""
    rng, side = np.random.default_rng(16), 256
    bins = make.make_bins(rng, 32, 17)
    values = rng.standard_normal((32, side, side) if planar else (side, side, 32), dtype=np.float32)
    axis = -3 if planar else -1
    logits, luma = make.as_kind(values, kind, "float32"), make.as_kind(rng.random((side, side)), kind, "float32")
    smoother = fastcolor.TemporalSmoother(bins, backend=backend, window=1)

    def smooth() -> Any:
        planes = logits if planar else logits.transpose(2, 0, 1) if kind == "numpy" else logits.permute(2, 0, 1)
        return smoother.step(planes, luma)

    calls = [
        lambda: fastcolor.decode(logits, luma, bins, axis=axis, backend=backend),
        lambda: fastcolor.decode(logits, luma, bins, axis=axis, confidence=True, backend=backend),
        lambda: fastcolor.annealed_mean(logits, bins, axis=axis, backend=backend),
        lambda: fastcolor.confidence(logits, axis=axis, backend=backend),
        smooth,
    ]
    for call in calls:
        for _ in range(2):
            call()  # compiled, and its own state allocated
        tracemalloc.start()
        result = call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        results = result if isinstance(result, tuple) else (result,)
        allowed = 2 * sum(compare.as_float64(r).size * r.dtype.itemsize for r in results) + 2 * side * side * 4
        assert peak < allowed, f"{peak} bytes"
