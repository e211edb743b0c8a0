"""Photographs read: any common file as upright luma, with what must survive: color, alpha, metadata.

Every format and mode ends as one :class:`Photo`, so that nothing after this module knows about palettes, CMYK, EXIF
orientation or bit depths.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from ..errors import ImageError, MissingExtraError
from ..reference.constants import LUMA
from .folders import count_tiff_pages, is_tiff
from .formats import FORMATS as FORMATS
from .formats import SUFFIXES as SUFFIXES
from .formats import open_image
from .metadata import orientation_of, portable_metadata
from .pixels import gray_of as gray_of
from .pixels import pixels_of
from .toning import is_toned

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
        What else the file says that holds for an upright RGB picture: :mod:`.metadata`.
    """

    luma: NDArray[Any]
    rgb: NDArray[np.uint8] | None = None
    alpha: NDArray[np.uint8] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def toned(self) -> bool:
        """Whether the colors are those of one tone, as of a sepia or a cyanotype: :mod:`.toning`."""
        return self.rgb is not None and is_toned(self.rgb)


def read_photo(source: str | os.PathLike[str] | IO[bytes], *, page: int = 0, max_pixels: int | None = None) -> Photo:
    """The :class:`Photo` in a file: TIFF, JPEG, PNG, HEIC and whatever else Pillow reads by itself; the first frame.

    Gray, 1-bit, palette, CMYK and Lab files, of any depth, with or without alpha, in any EXIF orientation. Gray and
    CMYK values are taken through the file's ICC profile to sRGB; 16-bit color is reduced to 8 bits.

    Parameters
    ----------
    source : path or binary file
    page : int
        Of a TIFF file with several, from 0; see :func:`count_pages`.
    max_pixels : int, optional
        ``PIL.Image.MAX_IMAGE_PIXELS`` if not given.

    Raises
    ------
    FileNotFoundError, OSError
        No such file, or no right to read it.
    ImageError
        The file is no image, is damaged or truncated, has too many pixels or no such page, or needs an extra.
    """
    with _opened(source) as (file, name), _named_errors(name):
        return _photo(open_image(file, page=page, max_pixels=max_pixels), file)


def read_rgb(source: str | os.PathLike[str] | IO[bytes]) -> NDArray[np.uint8]:
    """(H, W, 3) of what :func:`read_photo` reads, without alpha and metadata; gray has three equal channels."""
    with _opened(source) as (file, name), _named_errors(name):
        return in_color(gray_of(pixels_of(open_image(file), file)[0]))


def image_size(source: str | os.PathLike[str] | IO[bytes]) -> tuple[int, int]:
    """The sides of a picture, from the head of its file; errors as of :func:`read_photo`."""
    with _opened(source) as (file, name), _named_errors(name):
        return open_image(file).size


def count_pages(source: str | os.PathLike[str] | IO[bytes]) -> int:
    """Pages of a TIFF file; 1 for any other file, whether it is a picture or not.

    Raises
    ------
    FileNotFoundError, OSError
        No such file, or no right to read it.
    ImageError
        More than 10,000 pages, or a damaged file.
    """
    with _opened(source) as (file, name), _named_errors(name):
        return count_tiff_pages(file) if is_tiff(file.read(16)) else 1


@contextmanager
def _opened(source: str | os.PathLike[str] | IO[bytes]) -> Iterator[tuple[IO[bytes], str]]:
    """A seekable file at its beginning, and its name; one that was given open stays open."""
    if not isinstance(source, (str, os.PathLike)):
        file = source if source.seekable() else io.BytesIO(source.read())
        file.seek(0)
        yield file, str(getattr(source, "name", "image"))
        return
    path = Path(source)
    if not path.is_file():
        other = "a pipe or a device, not a file; use - for standard input" if path.exists() else "no such file"
        raise FileNotFoundError(f"{path}: " + ("a folder, not an image file" if path.is_dir() else other))
    # An open file, not a path: of a path, Pillow maps uncompressed TIFF into memory and then misreads rotated ones.
    with open(path, "rb") as file:
        yield file, str(path)


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """What is wrong with a file, by its name."""
    try:
        yield
    except (ImageError, MissingExtraError) as error:
        raise ImageError(f"{name}: {error}") from error
    except MemoryError as error:
        raise ImageError(f"{name}: larger than the memory that is left; reduce it first") from error
    except Exception as error:  # a damaged file can raise anything in Pillow's decoders
        raise ImageError(f"{name}: damaged or truncated image file ({error})") from error


