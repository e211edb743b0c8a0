"""The arithmetic that all peers share, for arrays of any library: BT.601, cells, sums over planes, interpolation.

Where a library's module is needed it is the first argument: NumPy, CuPy (also under ``cupy.fuse``) or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from fastcolor.reference import constants as c

LOG2_E = 1.4426950408889634

# rgb = y + OFFSETS @ (u, v): the exact inverse of the luma and chroma equations.
OFFSETS = np.array(
    [
        [0.0, 1 / c.V_SCALE],
        [-c.LUMA[2] / (c.LUMA[1] * c.U_SCALE), -c.LUMA[0] / (c.LUMA[1] * c.V_SCALE)],
        [1 / c.U_SCALE, 0.0],
    ]
)
OFFSET_PAIRS = OFFSETS.tolist()  # numbers, which a compiler folds into the code


def bin_offsets(bins: Any) -> np.ndarray:
    """What each bin adds to the luma: (3, n) float32, R, G, B on the first axis."""
    return (OFFSETS @ bins.colors.T.astype(np.float64)).astype(np.float32)


def luma(r: Any, g: Any, b: Any) -> Any:
    """255000 times the luma, of integers."""
    return 299 * r + 587 * g + 114 * b


def cell(r: Any, g: Any, b: Any, cells: int, least: Callable[[Any, int], Any]) -> Any:
    """Flat cell index of integers, exact; ``least`` is the library's minimum of an array and a number."""
    u = (886 * b - 299 * r - 587 * g + c.U_NUMERATOR_MAX) * cells // (2 * c.U_NUMERATOR_MAX)
    v = (701 * r - 587 * g - 114 * b + c.V_NUMERATOR_MAX) * cells // (2 * c.V_NUMERATOR_MAX)
    return least(u, cells - 1) * cells + least(v, cells - 1)


def mean_of_planes(xp: Any, planes: Sequence[Any], colors: Any, factor: float) -> tuple[Any, Any]:
    """Annealed mean of float32 planes: a running maximum, then n exponentials, accumulated in registers."""
    peak = reduce(xp.maximum, planes)
    sums: Any = None
    for plane, (cu, cv) in zip(planes, colors, strict=True):
        e = xp.exp2((plane - peak) * factor)
        terms = e, e * cu, e * cv
        sums = terms if sums is None else tuple(a + b for a, b in zip(sums, terms, strict=True))
    scale = 1 / sums[0]
    return sums[1] * scale, sums[2] * scale


def confidence_of_planes(xp: Any, planes: Sequence[Any]) -> tuple[Any, Any]:
    """Running first and second maximum, then the sum of exponentials."""
    first, second = xp.maximum(planes[0], planes[1]), xp.minimum(planes[0], planes[1])
    for plane in planes[2:]:
        second = xp.maximum(second, xp.minimum(first, plane))
        first = xp.maximum(first, plane)
    total = sum_of(xp.exp2((plane - first) * LOG2_E) for plane in planes)
    return 1 / total, xp.exp2((first - second) * LOG2_E)


def sum_of(terms: Any) -> Any:
    """From the left, as ``sum``, but without a zero."""
    return reduce(lambda a, b: a + b, terms)


def both(decode: Callable[..., Any], confidence: Callable[..., Any]) -> Callable[..., Any]:
    """RGB and the confidence of the same logits; compiled together they may share their passes."""
    return lambda x, y: (decode(x, y), *confidence(x))


def lerp(have: int, want: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bilinear interpolation of one axis: the sample below, the one above, and the weight of the latter."""
    position = np.clip((np.arange(want) + 0.5) * have / want - 0.5, 0, have - 1)
    low = position.astype(np.int64)
    return low, np.minimum(low + 1, have - 1), (position - low).astype(np.float32)


class Smoother:
    """``s_t = p_t + e^-α s_{t-1} - e^{-α (window + 1)} p_{t-window-1}``; p_t takes the place of the oldest frame.

    ``step(logits, luma, total, oldest)`` gives the RGB, and updates the running sum and the oldest frame of the ring in
    place.
    """

    def __init__(self, step: Callable[..., Any], total: Any, ring: Sequence[Any]) -> None:
        self.step, self.total, self.ring, self.frame = step, total, ring, 0

    def __call__(self, logits: Any, luma: Any) -> Any:
        oldest = self.ring[self.frame % len(self.ring)]
        self.frame += 1
        return self.step(logits, luma, self.total, oldest)
