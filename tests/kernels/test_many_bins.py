"""Up to 1,024 bins: sums over the bins, groups of planes, tiles by the number of bins; Lab, and the range of luma."""

from __future__ import annotations

from typing import Any

import anywhere
import compare
import numpy as np
import pytest
import strategies as make
from fastcolor.reference.constants import AB_MAX

import fastcolor
from fastcolor import reference

COUNTS = (255, 256, 313, 529, 1023, 1024)
# Odd, and longer than a tile of channels-last logits or of the loss; shorter than a vector.
SHAPES = ((3, 97), (2, 5))
KINDS = ("mixed", "normal3", "flat", "shifted")
many = pytest.mark.parametrize("n", COUNTS)
layouts = pytest.mark.parametrize("last", [False, True], ids=["planar", "last"])


def frames(n: int, last: bool, dtype: str = "float32") -> Any:
    """Logits (n, H, W) of several kinds and shapes, the bins far apart in memory or adjacent."""
    rng = np.random.default_rng(n)
    for shape in SHAPES:
        for kind in KINDS:
            x = make.make_logits(rng, kind, n, shape).astype(dtype)
            yield np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0) if last else x


def bins_of(n: int) -> Any:
    return make.make_bins(np.random.default_rng(n), n, 23)


@many
@layouts
@pytest.mark.ops("annealed_mean")
def test_annealed_mean_and_confidence(backend: str, n: int, last: bool) -> None:
    bins, arithmetic = bins_of(n), compare.arithmetic_of(backend)
    for x in frames(n, last):
        for temperature in (0.38, 0.0, 1.0):
            chroma = anywhere.annealed_mean(x, bins, temperature=temperature, backend=backend)
            compare.assert_chroma_close(chroma, x, bins, temperature=temperature, arithmetic=arithmetic)
        if anywhere.has(backend, "confidence"):
            compare.assert_confidence_close(*anywhere.confidence(x, backend=backend), x, arithmetic=arithmetic)


@pytest.mark.ops("annealed_mean")
@layouts
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_annealed_mean_of_other_dtypes(backend: str, dtype: str, last: bool) -> None:
    bins, kind = bins_of(529), "torch" if anywhere.on_cpu(backend) else "torch-cuda"
    for x in frames(529, False):
        logits = make.as_kind(x, kind, dtype, "bins_last" if last else "contiguous")
        chroma = fastcolor.annealed_mean(logits, bins, backend=backend)
        compare.assert_chroma_close(chroma, logits, bins, temperature=0.38, arithmetic=compare.arithmetic_of(backend))


@many
@layouts
@pytest.mark.ops("decode")
def test_decode(backend: str, n: int, last: bool) -> None:
    bins, arithmetic = bins_of(n), compare.arithmetic_of(backend)
    for x in frames(n, last):
        luma = np.random.default_rng(0).integers(0, 256, x.shape[1:]).astype(np.uint8)
        rgb, *maps = anywhere.decoded(x, luma, bins, backend=backend)
        compare.assert_decoded(rgb, x, luma, bins, temperature=0.38, arithmetic=arithmetic)
        if maps:
            compare.assert_confidence_close(*maps, x, arithmetic=arithmetic)


@many
@layouts
@pytest.mark.ops("annealed_mean_gradient")
def test_gradient_of_the_annealed_mean(backend: str, n: int, last: bool) -> None:
    bins, kind = bins_of(n), "torch" if anywhere.on_cpu(backend) else "torch-cuda"
    rng, arithmetic = np.random.default_rng(1), compare.arithmetic_of(backend)
    for x in frames(n, False):
        logits = make.as_kind(x, kind, "float32", "bins_last" if last else "contiguous").requires_grad_()
        upstream = make.as_kind(rng.standard_normal((2, *x.shape[1:])), kind, "float32")
        fastcolor.annealed_mean(logits, bins, backend=backend).backward(upstream)
        compare.assert_annealed_gradient_close(logits.grad, upstream, x, bins, temperature=0.38, arithmetic=arithmetic)


@many
@layouts
@pytest.mark.ops("TemporalSmoother")
def test_smoothing(backend: str, n: int, last: bool) -> None:
    bins, arithmetic = bins_of(n), compare.arithmetic_of(backend)
    for shape in SHAPES:
        options = {"alpha": 0.2, "window": 1, "temperature": 0.38}
        smoother = anywhere.TemporalSmoother(bins, backend=backend, **options)
        truth = compare.SmoothedTruth(bins, **options, arithmetic=arithmetic)
        luma = np.random.default_rng(2).random(shape, dtype=np.float32)
        for x in (x for x in frames(n, last) if x.shape[1:] == shape):
            truth.step(x)
            truth.assert_rgb(smoother.step(x, luma), luma)
            truth.assert_probabilities(smoother.probabilities)


