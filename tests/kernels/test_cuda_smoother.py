"""Smoothing for CUDA, on the CPU: one answer whatever the layout and the place in memory, no drift, no half steps."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import compare
import numpy as np
import pytest
import strategies as make
from cuda_host.backend import ENGINE
from cuda_host.host_module import HostModule
from fastcolor.kernels.cupy_cuda import temporal
from fastcolor.kernels.cupy_cuda.engine import Engine
from guarded import Guarded, at_offset

from fastcolor import reference

Array = np.ndarray
RINGS = ("float32", "float16", "uint8")
rng = np.random.default_rng(5)


def smoother(bins: Any, **options: Any) -> temporal.TemporalSmoother:
    return temporal.TemporalSmoother(ENGINE, bins, **options)


def scene(n: int, shape: tuple[int, int], spread: float = 3.0) -> tuple[Array, Array]:
    logits = (spread * rng.standard_normal((n, *shape))).astype(np.float32)
    return logits, rng.integers(0, 256, shape).astype(np.uint8)


def broken(logits: Array) -> Array:
    """The same with every kind of invalid pixel, and one that is not invalid."""
    logits = logits.copy()
    flat = logits.reshape(len(logits), -1)
    flat[-1, 0], flat[0, 1], flat[:, 2], flat[:-1, 3] = np.nan, np.inf, -np.inf, -np.inf
    return logits


@pytest.mark.parametrize("temperature", [0.0, 0.38])
@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("shape", [(4, 160), (5, 40)], ids=str)
def test_a_place_in_memory_does_not_show(shape: tuple[int, int], ring: str, temperature: float) -> None:
    """Four pixels a thread, one a thread, channels-last: the state and the color have the same bits after each."""
    bins = make.make_bins(rng, 32, 9)
    options: Any = {"window": 2, "ring": ring, "temperature": temperature}
    ways = {"wide": smoother(bins, **options), "narrow": smoother(bins, **options), "last": smoother(bins, **options)}
    for frame in range(5):
        logits, luma = scene(32, shape)
        logits = broken(logits) if frame == 2 else logits
        last = np.ascontiguousarray(logits.transpose(1, 2, 0)).transpose(2, 0, 1)
        results = {
            "wide": ways["wide"].step(at_offset(logits, 0), at_offset(luma, 0)),
            "narrow": ways["narrow"].step(at_offset(logits, 4), at_offset(luma, 1)),
            "last": ways["last"].step(last, luma),
        }
        for name, rgb in results.items():
            np.testing.assert_array_equal(rgb, results["wide"], name)
            np.testing.assert_array_equal(ways[name].probabilities, ways["wide"].probabilities, name)


@pytest.mark.parametrize("offset", [0, 1, 4])
@pytest.mark.parametrize(("n", "shape"), [(32, (8, 32)), (32, (3, 43)), (6, (7, 19))])
def test_results_stay_within_their_memory(n: int, shape: tuple[int, int], offset: int) -> None:
    bins = make.make_bins(rng, n, 9)
    plain, guarded = [smoother(bins), smoother(bins)], [smoother(bins), smoother(bins)]
    for _ in range(2):
        logits, luma = scene(n, shape)
        rgb, chroma = Guarded((*shape, 3), "uint8", offset), Guarded((2, *shape), "float32", 4 * offset)
        expected_rgb, expected_chroma = plain[0].step(logits, luma), plain[1].chroma(logits)
        guarded[0].step(logits, luma, out=rgb.array)
        guarded[1].chroma(logits, out=chroma.array)
        np.testing.assert_array_equal(rgb.array, expected_rgb)
        np.testing.assert_array_equal(chroma.array, expected_chroma)
        rgb.assert_unharmed()
        chroma.assert_unharmed()


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("window", [0, 1, 20])
@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.2, 3.0])
def test_all_rules_over_more_frames_than_the_window(alpha: float, window: int, ring: str) -> None:
    bins = make.make_bins(rng, 32, 9)
    options: Any = {"alpha": alpha, "window": window, "temperature": 0.5, "ring": ring}
    ours, truth = smoother(bins, **options), compare.SmoothedTruth(bins, **options)
    for frame in range(window + 20):
        logits, luma = scene(32, (3, 12))
        logits = broken(logits) if frame % 7 == 3 else logits
        rgb = ours.step(logits, luma)
        truth.step(logits)
        truth.assert_rgb(rgb, luma, levels=1 if ring == "float32" else 255)
        truth.assert_probabilities(ours.probabilities)


@pytest.mark.parametrize("ring", RINGS)
def test_thousands_of_frames_do_not_drift(ring: str) -> None:
    """α = 0: no rounding error ever decays, but the past is summed anew from the ring."""
    bins, window, frames = make.make_bins(rng, 32, 9), 5, 3000
    ours = smoother(bins, alpha=0.0, window=window, ring=ring)
    past: list[Array] = []
    for _ in range(frames):
        logits, luma = scene(32, (1, 12))
        ours.step(logits, luma)
        past = [*past, reference.softmax(logits)][-window - 1 :]
    expected = sum(past) / (window + 1)
    step = {"float32": 0.0, "float16": 2.0**-11, "uint8": 0.5 / 255}[ring]  # of the mean, and of each bin of its sum
    bound = step * (1 + 32 * expected) + temporal.REFRESH * 2.0**-24
    assert (np.abs(ours.probabilities - expected) < bound).all()


@pytest.mark.parametrize("layout", ["wide", "narrow"])
def test_each_block_is_summed_anew_once_a_period(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal, "REFRESH", 4)
    bins, pixels = make.make_bins(rng, 32, 9), 6 * 512 if layout == "wide" else 6 * 128 - 1
    ours, truth = smoother(bins, alpha=0.0, window=2), smoother(bins, alpha=0.0, window=2)
    wrong = []
    for frame in range(9):
        logits, luma = scene(32, (1, pixels))
        if frame == 4:
            ours._sums += 1  # an error that would never leave
        ours.step(logits, luma)
        truth.step(logits, luma)
        wrong.append((np.abs(ours.probabilities - truth.probabilities) > 1e-5).any(axis=(0, 1)).mean())
    assert wrong[:4] == [0] * 4
    assert 0 < wrong[6] < wrong[5] < wrong[4] < 1, wrong
    assert wrong[7:] == [0] * 2


class Stumbling(HostModule):
    """A module whose kernels fail at will, before they run."""

    fails = False

    def get_function(self, name: str) -> Any:
        launch = super().get_function(name)

        def stumble(*args: Any, **kwargs: Any) -> None:
            if Stumbling.fails:
                raise MemoryError("out of memory")
            launch(*args, **kwargs)

        return stumble


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_frame_that_failed_can_be_tried_again(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bins = make.make_bins(rng, 32, 9)
    ours = temporal.TemporalSmoother(Engine(Stumbling, lambda _: nullcontext()), bins, window=1)
    truth = smoother(bins, window=1)
    for frame in range(5):
        logits, luma = scene(32, (2, 30))
        if frame == at:
            with monkeypatch.context() as patch:
                patch.setattr(Stumbling, "fails", True)
                with pytest.raises(MemoryError):
                    ours.step(logits, luma)
        np.testing.assert_array_equal(ours.step(logits, luma), truth.step(logits, luma))
    np.testing.assert_array_equal(ours.probabilities, truth.probabilities)


@pytest.mark.parametrize("n", [32, 11])
def test_the_mode_of_equal_sums_is_the_first_bin(n: int) -> None:
    bins = make.make_bins(rng, n, 9)
    logits = np.zeros((n, 4, 8), np.float32)
    logits[[3, 7, n - 1], 2:] = 5.0
    ours = smoother(bins, temperature=0.0)
    for _ in range(3):
        chroma = ours.chroma(logits)
        np.testing.assert_array_equal(chroma[:, :2], np.broadcast_to(bins.colors[0][:, None, None], (2, 2, 8)))
        np.testing.assert_array_equal(chroma[:, 2:], np.broadcast_to(bins.colors[3][:, None, None], (2, 2, 8)))


def test_probabilities_before_the_first_frame() -> None:
    with pytest.raises(RuntimeError, match="expected at least one step"):
        _ = smoother(make.make_bins(rng, 5, 9)).probabilities
