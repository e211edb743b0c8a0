"""How good a colorization is: PSNR, CIEDE2000 and colorfulness of RGB images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating]
Rgb = NDArray[np.uint8]

# sRGB primaries (IEC 61966-2-1) to XYZ, divided by the D65 white point (0.95047, 1, 1.08883).
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_TO_XYZ = (_XYZ / np.array([[0.95047], [1.0], [1.08883]])).astype(np.float32)
_LINEAR = np.arange(256) / 255.0
_LINEAR = np.where(_LINEAR > 0.04045, ((_LINEAR + 0.055) / 1.055) ** 2.4, _LINEAR / 12.92).astype(np.float32)


def psnr(result: Rgb, truth: Rgb) -> float:
    """``10 log10(255^2 / mean((result - truth)^2))`` over all pixels and channels, in dB; inf if they are equal.

    Examples
    --------
    >>> round(psnr(np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)), 6)
    0.0
    """
    error = np.mean((result.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255.0**2 / error)) if error > 0 else float("inf")


def colorfulness(rgb: Rgb) -> float:
    """``sqrt(std(rg)^2 + std(yb)^2) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2)``, rg = R - G, yb = (R + G) / 2 - B.

    Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003), equation 7.

    Examples
    --------
    >>> colorfulness(np.full((2, 2, 3), 7, np.uint8))
    0.0
    """
    r, g, b = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = r - g, 0.5 * (r + g) - b
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def rgb_to_lab(rgb: Rgb) -> Float:
    """CIE L*a*b* (D65, 2 degrees) of sRGB bytes on the last axis: float32, L* in [0, 100].

    Examples
    --------
    >>> rgb_to_lab(np.full((1, 3), 255, np.uint8)).round(1).tolist()[0][0]
    100.0
    """
    xyz = _LINEAR[rgb] @ _TO_XYZ.T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def delta_e2000(lab1: Float, lab2: Float) -> Float:
    """CIEDE2000 of colors in L*a*b*, on the last axis; 1 is just noticeable. All weights are 1.

    Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data, and
    mathematical observations" (2005); the numbers in the comments are its equations.

    Examples
    --------
    >>> float(delta_e2000(np.array([50.0, 2.6772, -79.7751]), np.array([50.0, 0.0, -82.7485])).round(4))
    2.0425
    """
    L1, a1, b1 = np.moveaxis(lab1, -1, 0)
    L2, a2, b2 = np.moveaxis(lab2, -1, 0)
    C = 0.5 * (np.hypot(a1, b1) + np.hypot(a2, b2))  # (2), (3)
    stretch = 1.5 - 0.5 * _chroma_curve(C)  # (4): 1 + G
    a1, a2 = stretch * a1, stretch * a2  # (5)
    C1, C2 = np.hypot(a1, b1), np.hypot(a2, b2)  # (6)
    h1, h2 = np.arctan2(b1, a1), np.arctan2(b2, a2)  # (7)
    turn = h2 - h1
    turn = turn - 2 * np.pi * np.round(turn / (2 * np.pi))  # (10): within half a turn
    L, C = 0.5 * (L1 + L2), 0.5 * (C1 + C2)  # (12), (13)
    h = h1 + 0.5 * turn  # (14): the mean on the shorter arc
    h = np.where(C1 * C2 == 0, h1 + h2, h)
    T = 1 - 0.17 * np.cos(h - np.pi / 6) + 0.24 * np.cos(2 * h)
    T = T + 0.32 * np.cos(3 * h + np.pi / 30) - 0.20 * np.cos(4 * h - 63 * np.pi / 180)  # (15)
    degrees = np.rad2deg(h) % 360
    rotation = np.deg2rad(60) * np.exp(-(((degrees - 275) / 25) ** 2))  # (16), doubled
    lightness = (L2 - L1) / (1 + 0.015 * (L - 50) ** 2 / np.sqrt(20 + (L - 50) ** 2))  # (18)
    chroma = (C2 - C1) / (1 + 0.045 * C)  # (19)
    hue = 2 * np.sqrt(C1 * C2) * np.sin(0.5 * turn) / (1 + 0.015 * C * T)  # (11), (20)
    cross = -np.sin(rotation) * 2 * _chroma_curve(C)  # (17), (21)
    return np.sqrt(np.maximum(lightness**2 + chroma**2 + hue**2 + cross * chroma * hue, 0))  # (22)


def _chroma_curve(chroma: Float) -> Float:
    """``sqrt(C^7 / (C^7 + 25^7))``, scaled so that the seventh power stays small."""
    power = (chroma / 25.0) ** 7
    return np.sqrt(power / (power + 1))
