"""The CUDA kernels of any number of bins at their own edges: groups of planes, lanes of a row, tables of colors."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import compare
import numpy as np
import pytest
import strategies as make
from cuda_host.backend import ENGINE, TemporalSmoother
from cuda_host.host_module import HostModule
from fastcolor.kernels.cupy_cuda import decode as cuda_decode
from fastcolor.kernels.cupy_cuda import gradient as cuda_gradient
from fastcolor.kernels.cupy_cuda import loss as cuda_loss
from fastcolor.kernels.cupy_cuda import palette
from fastcolor.kernels.cupy_cuda.engine import Engine, as_argument
from fastcolor.kernels.cupy_cuda.source import FEW_BINS
from guarded import at_offset

from fastcolor import reference

Array = np.ndarray
# Around groups of 8 planes, 8 and 32 lanes a row (128), colors by value (255), and two groups of 16 a lane (512).
SIZES = (7, 9, 16, 17, 33, 128, 129, 255, 256, 313, 512, 513, 1024)
AXES = (0, -1)  # planar, channels-last
PIXELS = 36
MANY = 313
T = 0.38
SUMMED = 64  # pixels, by whose number a mean is divided exactly


def bins_of(n: int, space: str = "yuv") -> reference.ColorBins:
    rng = np.random.default_rng(n)
    colors = rng.uniform(-1, 1, (n, 2)) * ([0.4, 0.6] if space == "yuv" else [80, 80])
    table = rng.integers(0, n, (9, 9)).astype(np.uint8 if n <= 255 else np.uint16)
    return reference.ColorBins(table, colors.astype(np.float32), np.full(n, 1 / n), space=space)


def placed(rows: Array, axis: int) -> Array:
    """Logits (pixels, n) as an array whose bins are on `axis` and lie so in memory."""
    return rows[None] if axis else np.ascontiguousarray(rows.T)[:, None]


def rows_of(result: Array, axis: int) -> Array:
    return np.moveaxis(result, axis, -1)[0]


def chroma_of(x: Array, axis: int, bins: Any, **options: Any) -> Array:
    return cuda_decode.annealed_mean(ENGINE, x, bins, axis=axis, **options)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("n", SIZES)
def test_any_number_of_bins(n: int, axis: int) -> None:
    rng, bins = np.random.default_rng(n), bins_of(n)
    x = placed((3 * rng.standard_normal((PIXELS, n))).astype(np.float32), axis)
    luma = rng.random((1, PIXELS), np.float32)
    rgb, top, ratio = cuda_decode.decode(ENGINE, x, luma, bins, axis=axis, temperature=T, confidence=True)
    options: dict[str, Any] = {"axis": axis, "arithmetic": compare.ON_HOST}
    compare.assert_decoded(rgb, x, luma, bins, temperature=T, **options)
    compare.assert_confidence_close(top, ratio, x, **options)
    compare.assert_chroma_close(chroma_of(x, axis, bins, temperature=0.0), x, bins, temperature=0.0, **options)
    slope = rng.standard_normal(np.moveaxis(np.empty((2, 1, PIXELS)), 0, axis).shape).astype(np.float32)
    gradient = np.empty_like(x)
    cuda_gradient.annealed_mean_gradient(ENGINE, slope, x, bins, temperature=T, axis=axis, out=gradient)
    compare.assert_annealed_gradient_close(gradient, slope, x, bins, temperature=T, **options)


def rising(slope: float, n: int = MANY) -> Array:
    return (slope * np.arange(n)).astype(np.float32)


LARGEST = np.finfo(np.float32).max


def with_one(value: float, place: int, rest: float = 0.0, n: int = MANY) -> Array:
    row = np.full(n, rest, np.float32)
    row[place] = value
    return row


ROWS = {
    "rising slowly": rising(0.01),
    "rising": rising(0.7),
    "rising by less than the room": rising(1.5),
    "rising fast": rising(40.0),
    "falling": rising(-0.7),
    "the last": with_one(30.0, -1),
    "the first alone": with_one(1.0, 0, -np.inf),
    "the last alone": with_one(-1.0, -1, -np.inf),
    "the last alone, as low as can be": with_one(-LARGEST, -1, -np.inf),
    "as low as can be": np.full(MANY, -LARGEST, np.float32),
    "as high as can be": np.full(MANY, LARGEST, np.float32),
    "as far apart as can be": with_one(LARGEST, 200, -LARGEST),
    "far below zero": rising(0.01) - np.float32(1e4),
    "far above zero": rising(0.01) + np.float32(1e6),
    "all -inf": np.full(MANY, -np.inf, np.float32),
    "NaN": with_one(np.nan, 77),
    "NaN at the end": with_one(np.nan, -1),
    "+inf": with_one(np.inf, 300),
    "NaN among -inf": with_one(np.nan, 5, -np.inf),
    "two at the top": np.maximum(with_one(5.0, 250), with_one(5.0, 40)),
    "equal": np.zeros(MANY, np.float32),
}


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("temperature", [0.0, 0.38, 1e-30, 7.0])
def test_a_running_maximum(temperature: float, axis: int) -> None:
    """Pixels side by side, so that the levels of neighbours rise apart; the lowest of equal bins is the mode."""
    bins, x = bins_of(MANY), placed(np.stack(list(ROWS.values())), axis)
    options: dict[str, Any] = {"axis": axis, "arithmetic": compare.ON_HOST}
    chroma = chroma_of(x, axis, bins, temperature=temperature)
    with np.errstate(all="ignore"):
        compare.assert_chroma_close(chroma, x, bins, temperature=temperature, **options)
        compare.assert_confidence_close(*cuda_decode.confidence(ENGINE, x, axis=axis), x, **options)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_place_in_memory_does_not_show(dtype: str, axis: int) -> None:
    """Wide and narrow instances sum up the same groups."""
    rng, bins = np.random.default_rng(3), bins_of(MANY)
    x = placed((4 * rng.standard_normal((64, MANY))).astype(dtype), axis)
    luma = rng.random((1, 64), np.float32)
    slope = np.ones(np.moveaxis(np.empty((2, 1, 64)), 0, axis).shape, dtype)
    results = []
    for offset in (0, x.itemsize):
        y, gradient = at_offset(x, offset), np.empty_like(x)
        cuda_gradient.annealed_mean_gradient(ENGINE, slope, y, bins, axis=axis, out=gradient)
        results.append((*cuda_decode.decode(ENGINE, y, luma, bins, axis=axis, confidence=True), gradient))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_arguments_of_a_launch_fit_in_four_kilobytes() -> None:
    sizes: list[int] = []

    class Noting(Engine):
        def launch(
            self, like: Any, name: str, expression: str, blocks: int, threads: int, args: Any, *rest: Any
        ) -> None:
            sizes.append(sum(as_argument(argument).nbytes for argument in args))

    engine = Noting(HostModule, nullcontext)
    for n in (FEW_BINS, FEW_BINS + 1, 1024):
        for axis in AXES:
            chroma = np.zeros(np.moveaxis(np.empty((2, 1, 8)), 0, axis).shape, np.float32)
            cuda_decode.annealed_mean(
                engine, placed(np.zeros((8, n), np.float32), axis), bins_of(n), axis=axis, out=chroma
            )
    assert sizes[0] > 2048  # by value
    assert max(sizes) < 4096
    assert max(sizes[1:]) < 256


def test_colors_lie_in_a_table_with_zeros_behind_them() -> None:
    bins = bins_of(MANY)
    table = palette._padded(bins)
    assert table.shape == (2, 512)
    np.testing.assert_array_equal(table[:, :MANY], bins.colors.T)
    assert not table[:, MANY:].any()


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("n", [32, MANY])
def test_half_logits_give_float_chroma_where_it_is_wanted(n: int, axis: int) -> None:
    x = placed(np.random.default_rng(5).standard_normal((PIXELS, n)).astype(np.float16), axis)
    out = np.empty(np.moveaxis(np.empty((2, 1, PIXELS)), 0, axis).shape, np.float32)
    chroma_of(x, axis, bins_of(n), temperature=T, out=out)
    compare.assert_chroma_close(out, x, bins_of(n), temperature=T, axis=axis, arithmetic=compare.ON_HOST)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("n", [32, MANY])
def test_probabilities_of_any_scale(n: int, axis: int) -> None:
    """A common factor does not count; without a valid sum there is nothing."""
    rng, bins = np.random.default_rng(6), bins_of(n)
    rows = rng.random((PIXELS, n)) ** 4 * (rng.random((PIXELS, n)) > 0.5)
    rows[:4] = [np.nan], [-1.0], [np.inf], [0.0]
    rows[:3, 1:] = 0.5
    for factor in (1.0, 1e-25, 1e30):
        p = placed((factor * rows).astype(np.float32), axis)
        for temperature in (0.0, T, 2.0):
            options: dict[str, Any] = {"axis": axis, "temperature": temperature, "from_logits": False}
            with np.errstate(all="ignore"):
                expected = reference.annealed_mean(p.astype(np.float64), bins, **options)
            found = cuda_decode.annealed_mean(ENGINE, p, bins, **options)
            np.testing.assert_allclose(found, expected, rtol=0, atol=3e-5)
        top, ratio = cuda_decode.confidence(ENGINE, p, axis=axis, from_logits=False)
        with np.errstate(all="ignore"):
            both = reference.confidence(p.astype(np.float64), axis=axis, from_logits=False)
        np.testing.assert_allclose(top, both[0], rtol=(n + 4) * compare.u)
        np.testing.assert_allclose(ratio, both[1], rtol=4 * compare.u)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("n", [32, MANY])
def test_lab(n: int, axis: int) -> None:
    """At most one level beside the reference, and only near the middle between two."""
    rng, bins = np.random.default_rng(7), bins_of(n, "lab")
    x = placed((5 * rng.standard_normal((256, n))).astype(np.float32), axis)
    luma = (100 * rng.random((1, 256))).astype(np.float32)
    luma[0, :2] = np.nan, np.inf
    rgb = cuda_decode.decode(ENGINE, x, luma, bins, axis=axis, temperature=T)
    chroma = np.moveaxis(reference.annealed_mean(x.astype(np.float64), bins, temperature=T, axis=axis), axis, -1)
    with np.errstate(all="ignore"):
        value = 255 * reference.color.lab_to_rgb(np.concatenate([luma[..., None].astype(np.float64), chroma], axis=-1))
    assert not rgb[0, :2].any()
    np.testing.assert_array_less(np.abs(rgb[0, 2:] - value[0, 2:]), 0.5 + 0.02)


# --- the loss ---------------------------------------------------------------------------------------------------------


def loss_of(x: Array, labels: Any, weights: Array, **parts: Any) -> tuple[float, Array, Array]:
    gradient, losses = np.full_like(x, 7), np.full(weights.shape, 7, np.float32)
    results = {"gradient": gradient, "losses": losses}
    return float(cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, **parts, **results)), gradient, losses


def batch_of(rows: Array, last: bool) -> Array:
    """Logits (pixels, n) as (1, n, pixels)."""
    return rows.T[None] if last else np.ascontiguousarray(rows.T)[None]


TARGETS = ("hard", "soft", "dense")


def targets_of(kind: str, n: int, pixels: int, last: bool) -> dict[str, Any]:
    rng = np.random.default_rng(8)
    if kind == "hard":
        return {"labels": rng.integers(0, n, (1, pixels)).astype(np.int16)}
    if kind == "soft":
        return {
            "labels": rng.integers(0, n, (1, 4, pixels)).astype(np.int16),
            "shares": rng.random((1, 4, pixels)).astype(np.float32),
        }
    return {"labels": None, "shares": batch_of((rng.random((pixels, n)) / n).astype(np.float32), last)}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("n", [32, 100, MANY])
@pytest.mark.parametrize("kind", TARGETS)
def test_a_pixel_without_weight_adds_nothing(kind: str, n: int, last: bool) -> None:
    """Whatever its logits, labels and shares are; its gradient is 0."""
    rng = np.random.default_rng(9)
    rows = rng.standard_normal((PIXELS, n)).astype(np.float32)
    parts, weights = targets_of(kind, n, PIXELS, last), rng.random((1, PIXELS)).astype(np.float32)
    weights[0, 5] = 0
    expected = loss_of(batch_of(rows, last), weights=weights, **parts)
    rows[5] = np.nan
    parts = {name: None if part is None else part.copy() for name, part in parts.items()}
    if parts["labels"] is not None:
        parts["labels"][..., 5] = -1
    if "shares" in parts:
        parts["shares"][..., 5] = np.nan
    found = loss_of(batch_of(rows, last), weights=weights, **parts)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not found[1][0, :, 5].any()
    assert found[2][0, 5] == 0


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("n", [32, MANY])
@pytest.mark.parametrize("kind", TARGETS)
def test_logits_as_large_as_can_be(kind: str, n: int, last: bool) -> None:
    """Of both signs: losses of 1e37, whose sum float32 does not hold, have a finite mean."""
    rows = np.where(np.random.default_rng(10).random((SUMMED, n)) > 0.5, 1e37, -1e37).astype(np.float32)
    x, parts = batch_of(rows, last), targets_of(kind, n, SUMMED, last)
    weights, gradient = np.ones((1, SUMMED), np.float32), np.empty_like(x)
    loss = cuda_loss.weighted_cross_entropy(ENGINE, x, weights=weights, number=SUMMED, gradient=gradient, **parts)
    assert np.isfinite(loss)
    assert loss > 0
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("n", [32, MANY])
def test_a_share_of_nothing_adds_nothing(n: int, last: bool) -> None:
    """Even where its logit is -inf; a bin that comes twice has both shares."""
    rows = np.random.default_rng(11).standard_normal((PIXELS, n)).astype(np.float32)
    rows[:, 3] = -np.inf
    x, weights = batch_of(rows, last), np.ones((1, PIXELS), np.float32)
    labels = np.broadcast_to(np.array([1, 3, 1])[None, :, None], (1, 3, PIXELS)).astype(np.int16)
    shares = np.broadcast_to(np.array([0.25, 0.0, 0.75], np.float32)[None, :, None], (1, 3, PIXELS))
    soft = loss_of(x, labels, weights, shares=shares)
    hard = loss_of(x, np.ones((1, PIXELS), np.uint8), weights)
    for ours, theirs in zip(soft, hard, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=8 * compare.u, atol=compare.u)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("label", [-1, MANY, 1 << 15, 1 << 40])
def test_a_soft_label_that_is_no_bin_makes_the_loss_nan(label: int, last: bool) -> None:
    x = batch_of(np.random.default_rng(12).standard_normal((PIXELS, MANY)).astype(np.float32), last)
    labels, shares = np.zeros((1, 2, PIXELS), np.int64), np.full((1, 2, PIXELS), 0.5, np.float32)
    labels[0, 1, 7] = label
    loss, gradient, losses = loss_of(x, labels, np.ones((1, PIXELS), np.float32), shares=shares)
    assert np.isnan(loss)
    assert np.flatnonzero(np.isnan(losses)).tolist() == [7]
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["uint8", "uint16", "int16", "int32", "int64"])
def test_types_of_labels(name: str) -> None:
    x = batch_of(np.random.default_rng(13).standard_normal((PIXELS, MANY)).astype(np.float32), False)
    labels = np.random.default_rng(13).integers(0, 256 if name == "uint8" else MANY, (1, PIXELS))
    weights = np.ones((1, PIXELS), np.float32)
    for ours, theirs in zip(loss_of(x, labels.astype(name), weights), loss_of(x, labels, weights), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- smoothing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("ring", ["float32", "uint8"])
def test_smoothing(ring: str, last: bool) -> None:
    rng, bins = np.random.default_rng(14), make.make_bins(np.random.default_rng(14), 33, 9)
    options: dict[str, Any] = {"alpha": 0.2, "window": 2, "temperature": T, "ring": ring}
    smoother, truth = (
        TemporalSmoother(bins, **options),
        compare.SmoothedTruth(bins, **options, arithmetic=compare.ON_HOST),
    )
    luma = rng.random((1, PIXELS), np.float32)
    for _ in range(4):
        rows = (2 * rng.standard_normal((PIXELS, 33))).astype(np.float32)
        x = batch_of(rows, last)[0][:, None]
        truth.step(x)
        truth.assert_rgb(smoother.step(x, luma), luma, levels=1 if ring == "float32" else 255)
        truth.assert_probabilities(smoother.probabilities)
