"""Soft targets and their loss in the reference: what the formulas promise, seen from another side."""

from __future__ import annotations

import numpy as np
import pytest
from fastcolor.reference.centers import zhang_centers
from fastcolor.reference.color import rgb_to_lab

from fastcolor import reference

BINS = reference.bins_of_centers(zhang_centers())
RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)


def test_shares_are_those_of_the_nearest_by_brute_force() -> None:
    _, labels, shares, _ = reference.encode_soft(RGB, BINS, neighbors=10)
    assert labels.shape == shares.shape == (10, 9, 7)
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=1e-15)
    for i, j in np.ndindex(9, 7):
        squares = ((rgb_to_lab(RGB[i, j])[1:] - zhang_centers()) ** 2).sum(axis=-1)
        assert sorted(squares)[:10] == squares[labels[:, i, j]].tolist()
        expected = np.exp(-squares[labels[:, i, j]] / 50)
        np.testing.assert_allclose(shares[:, i, j], expected / expected.sum(), rtol=1e-12)


def test_one_neighbor_is_the_hard_label() -> None:
    luma, labels, weights = reference.encode(RGB, BINS)
    soft = reference.encode_soft(RGB, BINS, neighbors=1)
    assert (soft[0] == luma).all()
    assert (soft[1][0] == labels).all()
    assert (soft[2] == 1).all()
    assert (soft[3] == weights).all()


def test_a_far_color_has_shares_still() -> None:
    """exp(-d^2 / 50) of a distance of 200 is 0 in float64; shares are those of what is nearest."""
    bins = reference.bins_of_centers([[110, 110], [110, 100]])
    shares = reference.encode_soft(np.array([[0, 255, 0]], np.uint8), bins, neighbors=2, axis=0)[2]
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)


def test_weights_of_a_pixel_are_of_the_nearest_bin_or_the_mean() -> None:
    rng = np.random.default_rng(1)
    bins = reference.bins_of_centers(zhang_centers(), rng.dirichlet(np.ones(313)))
    _, labels, shares, nearest = reference.encode_soft(RGB, bins)
    mean = reference.encode_soft(RGB, bins, weighting="mean")[3]
    w = bins.weights()
    assert (nearest == w[labels[0]]).all()
    np.testing.assert_allclose(mean, (shares * w[labels]).sum(axis=0))


def test_the_soft_prior_is_the_mean_of_the_dense_targets() -> None:
    _, labels, shares, _ = reference.encode_soft(RGB, BINS)
    dense = np.zeros((313, 9, 7))
    np.put_along_axis(dense, labels, shares, axis=0)
    np.testing.assert_allclose(reference.soft_prior(RGB, BINS), dense.mean(axis=(1, 2)))


def _problem() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(2)
    logits = 3 * rng.normal(size=(2, 6, 4, 3))
    labels = np.stack([rng.permuted(np.arange(6))[:3] for _ in range(24)]).reshape(2, 4, 3, 3).transpose(0, 3, 1, 2)
    shares = rng.dirichlet(np.ones(3), (2, 4, 3)).transpose(0, 3, 1, 2)
    return logits, labels, shares, rng.uniform(0.5, 2, (2, 4, 3)), rng.integers(0, 2, (2, 4, 3))


def _dense(labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    dense = np.zeros((2, 6, 4, 3))
    np.put_along_axis(dense, labels, shares, axis=1)
    return dense


@pytest.mark.parametrize("reduction", ["weighted", "sum", "mean", "none"])
def test_dense_is_soft_and_both_are_the_definition(reduction: str) -> None:
    x, labels, shares, w, mask = _problem()
    soft = reference.weighted_cross_entropy(x, labels, w, mask, shares, reduction)
    dense = reference.weighted_cross_entropy(x, _dense(labels, shares), w, mask, reduction=reduction)
    losses = mask * w * -(_dense(labels, shares) * np.log(reference.softmax(x, axis=1))).sum(axis=1)
    divisor = {"weighted": (mask * w).sum(), "sum": 1, "mean": mask.sum(), "none": 1}[reduction]
    expected = losses if reduction == "none" else losses.sum() / divisor
    np.testing.assert_allclose(soft, expected, rtol=1e-12)
    np.testing.assert_allclose(dense, expected, rtol=1e-12)


@pytest.mark.parametrize("reduction", ["weighted", "sum", "mean"])
def test_the_gradient_is_that_of_finite_differences(reduction: str) -> None:
    x, labels, shares, w, mask = _problem()
    gradient = reference.weighted_cross_entropy_gradient(x, labels, w, mask, shares, reduction)
    direction, step = np.random.default_rng(3).normal(size=x.shape), 1e-6
    ahead, behind = (
        reference.weighted_cross_entropy(x + s * step * direction, labels, w, mask, shares, reduction) for s in (1, -1)
    )
    assert (gradient * direction).sum() == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)


