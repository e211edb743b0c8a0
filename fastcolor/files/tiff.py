"""TIFF files opened: their pages, and what the tags of one say of its samples. No pixel is decoded here."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any, NamedTuple

from PIL import Image, ImageFile, ImagePalette, TiffImagePlugin

from ..errors import ImageError

MAX_PAGES = 10_000  # a chain of folders ("IFDs") costs a hostile file 6 bytes a page

_SUBFILE, _REDUCED_OR_MASK, _SUB_FOLDERS, _MOST_SUB_FOLDERS = 254, 1 | 4, 330, 32
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_FILL_ORDER, _SAMPLES, _X_DPI, _Y_DPI, _PLANAR, _UNIT, _COLOR_MAP = 266, 277, 282, 283, 284, 296, 320
_PREDICTOR, _EXTRA, _FORMAT, _LOW, _HIGH, _PROFILE = 317, 338, 339, 340, 341, 34675
_CLASSIC_ENTRY, _BIG_ENTRY, _SHORT = 12, 20, 3  # bytes of a tag; a type
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
        if len(offsets) > 1 and (0 in offsets or 0 in counts):
            raise ImageError("damaged or sparse TIFF file, parts of whose pixels are not there")
        if tags.get(_COMPRESSION, 1) != 1:
            if not counts and len(offsets) == 1:  # as some old programs have it
                counts = (0,)
            if not offsets or len(offsets) != len(counts) or max(map(sum, zip(offsets, counts, strict=True))) > length:
                raise ImageError("damaged or truncated image file, whose pixels end before they should")
        self._check_not_a_thumbnail(file)

    def _check_not_a_thumbnail(self, file: IO[bytes]) -> None:
        """Cameras' raw files begin with a small picture; the full one, in a folder beside the chain, is no RGB."""
        size = self.tag_v2.get(_WIDTH, 0) * self.tag_v2.get(_LENGTH, 0)
        order, big = self.tag_v2.prefix.decode().replace("II", "<").replace("MM", ">"), self.tag_v2._bigtiff
        for at in _numbers(self.tag_v2.get(_SUB_FOLDERS, ()))[:_MOST_SUB_FOLDERS]:
            tags, _ = _folder(file, at, order, big)
            width, length = tags.get(_WIDTH, 0), tags.get(_LENGTH, 0)
            if not tags.get(_SUBFILE, 0) & _REDUCED_OR_MASK and width * length > size:
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
            width, length = self.tag_v2.get(_WIDTH), self.tag_v2.get(_LENGTH)
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
        size=(tags[_WIDTH], tags[_LENGTH]),
        photometric=photometric,
        bits=bits * samples if len(bits) == 1 else bits[:samples],
        kind=int(formats.pop()) if len(formats) == 1 else 0,
        extra=tuple(map(int, _numbers(tags.get(_EXTRA, unsaid)))),
        planar=int(_first(tags.get(_PLANAR, 1))),
        compression=int(_first(tags.get(_COMPRESSION, 1))),
        predictor=int(_first(tags.get(_PREDICTOR, 1))),
        fill_order=int(_first(tags.get(_FILL_ORDER, 1))),
        little_endian=tags.prefix == b"II",
        subsampled=sum(_bytes_of_pixels(tags)) < tags[_WIDTH] * tags[_LENGTH] * samples,
        low=_first(tags.get(_LOW)),
        high=_first(tags.get(_HIGH)),
    )


def is_tiff(start: bytes) -> bool:
    """Whether a file that begins so is a TIFF file, classic or BigTIFF.

    Raises
    ------
    ImageError
        A big-endian BigTIFF, whose header Pillow misreads.
    """
    if start.startswith(b"MM\0+"):
        raise ImageError("a big-endian BigTIFF: not supported; save it as classic or as little-endian TIFF")
    return start.startswith(tuple(TiffImagePlugin.PREFIXES))


def count_tiff_pages(file: IO[bytes]) -> int:
    """Pages of a TIFF file; reduced pictures and masks beside them are none.

    Raises
    ------
    ImageError
        More than 10,000, or a damaged file.
    """
    count = len(list(islice(_pages(file), MAX_PAGES + 1)))
    if count > MAX_PAGES:
        raise ImageError(f"expected at most {MAX_PAGES:,} pages, got a TIFF file with more; split it")
    return count


def nth_page(file: IO[bytes], page: int) -> int:
    """The place of a page among all folders of the file."""
    found = next(islice(_pages(file), page, None), None) if 0 <= page < MAX_PAGES else None
    if found is None:
        raise ImageError(f"page {page}: expected 0 to {count_tiff_pages(file) - 1}, since there are no more")
    return found


def _pages(file: IO[bytes]) -> Iterator[int]:
    """Places of the folders that are pages: all but reduced pictures and masks; the first if there is nothing else."""
    found = False
    for place, kind in enumerate(islice(_folders(file), 2 * MAX_PAGES + 2)):
        if not kind & _REDUCED_OR_MASK:
            found = True
            yield place
    if not found:
        yield 0


def _folders(file: IO[bytes]) -> Iterator[int]:
    """NewSubfileType of each folder in the chain, which ends where it is cut or comes back to itself."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in head[2:4]
    at = struct.unpack(order + "Q", head[8:16])[0] if big else struct.unpack(order + "I", head[4:8])[0]
    seen: set[int] = set()
    while at and at not in seen and at < 2**63:
        seen.add(at)
        tags, at = _folder(file, at, order, big)
        yield tags.get(_SUBFILE, 0)


def _folder(file: IO[bytes], at: int, order: str, big: bool) -> tuple[dict[int, int], int]:
    """The tags of a folder that say what it is and how large, and where the next one is, or 0."""
    count_format, entry, next_format = ("Q", _BIG_ENTRY, "Q") if big else ("H", _CLASSIC_ENTRY, "I")
    file.seek(at)
    count = _unpacked(order + count_format, file)
    entries = file.read(min(count or 0, 65_535) * entry)
    following = _unpacked(order + next_format, file)
    tags: dict[int, int] = {}
    for start in range(0, len(entries) - entry + 1, entry):
        tag, kind = struct.unpack_from(order + "HH", entries, start)
        if tag > _LENGTH:  # tags are sorted
            break
        if tag in (_SUBFILE, _WIDTH, _LENGTH):
            code = order + ("H" if kind == _SHORT else "I")
            tags[tag] = int(struct.unpack_from(code, entries, start + (12 if big else 8))[0])
    return tags, following or 0


def _unpacked(code: str, file: IO[bytes]) -> int | None:
    data = file.read(struct.calcsize(code))
    return struct.unpack(code, data)[0] if len(data) == struct.calcsize(code) else None


def _bytes_of_pixels(tags: Any) -> tuple[int, ...]:
    """Of each strip or tile."""
    return _numbers(tags.get(_STRIP_BYTES, tags.get(_TILE_BYTES, ())))


def _numbers(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) and value else value
