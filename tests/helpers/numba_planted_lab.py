"""Run by test_numba_cuda in Numba's simulator: Lab, probabilities, many bins, soft targets, and faults in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import compare
import numpy as np
import pytest
import strategies as make
from compare_lab import assert_lab_rgb_close
from fastcolor.kernels.numba_cuda import color, decode, encode, encode_soft, ops, temporal, tile
from fastcolor.reference.bins import as_table
from fastcolor.reference.ops import as_logits
from numba_planted import fewer_pixels, replaced

from fastcolor import reference

SPLIT = 400  # bins: a block has 16 pixels, half as many as threads
MOST = 1024
T = 0.38


def lab_bins(n: int) -> reference.ColorBins:
    """Any table, and colors anywhere in the plane of a and b, the last of which coincides with the first."""
    rng = np.random.default_rng(n)
    colors = rng.uniform(-100, 100, (n, 2)).astype(np.float32)
    colors[-1] = colors[0]
    table = as_table(rng.integers(0, n, (23, 23)), n)
    return reference.ColorBins(table, colors, rng.dirichlet(np.ones(n)), space="lab")


def probabilities(n: int, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Of any scale, with zeros among them; the first pixels are none: all zero, negative, NaN, infinite."""
    rng = np.random.default_rng(seed)
    p = rng.random((n, *shape)) ** 9 * (rng.random((n, *shape)) < 0.8) * 10.0 ** rng.integers(-20, 20, shape)
    flat = p.reshape(n, -1)
    flat[:, 0], flat[n // 2, 1:4] = 0, (-1e-30, np.nan, np.inf)
    return p.astype(np.float32)


def logits_of(p: Any) -> Any:
    """The largest of a pixel is 0, so that rounding to float32 takes little."""
    logits = as_logits(p, False)
    return logits - np.where(np.isfinite(logits.max(axis=0)), logits.max(axis=0), 0)


def arithmetic_at(temperature: float) -> compare.Arithmetic:
    """The quotient p / max p is rounded, which 1 / T multiplies; the logarithm's error is that of another argument."""
    return compare.Arithmetic(exp=compare.EXP_ERROR + (compare.u / temperature if temperature else 0))


# --- checks -----------------------------------------------------------------------------------------------------------


def check_decode() -> None:
    bins, shape = lab_bins(SPLIT), (1, 17)
    rng = np.random.default_rng(2)
    logits, light = 3 * rng.standard_normal((SPLIT, *shape), np.float32), 100 * rng.random(shape, np.float32)
    logits[:, 0, 0], light[0, 1] = np.nan, np.nan
    light[:, 9:] *= 0.1
    rgb, top, ratio = np.full((*shape, 3), 99, np.uint8), *np.full((2, *shape), 99, np.float32)
    ops.decode(logits, light, bins, temperature=0.2, confidence=True, out=(rgb, top, ratio))
    compare.assert_confidence_close(top, ratio, logits)
    seen = np.moveaxis(logits.astype(np.float64), 0, -1)
    ab = reference.annealed_mean(seen, bins, temperature=0.2, axis=-1)
    assert_lab_rgb_close(rgb, light, ab, compare.chroma_bound(seen, bins, 0.2))


def check_probabilities(n: int = 9, temperature: float = T, axis: int = 0) -> None:
    p, bins = probabilities(n, (3, 3)), lab_bins(n)
    array = np.ascontiguousarray(np.moveaxis(p, 0, axis))
    chroma = ops.annealed_mean(array, bins, temperature=temperature, axis=axis, from_logits=False)
    expected = reference.annealed_mean(p, bins, temperature=temperature, axis=0, from_logits=False)
    assert np.isnan(expected.reshape(2, -1)).all(axis=0).tolist() == [True] * 4 + [False] * 5
    with np.errstate(invalid="ignore"):
        bound = compare.chroma_bound(np.moveaxis(logits_of(p), 0, -1), bins, temperature, arithmetic_at(temperature))
    bound = bound + compare.u * np.abs(np.moveaxis(expected, 0, -1))
    compare.assert_close("chroma", np.moveaxis(chroma, axis, -1), np.moveaxis(expected, 0, -1), bound)


def check_many() -> None:
    check_probabilities(MOST)


def check_mode() -> None:
    check_probabilities(temperature=0.0, axis=-1)


def check_confidence() -> None:
    p = probabilities(9, (3, 3))
    top, ratio = ops.confidence(p, from_logits=False)
    compare.assert_confidence_close(top, ratio, logits_of(p), arithmetic=arithmetic_at(1.0))


def check_encode() -> None:
    """Dark colors, too, where f is a straight line; and more labels than a byte holds."""
    bins = lab_bins(SPLIT)
    rng = np.random.default_rng(3)
    levels = rng.integers(0, np.where(np.arange(60) % 2, 256, 12)[:, None], (60, 3)).astype(np.uint8)
    levels[0] = 0
    for rgb, dtype in ((levels, "int16"), (levels / np.float32(255), "uint16"), (levels / 255, "int64")):
        rgb = rgb if rgb.dtype == np.uint8 else np.where(np.arange(60)[:, None] == 30, np.nan, rgb)
        luma, labels, weights = ops.encode(rgb, bins, label_dtype=dtype)
        truth = reference.encode(rgb, bins)
        compare.assert_close("luma", luma, truth[0], compare.u * np.abs(truth[0]) + 1e-12)  # one rounding of float64
        np.testing.assert_array_equal(labels, truth[1])
        np.testing.assert_array_equal(weights, truth[2].astype(np.float32))


def check_soft() -> None:
    rng = np.random.default_rng(4)
    levels = rng.integers(0, 256, (2, 6, 3)).astype(np.uint8)
    with_nan = np.where(np.arange(6)[:, None] == 3, np.nan, levels / np.float32(255))
    for bins, sigma in ((lab_bins(60), 5.0), (make.make_bins(rng, 40, 17), 0.1)):
        for rgb, axis, weighting in ((levels, 0, "nearest"), (with_nan, 2, "mean")):
            options: dict[str, Any] = {"neighbors": 6, "sigma": sigma, "axis": axis, "weighting": weighting}
            assert_soft(ops.encode_soft(rgb, bins, **options), reference.encode_soft(rgb, bins, **options), bins, axis)


def assert_soft(results: tuple[Any, ...], truth: tuple[Any, ...], bins: Any, axis: int) -> None:
    """float64 finds the bins. A share is ``e^y``, y rounded to float32, over the sum of k of them, of which the nearest
    is 1 and another errs by ``u |y| e^y <= 0.37 u`` and by its own exponential.
    """
    (luma, labels, shares, weights), expected = results, np.moveaxis(truth[2], axis, 0)
    compare.assert_close("luma", luma, truth[0], compare.u * np.abs(truth[0]) + 1e-12)
    np.testing.assert_array_equal(labels, truth[1])
    relative = compare.u * (np.log(expected[0] / expected) + 1.37 * len(expected) + 2) + 2 * compare.EXP_ERROR
    bound = expected * relative + compare.SMALLEST_NORMAL
    compare.assert_close("shares", np.moveaxis(shares, axis, 0), expected, bound)
    w = bins.weights()[np.moveaxis(truth[1], axis, 0)]
    of_sum = (len(expected) + 3) * compare.u * truth[3]  # the table's rounding, products and sums, the quotient
    compare.assert_close("weights", weights, truth[3], (bound * w).sum(axis=0) + of_sum)


def check_smoother() -> None:
    bins = lab_bins(9)
    options: dict[str, Any] = {"alpha": 0.2, "window": 2, "temperature": T}
    smoother = ops.TemporalSmoother(bins, from_logits=False, **options)
    truth = compare.SmoothedTruth(bins, **options, arithmetic=arithmetic_at(T))
    light = 100 * np.random.default_rng(5).random((3, 4), np.float32)
    for frame in range(4):
        p = probabilities(9, (3, 4), frame)
        rgb = smoother.step(p, light)
        truth.step(logits_of(p))
        assert_lab_rgb_close(rgb, light, *truth._chroma())
        truth.assert_probabilities(smoother.probabilities)


CHECKS = (
    check_decode,
    check_probabilities,
    check_many,
    check_mode,
    check_confidence,
    check_encode,
    check_soft,
    check_smoother,
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_kernels_are_right(check: Callable[[], None]) -> None:
    check()


# --- planted faults ---------------------------------------------------------------------------------------------------


def as_yuv(store_rgb: Any, *args: Any) -> None:
    store_rgb(*args[:-1], False)


def narrow(there: Any, values: Any, like: Any) -> Any:
    return there(values.astype(np.uint8) if values.dtype == np.uint16 else values, like)


def same_bin_again(next_nearest: Any, first: Any, second: Any, square: Any, label: Any, *rest: Any) -> Any:
    return next_nearest(first, second, square, -1, *rest)


FAULTS = {
    "Lab joined as YUV": (replaced(decode, "store_rgb", as_yuv), check_decode),
    "Lab smoothed, joined as YUV": (replaced(temporal, "store_rgb", as_yuv), check_smoother),
    "no straight line back": (replaced(color, "_unbent", lambda f, x: x * x * x), check_decode),
    "no straight line": (replaced(color, "_bent", lambda f, t: t ** (1 / 3)), check_encode),
    "last part of a warp missing": (replaced(decode, "launch", fewer_pixels), check_decode),
    "probabilities are logits": (replaced(tile, "take_logarithms", lambda f, *args: None), check_probabilities),
    "probabilities are logits, sure": (replaced(tile, "take_logarithms", lambda f, *args: None), check_confidence),
    "labels of a byte": (replaced(encode, "there", narrow), check_encode),
    "too few candidates": (replaced(encode_soft, "candidates", lambda f, bins, k: f(bins, 1)), check_soft),
    "the same bin again": (replaced(encode_soft, "next_nearest", same_bin_again), check_soft),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_does_not_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, check = FAULTS[name]
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        check()


def test_gamma_left_in_the_levels_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(color.LEVELS, "lab", color.LEVELS["yuv"])
    with pytest.raises(AssertionError):
        check_encode()
