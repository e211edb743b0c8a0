"""Sets of bins in both planes: made, copied, compared, kept in files, counted, and refused."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastcolor.reference.centers import zhang_centers

import fastcolor
from fastcolor import ColorBins, reference
from fastcolor.prior import reachable

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
SETS = {
    "yuv": ColorBins.default(),
    "zhang": ColorBins.zhang(),
    "grid": ColorBins.grid(10),
    "many": ColorBins.from_centers(RNG.uniform(-100, 100, (1024, 2))),
    "uv": ColorBins.from_centers(RNG.uniform(-0.4, 0.4, (300, 2)), space="yuv"),
    "fitted": ColorBins.fit(PHOTO, 20, 23, space="lab"),
    "kmeans": ColorBins.fit(PHOTO, 300, 33, "kmeans", space="lab"),
}


@pytest.mark.promise("Toolkit", "Copies, pickles and files of bins are equal to them and have their hash")
@pytest.mark.parametrize("bins", SETS.values(), ids=SETS)
def test_copies_and_files_are_equal(bins: ColorBins, tmp_path: Path) -> None:
    bins.save(tmp_path / "bins.npz")
    for twin in (
        copy.copy(bins),
        copy.deepcopy(bins),
        pickle.loads(pickle.dumps(bins)),
        ColorBins.load(tmp_path / "bins.npz"),
    ):
        assert twin == bins
        assert hash(twin) == hash(bins)
        assert (twin.space, twin.n, twin.cells) == (bins.space, bins.n, bins.cells)
        assert twin.table.dtype == bins.table.dtype
        assert not twin.table.flags.writeable
    assert f"space='{bins.space}'" in repr(bins)


def test_sets_differ_by_what_they_do() -> None:
    sets = list(SETS.values())
    assert len(set(sets)) == len(sets)
    one = SETS["zhang"]
    other = np.full(313, 1 / 313)
    other[:2] += [1e-4, -1e-4]
    assert ColorBins(one.table, one.colors, other, space="lab") != one
    assert ColorBins(np.zeros((3, 3), np.uint8), np.zeros((1, 2)), np.ones(1)) != ColorBins(
        np.zeros((3, 3), np.uint8), np.zeros((1, 2)), np.ones(1), space="lab"
    )
    assert one != "zhang"


def test_a_file_of_before_is_of_yuv(tmp_path: Path) -> None:
    bins = SETS["yuv"]
    np.savez(tmp_path / "old.npz", table=bins.table, colors=bins.colors, prior=bins.prior)
    assert ColorBins.load(tmp_path / "old.npz") == bins
    np.savez(tmp_path / "new.npz", table=bins.table, colors=bins.colors, prior=bins.prior, space=np.array("hsv"))
    with pytest.raises(ValueError, match=r"new\.npz: expected an npz file of color bins.*space: expected one of"):
        ColorBins.load(tmp_path / "new.npz")


def test_the_published_files_give_our_sets(tmp_path: Path) -> None:
    """``pts_in_hull.npy`` and ``prior_probs.npy``, made again: int64 points and float64 shares."""
    np.save(tmp_path / "pts_in_hull.npy", zhang_centers().astype(np.int64))
    prior = SETS["zhang"].fit_prior(PHOTO).prior
    np.save(tmp_path / "prior_probs.npy", prior)
    made = ColorBins.from_centers(np.load(tmp_path / "pts_in_hull.npy"), np.load(tmp_path / "prior_probs.npy"))
    assert (made.table == SETS["zhang"].table).all()
    assert made == ColorBins.zhang(prior)


def test_hard_labels_of_all_colors_reach_261_of_the_313() -> None:
    assert len(reachable(SETS["zhang"])) == 261
    assert len(reachable(SETS["yuv"])) == 32


def test_a_prior_on_bins_that_no_color_reaches_warns_once() -> None:
    prior = np.zeros(313)
    unreachable = np.setdiff1d(np.arange(313), reachable(SETS["zhang"]))
    prior[unreachable] = 0.92 / len(unreachable)
    prior[reachable(SETS["zhang"])] = 0.08 / 261
    with pytest.warns(UserWarning, match="^prior: 92% of it lies on bins that no color reaches") as told:
        bins = ColorBins.zhang(prior)
    assert len(told) == 1
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy.deepcopy(bins)
        ColorBins.zhang()
        ColorBins.zhang(SETS["zhang"].fit_prior(PHOTO).prior)


def test_the_prior_is_counted_over_all_images(tmp_path: Path) -> None:
    bins, gray = SETS["zhang"], np.full((10, 10, 3), 77, np.uint8)
    both = bins.fit_prior([PHOTO, gray])
    assert both.space == "lab"
    assert (both.table == bins.table).all()
    pixels = np.concatenate([PHOTO.reshape(-1, 3), gray.reshape(-1, 3)])
    np.testing.assert_allclose(both.prior, reference.soft_prior(pixels, bins), atol=1e-6)
    np.testing.assert_allclose(
        bins.fit_prior(PHOTO, neighbors=1).prior,
        np.bincount(fastcolor.encode(PHOTO, bins)[1].ravel(), minlength=313) / PHOTO[..., 0].size,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ColorBins.from_centers(np.zeros((1025, 2))), "^centers: expected shape"),
        (lambda: ColorBins.from_centers(np.zeros((3, 3))), "^centers: expected shape"),
        (lambda: ColorBins.from_centers([[0, 200]]), "^chroma, second of lab: expected values in"),
        (lambda: ColorBins.from_centers([[0, 20]], space="yuv"), "^chroma, second of yuv: expected values in"),
        (lambda: ColorBins.from_centers([[0, np.nan]]), "^centers: expected finite"),
        (lambda: ColorBins.from_centers([[0, 0]], space="hsv"), "^space: expected one of 'yuv', 'lab'"),
        (lambda: ColorBins.zhang(np.ones(313)), "^prior: expected 313 shares"),
        (lambda: ColorBins.zhang(np.full(312, 1 / 312)), "^prior: expected 313 shares"),
        (lambda: ColorBins.grid(5), "^step: expected a grid of at most 1024 points, got 2025 or more"),
        (lambda: ColorBins.grid(1e-310), "^step: expected a grid of at most 1024 points"),
        (lambda: ColorBins.zhang().fit_prior(PHOTO, neighbors=33), "^neighbors: expected an integer in 1..32, got 33"),
        (lambda: ColorBins.grid(0), "^step: expected a finite number > 0"),
        (lambda: ColorBins.fit(PHOTO, 8, space="rgb"), "^space: expected one of"),
        (lambda: ColorBins.zhang().fit_prior(PHOTO, neighbors=0), "^neighbors: expected an integer"),
        (lambda: ColorBins.zhang().fit_prior([]), "^images: expected at least one image"),
        (
            lambda: ColorBins(np.zeros((3, 3), np.uint8), np.array([[90.0, 0.0]]), np.ones(1)),
            "^chroma, first of yuv: expected values in",
        ),
    ],
)
def test_what_makes_no_set_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.promise("Toolkit", "Labels never wrap: a dtype that does not hold them is refused")
def test_labels_never_wrap() -> None:
    """A set with more bins than the labels can hold, by our class or another's."""
    for bins in (SETS["zhang"], reference.bins_of_centers(zhang_centers())):
        with pytest.raises(ValueError, match=r"^label_dtype: expected one that holds 313 labels, got 'uint8'"):
            fastcolor.encode(PHOTO, bins, label_dtype="uint8")
        expected = reference.encode(PHOTO, bins)[1]
        for dtype in ("auto", "uint16", "int16", "int32", "int64"):
            labels = fastcolor.encode(PHOTO, bins, label_dtype=dtype)[1]
            assert labels.dtype == ("int16" if dtype == "auto" else dtype)
            assert (labels == expected).all()


