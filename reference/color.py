"""RGB <-> YUV and the rounding to uint8. Channels are on the last axis; everything is float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .constants import LUMA, U_SCALE, V_SCALE

Float = NDArray[np.float64]


def as_unit(values: ArrayLike) -> Float:
    """``v / 255`` for uint8, ``v`` for floats: image values in [0, 1] as float64.

    >>> as_unit(np.array([0, 255], np.uint8))
    array([0., 1.])
    """
    array = np.asarray(values)
    return array / 255.0 if array.dtype == np.uint8 else array.astype(np.float64)


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


def to_uint8(unit: ArrayLike) -> NDArray[np.uint8]:
    """``floor(255 x + 0.5)`` of x clipped to [0, 1]; NaN becomes 0.

    Examples
    --------
    >>> to_uint8([0.0, 0.5, 1.0, np.nan])
    array([  0, 128, 255,   0], dtype=uint8)
    """
    scaled = np.floor(255.0 * np.clip(np.asarray(unit, dtype=np.float64), 0.0, 1.0) + 0.5)
    return np.nan_to_num(scaled, nan=0.0).astype(np.uint8)
