"""Photographs written: RGB with alpha and metadata, in the format that the name says, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from .atomic import atomic_path

# What is written: by suffix.
WRITERS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
DEFAULT_QUALITY = 95

_MAX_JPEG_EXIF = 65_533  # one JPEG segment


def check_writable_format(path: str | os.PathLike[str]) -> str:
    """The format that the suffix of `path` stands for; ImageError that lists the suffixes if none."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise ImageError(f"{path}: expected a name that ends in {', '.join(WRITERS)}, got {suffix or 'no suffix'!r}")
    return WRITERS[suffix]


def write_photo(
    path: str | os.PathLike[str],
    rgb: NDArray[np.uint8],
    *,
    alpha: NDArray[np.uint8] | None = None,
    metadata: dict[str, Any] | None = None,
    quality: int = DEFAULT_QUALITY,
) -> None:
    """Write RGB as JPEG, PNG, TIFF or WebP by the suffix of `path`: whole, or not at all.

    Parameters
    ----------
    path : path
        An existing file is replaced.
    rgb : ndarray, shape (H, W, 3), uint8
    alpha : ndarray, shape (H, W), uint8, optional
        JPEG has no alpha: there the picture is laid on white.
    metadata : dict, optional
        Of a :class:`Photo`. EXIF data that do not fit into a JPEG file are left out.
    quality : int
        1..100 for JPEG (chroma is never subsampled) and WebP.

    Raises
    ------
    ImageError
        The suffix is unknown, or the format cannot hold the picture.
    OSError
        The folder does not exist or cannot be written.
    """
    kind = check_writable_format(path)
    image = Image.fromarray(rgb)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    if kind == "JPEG" and alpha is not None:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    options = dict(metadata or {})
    if kind == "JPEG" and len(options.get("exif", b"")) > _MAX_JPEG_EXIF:
        del options["exif"]
    options |= {
        "JPEG": {"quality": quality, "subsampling": 0, "optimize": True},
        "WEBP": {"quality": quality, "method": 4},
        "TIFF": {},  # libtiff's compressions fail on EXIF folders
        "PNG": {},
    }[kind]
    with atomic_path(path) as temporary:
        try:
            image.save(temporary, format=kind, **options)
        except ValueError as error:
            raise ImageError(f"{path}: cannot be written as {kind} ({error})") from error
