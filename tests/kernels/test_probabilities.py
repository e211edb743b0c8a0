"""Probabilities in place of logits: of any scale, with zeros, against the reference and against their logarithms."""

from __future__ import annotations

from typing import Any

import anywhere
import compare
import compare_probabilities as of
import numpy as np
import pytest
import strategies as make
from hypothesis import given
from hypothesis import strategies as st

from fastcolor import reference

SHAPE = (7, 45)
kinds = st.sampled_from(of.KINDS)
bin_counts = st.sampled_from([32, 1, 2, 7, 8, 9, 33, 313, 1024])
positive = make.temperatures.filter(bool)


def drawn(rng: np.random.Generator, kind: str, n: int, dtype: str = "float32", last: bool = False) -> Any:
    p = of.make_probabilities(rng, kind, n, SHAPE).astype(dtype)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(p, 0, -1)), -1, 0) if last else p


@pytest.mark.ops("annealed_mean")
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize("last", [False, True])
@given(make.generators, kinds, bin_counts, make.temperatures)
def test_annealed_mean_and_confidence(
    backend: str, dtype: str, last: bool, rng: np.random.Generator, kind: str, n: int, temperature: float
) -> None:
    bins, arithmetic = make.make_bins(rng, n, 5), compare.arithmetic_of(backend)
    p = drawn(rng, kind, n, dtype, last)
    chroma = anywhere.annealed_mean(p, bins, temperature=temperature, from_logits=False, backend=backend)
    of.assert_mean_of_probabilities(chroma, p, bins, temperature=temperature, arithmetic=arithmetic)
    if anywhere.has(backend, "confidence"):
        maps = anywhere.confidence(p, from_logits=False, backend=backend)
        of.assert_confidence_of_probabilities(*maps, p, arithmetic=arithmetic)


@pytest.mark.ops("decode")
@given(make.generators, kinds, bin_counts, st.sampled_from([0.38, 1.0, 0.0, 2.0]), st.booleans())
def test_decode(backend: str, rng: np.random.Generator, kind: str, n: int, temperature: float, last: bool) -> None:
    bins, arithmetic = make.make_bins(rng, n, 5), compare.arithmetic_of(backend)
    p, luma = drawn(rng, kind, n, last=last), rng.random(SHAPE, dtype=np.float32)
    options = {"temperature": temperature, "from_logits": False, "backend": backend}
    rgb, *maps = anywhere.decoded(p, luma, bins, **options)
    of.assert_decoded_probabilities(rgb, p, luma, bins, temperature=temperature, arithmetic=arithmetic)
    if maps:
        of.assert_confidence_of_probabilities(*maps, p, arithmetic=arithmetic)
    np.testing.assert_array_equal(anywhere.decode(p, luma, bins, **options), rgb)


@pytest.mark.ops("annealed_mean")
@given(make.generators, bin_counts, positive, st.sampled_from([2.0**-80, 2.0**-20, 2.0**-1, 2.0**30, 2.0**90]))
def test_the_scale_does_not_matter(
    backend: str, rng: np.random.Generator, n: int, temperature: float, scale: float
) -> None:
    """A power of two, so that nothing but the logarithms rounds otherwise."""
    bins, arithmetic = make.make_bins(rng, n, 5), compare.arithmetic_of(backend)
    p = drawn(rng, "plain", n)
    scaled = p * np.float32(scale)
    for q in (p, scaled):
        chroma = anywhere.annealed_mean(q, bins, temperature=temperature, from_logits=False, backend=backend)
        of.assert_mean_of_probabilities(chroma, q, bins, temperature=temperature, arithmetic=arithmetic)
        if anywhere.has(backend, "confidence"):
            maps = anywhere.confidence(q, from_logits=False, backend=backend)
            of.assert_confidence_of_probabilities(*maps, q, arithmetic=arithmetic)


@pytest.mark.ops("annealed_mean")
@given(make.generators, st.sampled_from(["plain", "sparse", "steep"]), bin_counts, positive)
def test_probabilities_are_their_logarithms(
    backend: str, rng: np.random.Generator, kind: str, n: int, temperature: float
) -> None:
    """Each result within its own bound, and the rounding of the logarithms to float32 logits: u of their size."""
    bins, arithmetic = make.make_bins(rng, n, 5), compare.arithmetic_of(backend)
    p = drawn(rng, kind, n)
    with np.errstate(divide="ignore"):
        logs = np.log(p.astype(np.float64))
    x = logs.astype(np.float32)
    one = anywhere.annealed_mean(p, bins, temperature=temperature, from_logits=False, backend=backend)
    other = anywhere.annealed_mean(x, bins, temperature=temperature, backend=backend)
    _, of_powers = of.chroma_of_probabilities(p, bins, temperature, 0, arithmetic)
    seen = np.moveaxis(x.astype(np.float64), 0, -1)
    w, _ = of.power_weights(np.moveaxis(p.astype(np.float64), 0, -1), temperature)
    rounded = np.expm1(compare.u * np.where(np.isneginf(seen), 0, np.abs(seen)) / temperature)
    bound = of_powers + compare.chroma_bound(seen, bins, temperature, arithmetic) + compare.mean_bound(w, rounded, bins)
    compare.assert_close("chroma", one, other, np.moveaxis(bound, -1, 0) + 2 * compare.u)


