"""Photographs written: RGB with alpha and metadata, in the format that the name says, whole or not at all."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from ..errors import ImageError
from .atomic import atomic_path, naming
from .kept import options_for

# What is written: by suffix.
WRITERS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
DEFAULT_QUALITY = 95

# The longest side of a picture, in pixels.
LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "PNG": 2**31 - 1, "TIFF": 2**31 - 1}
MAX_TIFF_BYTES = 2**32 - 2**24  # offsets have 32 bits; some room for what is not pixels

Page = tuple[NDArray[np.uint8], "NDArray[np.uint8] | None", "dict[str, Any] | None"]  # RGB, alpha, metadata


def check_writable_format(path: str | os.PathLike[str]) -> str:
    """The format that the suffix of `path` stands for; ImageError that lists the suffixes if none."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise ImageError(f"{path}: expected a name that ends in {', '.join(WRITERS)}, got {suffix or 'no suffix'!r}")
    return WRITERS[suffix]


def write_photo(
    target: str | os.PathLike[str] | BinaryIO,
    rgb: NDArray[np.uint8],
    *,
    alpha: NDArray[np.uint8] | None = None,
    metadata: dict[str, Any] | None = None,
    quality: int = DEFAULT_QUALITY,
    format: str | None = None,
    replace: bool = True,
) -> None:
    """Write RGB as JPEG, PNG, TIFF or WebP: whole, or not at all.

    Parameters
    ----------
    target : path or binary file
    rgb : ndarray, shape (H, W, 3), uint8
    alpha : ndarray, shape (H, W), uint8, optional
        JPEG has no alpha: there the picture is laid on white.
    metadata : dict, optional
        Of a :class:`Photo`; what the format cannot carry (:func:`fastcolor.files.kept.left_out`) is left out. A picture
        that came from a lossless WebP file is written as one.
    quality : int
        1..100 for JPEG (chroma is never subsampled) and WebP.
    format : {"JPEG", "PNG", "TIFF", "WEBP"}, optional
        By default what the suffix of `target` says; a file object needs it.
    replace : bool
        Whether a file that is there at the end is replaced.

    Raises
    ------
    ImageError
        The suffix is unknown, or the format cannot hold the picture.
    OSError
        The folder does not exist or cannot be written, the disk is full, or there is a file already; names `target`.
    """
    kind = format or check_writable_format(target)  # type: ignore[arg-type]
    image, options = _encodable((rgb, alpha, metadata), kind, quality)
    save(image, target, kind, replace=replace, **options)


def write_pages(target: str | os.PathLike[str] | BinaryIO, pages: Iterable[Page], *, replace: bool = True) -> None:
    """Write a TIFF of several pages, one at a time: whole, or not at all.

    Parameters
    ----------
    target : path or binary file
    pages : iterable of (rgb, alpha, metadata)
    replace : bool
        As of :func:`write_photo`.

    Raises
    ------
    ImageError
        More than the 4 GB that a TIFF file can hold.
    OSError
        As of :func:`write_photo`.
    ValueError
        No pages.
    """
    with _opened(target, replace) as (file, name):
        link = None  # where the place of the next page is to be written
        for page in pages:
            image, options = _encodable(page, "TIFF", DEFAULT_QUALITY)
            start = file.seek(0, os.SEEK_END)
            check_fits(image, "TIFF", name, before=start)
            image.save(file, "TIFF", **options)  # its own places count from the beginning of the file
            link = _chained(file, link, start)
        if link is None:
            raise ValueError(f"{name}: expected at least one page, got none")


def _chained(file: BinaryIO, link: int | None, start: int) -> int:
    """Tell the page before of the one at `start`, and return where this one will be told of the next."""
    if link is None:
        start = 8  # after the header
    else:
        file.seek(link)
        file.write(struct.pack("<L", start))
    file.seek(start)
    (tags,) = struct.unpack("<H", file.read(2))
    return start + 2 + 12 * tags


