"""The comparator of Lab rejects what it must: a float32 model of a kernel passes, each planted error in it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compare_lab import assert_lab_rgb_close
from fastcolor.reference.color import rgb_to_lab
from fastcolor.reference.constants import SRGB_TO_XYZ, XYZ_WHITE

from fastcolor import reference

F = np.float32
SHAPE = (64, 61)
BUGS = (
    "truncated", "one level off", "BGR", "swapped a and b", "other white", "clipped before the matrix",
    "no straight line below", "a power of 2.2", "L of 255",
)  # fmt: skip


def model(light: Any, ab: Any, bug: str = "") -> Any:
    """What a correct float32 kernel makes of L and ab, (H, W, 3) uint8, with one planted bug."""
    a, b = np.moveaxis(ab[..., ::-1] if bug == "swapped a and b" else ab, -1, 0)
    y = light / F(2.55 if bug == "L of 255" else 1) * F(1 / 116) + F(16 / 116)
    f = np.stack([y + a * F(1 / 500), y, y - b * F(1 / 200)], axis=-1)
    t = np.where((f > F(0.20689)) | (bug == "no straight line below"), f * f * f, (f - F(16 / 116)) * F(1 / 7.787))
    t = np.maximum(t, F(0)) if bug == "clipped before the matrix" else t
    white = (1, 1, 1) if bug == "other white" else XYZ_WHITE
    linear = np.clip(t @ (np.linalg.inv(SRGB_TO_XYZ) * white).astype(F).T, F(0), F(1))
    power = np.exp(np.log(np.maximum(linear, F(1e-9))) * F(1 / (2.2 if bug == "a power of 2.2" else 2.4)))
    levels = np.where(linear <= F(0.0031308), linear * F(255 * 12.92), power * F(255 * 1.055) - F(255 * 0.055))
    if bug == "truncated":
        return levels.astype(np.uint8)
    rgb = np.floor(levels + F(0.5)).astype(np.uint8)
    if bug == "one level off":
        rgb = np.where(rgb == 255, 254, rgb + 1).astype(np.uint8)
    return rgb[..., ::-1] if bug == "BGR" else rgb


def colors(seed: int = 0) -> tuple[Any, Any]:
    """L and ab of any colors, dark ones and such as no RGB has among them."""
    rng = np.random.default_rng(seed)
    lab = rgb_to_lab(rng.random((*SHAPE, 3)) * rng.choice([1.0, 0.1], (*SHAPE, 1)))
    lab[::4, :, 1:] = rng.uniform(-110, 110, lab[::4, :, 1:].shape)
    return lab[..., 0].astype(F), lab[..., 1:].astype(F)


def check(bug: str = "") -> None:
    light, ab = colors()
    assert_lab_rgb_close(model(light, ab, bug), light, ab.astype(np.float64), np.full(ab.shape, 1e-6))


def test_a_float32_kernel_passes() -> None:
    check()


def test_the_reference_passes_with_no_error_at_all() -> None:
    light, ab = colors(1)
    ab = ab.astype(np.float64)
    assert_lab_rgb_close(reference.join(light, ab, "lab"), light, ab, np.zeros(ab.shape))


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_do_not(bug: str) -> None:
    with pytest.raises(AssertionError):
        check(bug)


def test_nan_is_black() -> None:
    light, ab = colors(2)
    light[0, 0], ab[1, 1, 0] = np.nan, np.nan
    with np.errstate(invalid="ignore"):
        rgb = np.where(np.isnan(light[..., None] + ab[..., :1] + ab[..., 1:]), 0, model(light, ab)).astype(np.uint8)
    assert_lab_rgb_close(rgb, light, ab.astype(np.float64), np.zeros(ab.shape))
    rgb[1, 1, 2] = 1
    with pytest.raises(AssertionError, match="1 of"):
        assert_lab_rgb_close(rgb, light, ab.astype(np.float64), np.zeros(ab.shape))
