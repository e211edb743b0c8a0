"""From the gray levels in a file to those of sRGB: gray ICC profiles, PNG's gAMA, cICP; one curve for each picture.

Which of them counts is the order of the PNG specification, third edition: cICP, then the profile, then sRGB, then
gAMA. Of color pictures an RGB profile is kept beside the result and changes no value; cHRM is not applied.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from .profiles import color_space

_LEVELS = 65_536
_SRGB_GAMMA = 2.2  # what viewers take a screen for, where a file gives its gamma as a number
_SAME = 0.05  # libpng's own threshold: exponents this near to 1 are none

_AS_SRGB = {1, 4, 6, 13, 14, 15}  # transfer characteristics of ITU-T H.273 that a viewer shows as they are
_UNSPECIFIED, _GAMMA_28, _LINEAR = 2, 5, 8
_HDR = {16: "PQ (HDR10)", 18: "HLG"}


def shown(values: NDArray[Any], info: Mapping[Any, Any]) -> NDArray[Any]:
    """Values as a viewer shows them; uint8 stay uint8, float32 in [0, 1] stay float32.

    Parameters
    ----------
    values : ndarray, shape (H, W) or (H, W, 3)
    info : dict
        ``icc_profile``, ``gamma``, ``srgb`` as Pillow notes them, ``cicp`` as :func:`.formats.open_image` does.

    Raises
    ------
    ImageError
        The picture has a high dynamic range, or a transfer that is not known.
    """
    curve = _curve(info, gray=values.ndim == 2)
    if curve is None:
        return values
    if values.dtype == np.uint8:
        return np.floor(curve[:: (_LEVELS - 1) // 255] * 255 + 0.5).astype(np.uint8)[values]
    grid = np.linspace(0, 1, _LEVELS, dtype=np.float32)
    return np.interp(values, grid, curve).astype(np.float32)


def _curve(info: Mapping[Any, Any], *, gray: bool) -> NDArray[np.float64] | None:
    """What each of 65,536 levels is in sRGB, in [0, 1]; None where it is itself."""
    if "cicp" in info and info["cicp"][1] != _UNSPECIFIED:
        return _by_cicp(*info["cicp"])
    profile = info.get("icc_profile") or b""
    if profile:
        return _by_gray_profile(profile) if gray and color_space(profile) == "GRAY" else None
    gamma = info.get("gamma")
    if "srgb" in info or not gamma or abs(_SRGB_GAMMA * gamma - 1) < _SAME:
        return None
    return _levels() ** (1 / (_SRGB_GAMMA * gamma))


def _levels() -> NDArray[np.float64]:
    return np.arange(_LEVELS) / (_LEVELS - 1)


def _by_cicp(primaries: int, transfer: int, matrix: int, full: int) -> NDArray[np.float64] | None:
    if transfer in _HDR:
        raise ImageError(
            f"a picture of high dynamic range, {_HDR[transfer]}: expected standard range; tone-map it to sRGB first"
        )
    if transfer not in (*_AS_SRGB, _GAMMA_28, _LINEAR):
        raise ImageError(f"expected sRGB or a like transfer, got number {transfer} of H.273; convert it to sRGB first")
    levels = _levels() if full else np.clip((_levels() * 255 - 16) / 219, 0, 1)
    if transfer == _LINEAR:
        return np.where(levels <= 0.0031308, 12.92 * levels, 1.055 * levels ** (1 / 2.4) - 0.055)
    if transfer == _GAMMA_28:
        return levels ** (2.8 / _SRGB_GAMMA)
    return None if full else levels


def _by_gray_profile(profile: bytes) -> NDArray[np.float64] | None:
    """Through color management with 16 bits in and out; None for a profile that is broken."""
    from PIL import ImageCms

    ramp = Image.fromarray(np.arange(_LEVELS, dtype=np.uint16)[None])
    exact = ImageCms.Flags.NOOPTIMIZE
    try:
        transform = ImageCms.buildTransform(
            io.BytesIO(profile), io.BytesIO(_GRAY_SRGB), ramp.mode, ramp.mode, flags=exact
        )
        return np.asarray(transform.apply(ramp))[0] / (_LEVELS - 1)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _gray_srgb() -> bytes:
    """The smallest ICC profile of gray with the curve of sRGB (ICC.1: ``para`` of type 3)."""
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    curve = b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(n * 65_536) for n in numbers))
    white = struct.pack(">3i", 63_190, 65_536, 54_061)
    start = 128 + 4 + 2 * 12
    body = struct.pack(">I4sII4sII", 2, b"kTRC", start, len(curve), b"wtpt", start + len(curve), 20)
    body += curve + b"XYZ " + bytes(4) + white
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x04200000, b"mntr", b"GRAY", b"XYZ ")
    return (header + bytes(12) + b"acsp" + bytes(28) + white).ljust(128, b"\0") + body


_GRAY_SRGB = _gray_srgb()
