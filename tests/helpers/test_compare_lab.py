"""The comparators of Lab and of soft targets: what float64 gives passes, and every planted error is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import compare_lab
import numpy as np
import pytest
from fastcolor.reference.centers import bins_of_centers, zhang_centers
from fastcolor.reference.color import lab_to_rgb, to_uint8

from fastcolor import reference

BINS = bins_of_centers(zhang_centers())
F = np.float32
OPTIONS: dict[str, Any] = {"neighbors": 5, "sigma": 5.0, "lam": 0.2, "weighting": "mean", "axis": -1}


@pytest.fixture
def rgb() -> Any:
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


def fails(check: Callable[..., None], *arguments: Any, **options: Any) -> bool:
    try:
        check(*arguments, **options)
    except AssertionError:
        return True
    return False


def test_luma(rgb: Any) -> None:
    luma = reference.rgb_to_lab(rgb)[..., 0].astype(F)
    compare_lab.assert_lab_luma_close(luma, rgb)
    luma[3, 4] += 1e-3
    assert fails(compare_lab.assert_lab_luma_close, luma, rgb)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("double", [True, False])
def test_labels(rgb: Any, dtype: str, double: bool) -> None:
    image = rgb if dtype == "uint8" else (rgb / 255).astype(dtype)
    labels = reference.encode(image, BINS)[1]
    compare_lab.assert_lab_labels_match(labels, image, BINS, double=double)
    labels[7, 8] = (labels[7, 8] + 1) % BINS.n
    assert fails(compare_lab.assert_lab_labels_match, labels, image, BINS, double=double)


@pytest.mark.parametrize("mistake", [None, "level", "nan", "matrix", "knee"])
def test_rgb(mistake: str | None) -> None:
    rng = np.random.default_rng(1)
    light, ab = rng.uniform(0, 100, (60, 70)).astype(F), rng.uniform(-60, 60, (60, 70, 2)).astype(F).astype(float)
    light[0, 0] = np.nan
    seen = light.astype(float)
    if mistake == "knee":  # as if the straight line were a cube
        f = (seen + 16) / 116
        seen = np.where(f < compare_lab.KNEE, 116 * np.cbrt(np.maximum(f - 16 / 116, 0) / 7.787) - 16, seen)
    rgb = to_uint8(lab_to_rgb(np.concatenate([seen[..., None], ab], axis=-1)))
    if mistake == "level":
        rgb[5, 6, 1] += 1 if rgb[5, 6, 1] < 255 else -1
    elif mistake == "nan":
        rgb[0, 0] = 1
    elif mistake == "matrix":
        rgb = rgb[..., ::-1]
    failed = fails(compare_lab.assert_lab_rgb_close, rgb, light, ab, np.zeros(ab.shape))
    assert failed == (mistake is not None)


@pytest.mark.parametrize("mistake", [None, "label", "twice", "order", "share", "unnormalised", "sigma", "weight"])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_soft(rgb: Any, mistake: str | None, dtype: str) -> None:
    image = rgb if dtype == "uint8" else rgb / 255
    options = OPTIONS | ({"sigma": 5.01} if mistake == "sigma" else {})
    luma, labels, shares, weights = reference.encode_soft(image, BINS, **options)
    luma, shares, weights = luma.astype(F), shares.astype(F), weights.astype(F)
    if mistake == "label":  # the sixth nearest for the fifth
        labels[3, 3, 4] = reference.encode_soft(image, BINS, **OPTIONS | {"neighbors": 6})[1][3, 3, 5]
    elif mistake == "twice":
        labels[3, 3, 1] = labels[3, 3, 0]
    elif mistake == "order":
        labels[3, 3], shares[3, 3] = labels[3, 3, ::-1].copy(), shares[3, 3, ::-1].copy()
    elif mistake == "share":
        shares[3, 3, :2] += F([1e-3, -1e-3])
    elif mistake == "unnormalised":
        shares[3, 3] *= F(1.001)
    elif mistake == "weight":
        weights[3, 3] *= F(1.0001)
    result = luma, labels, shares, weights
    assert fails(compare_lab.assert_soft, result, image, BINS, **OPTIONS, double=True) == (mistake is not None)