def as_photo(image: Any) -> Photo:
    """The :class:`Photo` of a path, a binary file or its bytes, a Pillow image, or a uint8 array.

    Parameters
    ----------
    image : path, binary file, bytes, Image or ndarray
        Arrays are (H, W) or (H, W, 1) gray, (H, W, 2) gray and alpha, (H, W, 3) RGB or (H, W, 4) RGB and alpha. A
        Pillow image of a file that is not loaded yet is what the file is to :func:`read_photo`.

    Raises
    ------
    TypeError, ValueError
        Anything else; a float array is not rescaled by guess, and what is masked is not filled.
    ImageError
        As :func:`read_photo`.
    """
    if isinstance(image, (str, os.PathLike)) or hasattr(image, "seekable"):
        return read_photo(image)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return read_photo(io.BytesIO(image))
    if isinstance(image, Image.Image):
        return _of_pillow(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image: expected a path, a Pillow image or a NumPy array, got {type(image).__name__}")
    if np.ma.is_masked(image):
        raise TypeError("image: expected an array without masked pixels, got some; fill them first (image.filled(0))")
    if image.dtype != np.uint8:
        raise TypeError(f"image: expected dtype uint8 in 0..255, got {image.dtype}; scale and round it first")
    if not (image.ndim == 2 or (image.ndim == 3 and 1 <= image.shape[-1] <= 4)) or not image.size:
        raise ValueError(f"image: expected shape (H, W) or (H, W, 1 to 4) with pixels, got {image.shape}")
    return _of_array(np.asarray(image))


def _of_array(image: NDArray[np.uint8]) -> Photo:
    if image.ndim == 2:
        return Photo(image)
    alpha = image[..., -1] if image.shape[-1] in (2, 4) else None
    return Photo(image[..., 0], None, alpha) if image.shape[-1] < 3 else _from_rgb(image[..., :3], alpha)


def _of_pillow(image: Image.Image) -> Photo:
    """As of its file, where that still says all; pixels that were changed since are taken as they are."""
    with _named_errors(str(getattr(image, "filename", "") or "image")):
        file = _file_of(image)
        if file is None:
            return _photo(image)
        at = file.tell()
        try:
            # Pillow has looked at its own limit; a size that was chosen since, by draft() say, is kept
            again = open_image(file, frame=image.tell(), max_pixels=sys.maxsize)
            same = (sorted(again.size), again.mode) == (sorted(image.size), image.mode)  # some loaded ones are turned
            photo = _photo(again, file) if same else None
        finally:
            file.seek(at)
        return photo or _photo(image)


def _file_of(image: Image.Image) -> IO[bytes] | None:
    """The file of an image whose pixels are not loaded, or are mapped into memory and unchanged.

    Once Pillow has loaded the pixels it has forgotten what else the file said of them; of a path, it maps uncompressed
    TIFF into memory and then misreads rotated pictures.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.format not in FORMATS:
        return None
    if image.tile or image._im is None:
        return None if image.fp is None or image.fp.closed else image.fp
    mapped = getattr(image, "map", None)
    return io.BytesIO(mapped) if mapped and image.readonly else None


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


def in_color(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gray (H, W) as RGB (H, W, 3); RGB as it is."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _photo(image: Image.Image, file: IO[bytes] | None = None) -> Photo:
    """Of an image whose file, where there is one, is still open."""
    orientation = orientation_of(image)  # loading may take it away
    values, alpha = pixels_of(image, file)
    metadata = portable_metadata(image, values.shape[1::-1], orientation)
    return Photo(values, None, alpha, metadata) if values.ndim == 2 else _from_rgb(values, alpha, metadata)


def _from_rgb(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None, metadata: dict[str, Any] | None = None
) -> Photo:
    """A photo of color values; gray pictures are often stored as such, and are gray here."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return Photo(red.copy(), None, alpha, metadata or {})
    return Photo(luma_of(rgb), rgb, alpha, metadata or {})
