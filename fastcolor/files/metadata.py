"""What a photograph's file says beside its pixels, and what of it still holds when the pixels are RGB and upright."""

from __future__ import annotations

from typing import Any

from PIL import Image

from .profiles import color_space

# EXIF tags that say something about the photograph; the others describe how the old file was stored.
_KEPT_TAGS = frozenset(
    {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x8298, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F}
)
_EXIF_IFD, _GPS_IFD, _WIDTH_TAG, _HEIGHT_TAG = 0x8769, 0x8825, 0xA002, 0xA003


def portable_metadata(image: Image.Image, size: tuple[int, int]) -> dict[str, Any]:
    """``exif``, ``icc_profile``, ``dpi`` of `image`, for an upright RGB picture of it of this (width, height)."""
    kept: dict[str, Any] = {}
    exif = _exif(image, size)
    if exif:
        kept["exif"] = exif
    profile = image.info.get("icc_profile") or b""
    if color_space(profile) == "RGB" and image.mode not in ("CMYK", "LAB"):
        kept["icc_profile"] = profile
    dpi = image.info.get("dpi")
    if dpi and len(dpi) == 2 and all(1 < float(d) <= 65_535 for d in dpi):  # 1: no unit
        kept["dpi"] = tuple(float(d) for d in dpi)
    return kept


def _exif(image: Image.Image, size: tuple[int, int]) -> bytes:
    """EXIF without orientation, thumbnail and storage tags; empty if there is none, or it is beyond repair."""
    try:
        old, new = image.getexif(), Image.Exif()
        for tag in _KEPT_TAGS & set(old):
            new[tag] = old[tag]
        for ifd in (_EXIF_IFD, _GPS_IFD):
            if values := dict(old.get_ifd(ifd)):
                new[ifd] = values
        if _EXIF_IFD in new:
            for tag, side in zip((_WIDTH_TAG, _HEIGHT_TAG), size, strict=True):
                if tag in new[_EXIF_IFD]:
                    new[_EXIF_IFD][tag] = side
        return new.tobytes() if len(new) else b""
    except Exception:  # damaged EXIF can raise anything, and is no reason to lose the photograph
        return b""
