"""What a photograph's metadata become in each format, and what of them has no place there."""

from __future__ import annotations

from typing import Any

_MAX_JPEG_EXIF = 65_533  # one JPEG segment


def options_for(metadata: dict[str, Any], format: str) -> dict[str, Any]:
    """Options of :meth:`PIL.Image.Image.save` that carry `metadata` of a :class:`Photo`."""
    options: dict[str, Any] = {name: metadata[name] for name in ("exif", "icc_profile", "dpi") if name in metadata}
    if format == "JPEG" and len(options.get("exif", b"")) > _MAX_JPEG_EXIF:
        del options["exif"]
    return options


def left_out(metadata: dict[str, Any], format: str, *, alpha: bool = False) -> list[str]:
    """What of `metadata`, and of `alpha`, a file of `format` cannot carry, in words; empty if all is kept."""
    missing = ["transparency"] if alpha and format == "JPEG" else []
    if format == "JPEG" and len(metadata.get("exif", b"")) > _MAX_JPEG_EXIF:
        missing.append("EXIF")
    return missing