def test_moments_pickled_before_there_were_two_planes_are_of_yuv() -> None:
    moments = ColorBins.fit(PHOTO, 8).moments
    old = object.__new__(fastcolor.ChromaMoments)
    old.__dict__.update({name: value for name, value in vars(moments).items() if name != "space"})
    assert ColorBins.from_moments(old + moments, 8, 17).space == "yuv"


def test_a_plane_that_nobody_knows_is_refused() -> None:
    """Also in a set of another's making, which no constructor has looked at."""

    class Foreign:
        table, colors, prior, n, cells = (
            getattr(SETS["zhang"], name) for name in ("table", "colors", "prior", "n", "cells")
        )
        weights, space = SETS["zhang"].weights, "Lab"

    for call in (
        lambda: fastcolor.encode(PHOTO, Foreign()),
        lambda: fastcolor.decode(np.zeros((313, 2, 2), np.float32), np.ones((2, 2), np.float32), Foreign()),
    ):
        with pytest.raises(ValueError, match=r"^bins\.space: expected one of 'yuv', 'lab', got 'Lab'"):
            call()


@pytest.mark.parametrize("sigma", [1e-200, 1e200])
def test_any_sigma_has_shares_as_the_reference(sigma: float) -> None:
    bins = SETS["zhang"]
    ours, truth = (f(PHOTO[:3, :5], bins, sigma=sigma)[2] for f in (fastcolor.encode_soft, reference.encode_soft))
    np.testing.assert_allclose(ours, truth, atol=1e-6)
