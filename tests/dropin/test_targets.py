"""Soft targets, weights of pixels, and which images count."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from compare_loss import dense_targets

import fastcolor
from fastcolor import ColorBins
from tests.dropin import caffe, ct2, inputs, time0o
from tests.dropin.page import program


class Way(NamedTuple):
    """A project: its targets, dense, ours by the name of the page's function, and the photographs of both."""

    theirs: Callable[..., tuple]
    ours: str
    photos: Callable[[], np.ndarray] = inputs.photos


SIZE = (inputs.TARGETS, inputs.TARGETS)
WAYS = {
    "caffe": Way(caffe.targets, "caffe_targets"),
    "time0o": Way(lambda photos, *bins: time0o.targets(photos, SIZE, *bins), "time0o_targets"),
    "ct2": Way(ct2.targets, "ct2_targets", inputs.few),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


def pairs(way: Way) -> tuple:
    """Their dense targets and weights; our labels, shares and weights."""
    photos = way.photos()
    theirs = [array.numpy() for array in way.theirs(photos, inputs.centers(), inputs.prior())]
    return theirs, [array.numpy() for array in getattr(program(), way.ours)(photos)]


def test_soft_targets_are_their_dense_ones(way: Way) -> None:
    (theirs, _), (labels, shares, _) = pairs(way)
    sure = ~inputs.undecided(inputs.few(), labels.shape[1])
    assert sure.mean() > 0.85  # at k = 10 every third gray is in doubt: whose share of 3e-4 it is
    bound = dense_targets(313, labels, inputs.share_bound(labels, shares, 5.0))
    away = np.moveaxis(np.abs(dense_targets(313, labels, shares) - theirs) - bound, 1, -1)
    assert away[sure].max() <= 0
    np.testing.assert_allclose(theirs.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-6)


def test_weights_of_pixels_are_theirs(way: Way) -> None:
    """Float64 of a class, rounded to float32; the nearest bin of a uint8 color is never in doubt."""
    (_, theirs), (_, _, weights) = pairs(way)
    np.testing.assert_allclose(weights, theirs, rtol=2.0**-23)


def test_gray_images_do_not_count() -> None:
    """In Caffe alone: the last image is gray."""
    weights = program().caffe_targets(inputs.photos())[2].numpy()
    counted = (weights > 0).all(axis=(1, 2))
    np.testing.assert_array_equal(counted, caffe.colored(caffe.chroma(inputs.photos())))
    assert counted.tolist() == [True, True, True, True, False]


def test_their_weights_are_nan_where_a_prior_has_a_zero_and_ours_are_not() -> None:
    bins = ColorBins.zhang().fit_prior(inputs.photos())
    assert (bins.prior == 0).any()
    assert np.isnan(caffe.class_weights(bins.prior)).all()
    assert np.isfinite(bins.weights(0.5)).all()


def test_class_weights_agree_where_no_prior_is_zero() -> None:
    np.testing.assert_allclose(program().bins.weights(0.5), caffe.class_weights(inputs.prior()), rtol=1e-12)


def test_the_mean_of_soft_weights_is_one() -> None:
    """What speaks for weighting="mean": the prior of the same soft targets normalises it."""
    bins = ColorBins.zhang().fit_prior(inputs.photos())
    weights = [
        fastcolor.encode_soft(inputs.photos(), bins, lam=0.5, weighting=how)[3].mean(dtype=np.float64)
        for how in ("mean", "nearest")
    ]
    assert weights[0] == pytest.approx(1, abs=1e-5)
    assert weights[1] != pytest.approx(1, abs=0.05)
