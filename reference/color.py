"""RGB <-> YUV and CIE Lab, and the rounding to uint8. Channels are on the last axis; everything is float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .constants import (
    ALLOWANCE,
    CHROMA_LIMIT,
    LAB_OFFSET,
    LAB_SLOPE,
    LAB_THRESHOLD,
    LUMA,
    LUMA_MAX,
    SRGB_TO_XYZ,
    U_SCALE,
    V_SCALE,
    XYZ_WHITE,
)

Float = NDArray[np.float64]


def as_unit(values: ArrayLike) -> Float:
    """``v / 255`` for uint8, ``v`` for floats: image values in [0, 1] as float64.

    >>> as_unit(np.array([0, 255], np.uint8))
    array([0., 1.])
    """
    array = np.asarray(values)
    return array / 255.0 if array.dtype == np.uint8 else array.astype(np.float64)


def within(name: str, values: ArrayLike, low: float, high: float) -> None:
    """Raise ValueError if a value leaves [low, high] by more than rounding to bfloat16 explains; NaN does not count.

    >>> within("luma", [0.0, np.nan, 1.001], 0.0, 1.0)
    >>> within("luma", [200.0], 0.0, 1.0)
    Traceback (most recent call last):
        ...
    ValueError: luma: expected values in [0, 1], got 200 to 200; scale or clip them first
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    slack = ALLOWANCE * (high - low)
    if known.size and not (low - slack <= known.min() and known.max() <= high + slack):
        wanted = f"[{low:g}, {high:g}]"
        raise ValueError(
            f"{name}: expected values in {wanted}, got {known.min():g} to {known.max():g}; scale or clip them first"
        )


def check_rgb(rgb: ArrayLike) -> NDArray[np.generic]:
    """`rgb` as an array: uint8, or floats in [0, 1]."""
    array = np.asarray(rgb)
    if array.dtype != np.uint8:
        within("rgb", array, 0.0, 1.0)
    return array


def as_luma(luma: ArrayLike, space: str = "yuv") -> Float:
    """Y in [0, 1] of uint8 or floats in [0, 1], or L of floats in [0, 100], as float64.

    >>> as_luma(np.array([0, 255], np.uint8)), as_luma([50.0], "lab")
    (array([0., 1.]), array([50.]))
    """
    array = np.asarray(luma)
    if array.dtype == np.uint8:
        if space == "lab":
            raise TypeError("luma: expected floats in [0, 100] for bins of Lab, got uint8; encode gives L of an image")
        return as_unit(array)
    within("luma", array, 0.0, LUMA_MAX[space])
    return array.astype(np.float64)


def check_chroma(chroma: ArrayLike, space: str, axis: int) -> Float:
    """Chroma, 2 on `axis`, within the limits of the space, as float64."""
    array = np.asarray(chroma, dtype=np.float64)
    for name, part, limit in zip(("first", "second"), np.moveaxis(array, axis, 0), CHROMA_LIMIT[space], strict=True):
        within(f"chroma, {name} of {space}", part, -limit, limit)
    return array


def rgb_to_yuv(rgb: ArrayLike) -> Float:
    """``Y = .299 R + .587 G + .114 B``, ``U = (.436 / .886) (B - Y)``, ``V = (.615 / .701) (R - Y)`` (BT.601).

    Parameters
    ----------
    rgb : array_like, shape (..., 3)
        Gamma-encoded sRGB: uint8 in 0..255 or floats in [0, 1].

    Returns
    -------
    ndarray, shape (..., 3), float64
        Y in [0, 1], U in [-.436, .436], V in [-.615, .615].

    Examples
    --------
    >>> rgb_to_yuv(np.array([0, 0, 255], np.uint8)).round(3)
    array([ 0.114,  0.436, -0.1  ])
    """
    r, g, b = np.moveaxis(as_unit(rgb), -1, 0)
    y = LUMA[0] * r + LUMA[1] * g + LUMA[2] * b
    return np.stack([y, U_SCALE * (b - y), V_SCALE * (r - y)], axis=-1)


