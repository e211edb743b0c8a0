"""Comparators for CIE Lab and for soft targets, with the derivation of what float32 may change beside each number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from compare import (
    EXP_ERROR,
    FLOAT32,
    SMALLEST_NORMAL,
    Arithmetic,
    Float,
    _assert_shape,
    _fail,
    as_float64,
    as_numpy,
    assert_close,
    u,
)
from fastcolor.reference.cells import cell_of_chroma
from fastcolor.reference.color import rgb_to, rgb_to_lab
from fastcolor.reference.constants import (
    LAB_OFFSET,
    LAB_SLOPE,
    LAB_THRESHOLD,
    LUMA_MAX,
    SRGB_TO_XYZ,
    XYZ_WHITE,
)
from numpy.typing import NDArray

from fastcolor import reference

# f of a uint8 color. XYZ over white, a sum of terms >= 0 of which table, matrix, product and two sums round, errs by 5
# u of itself, and its cube root by a third. The root itself: 1 ulp = 2 u in CUDA's cbrtf, 3.1 u on the CPU. Where XYZ
# errs across the threshold, f jumps by 3.3e-7 = 5.6 u at f = .21. In all 6.6 u of f <= 1; 8 u leaves a root of two
# ulps room.
F_ERROR = 8 * u
L_ERROR = 116 * F_ERROR + 2 * 116 * u  # product and difference
AB_ERROR = np.array([500.0, 200.0]) * (2 * F_ERROR + 2 * u)  # difference of two, and its product: 5.4e-4 and 2.1e-4

# Float RGB in float64: the order of a few operations, on numbers of up to 500. Otherwise the curve of sRGB is a power
# in float32: an absolute error of the logarithm of 2^-22 and a relative one of u, times 2.4 and its size of up to 5,
# make less than 1.5e-6 of the linear value, 5e-7 of f, and 5e-4 of a, next to what AB_ERROR has.
FLOAT64_ERROR = 1e-10
FLOAT32_POWER = np.array([1e-3, 4e-4])

# U and V of uint8: exact integers times a factor that is rounded, as the product is.
UV_ERROR = 3 * u

KNEE = float(np.cbrt(LAB_THRESHOLD))
KNEE_JUMP = 5e-8  # the straight line of X, Y, Z lies that much above the cube there
GAMMA_JUMP = 1e-7  # and so little do the two pieces of the curve of sRGB differ where they meet
_INVERSE = np.linalg.inv(np.array(SRGB_TO_XYZ)) * np.array(XYZ_WHITE)


def chroma_error(rgb: Any, space: str, double: bool) -> Float:
    """How far float32 chroma (..., 2) of `rgb` may lie from float64; `double`: floats are taken in float64."""
    chroma = np.abs(rgb_to(space, rgb)[..., 1:])
    rounding = u * chroma + SMALLEST_NORMAL
    if as_numpy(rgb).dtype != np.uint8 and double:
        return rounding + FLOAT64_ERROR
    if space == "yuv":
        return UV_ERROR * chroma + 8 * u  # floats: the roundings of luma and difference
    return rounding + AB_ERROR + (0.0 if as_numpy(rgb).dtype == np.uint8 else FLOAT32_POWER)


def assert_lab_luma_close(luma: Any, rgb: Any) -> None:
    """float32 L of `rgb` (..., 3)."""
    assert_close("L", luma, rgb_to_lab(rgb)[..., 0], L_ERROR)


def assert_lab_labels_match(labels: Any, rgb: Any, bins: reference.ColorBins, *, double: bool) -> None:
    """uint8: those of float64. Floats: or that of the cell across an edge that rounding may cross."""
    labels, rgb = as_float64(labels), as_numpy(rgb)
    _assert_shape("labels", labels, rgb.shape[:-1])
    ab = rgb_to_lab(rgb)[..., 1:]
    expected = bins.table[cell_of_chroma(ab, bins.cells, "lab")]
    if rgb.dtype == np.uint8:
        _fail("labels", labels != expected, labels, expected, 0)
        return
    slack = chroma_error(rgb, "lab", double)
    corners = [bins.table[cell_of_chroma(ab + slack * (x, y), bins.cells, "lab")] for x in (-1, 1) for y in (-1, 1)]
    allowed = (labels == np.stack(corners)).any(axis=0)
    _fail("labels", ~allowed, labels, expected, "a rounding of a cell edge")


# --- RGB --------------------------------------------------------------------------------------------------------------


def _light_of(f: Float) -> Float:
    return np.where(f > KNEE, f**3, (f - LAB_OFFSET) / LAB_SLOPE)


def _gamma(x: Float) -> Float:
    x = np.clip(x, 0.0, 1.0)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def rgb_interval(light: Float, ab: Float, ab_error: Float) -> tuple[NDArray[Any], NDArray[Any]]:
    """The lowest and the highest uint8 RGB that float32 may make of L (...), a and b (..., 2), known within `ab_error`.

    Interval arithmetic. f of y is a product and a sum with a rounded constant each, f of x and z one more of each: 4 u
    of what is added. Cube: three roundings; straight line: constants, product and sum; 4 u of both. A row of the
    matrix: a constant, a product and two sums, 4 u of what is added. Power: the logarithm's absolute error of 2^-22
    (1e-7 is less) and its relative one of 4 u, each divided by 2.4, then exp's own; then product, sum and scaling, 4 u
    of the level.
    """
    base = (light + 16) / 116
    part = np.stack([ab[..., 0] / 500, np.zeros_like(light), -ab[..., 1] / 200], axis=-1)
    error = np.stack([ab_error[..., 0] / 500, np.zeros_like(light), ab_error[..., 1] / 200], axis=-1)
    f = base[..., None] + part
    error = error + 4 * u * (np.abs(base)[..., None] + np.abs(part))
    low, high = _light_of(f - error), _light_of(f + error)
    slack = 4 * u * np.maximum(np.abs(low), np.maximum(np.abs(high), LAB_OFFSET / LAB_SLOPE * (f < KNEE)))
    slack = slack + KNEE_JUMP * (np.abs(f - KNEE) <= 2 * error)
    low, high = low - slack, high + slack
    up, down = np.maximum(_INVERSE, 0).T, np.minimum(_INVERSE, 0).T
    lowest, highest = low @ up + high @ down, high @ up + low @ down
    slack = 4 * u * (np.maximum(np.abs(low), np.abs(high)) @ np.abs(_INVERSE).T)
    lowest, highest = lowest - slack, highest + slack

    def level(x: Float, sign: int) -> Float:
        clipped = np.clip(x, 1e-12, 1.0)
        power = math.log(2) / 2.4 * (2.0**-22 + 4 * u * np.abs(np.log2(clipped))) + EXP_ERROR
        value = 255 * (_gamma(x) + sign * (1.055 * clipped ** (1 / 2.4) * power + GAMMA_JUMP))
        return np.floor(np.clip(value + sign * 4 * u * 255 + 0.5, 0.5, 255.5))

    return level(lowest, -1), level(highest, 1)


def assert_lab_rgb_close(rgb: Any, light: Any, ab: Float, ab_error: Float) -> None:
    """uint8 `rgb` (..., 3) of L (...) and the float64 `ab` (..., 2): within the interval, of two levels at most."""
    rgb, light = as_float64(rgb), as_float64(light)
    broken = np.isnan(light) | np.isnan(ab).any(axis=-1)
    light, ab = np.where(broken, 0.0, light), np.where(broken[..., None], 0.0, ab)
    low, high = rgb_interval(light, ab, np.where(broken[..., None], 0.0, ab_error))
    low, high = (np.where(broken[..., None], 0.0, edge) for edge in (low, high))
    _assert_shape("rgb", rgb, low.shape)
    assert (high - low <= 1).all(), "the bound itself allows more than one level: that proves nothing"
    _fail("rgb", (rgb < low) | (rgb > high), rgb, low, high - low)


def assert_lab_merged(rgb: Any, chroma: Any, luma: Any) -> None:
    """The RGB of `merge` in Lab. Each lerp rounds a weight (2 u), a product and a sum, twice: 8 u of the values."""
    seen = as_numpy(chroma).astype(np.float32).astype(np.float64)
    ab, size = (np.moveaxis(reference.upsample(part, *luma.shape[-2:]), -3, -1) for part in (seen, np.abs(seen)))
    assert_lab_rgb_close(rgb, as_numpy(luma).astype(np.float32), ab, 8 * u * size)


# --- soft targets -----------------------------------------------------------------------------------------------------


def assert_soft(
    result: tuple[Any, ...],
    rgb: Any,
    bins: reference.ColorBins,
    *,
    neighbors: int,
    sigma: float,
    lam: float,
    weighting: str,
    axis: int,
    double: bool,
    arithmetic: Arithmetic = FLOAT32,
) -> None:
    """All four results of `encode_soft` for `rgb` (..., 3); k on `axis` of labels and shares.

    A squared distance errs by what the chroma errs, and by 4 u of itself. The j-th label may be any bin whose distance
    is that of the j-th nearest within the errors of both. Shares are those of the labels beside them: an exponent errs
    by the two squared distances over 2 sigma^2 and 4 u of itself, exp by its own error, and it may be
    0 below 2^-124; sum and quotient by k + 2 u.
    """
    luma, labels, shares, weights = (as_float64(part) for part in result)
    pixels = rgb_to(bins.space, as_numpy(rgb))
    labels, shares = (np.moveaxis(part, axis, -1) for part in (labels, shares))
    for name, part in (("labels", labels), ("shares", shares)):
        _assert_shape(name, part, (*pixels.shape[:-1], neighbors))
    assert_close("luma", luma, pixels[..., 0], L_ERROR / 100 * LUMA_MAX[bins.space])
    chosen = labels.astype(np.int64)
    _fail("labels twice", np.sort(labels, axis=-1)[..., 1:] == np.sort(labels, axis=-1)[..., :-1], 0, 0, 0)

    away = np.abs(pixels[..., None, 1:] - bins.colors.astype(np.float64))
    square, error = (away**2).sum(axis=-1), chroma_error(rgb, bins.space, double)[..., None, :]
    error = (2 * away * error + error**2).sum(axis=-1) + 4 * u * square
    nearest = np.sort(square, axis=-1)[..., :neighbors]
    mine, slack = (np.take_along_axis(part, chosen, axis=-1) for part in (square, error))
    # One of two that trade places errs as the other does, to the first order: twice, and a tenth for the second.
    _fail("labels", np.abs(mine - nearest) > 2.2 * slack, labels, nearest, slack)

    gap, unsure = mine[..., :1] - mine, slack + slack[..., :1]
    powers = np.exp(gap / (2 * sigma**2))
    relative = np.expm1(np.minimum((unsure + 4 * u * np.abs(gap)) / (2 * sigma**2), 700.0)) + arithmetic.exp
    total = powers.sum(axis=-1, keepdims=True)
    of_sum = (powers * relative).sum(axis=-1, keepdims=True) / total
    expected = powers / total
    bound = np.minimum(expected * (relative + of_sum + (neighbors + 2) * u) * (1 + of_sum), 1.0) + 4 * SMALLEST_NORMAL
    assert_close("shares", shares, expected, bound)
    assert_close("sum of shares", shares.sum(axis=-1), np.ones(shares.shape[:-1]), (neighbors + 2) * u)

    w = bins.weights(lam)[chosen]
    if weighting == "nearest":
        assert_close("weights", weights, w[..., 0].astype(np.float32), 0.0)
    else:
        mean = (shares * w).sum(axis=-1)
        assert_close("weights", weights, mean, (neighbors + 2) * u * mean)