def test_what_is_masked_may_be_anything() -> None:
    x, labels, shares, w, mask = _problem()
    off = (mask == 0)[:, None]
    spoiled = np.where(off, np.nan, x), np.where(off, 255, labels), np.where(mask == 0, np.nan, w)
    expected = reference.weighted_cross_entropy(x, labels, w, mask, shares)
    assert reference.weighted_cross_entropy(*spoiled, mask, np.where(off, np.inf, shares)) == expected
    gradient = reference.weighted_cross_entropy_gradient(*spoiled, mask, np.where(off, np.inf, shares))
    assert (gradient == reference.weighted_cross_entropy_gradient(x, labels, w, mask, shares)).all()


def test_logits_of_any_size_have_a_finite_loss() -> None:
    x = np.array([1e37, -1e37, 0.0]).reshape(1, 3, 1)
    for label in range(3):
        assert np.isfinite(reference.weighted_cross_entropy(x, [[label]], np.ones((1, 1))))


def test_a_share_of_zero_hides_a_logit_at_infinity() -> None:
    x = np.array([0.0, -np.inf]).reshape(1, 2, 1)
    labels, shares = np.array([0, 1]).reshape(1, 2, 1), np.array([1.0, 0.0]).reshape(1, 2, 1)
    assert reference.weighted_cross_entropy(x, labels, np.ones((1, 1)), shares=shares) == 0.0


def test_weights_by_bin_are_not_taken_for_weights_by_pixel() -> None:
    with pytest.raises(ValueError, match=r"^weights: expected one a pixel or one a bin"):
        reference.weighted_cross_entropy(np.zeros((3, 3)), [0, 1, 2], np.ones(3))
    soft = reference.weighted_cross_entropy(*_problem()[:2], np.arange(6.0), shares=_problem()[2], reduction="sum")
    x, labels, shares, *_ = _problem()
    pixel = (shares * np.arange(6.0)[labels]).sum(axis=1)
    assert soft == pytest.approx(reference.weighted_cross_entropy(x, labels, pixel, shares=shares, reduction="sum"))


@pytest.mark.parametrize("temperature", [0.38, 1.0, 0.0])
def test_probabilities_count_by_their_logarithms(temperature: float) -> None:
    p = np.random.default_rng(4).dirichlet(np.ones(313), 20).T
    p[:, 0] = 0
    p[7, 0] = 1e-30
    for scale in (1.0, 1e-5):
        ours = reference.annealed_mean(scale * p, BINS, temperature=temperature, axis=0, from_logits=False)
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(ours, reference.annealed_mean(np.log(p), BINS, temperature=temperature, axis=0))
    assert ours[:, 0].tolist() == BINS.colors[7].tolist()
    top, ratio = reference.confidence(p, axis=0, from_logits=False)
    np.testing.assert_allclose(top[1:], p.max(axis=0)[1:])
    assert ratio[0] == np.inf


@pytest.mark.parametrize("bad", [np.nan, -0.1, np.inf])
def test_what_is_no_probability_is_nan(bad: float) -> None:
    p = np.full(313, 0.1)
    p[3] = bad
    assert np.isnan(reference.annealed_mean(p, BINS, axis=0, from_logits=False)).all()
    assert np.isnan(reference.annealed_mean(np.zeros(313), BINS, axis=0, from_logits=False)).all()
