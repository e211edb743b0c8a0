"""What Pillow leaves unsaid of a file: PNG's cICP, AVIF's and HEIC's nclx, depths, FITS' scale, JPEG XL's size."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

Cicp = tuple[int, int, int, int]  # primaries, transfer, matrix, full range: ITU-T H.273

_META_LIMIT = 1 << 20  # bytes of an ISO base media file's `meta` box that are looked through
_MOST_BOXES = 1000  # an empty one is 8 bytes
_CODESTREAM, _JP2_RGB, _JP2_GRAY = b"\xff\x4f\xff\x51", 16, 17  # enumerated color spaces of ISO/IEC 15444-1
_MOST_CARDS = 10_000  # of a FITS header
_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def png_header(file: IO[bytes]) -> tuple[int, int, Cicp | None]:
    """Bit depth, color type and cICP of a PNG file."""
    depth, color, cicp = 8, 0, None
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"IEND"):
            break
        after = file.tell() + length + 4
        if name == b"IHDR":
            depth, color = file.read(10)[8:]
        elif name == b"cICP" and length == 4:
            cicp = struct.unpack("4B", file.read(4))
        file.seek(after)
    return depth, color, cicp


def nclx(file: IO[bytes]) -> Cicp | None:
    """The color description of an AVIF or HEIC file, if there is one; their decoders give the full range of any."""
    for name, size in _boxes(file):
        if name == b"meta":
            _, found, rest = file.read(min(size, _META_LIMIT)).partition(b"colrnclx")
            if found and len(rest) >= 7:
                primaries, transfer, matrix = struct.unpack_from(">HHH", rest)
                return primaries, transfer, matrix, 1
    return None


def jpeg2000_depths(file: IO[bytes]) -> tuple[tuple[int, ...], bool]:
    """Bits of each component of a JPEG 2000 file, and whether they are unsigned gray or RGB, with or without alpha."""
    file.seek(0)
    start, space = file.read(4), _JP2_RGB
    if start != _CODESTREAM:
        for name, size in _boxes(file):
            if name == b"jp2h":
                _, named, rest = file.read(min(size, _META_LIMIT)).partition(b"colr\x01")
                space = int.from_bytes(rest[2:6], "big") if named else space
            elif name == b"jp2c":
                start = file.read(4)
                break
    if start != _CODESTREAM:
        return (), False
    count = int.from_bytes(file.read(38)[36:], "big")  # Lsiz, Rsiz, eight sides and places, Csiz
    depths = file.read(3 * count)[::3]
    unsigned = all(depth < 128 for depth in depths)
    return tuple(depth % 128 + 1 for depth in depths), unsigned and space in (_JP2_RGB, _JP2_GRAY)


def fits_numbers(file: IO[bytes]) -> dict[str, float]:
    """BITPIX, BZERO and BSCALE of the first unit of a FITS file."""
    file.seek(0)
    found = {}
    for _ in range(_MOST_CARDS):
        card = file.read(80).decode("latin-1")
        name = card[:8].strip()
        if name in ("BITPIX", "BZERO", "BSCALE"):
            found[name] = float(card[9:].partition("/")[0].strip().replace("D", "E"))
        elif not card or name == "END":
            break
    return found


def is_lossless_webp(file: IO[bytes]) -> bool:
    """Whether an open file is WebP whose pictures are all of the lossless kind; the file stays where it is."""
    place = file.tell()
    try:
        file.seek(0)
        head = file.read(12)
        kinds = set(_webp_pictures(file)) if head[:4] == b"RIFF" and head[8:] == b"WEBP" else set()
    finally:
        file.seek(place)
    return kinds == {b"VP8L"}


def _webp_pictures(file: IO[bytes]) -> Iterator[bytes]:
    """The kinds of the chunks of a WebP file that hold pixels."""
    while len(head := file.read(8)) == 8:
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        if kind in (b"VP8L", b"VP8 "):
            yield kind
        file.seek(16 if kind == b"ANMF" else size + size % 2, 1)  # a frame of an animation holds chunks


def jxl_size(file: IO[bytes]) -> tuple[int, int] | None:
    """Width and height in the header of a JPEG XL file: ISO/IEC 18181-1, ``SizeHeader``."""
    file.seek(0)
    start = file.read(2)
    if start != b"\xff\x0a":
        for name, _ in _boxes(file):
            if name in (b"jxlc", b"jxlp"):
                start = file.read(6 if name == b"jxlp" else 2)[-2:]  # jxlp: after the number of the part
                break
    return _size_header(int.from_bytes(file.read(12), "little")) if start == b"\xff\x0a" else None


def _size_header(bits: int) -> tuple[int, int]:
    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def side(small: bool) -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    small = bool(take(1))
    height = side(small)
    ratio = take(3)
    if ratio == 0:
        return side(small), height
    across, down = _JXL_RATIOS[ratio - 1]
    return height * across // down, height


def _boxes(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Name and size of what is in each box at the top of an ISO base media file, which stands at its content."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        size, name = struct.unpack(">I4s", head)
        header = 8
        if size == 1:
            size, header = int.from_bytes(file.read(8), "big"), 16
        if size and size < header:
            return
        yield name, size - header if size else _META_LIMIT
        if not size or at + size >= 2**63:
            return
        at += size
