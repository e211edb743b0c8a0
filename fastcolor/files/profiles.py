"""ICC profiles: what a file's numbers mean, and CMYK, Lab and gray taken to sRGB."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def color_space(profile: bytes) -> str:
    """``"RGB"``, ``"GRAY"``, ``"CMYK"``, ...: the header of an ICC profile says what its numbers are."""
    return profile[16:20].decode("ascii", "replace").strip()


def as_rgb(image: Image.Image, profile: bytes) -> Image.Image:
    """8-bit RGB; CMYK with a profile and Lab through color management."""
    if image.mode != "LAB" and (image.mode, color_space(profile)) != ("CMYK", "CMYK"):
        return image.convert("RGB")
    from PIL import ImageCms

    try:
        source: Any = ImageCms.createProfile("LAB") if image.mode == "LAB" else io.BytesIO(profile)
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        return converted or image.convert("RGB")
    except (ImageCms.PyCMSError, OSError):  # a broken profile: Pillow's plain formula
        return image.convert("RGB")


def through_gray_profile(luma: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """Gray values as sRGB shows them: a gray profile is one curve, so 256 values tell it all."""
    if color_space(profile) != "GRAY":
        return luma
    from PIL import ImageCms

    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    try:
        source, srgb, exact = io.BytesIO(profile), ImageCms.createProfile("sRGB"), ImageCms.Flags.NOOPTIMIZE
        curve = ImageCms.profileToProfile(ramp, source, srgb, outputMode="RGB", flags=exact)
    except (ImageCms.PyCMSError, OSError):
        return luma
    return luma if curve is None else np.asarray(curve)[0, :, 0][luma]
