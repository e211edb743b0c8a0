"""ICC profiles: what a file's numbers mean, and CMYK and Lab taken to sRGB."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


def color_space(profile: bytes) -> str:
    """``"RGB"``, ``"GRAY"``, ``"CMYK"``, ...: the header of an ICC profile says what its numbers are."""
    return profile[16:20].decode("ascii", "replace").strip()


def as_rgb(image: Image.Image, profile: bytes) -> Image.Image:
    """8-bit RGB; CMYK with a profile and Lab through color management."""
    if image.mode != "LAB" and (image.mode, color_space(profile)) != ("CMYK", "CMYK"):
        return image if image.mode == "RGB" else image.convert("RGB")
    from PIL import ImageCms

    try:
        source: Any = ImageCms.createProfile("LAB") if image.mode == "LAB" else io.BytesIO(profile)
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        return converted or image.convert("RGB")
    except (ImageCms.PyCMSError, OSError):  # a broken profile: Pillow's plain formula
        return image.convert("RGB")
