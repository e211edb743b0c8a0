"""Files with more than Pillow gives of their samples: 16-bit gray with alpha in PNG, deep JPEG 2000, 16-bit FITS.

Pillow reduces the first to 8 bits, wraps color of more than 8 bits in JPEG 2000 around (white becomes black), and takes
the signed samples of FITS for unsigned ones, whatever the header says of their zero.
"""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError, MissingExtraError
from .chunks import fits_numbers, jpeg2000_depths, png_header
from .samples import Samples

_PNG_GRAY_ALPHA = 4
_UNSIGNED_ZERO = 32_768  # BZERO of unsigned 16 bits, which FITS has no type for


def read_deep(image: Image.Image, file: IO[bytes]) -> Samples | None:
    """Pixels as they lie in the file, of a picture as it was opened; None where Pillow's are as good.

    Raises
    ------
    ImageError
        The samples are of a kind that nobody reads right.
    MissingExtraError
        imagecodecs is needed and not there.
    """
    reader = {"PNG": _png, "JPEG2000": _jpeg_2000, "FITS": _fits}.get(image.format or "")
    return reader(image, file) if reader else None


def _png(image: Any, file: IO[bytes]) -> Samples | None:
    """Gray and alpha of 16 bits: four bytes a pixel, for Pillow's decoder as RGBA of 8 bits."""
    if png_header(file)[:2] != (16, _PNG_GRAY_ALPHA):
        return None
    file.seek(0)
    fresh = type(image)(file)  # looking for EXIF, Pillow decodes a PNG file
    fresh._mode = "RGBA"
    fresh.tile = [tile._replace(args="RGBA") for tile in fresh.tile]
    pairs = np.asarray(fresh).view(">u2").astype(np.float32) / np.float32(65_535)
    return Samples(pairs[..., 0], _eight(pairs[..., 1]))


def _jpeg_2000(image: Image.Image, file: IO[bytes]) -> Samples | None:
    depths, plain = jpeg2000_depths(file)
    if max(depths, default=8) <= 8:
        return None
    if len(depths) == 1 and plain and depths[0] < 16 and image.mode.startswith("I"):  # shifted to 16 bits
        return Samples((np.asarray(image) >> (16 - depths[0])) / np.float32(2 ** depths[0] - 1), None)
    if len(depths) == 1:
        return None
    named = f"{'/'.join(map(str, sorted(set(depths))))}-bit JPEG 2000 with {len(depths)} channels"
    if not plain or len(set(depths)) > 1 or len(depths) > 4 or depths[0] > 16:
        raise ImageError(f"{named}: not supported; save it with 8 bits a channel, or as TIFF or PNG in sRGB")
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingExtraError(f"reading a {named}", "imagecodecs", "archive") from error
    file.seek(0)
    values = imagecodecs.jpeg2k_decode(file.read())
    if values.shape != (*image.size[::-1], len(depths)):
        raise ImageError(f"{named}: damaged, or with channels of unlike size")
    part = values / np.float32(2 ** depths[0] - 1)
    colors = part[..., :3] if len(depths) > 2 else part[..., 0]
    return Samples(colors, _eight(part[..., -1]) if len(depths) in (2, 4) else None)


def _fits(image: Any, file: IO[bytes]) -> Samples | None:
    numbers = fits_numbers(file)
    zero, scale = numbers.get("BZERO", 0.0), numbers.get("BSCALE", 1.0)
    unsigned = numbers.get("BITPIX") == 16 and zero == _UNSIGNED_ZERO
    if scale != 1 or not (zero == 0 or unsigned) or (image.mode == "I;16" and image.tile[0].codec_name != "raw"):
        raise ImageError("a FITS file whose values are scaled: not supported; save it as 16-bit TIFF")
    if image.mode != "I;16":
        return None
    values = np.asarray(image).view(np.int16) + np.float32(zero)
    if values.min() < 0:
        raise ImageError(f"expected values of at least 0 in a FITS file of signed 16 bits, got {values.min():g}")
    return Samples(values / np.float32(65_535 if unsigned else 32_767), None)


def _eight(part: NDArray[Any]) -> NDArray[np.uint8]:
    return np.floor(part * np.float32(255) + np.float32(0.5)).astype(np.uint8)
