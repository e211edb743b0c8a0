"""Run by test_numba_cuda in Numba's simulator: faults planted in the kernels must not pass; and what the suite does not
reach with images of 64 pixels and six frames: several blocks of encode, the sum of the past anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import compare
import numpy as np
import pytest
import strategies as make
import torch
from fastcolor.kernels.common import smoother
from fastcolor.kernels.numba_cuda import decode, device, encode, math, ops, temporal, tile

import fastcolor

SHAPE = (3, 11)  # with 255 bins one block of 32 pixels, and one pixel in the next


def data(n: int, seed: int = 0) -> tuple[Any, Any, Any]:
    """Bins, logits (n, H, W) and luma; the logits lie far from zero."""
    rng = np.random.default_rng(seed)
    bins = make.make_bins(rng, n, 17)
    logits = make.make_logits(rng, "shifted", n, SHAPE).astype(np.float32)
    return bins, logits, rng.random(SHAPE, dtype=np.float32)


def check_decode(n: int = 255) -> None:
    bins, logits, luma = data(n)
    rgb = np.full((3, *SHAPE), 99, np.uint8)
    top, ratio = np.full(SHAPE, 99, np.float32), np.full(SHAPE, 99, np.float32)
    ops.decode(logits, luma, bins, channel_axis=0, confidence=True, out=(rgb, top, ratio))
    compare.assert_decoded(rgb, logits, luma, bins, temperature=0.38, channel_axis=0)
    compare.assert_confidence_close(top, ratio, logits)


def check_chroma(dtype: str = "float32") -> None:
    bins, logits, _ = data(9)
    tensor = torch.from_numpy(logits).to(getattr(torch, dtype))
    compare.assert_chroma_close(ops.annealed_mean(tensor, bins), tensor, bins, temperature=0.38)


def check_encode(pixels: int = 300) -> None:
    rng = np.random.default_rng(1)
    bins, rgb = make.make_bins(rng, 32, 17), make.make_rgb(rng, "uniform", (pixels,))
    out = np.full(pixels, np.nan, np.float32), np.zeros(pixels, np.uint8), np.full(pixels, np.nan, np.float32)
    compare.assert_encoded(ops.encode(rgb, bins, out=out), rgb, bins, 0.2)


def check_smoother(alpha: float = 0.2) -> None:
    bins = data(9)[0]
    options: dict[str, Any] = {"alpha": alpha, "window": 2, "temperature": 0.38}
    smoother, truth = ops.TemporalSmoother(bins, **options), compare.SmoothedTruth(bins, **options)
    for frame in range(6):
        _, logits, luma = data(9, frame)
        rgb = smoother.step(logits, luma)
        truth.step(logits)
        truth.assert_rgb(rgb, luma)
        truth.assert_probabilities(smoother.probabilities)


def check_refreshed_smoother() -> None:
    check_smoother(alpha=0.01)


CHECKS = [check_decode, check_chroma, check_encode, check_smoother, check_refreshed_smoother]


@pytest.fixture(autouse=True)
def _refresh_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal, "REFRESH", 2)


@pytest.mark.parametrize("check", CHECKS)
def test_the_kernels_are_right(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("check", [check_decode, check_chroma, check_encode, check_smoother])
def test_blocks_without_a_pixel_do_nothing(check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "LEAST_BLOCKS", 4)
    check()


def test_bfloat16_is_rounded_to_nearest() -> None:
    check_chroma("bfloat16")


# --- planted faults ---------------------------------------------------------------------------------------------------


def replaced(module: Any, name: str, by: Callable[..., Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """A fault: `by` takes the place of a function, and gets that function first."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = getattr(module, name)
        patch.setattr(module, name, lambda *args: by(original, *args))

    return plant


def reversed_colors(there: Any, values: Any, like: Any) -> Any:
    return there(values[::-1], like)


def fewer_pixels(launch: Any, kernel: Any, stream: Any, pixels: int, *rest: Any) -> None:
    tiled = len(rest) > 1
    launch(kernel, stream, pixels - (1 if tiled else 45), *rest)  # in either case one block less


def other_table(there: Any, values: Any, like: Any) -> Any:
    return there((values + 1) % 32 if values.shape == (17, 17) else values, like)


def stays_for_ever(recursion: Any, *args: Any) -> Any:
    numbers = recursion(*args)
    return type(numbers)(numbers.decay, 0.0, numbers.exact, False, numbers.least)


def forgets_an_age(sum_past: Any, sums: Any, ring: Any, coding: Any, pixel: Any, pixels: Any, n: Any, frame: Any,
                   window: Any, decay: Any) -> None:  # fmt: skip
    sum_past(sums, ring, coding, pixel, pixels, n, max(frame - 1, 0), window, decay)


FAULTS = {
    "bins in the wrong order": (replaced(decode, "there", reversed_colors), check_decode),
    "no maximum subtracted": (replaced(math, "peak", lambda f, *args: np.float32(0)), check_decode),
    "second best is the best": (
        replaced(decode, "sureness_of", lambda f, *args: (f(*args)[0], np.float32(1))),
        check_decode,
    ),
    "pixels shifted by one": (
        replaced(decode, "channel_zero", lambda f, pixel, channels, post: f((pixel + 1) % 33, channels, post)),
        check_decode,
    ),
    "last pixel missing": (replaced(decode, "launch", fewer_pixels), check_decode),
    "last block of encode missing": (replaced(encode, "launch", fewer_pixels), check_encode),
    "labels off by one": (replaced(encode, "there", other_table), check_encode),
    "frames never leave the window": (replaced(smoother, "recursion", stays_for_ever), check_smoother),
    "a frame lost in the sum anew": (
        replaced(temporal, "sum_past", forgets_an_age),
        check_refreshed_smoother,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_does_not_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, check = FAULTS[name]
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        check()


def test_truncated_bfloat16_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile, "_to_bfloat16", lambda x: np.float32(x).view(np.uint32) >> 16)
    decode.kernels.cache_clear()
    with pytest.raises(AssertionError):
        check_chroma("bfloat16")
    decode.kernels.cache_clear()


def test_the_real_backend_is_not_simulated() -> None:
    assert "NUMBA_ENABLE_CUDASIM" in fastcolor.backends()["numba-cuda"].reason
