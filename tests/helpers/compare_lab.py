"""Comparators of CIE Lab, as in ``compare.py``: is the RGB of L, a and b right, given that float32 computed it?"""

from __future__ import annotations

from typing import Any

import numpy as np
from compare import ARGUMENT_ERROR, FLOAT32, Arithmetic, Float, _assert_shape, _fail, as_float64, u
from fastcolor.reference.constants import LAB_OFFSET, LAB_SLOPE, LAB_THRESHOLD, SRGB_TO_XYZ, XYZ_WHITE

_MATRIX = np.linalg.inv(np.array(SRGB_TO_XYZ)) * np.array(XYZ_WHITE)
_CURVE_0 = 0.055 * 255
_LONGEST = 2.41  # |log .0031308| / 2.4, the longest argument of an exponential


def assert_lab_rgb_close(
    rgb: Any, light: Any, ab: Float, ab_error: Float, *, levels: float = 1, arithmetic: Arithmetic = FLOAT32
) -> None:
    """uint8 `rgb` (..., 3) of float32 L (...) and the float64 `ab` (..., 2), which is known within `ab_error`.

    Each step carries an interval on, wider by its own roundings; a level may be any that the last one holds:

    - ``f = L / 116 + 16 / 116``, ``f + a / 500``, ``f - b / 200``: constants, products and sums, 5 u of the summands.
    - ``f^3`` or ``(f - 16 / 116) / 7.787``: at most 4 u of it, and of what was subtracted.
    - the matrix: constant, product and two sums, 5 u of the summands; clipped to [0, 1].
    - ``255 (1.055 x^(1 / 2.4) - .055)``, by a logarithm and an exponential, or ``255 * 12.92 x``: 2 u of factors, of
      the difference and of what was subtracted, 1 u of the sum with 0.5; the straight line has fewer.
    """
    rgb, light = as_float64(rgb), as_float64(light).astype(np.float32).astype(np.float64)[..., None]
    _assert_shape("rgb", rgb, (*light.shape[:-1], 3))
    offset = np.concatenate([ab[..., :1] / 500, np.zeros_like(light), -ab[..., 1:] / 200], axis=-1)
    slack = np.concatenate([ab_error[..., :1] / 500, np.zeros_like(light), ab_error[..., 1:] / 200], axis=-1)
    f = (light + 16) / 116 + offset
    slack = slack + 5 * u * ((np.abs(light) + 16) / 116 + np.abs(offset))
    low, high = _sorted(
        _unbent(f - slack), _unbent(f + slack), lambda t: 4 * u * (np.abs(t) + 2 * LAB_OFFSET / LAB_SLOPE)
    )
    middle, half = (low + high) / 2 @ _MATRIX.T, (high - low) / 2 @ np.abs(_MATRIX).T
    half = half + 5 * u * (np.maximum(np.abs(low), np.abs(high)) @ np.abs(_MATRIX).T)
    relative = _LONGEST * (ARGUMENT_ERROR + arithmetic.log) + arithmetic.exp + 4 * u
    low, high = _sorted(_level(middle - half), _level(middle + half), lambda x: relative * (x + 2 * _CURVE_0))
    low, high = np.floor(np.maximum(low + 0.5 - 256 * u, 0.5)), np.floor(np.minimum(high + 0.5 + 256 * u, 255.5))
    broken = np.isnan(middle).any(axis=-1, keepdims=True)
    low, high = np.where(broken, 0.0, low), np.where(broken, 0.0, high)
    assert (high - low <= levels).all(), f"the bound itself allows more than {levels} level(s): that proves nothing"
    _fail("rgb", (rgb < low) | (rgb > high), rgb, low, high - low)


def _sorted(one: Float, other: Float, rounding: Any) -> tuple[Float, Float]:
    """The interval between both, and roundings of its ends; neither curve quite closes where its branches meet."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    return low - rounding(low), high + rounding(high)


def _unbent(f: Float) -> Float:
    return np.where(f > np.cbrt(LAB_THRESHOLD), f**3, (f - LAB_OFFSET) / LAB_SLOPE)


def _level(light: Float) -> Float:
    x = np.clip(light, 0.0, 1.0)
    return 255.0 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