def save(
    image: Image.Image, target: str | os.PathLike[str] | BinaryIO, format: str, *, replace: bool = True, **options: Any
) -> None:
    """``image.save(target, format, **options)``, whole or not at all, on full disks and for noisy pictures, too.

    Pillow's encoders write to a file's descriptor by themselves and take no notice of a disk that is full; here they
    get a file without one. An optimized JPEG needs a buffer for all of it, which Pillow sizes by a guess: where that
    may be too small, as for noise at a high quality, it is not optimized.

    Raises
    ------
    ImageError
        The format cannot hold the picture.
    OSError
        The file cannot be written; names it.
    """
    with _opened(target, replace) as (file, name):
        check_fits(image, format, name)
        try:
            _encode(image, file, format, options)
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the system's; the others are the encoder's
                raise
            raise ImageError(f"{name}: cannot be written as {format} ({error})") from error


def check_fits(image: Image.Image, format: str, name: str, *, before: int = 0) -> None:
    """ImageError if `format` has no room for so many pixels, after `before` bytes."""
    if max(image.size) > LONGEST[format]:
        size, longest = f"{image.width} x {image.height}", f"{LONGEST[format]:,}"
        raise ImageError(f"{name}: {format} holds at most {longest} pixels a side, got {size}; write .png or .tif")
    if format == "TIFF" and before + image.width * image.height * len(image.getbands()) > MAX_TIFF_BYTES:
        raise ImageError(f"{name}: more than the 4 GB that a TIFF file holds; write .png, or fewer pages")


class _NoDescriptor:
    """A binary file by its methods alone, which tell what goes wrong, as its descriptor would not."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.write, self.seek, self.tell = file.read, file.write, file.seek, file.tell
        self.truncate, self.flush = file.truncate, file.flush


@contextmanager
def _opened(target: str | os.PathLike[str] | BinaryIO, replace: bool) -> Iterator[tuple[BinaryIO, str]]:
    """A file to encode into, and its name: a temporary one beside a path, or memory, then written to the given file."""
    if isinstance(target, (str, os.PathLike)):
        with atomic_path(target, replace=replace) as temporary, naming(target), open(temporary, "w+b") as file:
            yield cast(BinaryIO, _NoDescriptor(cast(BinaryIO, file))), os.fspath(target)
    else:
        name = str(getattr(target, "name", "file"))
        with naming(name):
            memory = io.BytesIO()
            yield memory, name
            rest = memory.getbuffer()
            while rest:
                rest = rest[target.write(rest) :]
            target.flush()


def _encode(image: Image.Image, file: BinaryIO, format: str, options: dict[str, Any]) -> None:
    """Into `file`; an optimized JPEG only if Pillow's buffer for all of it, a byte a pixel or more, is enough."""
    if format != "JPEG" or not options.get("optimize"):
        image.save(file, format, **options)
        return
    plain = io.BytesIO()
    image.save(plain, format, **options | {"optimize": False})
    if len(plain.getbuffer()) < max(image.width * image.height, ImageFile.MAXBLOCK):  # optimizing makes it smaller
        image.save(file, format, **options)
    else:
        file.write(plain.getbuffer())


def _encodable(page: Page, format: str, quality: int) -> tuple[Image.Image, dict[str, Any]]:
    """The picture as `format` takes it, and the options of :meth:`PIL.Image.Image.save`."""
    rgb, alpha, metadata = page
    image = Image.fromarray(rgb)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    if format == "JPEG" and alpha is not None:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    own: dict[str, Any] = {
        "JPEG": {"quality": quality, "subsampling": 0, "optimize": True},
        "WEBP": {"quality": quality, "method": 4},
        "TIFF": {},  # libtiff's compressions fail on EXIF folders
        "PNG": {},
    }[format]
    if format == "WEBP" and (metadata or {}).get("lossless"):
        own |= {"lossless": True, "exact": True}
    return image, options_for(metadata or {}, format) | own
