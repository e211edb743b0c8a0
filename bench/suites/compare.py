"""Comparators: an answer against the reference, on all pixels or on a sample of rows of the full-size result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..cases import Check, Verdict

Pick = Callable[[Any], Any]
# Half-way cases of the rounding to uint8 may fall either way in float32: at most one value in this many.
TIES = 1e-3


def _same(answer: Any) -> Any:
    return answer


def equal(expected: Any, pick: Pick = _same) -> Check:
    wanted = np.asarray(expected)

    def check(answer: Any) -> Verdict:
        got = np.asarray(pick(answer))
        if got.shape != wanted.shape:
            return _wrong_shape(got, wanted, "equal")
        wrong = got != wanted
        worst = float(np.abs(got.astype(np.float64) - wanted).max(initial=0.0))
        return Verdict(not wrong.any(), float(wrong.mean()) if wrong.size else 0.0, worst, "equal")

    return check


def close(expected: Any, absolute: float = 0.0, relative: float = 0.0, pick: Pick = _same) -> Check:
    """``|got - expected| <= absolute + relative |expected|``; infinities must agree."""
    wanted = np.asarray(expected, dtype=np.float64)
    parts = [f"{absolute:g}"] * bool(absolute) + [f"{relative:g} relative"] * bool(relative)
    tolerance = " + ".join(parts)

    def check(answer: Any) -> Verdict:
        got = np.asarray(pick(answer)).astype(np.float64)
        if got.shape != wanted.shape:
            return _wrong_shape(got, wanted, tolerance)
        with np.errstate(invalid="ignore"):
            gap = np.where(got == wanted, 0.0, np.abs(got - wanted))
            inside = (got == wanted) | (np.isfinite(wanted) & (gap <= absolute + relative * np.abs(wanted)))
        wrong = 1.0 - float(inside.mean()) if inside.size else 0.0
        worst = float(np.nan_to_num(gap, nan=np.inf, posinf=np.inf).max(initial=0.0))
        return Verdict(bool(inside.all()), wrong, worst, tolerance)

    return check


def image(expected: Any, levels: int = 1, ties: float = TIES, pick: Pick = _same) -> Check:
    """uint8 values at most `levels` apart, and more than none apart in at most a share `ties` of them."""
    wanted = np.asarray(expected).astype(np.int64)
    tolerance = f"{levels} of 255" + (f", equal in all but {ties:g}" if ties < 1 else "")

    def check(answer: Any) -> Verdict:
        got = np.asarray(pick(answer))
        if got.shape != wanted.shape or got.dtype != np.uint8:
            return _wrong_shape(got, wanted, tolerance)
        gap = np.abs(got.astype(np.int64) - wanted)
        far, unequal = float((gap > levels).mean()), float((gap > 0).mean())
        return Verdict(far == 0 and unequal <= ties, far if far else unequal, float(gap.max(initial=0)), tolerance)

    return check


def every(checks: Sequence[Check]) -> Check:
    """All of the checks; the verdict quoted is the first failure, or the first check's."""

    def check(answer: Any) -> Verdict:
        verdicts = [one(answer) for one in checks]
        return next((verdict for verdict in verdicts if not verdict.ok), verdicts[0])

    return check


def part(index: int, then: Pick = _same) -> Pick:
    """Pick one array of a tuple, and `then` a sample of it."""
    return lambda answer: then(answer[index])


def _wrong_shape(got: np.ndarray, wanted: np.ndarray, tolerance: str) -> Verdict:
    return Verdict(False, 1.0, float("inf"), f"{tolerance}; expected shape {wanted.shape}, got {got.shape} {got.dtype}")
