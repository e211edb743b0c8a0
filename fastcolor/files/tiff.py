"""TIFF files opened: what the tags of a page say of its samples. No pixel is decoded here."""

from __future__ import annotations

import io
from typing import IO, Any, NamedTuple

from PIL import Image, ImageFile, ImagePalette, TiffImagePlugin

from ..errors import ImageError
from .folders import LENGTH, REDUCED_OR_MASK, SUBFILE, WIDTH, folder, sub_folders

_BITS, _COMPRESSION, _PHOTOMETRIC = 258, 259, 262
_FILL_ORDER, _SAMPLES, _X_DPI, _Y_DPI, _PLANAR, _UNIT, _COLOR_MAP = 266, 277, 282, 283, 284, 296, 320
_PREDICTOR, _EXTRA, _FORMAT, _LOW, _HIGH, _PROFILE = 317, 338, 339, 340, 341, 34675
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_INCH = {2: 1.0, 3: 2.54}

MIN_IS_WHITE, MIN_IS_BLACK, RGB = 0, 1, 2
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
ASSOCIATED, ALPHA = 1, 2  # ExtraSamples: multiplied into the colors, or not
_MAY_HAVE_ALPHA = (MIN_IS_WHITE, MIN_IS_BLACK, RGB)
MAX_SAMPLES = 8  # of a pixel


class Layout(NamedTuple):
    """How one page stores its samples, in the words of the TIFF 6.0 specification."""

    size: tuple[int, int]
    photometric: int
    bits: tuple[int, ...]  # of each sample
    kind: int  # SampleFormat
    extra: tuple[int, ...]  # ExtraSamples
    planar: int  # 2: one plane a sample
    compression: int
    predictor: int
    fill_order: int  # 2: the first pixel is in the low bits
    little_endian: bool
    subsampled: bool  # chroma, of YCbCr: fewer bytes than samples
    low: float | None  # SMinSampleValue
    high: float | None

    @property
    def has_alpha(self) -> bool:
        """Whether the first sample after the colors is alpha."""
        return self.extra[:1] in ((ASSOCIATED,), (ALPHA,))

    @property
    def depth(self) -> int:
        """Bits of a sample that are in use.

        Some programs note the greatest value that occurs; only that of whole bits says how deep the picture is.
        """
        most = max(self.bits)
        return next((bits for bits in range(9, most) if self.high == 2**bits - 1), most)

    def __str__(self) -> str:
        names = {0: "MinIsWhite gray", 1: "gray", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
        kind = {SIGNED: "signed ", FLOAT: "float "}.get(self.kind, "")
        bits = "/".join(map(str, sorted(set(self.bits))))
        planes = ", separate planes" if self.planar == 2 and len(self.bits) > 1 else ""
        more = " + alpha" if self.has_alpha else " + extra samples" if self.extra else ""
        name = names.get(self.photometric, f"photometric {self.photometric}")
        return f"{bits}-bit {kind}{name}{more} TIFF (compression {self.compression}{planes})"


class TiffFile(TiffImagePlugin.TiffImageFile):
    """Pillow's TIFF image; one whose samples Pillow does not know opens too, for its size and tags (`known` False)."""

    known = True

    @property
    def layout(self) -> Layout:
        """Of the page that is open."""
        return layout_of(self.tag_v2)

    def check_whole(self, file: IO[bytes]) -> None:
        """ImageError if not all pixels of the open page are in the file, or if it is a thumbnail of one in there.

        libtiff would print about pixels beyond the end of the file; what is left out reads as black.
        """
        tags, length = self.tag_v2, file.seek(0, io.SEEK_END)
        offsets, counts = _numbers(tags.get(_STRIPS, tags.get(_TILES, ()))), _bytes_of_pixels(tags)
        uncounted = len(offsets) == 1 and _STRIPS in tags  # as some old programs have it
        if 0 in offsets or (0 in counts and not uncounted):
            raise ImageError("damaged or sparse TIFF file, parts of whose pixels are not there")
        if tags.get(_COMPRESSION, 1) != 1:
            if not counts and uncounted:
                counts = (0,)
            if not offsets or len(offsets) != len(counts) or max(map(sum, zip(offsets, counts, strict=True))) > length:
                raise ImageError("damaged or truncated image file, whose pixels end before they should")
        self._check_not_a_thumbnail(file)

    def _check_not_a_thumbnail(self, file: IO[bytes]) -> None:
        """Cameras' raw files begin with a small picture; the full one, in a folder beside the chain, is no RGB."""
        size = self.tag_v2.get(WIDTH, 0) * self.tag_v2.get(LENGTH, 0)
        order, big = self.tag_v2.prefix.decode().replace("II", "<").replace("MM", ">"), self.tag_v2._bigtiff
        for at in sub_folders(file, self.tag_v2._offset or 0, order, big):
            tags, _ = folder(file, at, order, big)
            width, length = tags.get(WIDTH, 0), tags.get(LENGTH, 0)
            if not tags.get(SUBFILE, 0) & REDUCED_OR_MASK and width * length > size:
                raise ImageError(
                    f"a thumbnail of a picture of {width} x {length} in the same file, as in cameras' raw files (DNG, "
                    "NEF): not supported; develop it, or save it as TIFF or JPEG"
                )

    def load_prepare(self) -> None:
        """The memory for the pixels, whose number has been looked at; Pillow would do so by a limit of its own."""
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)
        ImageFile.ImageFile.load_prepare(self)

    def _setup(self) -> None:
        tags = self.tag_v2
        inverted = tags.get(_PHOTOMETRIC) == MIN_IS_WHITE and max(_numbers(tags.get(_BITS, 1))) > 8
        try:
            if inverted:  # Pillow inverts up to 8 bits, and of more knows few that are inverted, which it leaves so
                tags[_PHOTOMETRIC] = MIN_IS_BLACK
            super()._setup()
            self.known = True
            if (
                self.mode in ("P", "PA") and max(tags[_COLOR_MAP]) < 256
            ):  # as old programs have it, and libtiff reads it
                self.palette = ImagePalette.raw("RGB;L", bytes(tags[_COLOR_MAP]))
        except (SyntaxError, LookupError, OSError) as error:
            width, length = self.tag_v2.get(WIDTH), self.tag_v2.get(LENGTH)
            if not isinstance(width, int) or not isinstance(length, int):
                raise ImageError("damaged TIFF file, which does not say how large the picture is") from error
            self.known, self._mode, self.tile = False, "L", []
            self._size = self._tile_size = (width, length)
            self._keep_info()
        finally:
            if inverted:
                tags[_PHOTOMETRIC] = MIN_IS_WHITE

    def _keep_info(self) -> None:
        """What Pillow would have noted had it known the samples."""
        tags = self.tag_v2
        if _PROFILE in tags:
            self.info["icc_profile"] = tags[_PROFILE]
        scale = _INCH.get(_first(tags.get(_UNIT, 2)) or 0)
        if scale and _X_DPI in tags and _Y_DPI in tags:
            self.info["dpi"] = (tags[_X_DPI] * scale, tags[_Y_DPI] * scale)


