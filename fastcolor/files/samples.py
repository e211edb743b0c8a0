"""Samples of TIFF files: read by Pillow where it is right, else by tifffile, and scaled by what their tags say.

Over a grid of 12,713 variants (sample type, photometric interpretation, planes, compression, byte order, predictor,
tiles, extra samples) Pillow read 550 wrong without a word: 16-bit color in separate raw planes, gray with alpha and
Lab in planes, compressed big-endian signed and float samples, unsigned 32 bits, signed 8 bits, a predictor under
PackBits. :func:`pillow_is_right` lists what is right, so that anything else goes to tifffile or is refused.
"""

from __future__ import annotations

from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin

from ..errors import ImageError, MissingExtraError
from .folders import REDUCED_OR_MASK, SUB_FOLDERS, SUBFILE
from .tiff import (
    ALPHA,
    ASSOCIATED,
    FLOAT,
    MAX_SAMPLES,
    MIN_IS_BLACK,
    MIN_IS_WHITE,
    RGB,
    SIGNED,
    UNSIGNED,
    Layout,
    TiffFile,
    layout_of,
)

_RAW, _PACKBITS = 1, 32773
_COMPRESSIONS = {_RAW, 2, 3, 4, 5, 6, 7, 8, 32771, _PACKBITS, 32946, 34925, 50000}  # fax, LZW, JPEG, zlib, ...
_JPEG_2000 = {33003, 33004, 33005, 34712}
_CMYK, _YCBCR, _LAB = 5, 6, 8
_ORIENTATION = 274
_IN_8_BITS = {_CMYK: ("CMYK", 4), _YCBCR: ("YCbCr", 3), _LAB: ("LAB", 3)}
_DEPTHS = {*range(1, 17), 32, 64}


class Samples(NamedTuple):
    """Upright pixels: gray or RGB in [0, 1], or an 8-bit picture in another space of colors; alpha in 0..255."""

    values: NDArray[np.float32] | Image.Image
    alpha: NDArray[np.uint8] | None


def pillow_is_right(layout: Layout) -> bool:
    """Whether Pillow, where it knows the samples of such a page, reads them right."""
    raw, planes = layout.compression == _RAW, layout.planar == 2 and len(layout.bits) > 1
    depth = max(layout.bits)
    if layout.kind == UNSIGNED and len(layout.bits) > 1 and layout.depth < depth:
        return False  # the high 8 bits of each sample, of which some are empty
    if layout.compression not in _COMPRESSIONS or (layout.predictor != 1 and layout.compression in (_RAW, _PACKBITS)):
        return False
    if layout.photometric == _YCBCR:  # compressed, libtiff makes RGB of it
        return not (raw and (planes or layout.subsampled))
    if layout.kind in (SIGNED, FLOAT):
        whole = depth in ((16, 32) if layout.kind == SIGNED else (32,))
        return whole and len(layout.bits) == 1 and (layout.little_endian or raw)
    if layout.kind != UNSIGNED or depth > 16:
        return False
    if depth == 16 and layout.extra[:1] == (ASSOCIATED,) and len(layout.bits) > 2:
        return False  # divided by alpha in 8 bits
    if raw and layout.fill_order == 2 and (planes or (depth == 8 and layout.photometric == MIN_IS_WHITE)):
        return False
    if planes:
        first = set(layout.extra) <= {ALPHA} if raw else len(layout.extra) < 2
        return layout.photometric in (RGB, _CMYK) and first and (not raw or depth == 8)
    return True


def needs_scaling(image: TiffFile) -> bool:
    """Whether the page's values must be read by :func:`read_samples`; others are what Pillow says they are."""
    return _is_deep(image) or not (image.known and pillow_is_right(image.layout))


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def read_samples(image: TiffFile, file: IO[bytes]) -> Samples:
    """The page that is open in `image`, by its tags.

    Raises
    ------
    ImageError
        The samples are of a kind that nobody reads right, or have no known range.
    MissingExtraError
        tifffile is needed and not there.
    """
    layout = image.layout
    _check_supported(layout)
    if image.known and pillow_is_right(layout):
        return Samples(_scaled(np.asarray(image), layout), None)  # which Pillow has turned upright
    orientation = image.tag_v2.get(_ORIENTATION) or image.getexif().get(_ORIENTATION, 1)
    values = upright(_by_tifffile(image, file), orientation)
    if layout.photometric in _IN_8_BITS:
        mode, count = _IN_8_BITS[layout.photometric]
        eight = (values[..., :count] >> (layout.depth - 8)).astype(np.uint8)
        return Samples(Image.frombytes(mode, eight.shape[1::-1], np.ascontiguousarray(eight).tobytes()), None)
    colors = 3 if layout.photometric == RGB else 1
    scaled = _scaled(values[..., :colors], layout)
    alpha = None
    if layout.has_alpha:
        part = _scaled(values[..., colors], layout._replace(photometric=MIN_IS_BLACK))
        alpha = np.floor(part * 255 + 0.5).astype(np.uint8)
        if layout.extra[0] == ASSOCIATED:
            scaled = np.clip(scaled / np.maximum(part, np.finfo(np.float32).tiny)[..., None], 0, 1)
    return Samples(scaled[..., 0] if colors == 1 else scaled, alpha)


