"""Laws that every backend keeps, whatever the numbers: they need no reference."""

from __future__ import annotations

from typing import Any

import anywhere
import compare
import numpy as np
import pytest
import strategies as make
from fastcolor.reference.constants import LUMA
from hypothesis import assume, given
from hypothesis import strategies as st

import fastcolor
from fastcolor import reference

positive_temperatures = make.temperatures.filter(bool)
finite_kinds = st.sampled_from(make.FINITE_LOGITS)


def drawn(rng: np.random.Generator, bins: reference.ColorBins, kind: str, shape: tuple[int, int]) -> Any:
    height, width = shape
    width = min(width, make.MAX_LOGITS // bins.n // max(height, 1))
    return make.make_logits(rng, kind, bins.n, (height, width)).astype(np.float32)


def two_bounds(backend: str, x: Any, y: Any, bins: reference.ColorBins, temperature: float) -> Any:
    """How far apart two float32 results on equivalent logits may lie: each within its own bound of the truth."""
    arithmetic = compare.arithmetic_of(backend)
    seen = (np.moveaxis(z.astype(np.float64), 0, -1) for z in (x, y))
    bounds = [compare.chroma_bound(z, bins, temperature, arithmetic) for z in seen]
    return np.moveaxis(sum(bounds) + 2 * compare.u, -1, 0)


@pytest.mark.ops("annealed_mean")
@given(make.bins(), make.generators, finite_kinds, make.shapes(), make.temperatures)
def test_shifting_all_logits_changes_nothing(
    backend: str, bins: Any, rng: np.random.Generator, kind: str, shape: Any, temperature: float
) -> None:
    x = drawn(rng, bins, kind, shape)
    shifted = x + np.float32(64)
    assume(np.array_equal(shifted - np.float32(64), x))  # an exact shift, so that both mean the same distribution
    one, other = (anywhere.annealed_mean(z, bins, temperature=temperature, backend=backend) for z in (x, shifted))
    compare.assert_close("shifted", other, one, two_bounds(backend, x, shifted, bins, temperature))
    if not anywhere.has(backend, "confidence"):
        return
    (top, ratio), (top_2, ratio_2) = (anywhere.confidence(z, backend=backend) for z in (x, shifted))
    compare.assert_close("top", top_2, top, 1e-5 * top)
    both_infinite = np.isinf(ratio) | np.isinf(ratio_2)
    compare.assert_close("ratio", np.where(both_infinite, 1, ratio_2), np.where(both_infinite, 1, ratio), 1e-4 * ratio)


@pytest.mark.ops("annealed_mean")
@given(make.bins(), make.generators, make.shapes(), positive_temperatures, st.sampled_from([1e-4, 0.5, 3.0, 1e4]))
def test_scaling_probabilities_changes_nothing(
    backend: str, bins: Any, rng: np.random.Generator, shape: Any, temperature: float, scale: float
) -> None:
    """Logits may be logarithms of probabilities, zeros included, normalised or not."""
    height, width = shape[0], min(shape[1], make.MAX_LOGITS // bins.n // max(shape[0], 1))
    p = rng.exponential(size=(bins.n, height, width)) * (rng.random((bins.n, height, width)) < 0.7) + 0.0
    p[0] += 1e-6
    with np.errstate(divide="ignore"):
        x, y = (np.log(q).astype(np.float32) for q in (p, p * scale))
    one, other = (anywhere.annealed_mean(z, bins, temperature=temperature, backend=backend) for z in (x, y))
    # A logarithm below 24 in magnitude is rounded to float32 within 2^-20; T divides that error.
    rounding = 2 * 2.0**-20 / temperature * 2 * np.abs(bins.colors).max()
    compare.assert_close("scaled", other, one, two_bounds(backend, x, y, bins, temperature) + rounding)


@pytest.mark.ops("annealed_mean")
@given(make.bins(), make.generators, st.sampled_from(make.LOGITS), make.shapes())
def test_temperature_zero_is_the_mode(backend: str, bins: Any, rng: np.random.Generator, kind: str, shape: Any) -> None:
    """The color of the largest logit, bit for bit; ties go to the lowest bin."""
    x = drawn(rng, bins, kind, shape)
    chroma = anywhere.annealed_mean(x, bins, temperature=0.0, backend=backend)
    valid = np.isfinite(x.max(axis=0))
    np.testing.assert_array_equal(chroma[:, valid], bins.colors[x.argmax(axis=0)[valid]].T)
    assert np.isnan(chroma[:, ~valid]).all()


@pytest.mark.ops("annealed_mean")
@given(make.bins(), make.generators, make.shapes(), st.sampled_from([1e-3, 1e-6, 1e-30, 1e-45, 1e-300, 5e-324]))
def test_low_temperatures_tend_to_the_mode(
    backend: str, bins: Any, rng: np.random.Generator, shape: Any, temperature: float
) -> None:
    x = drawn(rng, bins, "normal1", shape)
    if bins.n > 1:
        second, first = np.sort(x, axis=0)[-2:]
        x = np.where((first - second > 0.125)[None], x, np.arange(bins.n)[:, None, None] % 3).astype(np.float32)
        first = x.max(axis=0)
        x = np.where(np.cumsum(x == first, axis=0) * (x == first) > 1, np.float32(-1), x)  # one mode only
    chroma = anywhere.annealed_mean(x, bins, temperature=temperature, backend=backend)
    expected = np.moveaxis(bins.colors[x.argmax(axis=0)], -1, 0)
    compare.assert_close("mode", chroma, expected, 4 * compare.u * np.abs(expected) + 1e-30)


@pytest.mark.ops("annealed_mean")
@given(make.bins(), make.generators, st.sampled_from(["flat", "normal1", "one_peak"]), make.shapes(),
       st.sampled_from([1e6, 1e12, 1e30]))  # fmt: skip
def test_high_temperatures_tend_to_the_mean(
    backend: str, bins: Any, rng: np.random.Generator, kind: str, shape: Any, temperature: float
) -> None:
    x = drawn(rng, bins, kind, shape)
    chroma = anywhere.annealed_mean(x, bins, temperature=temperature, backend=backend)
    mean = bins.colors.astype(np.float64).mean(axis=0)
    bound = (
        two_bounds(backend, x, x, bins, temperature) + (x.max(axis=0) - x.min(axis=0)).astype(np.float64) / temperature
    )
    compare.assert_close("mean", chroma, np.broadcast_to(mean[:, None, None], chroma.shape), bound)


@pytest.mark.ops("annealed_mean")
@given(make.bins(), make.generators, finite_kinds, make.shapes(), make.temperatures)
def test_chroma_lies_in_the_hull_of_the_bins(
    backend: str, bins: Any, rng: np.random.Generator, kind: str, shape: Any, temperature: float
) -> None:
    """In no direction further out than the furthest bin."""
    x = drawn(rng, bins, kind, shape)
    chroma = anywhere.annealed_mean(x, bins, temperature=temperature, backend=backend).reshape(2, -1).astype(np.float64)
    slack = two_bounds(backend, x, x, bins, temperature).max(initial=0)
    for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False):
        direction = np.array([np.cos(angle), np.sin(angle)])
        assert (direction @ chroma <= (bins.colors.astype(np.float64) @ direction).max() + 2 * slack).all()


@pytest.mark.ops("encode", "annealed_mean")
@given(make.bins(), make.generators, st.sampled_from(make.LOGITS), make.shapes(), positive_temperatures)
def test_the_order_of_the_bins_does_not_matter(
    backend: str, bins: Any, rng: np.random.Generator, kind: str, shape: Any, temperature: float
) -> None:
    x = drawn(rng, bins, kind, shape)
    order = rng.permutation(bins.n)
    inverse = np.argsort(order).astype(np.uint8)
    permuted = reference.ColorBins(inverse[bins.table], bins.colors[order], bins.prior[order])
    one = anywhere.annealed_mean(x, bins, temperature=temperature, backend=backend)
    other = anywhere.annealed_mean(x[order], permuted, temperature=temperature, backend=backend)
    compare.assert_close("permuted", other, one, two_bounds(backend, x, x, bins, temperature))
    rgb = make.make_rgb(rng, "uniform", (16, 5))
    _, labels, weights = anywhere.encode(rgb, bins, backend=backend)
    _, new_labels, new_weights = anywhere.encode(rgb, permuted, backend=backend)
    np.testing.assert_array_equal(new_labels, inverse[labels])
    np.testing.assert_allclose(new_weights, weights, rtol=1e-6)


@pytest.mark.ops("encode", "annealed_mean")
@given(make.bins(), make.generators, st.sampled_from(make.LOGITS), positive_temperatures, st.data())
def test_a_tile_of_the_image_is_that_tile_of_the_result(
    backend: str, bins: Any, rng: np.random.Generator, kind: str, temperature: float, data: st.DataObject
) -> None:
    """One pixel never depends on another: labels are equal, chroma within its bound whatever its neighbours."""
    x = drawn(rng, bins, kind, (37, 43))
    size = x.shape[1:]
    top, left = data.draw(st.integers(0, size[0])), data.draw(st.integers(0, size[1]))
    tile = slice(top, data.draw(st.integers(top, size[0]))), slice(left, data.draw(st.integers(left, size[1])))
    whole = anywhere.annealed_mean(x, bins, temperature=temperature, backend=backend)
    part = anywhere.annealed_mean(x[(slice(None), *tile)], bins, temperature=temperature, backend=backend)
    bound = two_bounds(backend, x, x, bins, temperature)[(slice(None), *tile)]
    compare.assert_close("tile", part, whole[(slice(None), *tile)], bound)
    rgb = make.make_rgb(rng, "uniform", size)
    for all_pixels, some in zip(
        anywhere.encode(rgb, bins, backend=backend), anywhere.encode(rgb[tile], bins, backend=backend), strict=True
    ):
        np.testing.assert_array_equal(some, all_pixels[tile])


@pytest.mark.ops("histogram")
@given(make.generators, make.shapes(), make.cell_counts)
def test_histograms_of_parts_add_up(backend: str, rng: np.random.Generator, shape: Any, cells: int) -> None:
    rgb = make.make_rgb(rng, "near_gray", shape)
    cut = shape[0] // 3
    parts = [anywhere.histogram(part, cells, backend=backend) for part in (rgb[:cut], rgb[cut:])]
    whole = anywhere.histogram(rgb, cells, backend=backend)
    np.testing.assert_array_equal(parts[0] + parts[1], whole)
    assert whole.sum() == shape[0] * shape[1]


@pytest.mark.ops("encode")
@given(make.generators, st.floats(0.0, 1.0), st.sampled_from([8, 32, 64]))
def test_fitted_weights_average_to_one(backend: str, rng: np.random.Generator, lam: float, n: int) -> None:
    """``sum_b p_b w_b = 1``, and so the mean weight of the pixels that the bins were fitted on is 1."""
    photo = make.make_rgb(rng, "uniform", (40, 50))
    bins = fastcolor.ColorBins.fit(photo, n=n)
    np.testing.assert_allclose((bins.prior * bins.weights(lam)).sum(), 1, rtol=1e-12)
    weights = anywhere.encode(photo, bins, lam=lam, backend=backend)[2]
    np.testing.assert_allclose(weights.astype(np.float64).mean(), 1, rtol=1e-6)


@pytest.mark.ops("encode")
@given(make.generators, st.sampled_from(["frequent", "kmeans"]), st.sampled_from([9, 17, 33]))
def test_fit_does_not_depend_on_the_order_or_the_parts(
    backend: str, rng: np.random.Generator, method: str, cells: int
) -> None:
    images = [make.make_rgb(rng, "uniform", (11, 13)) for _ in range(3)]
    whole = fastcolor.ColorBins.fit(images, n=8, cells=cells, method=method)
    turned = fastcolor.ColorBins.fit(images[::-1], n=8, cells=cells, method=method)
    joined = fastcolor.ColorBins.fit(np.concatenate(images), n=8, cells=cells, method=method)
    for other in (turned, joined):
        np.testing.assert_array_equal(other.table, whole.table)
        np.testing.assert_array_equal(other.colors, whole.colors)
        np.testing.assert_array_equal(other.prior, whole.prior)
    labels = anywhere.encode(np.concatenate(images), whole, backend=backend)[1]
    np.testing.assert_array_equal(np.bincount(labels.ravel(), minlength=8) / labels.size, whole.prior)


# --- color ------------------------------------------------------------------------------------------------------------


@pytest.mark.ops("merge")
@given(make.generators, make.shapes(), st.sampled_from(["uint8", "float32"]))
def test_merge_keeps_the_luma_inside_the_cube(backend: str, rng: np.random.Generator, shape: Any, dtype: str) -> None:
    """Each channel is rounded by at most half a level, and so is the luma."""
    chroma = rng.uniform(-0.08, 0.08, (2, 5, 6)).astype(np.float32)
    luma = rng.uniform(0.3, 0.7, shape)
    luma = (255 * luma).astype(np.uint8) if dtype == "uint8" else luma.astype(np.float32)
    rgb = anywhere.merge(chroma, luma, backend=backend)
    unit = luma / 255 if dtype == "uint8" else luma
    assert (np.abs((rgb / 255) @ LUMA - unit) <= 0.5 / 255 + 1e-6).all()


@pytest.mark.ops("decode", "merge")
@given(make.generators, make.shapes())
def test_neutral_stays_neutral(backend: str, rng: np.random.Generator, shape: Any) -> None:
    """No chroma, no color: gray bins decode a gray image to itself, every level, and merge does too."""
    gray = rng.integers(0, 256, shape).astype(np.uint8)
    expected = np.repeat(gray[..., None], 3, axis=-1)
    np.testing.assert_array_equal(anywhere.merge(np.zeros((2, 3, 4), np.float32), gray, backend=backend), expected)
    bins = reference.ColorBins(np.zeros((3, 3), np.uint8), np.zeros((4, 2), np.float32), np.full(4, 0.25))
    x = rng.standard_normal((4, *shape), dtype=np.float32)
    for temperature in (0.0, 0.38):
        np.testing.assert_array_equal(
            anywhere.decode(x, gray, bins, temperature=temperature, backend=backend), expected
        )


@pytest.mark.ops("encode", "decode")
def test_every_gray_level_survives_encode_and_decode(backend: str) -> None:
    gray = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    bins = reference.ColorBins(np.zeros((3, 3), np.uint8), np.zeros((1, 2), np.float32), np.ones(1))
    luma = anywhere.encode(gray, bins, backend=backend)[0]
    np.testing.assert_array_equal(anywhere.decode(np.zeros((1, 16, 16), np.float32), luma, bins, backend=backend), gray)


@pytest.mark.ops("encode", "decode", "annealed_mean")
@pytest.mark.parametrize("centers", ["mean", "midpoint"])
def test_a_certain_network_gives_back_the_bin_colors(backend: str, centers: str) -> None:
    """encode, one-hot, decode: the chroma of the result is the bin's; the labels of bin midpoints are their own."""
    rng = np.random.default_rng(3)
    photo = np.clip(rng.normal(120, 40, (32, 48, 3)), 0, 255).astype(np.uint8)
    bins = fastcolor.ColorBins.fit(photo, n=32, centers=centers)
    luma, labels, _ = anywhere.encode(photo, bins, backend=backend)
    one_hot = np.where(np.arange(bins.n)[:, None, None] == labels, np.float32(0), np.float32(-np.inf))
    chroma = anywhere.annealed_mean(one_hot, bins, backend=backend)
    np.testing.assert_allclose(np.moveaxis(chroma, 0, -1), bins.colors[labels], rtol=4 * compare.u, atol=1e-30)
    rgb = anywhere.decode(one_hot, luma, bins, backend=backend)
    compare.assert_rgb_close(
        rgb, luma, bins.colors[labels].astype(np.float64), 4 * compare.u * np.abs(bins.colors[labels])
    )


@pytest.mark.ops("decode", "confidence")
@given(make.bins(), make.generators, st.sampled_from(make.LOGITS), make.shapes(), make.temperatures)
def test_decode_is_the_annealed_mean_and_the_confidence_in_one_pass(
    backend: str, bins: Any, rng: np.random.Generator, kind: str, shape: Any, temperature: float
) -> None:
    x = drawn(rng, bins, kind, shape)
    luma = rng.random(x.shape[1:], dtype=np.float32)
    rgb, top, ratio = anywhere.decode(x, luma, bins, temperature=temperature, confidence=True, backend=backend)
    np.testing.assert_array_equal(rgb, anywhere.decode(x, luma, bins, temperature=temperature, backend=backend))
    for ours, alone in zip((top, ratio), anywhere.confidence(x, backend=backend), strict=True):
        np.testing.assert_allclose(ours, alone, rtol=1e-5)


# --- temporal smoothing -----------------------------------------------------------------------------------------------


@pytest.mark.ops("TemporalSmoother")
@pytest.mark.parametrize("ring", ["float32", "float16", "uint8"])
@pytest.mark.parametrize(("alpha", "window"), [(0.2, 20), (0.0, 5), (1.0, 3), (0.02, 1), (0.2, 0), (0.001, 40)])
def test_recursion_is_the_window_form_over_a_long_run(backend: str, ring: str, alpha: float, window: int) -> None:
    """The last frame of 300, with jumps between scenes; the bound is derived for the ring in compare.SmoothedTruth."""
    rng = np.random.default_rng(4)
    bins, shape = make.make_bins(rng, 9, 5), (5, 7)
    options = {"alpha": alpha, "window": window, "temperature": 0.38, "ring": ring}
    smoother, truth = (
        anywhere.TemporalSmoother(bins, backend=backend, **options),
        compare.SmoothedTruth(bins, **options, arithmetic=compare.arithmetic_of(backend)),
    )
    luma = rng.random(shape, dtype=np.float32)
    for frame in range(300):
        kind = ("normal3", "one_peak", "masked", "nan")[frame // 10 % 4]
        x = make.make_logits(rng, kind, 9, shape).astype(np.float32)
        rgb = smoother.step(x, luma)
        truth.step(x)
        if frame % 25 in (0, 1, 24):
            truth.assert_probabilities(smoother.probabilities)
            truth.assert_rgb(rgb, luma, levels=1 if ring == "float32" and alpha >= 0.2 else 255)


@pytest.mark.ops("decode", "TemporalSmoother")
@pytest.mark.parametrize("ring", ["float32", "float16", "uint8"])
def test_nothing_that_left_the_window_is_seen(backend: str, ring: str) -> None:
    """α = 0 weighs all frames of the window alike and the ones before not at all, after a thousand frames too."""
    rng = np.random.default_rng(5)
    bins = make.make_bins(rng, 4, 3)
    smoother = anywhere.TemporalSmoother(bins, alpha=0.0, window=3, ring=ring, backend=backend)
    luma = np.full((4, 5), 0.5, np.float32)
    for _ in range(1000):
        smoother.step(3 * rng.standard_normal((4, 4, 5), dtype=np.float32), luma)
    certain = np.full((4, 4, 5), -np.inf, np.float32)
    certain[2] = 0
    for _ in range(4):
        rgb = smoother.step(certain, luma)
    rest = np.delete(smoother.probabilities, 2, axis=0)
    assert np.abs(rest).max() < 1e-3
    np.testing.assert_allclose(smoother.probabilities[2], 1, atol=1e-3)
    fresh = anywhere.decode(certain, luma, bins, backend=backend)
    assert np.abs(rgb.astype(int) - fresh).max() <= 1


@pytest.mark.ops("TemporalSmoother")
@given(make.generators, st.sampled_from(make.LOGITS), make.shapes(max_pixels=1500), make.temperatures)
def test_the_first_frame_is_plain_decode(
    backend: str, rng: np.random.Generator, kind: str, shape: Any, temperature: float
) -> None:
    bins = make.make_bins(rng, 9, 3)
    x, luma = make.make_logits(rng, kind, 9, shape).astype(np.float32), rng.random(shape, dtype=np.float32)
    smoother = anywhere.TemporalSmoother(bins, temperature=temperature, backend=backend)
    for _ in range(2):
        truth = compare.SmoothedTruth(
            bins, alpha=0.2, window=20, temperature=temperature, arithmetic=compare.arithmetic_of(backend)
        )
        truth.step(x)
        truth.assert_rgb(smoother.step(x, luma), luma, levels=255 if temperature < 0.3 else 1)
        truth.assert_probabilities(smoother.probabilities)
        smoother.reset()


@pytest.mark.ops("decode", "TemporalSmoother")
def test_a_still_film_keeps_its_colors(backend: str) -> None:
    rng = np.random.default_rng(6)
    bins = make.make_bins(rng, 32, 5)
    x, luma = 3 * rng.standard_normal((32, 20, 31), dtype=np.float32), rng.random((20, 31), dtype=np.float32)
    smoother = anywhere.TemporalSmoother(bins, backend=backend)
    still = anywhere.decode(x, luma, bins, backend=backend).astype(int)
    for _ in range(50):
        rgb = smoother.step(x, luma)
        assert np.abs(rgb - still).max() <= 1
    assert (rgb == still).mean() > 0.999


@pytest.mark.ops("TemporalSmoother")
@pytest.mark.parametrize("temperature", [1e-3, 1e-6, 1e-8, 1e-12, 1e-30])
def test_smoothing_at_low_temperatures_tends_to_the_mode(backend: str, temperature: float) -> None:
    """Exponents then lie around 1 / T, where half an ulp between one and the peak would be a factor of any size."""
    rng = np.random.default_rng(7)
    bins, shape = make.make_bins(rng, 32, 5), (8, 12)
    luma = rng.random(shape, dtype=np.float32)
    cold, mode = (anywhere.TemporalSmoother(bins, temperature=t, backend=backend) for t in (temperature, 0.0))
    ahead = np.eye(32, dtype=np.float32)[rng.integers(0, 32, shape)].transpose(2, 0, 1)
    for _ in range(3):
        x = rng.random((32, *shape), dtype=np.float32) + 2 * ahead
        np.testing.assert_array_equal(cold.step(x, luma), mode.step(x, luma))