def odd_pixels(backend: str) -> tuple[Any, Any]:
    """Probabilities (9, 1, 40), and which pixels are none: a NaN, +inf, a negative, all zero; -0.0 is zero.

    A GPU takes subnormal numbers for zero: there are none for its sources.
    """
    p = np.random.default_rng(3).random((9, 1, 40)).astype(np.float32)
    p[4, 0, 2], p[4, 0, 5], p[4, 0, 8], p[4, 0, 11], p[:, 0, 14] = np.nan, np.inf, -1e-9, -np.inf, 0
    p[:, 0, 17] = -0.0
    p[:5, 0, 20], p[:, 0, 23], p[:, 0, 26] = (
        -0.0,
        p[:, 0, 23] * (1e-42 if backend == "numba" else 1e-30),
        p[:, 0, 26] * 1e38,
    )
    broken = np.zeros((1, 40), bool)
    broken[0, [2, 5, 8, 11, 14, 17]] = True
    return p, broken


@pytest.mark.ops("annealed_mean", "decode")
@pytest.mark.parametrize("temperature", [0.0, 0.38, 1.0])
@pytest.mark.parametrize("last", [False, True])
def test_what_is_no_probability_spoils_its_pixel(backend: str, temperature: float, last: bool) -> None:
    """And no other; subnormal ones, and those whose sum is beyond float32, are probabilities."""
    bins = make.make_bins(np.random.default_rng(4), 9, 5)
    p, broken = odd_pixels(backend)
    if last:
        p = np.moveaxis(np.ascontiguousarray(np.moveaxis(p, 0, -1)), -1, 0)
    options = {"from_logits": False, "backend": backend}
    chroma = anywhere.annealed_mean(p, bins, temperature=temperature, **options)
    assert (np.isnan(chroma) == broken).all()
    expected = reference.annealed_mean(p, bins, temperature=temperature, from_logits=False)
    np.testing.assert_allclose(chroma, expected, rtol=0, atol=3e-5, err_msg="of neighbours")
    luma = np.full((1, 40), 0.5, np.float32)
    rgb, *maps = anywhere.decoded(p, luma, bins, temperature=temperature, **options)
    assert not rgb[broken].any()
    assert rgb[~broken].any(axis=-1).all()
    assert all((np.isnan(part) == broken).all() for part in maps)


@pytest.mark.ops("annealed_mean")
def test_certainty_is_infinite(backend: str) -> None:
    bins = make.make_bins(np.random.default_rng(5), 32, 5)
    p = np.eye(32, dtype=np.float32)[:, None]
    if anywhere.has(backend, "confidence"):
        top, ratio = anywhere.confidence(p, from_logits=False, backend=backend)
        np.testing.assert_allclose(top, 1, rtol=1e-6)
        assert np.isposinf(ratio).all()
    for temperature in (0.0, 0.38, 5.0):
        chroma = anywhere.annealed_mean(p, bins, temperature=temperature, from_logits=False, backend=backend)
        np.testing.assert_allclose(chroma[:, 0], bins.colors.T, rtol=1e-6)


@pytest.mark.ops("TemporalSmoother")
@pytest.mark.parametrize("last", [False, True])
@given(make.generators, st.sampled_from([9, 1, 32, 313]), st.sampled_from([0.38, 1.0, 0.0]),
       st.sampled_from(["float32", "uint8"]))  # fmt: skip
def test_smoothing(backend: str, last: bool, rng: np.random.Generator, n: int, temperature: float, ring: str) -> None:
    bins, luma = make.make_bins(rng, n, 5), rng.random(SHAPE, dtype=np.float32)
    options = {"alpha": 0.2, "window": 2, "temperature": temperature, "ring": ring}
    smoother = anywhere.TemporalSmoother(bins, from_logits=False, backend=backend, **options)
    truth = of.SmoothedProbabilities(bins, **options, arithmetic=compare.arithmetic_of(backend))
    for kind, scale in (("plain", 1.0), ("sparse", 1e-9), ("nothing", 1e30), ("unnormalised", 1.0)):
        p = drawn(rng, kind, n, last=last) * np.float32(scale)
        truth.step(p)
        truth.assert_rgb(smoother.step(p, luma), luma, levels=255)
        truth.assert_probabilities(smoother.probabilities)


@pytest.mark.ops("TemporalSmoother")
def test_smoothing_of_what_is_no_probability(backend: str) -> None:
    p, broken = odd_pixels(backend)
    bins = make.make_bins(np.random.default_rng(6), 9, 5)
    smoother = anywhere.TemporalSmoother(bins, from_logits=False, backend=backend)
    rgb = smoother.step(p, np.full((1, 40), 0.5, np.float32))
    assert not rgb[broken].any()
    assert (np.isnan(smoother.probabilities) == broken).all()
    clean = np.full_like(p, 1 / 9)
    smoother.step(clean, np.full((1, 40), 0.5, np.float32))
    np.testing.assert_allclose(smoother.probabilities[:, broken], 1 / 9, rtol=1e-6)
