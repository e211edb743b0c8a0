"""Optical flow, carrying along it, and the flicker that is measured along it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")

from fastcolor.evaluation.flicker import FlickerMeter
from fastcolor.film.flow import carry_along
from fastcolor.film.motion import backward_flow


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255


@pytest.mark.parametrize("shift", [(0, 0), (0, 3), (-2, 1)])
def test_flow_finds_a_shift(shift):
    before = texture(64, 96)
    now = np.roll(before, shift, axis=(0, 1))
    flow = backward_flow(before, now)
    inner = flow[:, 8:-8, 8:-8]
    np.testing.assert_allclose(np.median(inner, axis=(1, 2)), [-shift[1], -shift[0]], atol=0.25)
    assert np.abs(carry_along(before[None], flow)[0] - now)[8:-8, 8:-8].mean() < 0.02


def test_flow_of_tiny_images_is_zero():
    assert not backward_flow(np.zeros((3, 5), np.float32), np.ones((3, 5), np.float32)).any()


def test_flicker_of_a_moving_picture_is_small_and_that_of_changing_color_is_what_changes():
    base = np.repeat((texture(64, 96) * 120 + 60).astype(np.uint8)[..., None], 3, axis=2)
    meter, steady, blinking = FlickerMeter(), [], []
    for step in range(6):
        truth = np.roll(base, 2 * step, axis=1)
        tint = np.array([20 * (step % 2), 0, 0], np.uint8)
        values = meter.step(truth, {"steady": truth, "blinking": truth + tint})
        if step:
            steady.append(values["steady"])
            blinking.append(values["blinking"])
    # 20 levels of red are 20 (0.299 x 0.492, 0.701 x 0.877) = (2.9, 12.3) in (U, V)
    assert max(steady) < 0.1
    np.testing.assert_allclose(blinking, np.hypot(2.94, 12.3), rtol=0.05)


def test_flicker_leaves_cuts_out():
    one, other = (np.repeat((texture(64, 96, seed) * 200).astype(np.uint8)[..., None], 3, axis=2) for seed in (0, 1))
    other = 255 - other // 4
    meter = FlickerMeter()
    assert [bool(meter.step(frame, {"film": frame})) for frame in (one, one, other, other)] == [
        False,
        True,
        False,
        True,
    ]