def layout_of(tags: Any) -> Layout:
    """Of the page with these tags, Pillow's ``tag_v2``."""
    photometric = int(_first(tags.get(_PHOTOMETRIC, 0)))
    samples = min(int(_first(tags.get(_SAMPLES, 1))), MAX_SAMPLES + 1)
    colors = 3 if photometric == RGB else 1
    unsaid = (ALPHA,) if photometric in _MAY_HAVE_ALPHA and samples == colors + 1 else ()  # as Pillow has it
    bits = _numbers(tags.get(_BITS, 1))
    formats = set(_numbers(tags.get(_FORMAT, UNSIGNED)))
    return Layout(
        size=(tags[WIDTH], tags[LENGTH]),
        photometric=photometric,
        bits=bits * samples if len(bits) == 1 else bits[:samples],
        kind=int(formats.pop()) if len(formats) == 1 else 0,
        extra=tuple(map(int, _numbers(tags.get(_EXTRA, unsaid)))),
        planar=int(_first(tags.get(_PLANAR, 1))),
        compression=int(_first(tags.get(_COMPRESSION, 1))),
        predictor=int(_first(tags.get(_PREDICTOR, 1))),
        fill_order=int(_first(tags.get(_FILL_ORDER, 1))),
        little_endian=tags.prefix == b"II",
        subsampled=sum(_bytes_of_pixels(tags)) < tags[WIDTH] * tags[LENGTH] * samples,
        low=_first(tags.get(_LOW)),
        high=_first(tags.get(_HIGH)),
    )


def _bytes_of_pixels(tags: Any) -> tuple[int, ...]:
    """Of each strip or tile."""
    return _numbers(tags.get(_STRIP_BYTES, tags.get(_TILE_BYTES, ())))


def _numbers(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) and value else value