def read_loaded(image: TiffImagePlugin.TiffImageFile) -> Samples | None:
    """Of a page that Pillow itself has loaded, by the tags that are left; None where its values are what they say.

    Raises
    ------
    ImageError
        Pillow misreads such a page.
    """
    layout = layout_of(image.tag_v2)
    if not pillow_is_right(layout):
        raise ImageError(f"{layout}: misread by Pillow, which has loaded it; give the file instead")
    if SUB_FOLDERS in image.tag_v2 and image.tag_v2.get(SUBFILE, 0) & REDUCED_OR_MASK:
        raise ImageError(
            "a small picture beside a larger one in its file, as in cameras' raw files; give the file instead"
        )
    if not _is_deep(image):
        return None
    return Samples(_scaled(np.asarray(ImageOps.exif_transpose(image)), layout), None)


def upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W, ...) by its EXIF orientation.

    Examples
    --------
    >>> upright(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    flipped = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.flip(values, flipped)


def _check_supported(layout: Layout) -> None:
    bits, others = set(layout.bits), layout.photometric in _IN_8_BITS
    colors = _IN_8_BITS[layout.photometric][1] if others else 3 if layout.photometric == RGB else 1
    whole = len(bits) == 1 and bits <= ({8, 16} if others else _DEPTHS) and colors <= len(layout.bits) <= MAX_SAMPLES
    whole = whole and not (layout.compression in _JPEG_2000 and layout.bits[0] > 16)  # wrong in both libraries
    kinds = (UNSIGNED,) if others else (UNSIGNED, SIGNED, FLOAT)
    if not (whole and layout.kind in kinds and (others or layout.photometric in (MIN_IS_WHITE, MIN_IS_BLACK, RGB))):
        raise ImageError(f"{layout}: not supported; save it as 8- or 16-bit gray or RGB")


def _by_tifffile(image: TiffFile, file: IO[bytes]) -> NDArray[Any]:
    """(H, W, samples) as stored, of the page that is open."""
    layout = image.layout
    try:
        import tifffile
    except ImportError as error:
        raise MissingExtraError(f"reading a {layout}", "tifffile", "archive") from error
    file.seek(0)
    with tifffile.TiffFile(file) as opened:
        page = opened.pages[image.tell()]
        if layout.compression != _RAW and 0 in page.databytecounts:  # tifffile fills it with black
            raise ImageError("damaged or sparse TIFF file, parts of whose pixels are not there")
        try:
            values = page.asarray(maxworkers=1)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise MissingExtraError(f"reading a {layout}", "imagecodecs", "archive") from error
    if layout.planar == 2 and len(layout.bits) > 1:
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(*values.shape[:2], -1)
    if values.shape != (*layout.size[::-1], len(layout.bits)):
        raise ImageError(f"{layout}: its tags do not fit together (samples of shape {values.shape})")
    return values


def _scaled(values: NDArray[Any], layout: Layout) -> NDArray[np.float32]:
    """In [0, 1], white is 1."""
    low, high = _range(values, layout)
    if not (float(values.min()) >= low and float(values.max()) <= high):
        raise ImageError(
            f"{layout}: expected values in {low:g}..{high:g}, got {values.min():g}..{values.max():g}; scale them, or "
            "say what is black and white by the tags SMinSampleValue and SMaxSampleValue"
        )
    above = values - np.float64(low) if low else values
    scaled = np.divide(above, np.float32(high - low), dtype=np.float32, casting="same_kind")
    return 1 - scaled if layout.photometric == MIN_IS_WHITE else scaled


def _range(values: NDArray[Any], layout: Layout) -> tuple[float, float]:
    """What is least and most light (or ink): as declared, else as the type has it, of signed samples from 0."""
    if layout.kind == UNSIGNED:
        return 0.0, 2.0**layout.depth - 1
    if layout.low is not None and layout.high is not None and layout.low < layout.high:
        return float(layout.low), float(layout.high)
    return 0.0, 1.0 if layout.kind == FLOAT else 2.0 ** (layout.bits[0] - 1) - 1