def yuv_to_rgb(yuv: ArrayLike) -> Float:
    """``R = Y + V / V_SCALE``, ``B = Y + U / U_SCALE``, ``G = (Y - .299 R - .114 B) / .587``, clipped to [0, 1].

    The exact inverse of :func:`rgb_to_yuv` wherever the color lies inside the RGB cube.

    Examples
    --------
    >>> yuv_to_rgb(rgb_to_yuv([0.2, 0.4, 0.6])).round(12)
    array([0.2, 0.4, 0.6])
    """
    y, u, v = np.moveaxis(np.asarray(yuv, dtype=np.float64), -1, 0)
    r = y + v / V_SCALE
    b = y + u / U_SCALE
    g = (y - LUMA[0] * r - LUMA[2] * b) / LUMA[1]
    return np.clip(np.stack([r, g, b], axis=-1), 0.0, 1.0)


def rgb_to_lab(rgb: ArrayLike) -> Float:
    """``L = 116 f(y) - 16``, ``a = 500 (f(x) - f(y))``, ``b = 200 (f(y) - f(z))`` of XYZ over the white of D65.

    sRGB is decoded by the curve of IEC 61966-2-1 and brought to XYZ; ``f(t)`` is the cube root above .008856, else
    ``7.787 t + 16 / 116`` (CIE 15, with the rounded numbers of scikit-image and of Zhang et al.'s code).

    Parameters
    ----------
    rgb : array_like, shape (..., 3)
        Gamma-encoded sRGB: uint8 in 0..255 or floats in [0, 1].

    Returns
    -------
    ndarray, shape (..., 3), float64
        L in [0, 100], a and b.

    Examples
    --------
    >>> rgb_to_lab(np.array([[255, 255, 255], [0, 0, 255]], np.uint8)).round(3) + 0.0
    array([[ 1.00000e+02, -2.00000e-03,  5.00000e-03],
           [ 3.22960e+01,  7.91860e+01, -1.07857e+02]])
    """
    c = as_unit(rgb)
    linear = np.where(c <= 0.04045, c / 12.92, (np.maximum(c + 0.055, 0.0) / 1.055) ** 2.4)
    t = linear @ np.array(SRGB_TO_XYZ).T / np.array(XYZ_WHITE)
    x, y, z = np.moveaxis(np.where(t > LAB_THRESHOLD, np.cbrt(t), LAB_SLOPE * t + LAB_OFFSET), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_rgb(lab: ArrayLike) -> Float:
    """The inverse of :func:`rgb_to_lab`, clipped to the RGB cube before sRGB is encoded by the curve of IEC 61966-2-1.

    Examples
    --------
    >>> lab_to_rgb(rgb_to_lab([0.2, 0.4, 0.6])).round(9)
    array([0.2, 0.4, 0.6])
    """
    light, a, b = np.moveaxis(np.asarray(lab, dtype=np.float64), -1, 0)
    y = (light + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    t = np.where(f > np.cbrt(LAB_THRESHOLD), f**3, (f - LAB_OFFSET) / LAB_SLOPE)
    linear = np.clip((t * np.array(XYZ_WHITE)) @ np.linalg.inv(np.array(SRGB_TO_XYZ)).T, 0.0, 1.0)
    return np.clip(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055), 0.0, 1.0)


def rgb_to(space: str, rgb: ArrayLike) -> Float:
    """:func:`rgb_to_yuv` or :func:`rgb_to_lab`: luma and chroma of a space, shape (..., 3)."""
    return rgb_to_lab(rgb) if space == "lab" else rgb_to_yuv(rgb)


def rgb_from(space: str, pixels: ArrayLike) -> Float:
    """:func:`yuv_to_rgb` or :func:`lab_to_rgb`."""
    return lab_to_rgb(pixels) if space == "lab" else yuv_to_rgb(pixels)


def to_uint8(unit: ArrayLike) -> NDArray[np.uint8]:
    """``floor(255 x + 0.5)`` of x clipped to [0, 1]; NaN becomes 0.

    Examples
    --------
    >>> to_uint8([0.0, 0.5, 1.0, np.nan])
    array([  0, 128, 255,   0], dtype=uint8)
    """
    scaled = np.floor(255.0 * np.clip(np.asarray(unit, dtype=np.float64), 0.0, 1.0) + 0.5)
    return np.nan_to_num(scaled, nan=0.0).astype(np.uint8)
