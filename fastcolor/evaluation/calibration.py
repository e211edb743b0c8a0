"""Whether a network is right as often as it says: confidence of the top bin against the share of hits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUPS = 10  # deciles of confidence

_CELLS = 10_000  # of confidence that are counted apart, so that no pixel need be kept


class Reliability:
    """``error = sum_g share_g |accuracy_g - confidence_g|``, the expected calibration error over deciles g.

    The pixels are put into ten groups of equal size by their confidence, the probability of the most likely bin.
    Accuracy is the share of a group's pixels whose label is that bin, confidence the group's mean. A network that is
    trained with class weights answers for pixels weighted so, and is not expected to be calibrated for all alike.

    Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (2015), with groups of
    equal size.

    Examples
    --------
    >>> meter = Reliability()
    >>> meter.add(np.array([0.5, 0.5, 0.9, 0.9]), np.array([True, False, True, True]))
    >>> round(meter.report()["expected_error"], 3)
    0.05
    """

    def __init__(self) -> None:
        self._pixels, self._hits, self._sum = np.zeros((3, _CELLS))

    def add(self, top: NDArray[Any], hit: NDArray[Any]) -> None:
        """Count pixels of confidence `top`, in [0, 1], whose most likely bin is the label's where `hit`."""
        confidence = np.asarray(top, np.float64).ravel()
        cell = np.minimum((confidence * _CELLS).astype(np.int64), _CELLS - 1)
        self._pixels += np.bincount(cell, minlength=_CELLS)
        self._hits += np.bincount(cell, np.asarray(hit, np.float64).ravel(), _CELLS)
        self._sum += np.bincount(cell, confidence, _CELLS)

    def __iadd__(self, other: Reliability) -> Reliability:
        """The pixels of both."""
        for mine, theirs in zip((self._pixels, self._hits, self._sum), other._totals, strict=True):
            mine += theirs
        return self

    @property
    def _totals(self) -> tuple[NDArray[Any], ...]:
        return self._pixels, self._hits, self._sum

    def report(self) -> dict[str, Any]:
        """``expected_error``, and ``groups``: rows of ``share``, ``confidence``, ``accuracy``, least sure first.

        A group is empty, and left out, where pixels of one confidence fill more than a tenth.
        """
        total = self._pixels.sum()
        middle = np.cumsum(self._pixels) - self._pixels / 2  # a cell belongs where its middle pixel does
        group = np.minimum((GROUPS * middle / max(total, 1)).astype(np.int64), GROUPS - 1)
        pixels, hits, confidence = (np.bincount(group, part, GROUPS) for part in self._totals)
        there = pixels > 0
        pixels, hits, confidence = pixels[there], hits[there], confidence[there]
        rows = [
            {"share": float(n / total), "confidence": float(c / n), "accuracy": float(h / n)}
            for n, h, c in zip(pixels, hits, confidence, strict=True)
        ]
        error = sum(row["share"] * abs(row["accuracy"] - row["confidence"]) for row in rows)
        return {"expected_error": float(error), "groups": rows}