@pytest.mark.ops("TemporalSmoother")
@pytest.mark.parametrize("ring", ["float16", "uint8"])
def test_smoothing_with_narrow_rings(backend: str, ring: str) -> None:
    bins, luma = bins_of(1024), np.full(SHAPES[0], 0.5, np.float32)
    options = {"alpha": 0.2, "window": 1, "temperature": 0.38, "ring": ring}
    smoother = anywhere.TemporalSmoother(bins, backend=backend, **options)
    truth = compare.SmoothedTruth(bins, **options, arithmetic=compare.arithmetic_of(backend))
    for x in (x for x in frames(1024, False) if x.shape[1:] == SHAPES[0]):
        truth.step(x)
        truth.assert_rgb(smoother.step(x, luma), luma, levels=255)
        truth.assert_probabilities(smoother.probabilities)


# --- Lab --------------------------------------------------------------------------------------------------------------


def lab_bins(n: int) -> Any:
    """Bins over the plane of ab that colors of RGB reach, and beyond."""
    rng = np.random.default_rng(n)
    colors = rng.uniform(-AB_MAX, AB_MAX, (n, 2)).astype(np.float32)
    table = rng.integers(0, n, (23, 23)).astype(np.uint16)
    return reference.ColorBins(table, colors, np.full(n, 1 / n), space="lab")


@pytest.mark.ops("annealed_mean", "decode", "merge")
@layouts
@pytest.mark.parametrize("n", [32, 313])
def test_lab_is_decoded_as_it_is_merged(backend: str, n: int, last: bool) -> None:
    """The join itself is held to the reference where images are merged; with a chroma of the luma's size it is that."""
    bins = lab_bins(n)
    for x in frames(n, last):
        light = np.random.default_rng(3).uniform(0, 100, x.shape[1:]).astype(np.float32)
        light[0, 1] = np.nan
        for temperature in (0.38, 0.0):
            rgb = anywhere.decode(x, light, bins, temperature=temperature, backend=backend)
            chroma = anywhere.annealed_mean(x, bins, temperature=temperature, backend=backend)
            broken = np.isnan(chroma).any(axis=0)
            # A neighbour that is NaN spoils a merged pixel, although its weight is 0.
            merged = anywhere.merge(np.nan_to_num(chroma), light, space="lab", backend=backend)
            np.testing.assert_array_equal(rgb, np.where(broken[..., None], 0, merged))
            compare.assert_chroma_close(
                chroma, x, bins, temperature=temperature, arithmetic=compare.arithmetic_of(backend)
            )


@pytest.mark.ops("annealed_mean", "merge", "TemporalSmoother")
def test_lab_is_smoothed(backend: str) -> None:
    bins, light = lab_bins(313), np.random.default_rng(4).uniform(0, 100, SHAPES[0]).astype(np.float32)
    joined, plain = (anywhere.TemporalSmoother(bins, window=1, backend=backend) for _ in range(2))
    truth = compare.SmoothedTruth(
        bins, alpha=0.2, window=1, temperature=0.38, arithmetic=compare.arithmetic_of(backend)
    )
    for kind in ("normal3", "normal1", "one_peak"):
        x = make.make_logits(np.random.default_rng(5), kind, 313, SHAPES[0]).astype(np.float32)
        chroma = plain.chroma(x)
        truth.step(x)
        truth.assert_chroma(chroma)
        np.testing.assert_array_equal(
            joined.step(x, light), anywhere.merge(chroma, light, space="lab", backend=backend)
        )


@pytest.mark.parametrize(("space", "good", "bad"), [
    ("yuv", (-0.0039, 1.0039, np.nan), (-0.004, 1.004, 255.0, np.inf, -np.inf)),
    ("lab", (-0.39, 100.39, np.nan), (-0.4, 100.4, 255.0, np.inf, -np.inf)),
])  # fmt: skip
def test_a_luma_out_of_range_is_told(space: str, good: Any, bad: Any) -> None:
    """By as much as bfloat16 rounds it is none; and a film goes on as if the frame had not been given."""
    backend = "numba"  # a GPU is not asked to look
    bins = lab_bins(9) if space == "lab" else make.make_bins(np.random.default_rng(6), 9, 5)
    x = make.make_logits(np.random.default_rng(7), "normal3", 9, (3, 41)).astype(np.float32)
    smoother, other = (anywhere.TemporalSmoother(bins, backend=backend) for _ in range(2))
    for value, layout in ((value, layout) for value in (*good, *bad) for layout in ("contiguous", "bins_last")):
        luma, logits = np.full((3, 41), 0.25, np.float32), make.lay_out(x, layout)
        luma[2, 40] = value
        if value in bad:
            with pytest.raises(ValueError, match=r"^luma: expected values in \[0, 1"):
                anywhere.decode(logits, luma, bins, backend=backend)
            with pytest.raises(ValueError, match=r"^luma: expected values in \[0, 1"):
                smoother.step(logits, luma)
        else:
            anywhere.decode(logits, luma, bins, backend=backend)
            np.testing.assert_array_equal(smoother.step(logits, luma), other.step(logits, luma))
    np.testing.assert_array_equal(smoother.probabilities, other.probabilities)
