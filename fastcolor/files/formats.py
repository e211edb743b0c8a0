"""Image files opened: which formats are known by their content, how large one may be, which page; nothing is decoded.

Whatever the package reads as a picture comes through :func:`open_image`. Formats that Pillow hands to another program
(EPS, WMF) or only names (BUFR, GRIB, HDF5, MPEG) are no pictures here, nor is IPTC, which wraps a file of any format,
nor IM tools' IMT, which has no signature. Pillow's own ``Image.open`` has one limit of pixels for the whole process;
here each call has its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import IO, Any

from PIL import Image

from ..errors import ImageError, MissingExtraError
from .chunks import is_lossless_webp, jxl_size, nclx, png_header
from .folders import is_tiff, nth_page
from .metadata import mend_exif
from .png import PngFile
from .tiff import TiffFile

# By content, not by name, and tried in this order: the last three have no signature to speak of.
FORMATS = (
    *(
        "JPEG",
        "PNG",
        "TIFF",
        "WEBP",
        "BMP",
        "DIB",
        "GIF",
        "PPM",
        "JPEG2000",
        "AVIF",
        "HEIF",
        "JXL",
        "PSD",
        "QOI",
        "DDS",
    ),
    *("ICO", "CUR", "ICNS", "PCX", "DCX", "SGI", "SUN", "MSP", "XBM", "XPM", "FLI", "FITS", "BLP", "FTEX", "GBR"),
    *("MCIDAS", "PIXAR", "XVTHUMB", "PCD", "IM", "SPIDER", "TGA"),
)
_SUFFIXES_OF_PLUGINS = {".heic", ".heif", ".hif", ".jxl", ".mpo"}
SUFFIXES = frozenset(s for s, name in Image.registered_extensions().items() if name in FORMATS) | _SUFFIXES_OF_PLUGINS

# For messages: all of them would be three lines.
SUFFIXES_IN_SHORT = f".jpg, .png, .tif, .webp, .heic and {len(SUFFIXES) - 5} others"

_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())
_JXL_STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_GRAY, _PNG_RGB, _PSD_MULTICHANNEL = 0, 2, 7
_NOT_READ = {  # start of file -> what it is, for the message
    b"%!PS": "PostScript, which another program would have to draw",
    b"\xc5\xd0\xd3\xc6": "EPS, which another program would have to draw",
    b"%PDF": "a PDF document, which another program would have to draw",
    b"\xd7\xcd\xc6\x9a": "a WMF drawing",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document",
    b"\x89HDF": "HDF5 data",
    b"GRIB": "GRIB data",
    b"BUFR": "BUFR data",
    b"P7\n": "a PAM picture: save it as PNG",
    b"8BPS": "a Photoshop file that is damaged, or of 16 or 32 bits: save it with 8 bits, or as TIFF or PNG",
}


def open_image(
    file: IO[bytes], *, page: int = 0, frame: int | None = None, max_pixels: int | None = None
) -> Image.Image:
    """The picture in `file` as Pillow opens it: its size is known, its pixels are decoded when they are asked for.

    Parameters
    ----------
    file : seekable binary file
    page : int
        Of a TIFF file, from 0.
    frame : int, optional
        In place of `page`: of all pictures that Pillow counts in the file, reduced ones and those of animations, too.
    max_pixels : int, optional
        ``PIL.Image.MAX_IMAGE_PIXELS`` if not given.

    Raises
    ------
    ImageError
        No known format, a header that is damaged, no such page, or more than `max_pixels` pixels.
    MissingExtraError
        The format needs a package that is not installed; names the extra.
    """
    image = _identified(file, max_pixels)
    if page and not isinstance(image, TiffFile):
        raise ImageError(f"page {page}: expected 0, since a {image.format} file is one picture")
    if isinstance(image, TiffFile):
        image.seek(nth_page(file, page) if frame is None else frame)
        image.check_whole(file)
    elif frame:
        image.seek(frame)
    check_pixels(image.size, max_pixels)
    _note(image, file)
    return image


def check_pixels(size: tuple[int, int], max_pixels: int | None = None) -> None:
    """ImageError for more than `max_pixels` pixels, or than ``PIL.Image.MAX_IMAGE_PIXELS``."""
    limit = Image.MAX_IMAGE_PIXELS if max_pixels is None else max_pixels
    if limit is not None and size[0] * size[1] > limit:
        raise ImageError(
            f"{size[0]:,} x {size[1]:,} is more pixels than the limit of {limit:,}, so it may be a decompression bomb; "
            "raise the limit (--max-pixels, max_pixels=, PIL.Image.MAX_IMAGE_PIXELS) if you trust the file"
        )


def _note(image: Image.Image, file: IO[bytes]) -> None:
    """What Pillow leaves out of ``info`` or gets wrong there; the file is left where Pillow had it."""
    at = file.tell()
    cicp = None
    if image.format == "PNG":
        depth, color, cicp = png_header(file)
        if "transparency" in image.info and depth in (2, 4) and color == _PNG_GRAY:
            image.info["transparency"] *= 255 // (2**depth - 1)  # as the levels are
        if "transparency" in image.info and depth == 16 and color == _PNG_RGB:
            raise ImageError("a 16-bit RGB PNG file with a transparent color: not supported; save it with alpha")
    elif image.format == "WEBP":
        image.info["lossless"] = is_lossless_webp(file)
    elif image.format in ("AVIF", "HEIF"):
        cicp = nclx(file)
    elif image.format == "PSD":
        _note_psd(image, file)
    if cicp:
        image.info["cicp"] = cicp
    if not isinstance(image, TiffFile):
        mend_exif(image)
    file.seek(at)


def _note_psd(image: Any, file: IO[bytes]) -> None:
    file.seek(24)
    if int.from_bytes(file.read(2), "big") == _PSD_MULTICHANNEL:
        raise ImageError("a multichannel Photoshop file, whose inks are not known; save it as gray, RGB or CMYK")
    if image.mode == "1":  # ink, for Pillow light
        image.tile = [tile._replace(args="1;I") for tile in image.tile]


def _identified(file: IO[bytes], max_pixels: int | None) -> Image.Image:
    file.seek(0)
    start = file.read(16)
    if start.startswith(_JXL_STARTS):  # whose plugin decodes at once
        check_pixels(_jxl_size(file), max_pixels)
    for name in FORMATS:
        try:
            if factory := _factory(name, start):
                file.seek(0)
                return factory(file, "")
        except (
            SyntaxError,
            IndexError,
            TypeError,
            KeyError,
            struct.error,
        ) as error:  # "not mine"
            if name == "TIFF":
                raise ImageError(f"damaged or truncated image file ({error})") from error
    known = f"{', '.join(FORMATS[:6])} or one of {len(FORMATS) - 6} other formats"
    raise ImageError(f"expected an image file ({known}), got {_what_it_is(start)}")


def _jxl_size(file: IO[bytes]) -> tuple[int, int]:
    size = jxl_size(file)
    if size is None:
        raise ImageError("damaged or truncated JPEG XL file, which does not say how large the picture is")
    return size


def _factory(name: str, start: bytes) -> Callable[[Any, str], Image.Image] | None:
    """What opens a file of this format, if the file's first 16 bytes may be one."""
    if name == "TIFF":
        return TiffFile if is_tiff(start) else None
    if name == "PNG":
        return PngFile if start.startswith(_PNG_START) else None
    if name == "HEIF":
        heif = start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS
        return _heif_file() if heif else None
    if name == "JXL":
        jxl = start.startswith(_JXL_STARTS)
        return _jxl_file() if jxl else None
    if name not in Image.OPEN:  # Pillow was built without it
        return None
    factory, accept = Image.OPEN[name]
    return factory if accept is None or accept(start) is True else None


def _heif_file() -> Any:
    """The plugin's class, used here alone: registered with Pillow, it would change ``Image.open`` for all."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MissingExtraError("reading HEIC", "pillow-heif", "archive") from error
    return HeifImageFile


def _jxl_file() -> Any:
    try:
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile
    except ImportError as error:
        raise ImageError("reading JPEG XL needs pillow-jxl-plugin; pip install pillow-jxl-plugin") from error
    return JXLImageFile


def _what_it_is(start: bytes) -> str:
    if not start:
        return "an empty file"
    return next((what for signature, what in _NOT_READ.items() if start.startswith(signature)), "something else")
