"""Device functions of the colors of a pixel: RGB to YUV or CIE Lab in float64, and back to levels in float32.

float64 is slow on most GPUs, but makes labels of Lab exact in any order of operations: for all K no uint8 color but
black, whose a and b are exactly 0, lies within 4e-10 of the edge of a cell. Exponentials of logarithms stand for
powers, as libdevice's pow is a function to call; a and b are then wrong by 1e-12 at most.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from fastcolor.reference.constants import (
    LAB_OFFSET,
    LAB_SLOPE,
    LAB_THRESHOLD,
    LUMA,
    SRGB_TO_XYZ,
    U_SCALE,
    V_SCALE,
    XYZ_WHITE,
)
from numba import cuda

from .math import ZERO, exp, log

_LUMA_R, _LUMA_G, _LUMA_B = LUMA
(_X_R, _X_G, _X_B), (_Y_R, _Y_G, _Y_B), (_Z_R, _Z_G, _Z_B) = SRGB_TO_XYZ
_X_WHITE, _Y_WHITE, _Z_WHITE = XYZ_WHITE

# --- to a space, in float64 -------------------------------------------------------------------------------------------


def _linear(channel):
    """Linear light of a channel of sRGB."""
    return channel / 12.92 if channel <= 0.04045 else math.exp(2.4 * math.log((channel + 0.055) / 1.055))


# A channel of RGB as the space takes it, by its uint8 level.
LEVELS = {"yuv": np.arange(256) / 255, "lab": np.array([_linear(level / 255) for level in range(256)])}
_linear_light = cuda.jit(device=True)(_linear)


@cuda.jit(device=True)
def _as_it_is(channel):
    return channel


@cuda.jit(device=True)
def _to_yuv(red, green, blue):
    y = _LUMA_R * red + _LUMA_G * green + _LUMA_B * blue
    return y, U_SCALE * (blue - y), V_SCALE * (red - y)


@cuda.jit(device=True)
def _bent(t):
    """f(t) of Lab: the cube root, or a straight line."""
    return math.exp(math.log(t) / 3) if t > LAB_THRESHOLD else LAB_SLOPE * t + LAB_OFFSET


@cuda.jit(device=True)
def _to_lab(red, green, blue):
    """L, a, b of linear light."""
    x = _bent((_X_R * red + _X_G * green + _X_B * blue) / _X_WHITE)
    y = _bent((_Y_R * red + _Y_G * green + _Y_B * blue) / _Y_WHITE)
    z = _bent((_Z_R * red + _Z_G * green + _Z_B * blue) / _Z_WHITE)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@lru_cache(maxsize=4)
def reader(space: str, uint8: bool) -> Any:
    """``luma, first, second = read(rgb, at, post, levels)`` of a pixel; `levels` are those of the space."""
    decoded, converted = (_linear_light, _to_lab) if space == "lab" else (_as_it_is, _to_yuv)

    @cuda.jit(device=True)
    def read_levels(rgb, at, post, levels):
        return converted(levels[rgb[at]], levels[rgb[at + post]], levels[rgb[at + 2 * post]])

    @cuda.jit(device=True)
    def read_floats(rgb, at, post, levels):
        red, green, blue = np.float64(rgb[at]), np.float64(rgb[at + post]), np.float64(rgb[at + 2 * post])
        return converted(decoded(red), decoded(green), decoded(blue))

    return read_levels if uint8 else read_floats


@cuda.jit(device=True)
def cell_along(chroma, top, cells):
    """Cell of a float64 chroma in [-top, top], clamped; NaN falls into the middle cell."""
    if chroma != chroma:
        return cells // 2
    scaled = (chroma + top) / (2 * top) * cells
    if scaled < 0:
        return 0
    return int(scaled) if scaled < cells else cells - 1


# --- back to levels, in float32 ---------------------------------------------------------------------------------------

_ONE, _HALF, _WHITE = np.float32(1), np.float32(0.5), np.float32(255)

# 255 (R - Y), 255 (B - Y), 255 (G - Y) for one unit of V or U, from the exact inverse of the luma equation.
_R_V, _B_U = np.float32(255 / V_SCALE), np.float32(255 / U_SCALE)
_G_V, _G_U = np.float32(-255 / V_SCALE * LUMA[0] / LUMA[1]), np.float32(-255 / U_SCALE * LUMA[2] / LUMA[1])

# f(y) = L / 116 + 16 / 116, then a / 500 and b / 200 to either side; back from f, a cube or a straight line.
_F_L, _F_0, _F_A, _F_B = np.float32(1 / 116), np.float32(16 / 116), np.float32(1 / 500), np.float32(1 / 200)
_KNEE, _UNBENT, _OFFSET = np.float32(np.cbrt(LAB_THRESHOLD)), np.float32(1 / LAB_SLOPE), np.float32(LAB_OFFSET)
(_R_X, _R_Y, _R_Z), (_G_X, _G_Y, _G_Z), (_B_X, _B_Y, _B_Z) = (
    np.linalg.inv(np.array(SRGB_TO_XYZ)) * np.array(XYZ_WHITE)
).astype(np.float32)

# 255 times the curve of sRGB.
_DARK, _LINE = np.float32(0.0031308), np.float32(255 * 12.92)
_CURVE, _CURVE_0, _POWER = np.float32(255 * 1.055), np.float32(255 * 0.055), np.float32(1 / 2.4)


@cuda.jit(device=True)
def to_level(x):
    """``floor(x + 0.5)`` of x clipped to [0, 255]; NaN gives 0."""
    rounded = x + _HALF
    if not rounded > ZERO:
        return np.uint8(0)
    if rounded >= _WHITE:
        return np.uint8(255)
    return np.uint8(rounded)


@cuda.jit(device=True)
def _unbent(f):
    """X, Y or Z over the white; a negative one stays negative."""
    return f * f * f if f > _KNEE else (f - _OFFSET) * _UNBENT


@cuda.jit(device=True)
def _curved(light):
    """255 times sRGB of linear light, clipped to [0, 1]; NaN gives 0."""
    if not light > ZERO:
        return ZERO
    if light <= _DARK:
        return light * _LINE
    return exp(log(light) * _POWER) * _CURVE - _CURVE_0 if light < _ONE else _WHITE


@cuda.jit(device=True)
def _from_lab(light, a, b):
    """R, G, B in 0..255 of L in 0..100, a and b; a NaN in any is one in all."""
    f = light * _F_L + _F_0
    x, y, z = _unbent(f + a * _F_A), _unbent(f), _unbent(f - b * _F_B)
    red = _curved(_R_X * x + _R_Y * y + _R_Z * z)
    green = _curved(_G_X * x + _G_Y * y + _G_Z * z)
    return red, green, _curved(_B_X * x + _B_Y * y + _B_Z * z)


@cuda.jit(device=True)
def store_rgb(rgb, at, post, luma, u, v, lab):
    """Join luma in 0..255, or L in 0..100 if `lab`, with chroma: R, G, B, `post` apart from `at` on.

    Black where one of them is NaN.
    """
    if lab:
        red, green, blue = _from_lab(luma, u, v)
    else:
        red, green, blue = luma + v * _R_V, luma + v * _G_V + u * _G_U, luma + u * _B_U
    rgb[at] = to_level(red)
    rgb[at + post] = to_level(green)
    rgb[at + 2 * post] = to_level(blue)
