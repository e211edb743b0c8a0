"""Photographs read: any common file as upright luma, with what must survive: color, alpha, metadata.

Every format and mode ends as one :class:`Photo`, so that nothing after this module knows about palettes, CMYK, EXIF
orientation or bit depths.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import ImageError
from ..reference.constants import LUMA
from .metadata import orientation_of, portable_metadata
from .profiles import as_rgb, through_gray_profile

# What is read: by content, not by name.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".pgm", ".ppm"})

_STRIP = 256  # rows whose luma is computed at a time: no float copy of the whole color image


@dataclass(frozen=True)
class Photo:
    """An upright photograph as the colorizer sees it.

    Attributes
    ----------
    luma : ndarray, shape (H, W), uint8 or float32
        uint8 for 8-bit gray, which stays exact; else float32 in [0, 1].
    rgb : ndarray, shape (H, W, 3), uint8, or None
        The colors, if there are any; pictures with R = G = B are gray.
    alpha : ndarray, shape (H, W), uint8, or None
    metadata : dict
        ``exif``, ``icc_profile``, ``dpi`` as :meth:`PIL.Image.Image.save` takes them, fit for an RGB file.
    """

    luma: NDArray[Any]
    rgb: NDArray[np.uint8] | None = None
    alpha: NDArray[np.uint8] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def read_photo(path: str | os.PathLike[str]) -> Photo:
    """The :class:`Photo` in a file: JPEG, PNG, TIFF, WebP, BMP, GIF or PPM; the first frame of several.

    Gray, 1-bit, palette, CMYK and Lab files, 8 or 16 bits, with or without alpha, in any EXIF orientation. Gray and
    CMYK values are taken through the file's ICC profile to sRGB; 16-bit color is reduced to 8 bits.

    Raises
    ------
    FileNotFoundError, OSError
        No such file, or no right to read it.
    ImageError
        The file is no image, is damaged or truncated, or has more than ``PIL.Image.MAX_IMAGE_PIXELS`` pixels.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: " + ("a folder, not an image file" if path.is_dir() else "no such file"))
    # An open file, not a path: of a path, Pillow maps uncompressed TIFF into memory and then misreads rotated ones.
    with open(path, "rb") as file:
        return _read(file, path)


def _read(file: BinaryIO, path: Path) -> Photo:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(file, formats=FORMATS)
        return _photo(image)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{path}: more pixels than the limit of {Image.MAX_IMAGE_PIXELS:,}, so it may be a decompression bomb; "
            "raise the limit (--max-pixels, PIL.Image.MAX_IMAGE_PIXELS) if you trust the file"
        ) from error
    except Image.UnidentifiedImageError:
        raise ImageError(f"{path}: expected an image file ({', '.join(FORMATS)}), got something else") from None
    except Exception as error:  # a damaged file can raise anything in Pillow's decoders
        raise ImageError(f"{path}: damaged or truncated image file ({error})") from error


def as_photo(image: Any) -> Photo:
    """The :class:`Photo` of a path, a Pillow image, or a uint8 array (H, W) or (H, W, 3).

    Raises
    ------
    TypeError, ValueError
        Anything else; a float array is not rescaled by guess.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_photo(image)
    if isinstance(image, Image.Image):
        return _photo(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image: expected a path, a Pillow image or a NumPy array, got {type(image).__name__}")
    if image.dtype != np.uint8:
        raise TypeError(f"image: expected dtype uint8 in 0..255, got {image.dtype}; scale and round it first")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] == 3)) or not image.size:
        raise ValueError(f"image: expected shape (H, W) or (H, W, 3) with pixels, got {image.shape}")
    return Photo(image) if image.ndim == 2 else _from_rgb(image)


@contextmanager
def pixel_limit(pixels: int | None) -> Iterator[None]:
    """``PIL.Image.MAX_IMAGE_PIXELS = pixels`` for a while; None leaves it as it is."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = before if pixels is None else pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def luma_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``Y = (.299 R + .587 G + .114 B) / 255``: (H, W, 3) uint8 -> (H, W) float32 in [0, 1].

    Examples
    --------
    >>> luma_of(np.full((1, 1, 3), 255, np.uint8)).round(6).tolist()
    [[1.0]]
    """
    weights = np.asarray(LUMA, dtype=np.float32) / np.float32(255)
    luma = np.empty(rgb.shape[:2], dtype=np.float32)
    for row in range(0, len(rgb), _STRIP):
        np.matmul(rgb[row : row + _STRIP].astype(np.float32), weights, out=luma[row : row + _STRIP])
    return np.clip(luma, 0, 1, out=luma)


def gray_of(luma: NDArray[Any]) -> NDArray[np.uint8]:
    """Luma of a :class:`Photo` as 8-bit gray: ``floor(255 Y + 0.5)``."""
    return luma if luma.dtype == np.uint8 else (luma * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def in_color(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gray (H, W) as RGB (H, W, 3); RGB as it is."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _photo(image: Image.Image) -> Photo:
    orientation = orientation_of(image)
    image.load()
    if not image.width or not image.height:
        raise ImageError("expected an image with pixels, got an empty one")
    profile = image.info.get("icc_profile") or b""
    upright = ImageOps.exif_transpose(image)
    metadata = portable_metadata(image, upright.size, orientation)
    if upright.mode.startswith("I") or upright.mode == "F":
        return Photo(_deep_luma(upright), metadata=metadata)
    if upright.has_transparency_data:
        upright = upright.convert("LA" if upright.mode in ("L", "LA", "La") else "RGBA")
    alpha = np.array(upright.getchannel("A")) if "A" in upright.getbands() and upright.mode != "LAB" else None
    if upright.mode in ("1", "L", "LA"):
        luma = np.array(upright.getchannel(0).convert("L"))
        return Photo(through_gray_profile(luma, profile), None, alpha, metadata)
    return _from_rgb(np.array(as_rgb(upright, profile)), alpha, metadata)


def _from_rgb(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None, metadata: dict[str, Any] | None = None
) -> Photo:
    """A photo of color values; gray pictures are often stored as such, and are gray here."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return Photo(red.copy(), None, alpha, metadata or {})
    return Photo(luma_of(rgb), rgb, alpha, metadata or {})


def _deep_luma(image: Image.Image) -> NDArray[np.float32]:
    """Luma of gray images with 16-bit integers or floats, in full precision."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    top = 1 if image.mode == "F" else 65_535
    if not (low >= 0 and high <= top):
        raise ImageError(f"expected values in 0..{top} of a gray image of mode {image.mode}, got {low:g}..{high:g}")
    return (values / np.float32(top)).astype(np.float32)
