"""The pixels of a picture: by Pillow where it is right, else as its file says; upright, as a viewer shows it."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin

from ..errors import ImageError
from .deep import read_deep
from .metadata import orientation_of
from .profiles import as_rgb
from .samples import Samples, needs_scaling, read_loaded, read_samples, upright
from .tiff import TiffFile
from .tones import shown


def pixels_of(image: Image.Image, file: IO[bytes] | None) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """Upright gray, uint8 or float32 in [0, 1], or uint8 RGB, as a viewer shows it; and alpha."""
    samples = _samples(image, file)
    if samples is None:
        image.load()
        samples = Samples(ImageOps.exif_transpose(image), None)
    turned, alpha = samples
    if isinstance(turned, np.ndarray):
        return shown(turned if turned.ndim == 2 else gray_of(turned), image.info), alpha
    if not turned.width or not turned.height:
        raise ImageError("expected an image with pixels, got an empty one")
    if turned.mode.startswith("I") or turned.mode == "F":
        return shown(_deep_luma(turned), image.info), _transparent_level(turned)
    if turned.has_transparency_data:
        turned = turned.convert("LA" if turned.mode in ("L", "LA", "La") else "RGBA")
    if "A" in turned.getbands() and turned.mode != "LAB":
        alpha = np.array(turned.getchannel("A"))
    if turned.mode in ("1", "L", "LA"):
        return shown(np.array(turned.getchannel(0).convert("L")), image.info), alpha
    return shown(np.array(as_rgb(turned, image.info.get("icc_profile") or b"")), image.info), alpha


def _samples(image: Image.Image, file: IO[bytes] | None) -> Samples | None:
    """Upright pixels where Pillow's are wrong or less than the file has; None where they are right."""
    if isinstance(image, TiffFile) and file:
        return read_samples(image, file) if needs_scaling(image) else None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return read_loaded(image)
    if not file:
        if image.format == "FITS" and image.mode.startswith("I"):
            raise ImageError("a FITS image that Pillow has loaded, without its zero and scale; give the file instead")
        return None
    orientation = orientation_of(image)
    deep = read_deep(image, file)
    if deep is None or not isinstance(deep.values, np.ndarray):
        return deep
    alpha = None if deep.alpha is None else upright(deep.alpha, orientation)
    return Samples(upright(deep.values, orientation), alpha)


def _transparent_level(image: Image.Image) -> NDArray[np.uint8] | None:
    """Alpha of 16-bit gray with one level that is transparent."""
    level = image.info.get("transparency")
    return None if level is None else np.where(np.asarray(image) == level, 0, 255).astype(np.uint8)


def gray_of(luma: NDArray[Any]) -> NDArray[np.uint8]:
    """Luma of a :class:`Photo` as 8-bit gray: ``floor(255 Y + 0.5)``."""
    return luma if luma.dtype == np.uint8 else (luma * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _deep_luma(image: Image.Image) -> NDArray[np.float32]:
    """Luma of gray images with 16-bit integers or floats, in full precision."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    top = 1 if image.mode == "F" else 65_535
    if not (low >= 0 and high <= top):
        raise ImageError(f"expected values in 0..{top} of a gray image of mode {image.mode}, got {low:g}..{high:g}")
    return (values / np.float32(top)).astype(np.float32)
