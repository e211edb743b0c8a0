"""Logits to chroma and to pictures."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from compare import assert_close, chroma_bound
from skimage.color import rgb2lab

import fastcolor
from tests.dropin import caffe, ct2, inputs, pytorch529, time0o
from tests.dropin.page import program

T_CAFFE = 1 / caffe.SCALE


def points() -> torch.Tensor:
    return torch.from_numpy(inputs.centers().astype(np.float64))


def bound(x: torch.Tensor, bins: fastcolor.ColorBins, temperature: float) -> np.ndarray:
    """That of tests/helpers/compare.py for a float32 annealed mean: (N, 2, h, w)."""
    seen = np.moveaxis(x.double().numpy(), 1, -1)
    return np.moveaxis(chroma_bound(seen, bins, temperature) + 2.0**-23 * 110, -1, 1)


@pytest.mark.parametrize(
    ("theirs", "temperature"),
    [
        (lambda x: caffe.mean_chroma(x, inputs.centers()), T_CAFFE),
        (lambda x: caffe.mean_chroma(x, inputs.centers(), scale=1.0), 1.0),  # the torch networks of the repository
        (lambda x: time0o.mean_chroma(x, points()), 0.38),
        (lambda x: ct2.mean_chroma(x, points()), 0.38),
    ],
    ids=["caffe", "eccv16.py", "time0o", "ct2"],
)
def test_the_chroma_is_theirs(theirs, temperature: float) -> None:
    x, bins = inputs.logits(), program().bins
    ours = fastcolor.annealed_mean(x, bins, temperature=temperature)
    assert_close("chroma", ours, theirs(x.double()), bound(x, bins, temperature))


def test_the_page_decodes_as_time0o() -> None:
    x = inputs.logits()
    theirs = time0o.mean_chroma(x.double(), points())
    assert_close("chroma", program().time0o_chroma(x), theirs, bound(x, program().bins, 0.38))


def test_the_mean_and_the_mode_of_the_529_are_theirs() -> None:
    x, grid = inputs.logits(529), program().grid
    theirs = 110 * pytorch529.mean_chroma(x.double())
    assert_close("chroma", program().pytorch_chroma(x), theirs, bound(x, grid, 1.0))
    mode = fastcolor.annealed_mean(x, grid, temperature=0)
    np.testing.assert_allclose(mode, 110 * pytorch529.mode_chroma(x), atol=1e-4)


def test_their_exponential_overflows_and_ours_does_not() -> None:
    x = torch.zeros(1, 313, 1, 1)
    x[:, 7] = 34.0
    assert time0o.mean_chroma(x, points().float()).isnan().all()
    ours = fastcolor.annealed_mean(x, program().bins)[0, :, 0, 0]
    assert torch.equal(ours, points()[7].float())


def test_a_temperature_of_38_is_not_caffes() -> None:
    x = inputs.logits()
    theirs = caffe.mean_chroma(x.double(), inputs.centers()).numpy()
    away = np.abs(fastcolor.annealed_mean(x, program().bins, temperature=0.38).numpy() - theirs)
    assert 0.3 < away.max() < 2


def assert_truncation_is_between(ours: torch.Tensor, light: np.ndarray, ab: np.ndarray) -> None:
    """Ours is rounded to nearest and theirs cut off: at most one level is between.

    But for colors so far outside the cube that ``f(z) < 0``, which scikit-image takes for 0: there it may be some tens.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image tells how many these are
        away = ours.numpy().astype(int) - caffe.picture(light.astype(np.float64), ab)
    outside = (light + 16) / 116 - ab[..., 1] / 200 < 0
    assert set(np.unique(away[~outside])) == {0, 1}
    assert outside.mean() < 0.03
    assert np.abs(away[outside]).max() < 40


@pytest.mark.parametrize("factor", [1, 4], ids=["same size", "upsampled"])
def test_pictures_are_theirs_but_for_truncation(factor: int) -> None:
    """Theirs upsamples by torch, bilinear (eccv16.py, here in one step), before the conversion; ours in the call."""
    x, step = inputs.logits(), 4 // factor
    light = np.ascontiguousarray(fastcolor.encode(inputs.photos(), program().bins)[0][:, ::step, ::step])
    small = caffe.mean_chroma(x.double(), inputs.centers())
    ab = torch.nn.functional.interpolate(small, scale_factor=factor, mode="bilinear", align_corners=False)
    ours = program().caffe_colors(x, torch.from_numpy(light))
    assert_truncation_is_between(ours, light, np.moveaxis(ab.numpy(), 1, -1))


def test_rounding_gives_a_picture_back_and_truncation_does_not() -> None:
    rgb = inputs.photos()
    lab = rgb2lab(rgb)
    back = fastcolor.merge(
        np.ascontiguousarray(np.moveaxis(lab[..., 1:], -1, 1)), np.ascontiguousarray(lab[..., 0]), space="lab"
    )
    np.testing.assert_array_equal(back, rgb)
    assert (caffe.picture(lab[..., 0], lab[..., 1:]) != rgb).any(axis=-1).mean() > 0.5
