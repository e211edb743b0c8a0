"""Comparators for probabilities in place of logits, of any scale: their powers are taken by their logarithms."""

from __future__ import annotations

from typing import Any

import numpy as np
from compare import (
    ARGUMENT_ERROR,
    FLOAT32,
    Arithmetic,
    Float,
    SmoothedTruth,
    _assert_rounded,
    as_seen,
    assert_close,
    assert_rgb_close,
    mean_bound,
    sum_error,
    u,
)

from fastcolor import reference

# log2 of m 2^e, next to the rounding of the result: a minimax polynomial in r = m - 1, |r| < 0.42, errs by 4.8e-8,
# 0.8 u, and its product with r by 0.42 of 1.44 u in the last multiply-add and less than half of that in those before.
LOG_ERROR = 2 * u


def power_weights(p: Float, temperature: float, arithmetic: Arithmetic = FLOAT32) -> tuple[Float, Float]:
    """``(p / max p)^(1/T)``, bins last, and the relative error of each that logarithms in float32 may make.

    A logarithm errs by its own rounding, relative, and by LOG_ERROR; so does that of the largest, where it is
    subtracted. The difference, the factor 1 / T and the product round like those of logits. What is invalid is NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(p)
        top = logs.max(axis=-1, keepdims=True)
        y = (logs - np.where(np.isfinite(top), top, np.nan)) / temperature
        size = np.where(np.isneginf(logs), 0.0, np.abs(logs)) + np.where(np.isfinite(top), np.abs(top), 0.0)
    argument = (ARGUMENT_ERROR * size + arithmetic.log * np.maximum(np.log(2), size) + 2 * LOG_ERROR) / temperature
    relative = np.expm1(np.minimum(argument, 200.0)) + arithmetic.exp
    return np.exp(y), np.where(np.isneginf(y), 0.0, relative)


def assert_mean_of_probabilities(
    chroma: Any,
    p: Any,
    bins: reference.ColorBins,
    *,
    temperature: float,
    axis: int = -3,
    arithmetic: Arithmetic = FLOAT32,
) -> None:
    """The annealed mean of probabilities; at T = 0 the color of the largest, exactly."""
    expected, bound = chroma_of_probabilities(p, bins, temperature, axis, arithmetic)
    _assert_rounded("chroma", chroma, expected, bound, axis)


def chroma_of_probabilities(
    p: Any, bins: reference.ColorBins, temperature: float, axis: int, arithmetic: Arithmetic
) -> tuple[Float, Float]:
    """The chroma (..., 2), and how far a float32 one may lie from it."""
    seen = np.moveaxis(as_seen(p), axis, -1)
    expected = reference.annealed_mean(seen, bins, temperature=temperature, axis=-1, from_logits=False)
    if temperature == 0:
        return expected, np.zeros(expected.shape)
    return expected, mean_bound(*power_weights(seen, temperature, arithmetic), bins, arithmetic)


def assert_decoded_probabilities(
    rgb: Any, p: Any, luma: Any, bins: reference.ColorBins, *, temperature: float, arithmetic: Arithmetic = FLOAT32
) -> None:
    """RGB (H, W, 3) of `decode` for probabilities (n, H, W)."""
    assert_rgb_close(rgb, luma, *chroma_of_probabilities(p, bins, temperature, -3, arithmetic))


def assert_confidence_of_probabilities(
    top: Any, ratio: Any, p: Any, *, axis: int = -3, arithmetic: Arithmetic = FLOAT32
) -> None:
    """``top = p_1 / sum p`` and ``ratio = p_1 / p_2``, inf where p_2 is zero, or beyond float32."""
    seen = np.moveaxis(as_seen(p), axis, -1)
    expected_top, expected_ratio = reference.confidence(seen, axis=-1, from_logits=False)
    w, relative = power_weights(seen, 1.0, arithmetic)
    share = (w * relative).sum(axis=-1) / w.sum(axis=-1)
    largest = np.take_along_axis(relative, np.argmax(w, axis=-1)[..., None], axis=-1)[..., 0]
    of_top = share / (1 - share) + largest + sum_error(w) / w.sum(axis=-1) + 2 * u
    assert_close("top", top, expected_top, of_top * expected_top)

    ratio = np.asarray(ratio, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        slack = np.expm1(2 * np.log1p(relative.max(axis=-1))) + 2 * arithmetic.exp + 2 * u
        bound = slack * expected_ratio
        beyond = (expected_ratio * (1 + slack) > 2.0**126) & (ratio >= 2.0**126 * (1 - slack))
    assert_close("ratio", np.where(beyond, 1, ratio), np.where(beyond, 1, expected_ratio), bound)


class SmoothedProbabilities(SmoothedTruth):
    """The truth of a smoother of probabilities; they err by less than a softmax does, whose bound serves them too."""

    def step(self, p: Any) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            self.step_seen(np.log(as_seen(p)))


def make_probabilities(rng: np.random.Generator, kind: str, n: int, shape: tuple[int, ...]) -> Float:
    """Probabilities (n, *shape) of a named kind; each pixel has one that is not zero, but for ``"nothing"``."""
    p = rng.exponential(size=(n, *shape))
    if kind in ("sparse", "nothing"):  # most are zero
        p *= rng.random(p.shape) < max(0.1, 1.5 / n)
    if kind == "steep":  # over many powers of ten
        p = p**8
    if kind == "tie":
        p = np.minimum(p, np.partition(p, n // 2, axis=0)[n // 2])
    if kind == "close":  # closer than float32 logarithms can tell
        p = np.float32(0.3) * (1 + 2.0**-23 * rng.integers(0, 3, p.shape))
    np.put_along_axis(p, rng.integers(0, n, shape)[None], 1.0 if kind == "sparse" else p.max(axis=0)[None], 0)
    if kind != "unnormalised":
        p /= np.maximum(p.sum(axis=0), 1e-300)
    if kind == "nothing":
        p[:, rng.random(shape) < 0.3] = 0
    return p


KINDS = ("plain", "sparse", "steep", "tie", "close", "unnormalised", "nothing")
