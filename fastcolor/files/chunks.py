"""What Pillow leaves unsaid of a file: PNG's cICP and depth, AVIF's and HEIC's nclx, JPEG XL's size."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

Cicp = tuple[int, int, int, int]  # primaries, transfer, matrix, full range: ITU-T H.273

_META_LIMIT = 1 << 20  # bytes of an ISO base media file's `meta` box that are looked through
_MOST_BOXES = 1000  # an empty one is 8 bytes
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
    """The color description of an AVIF or HEIC file, if there is one."""
    for name, size in _boxes(file):
        if name == b"meta":
            _, found, rest = file.read(min(size, _META_LIMIT)).partition(b"colrnclx")
            if found and len(rest) >= 7:
                primaries, transfer, matrix, flags = struct.unpack_from(">HHHB", rest)
                return primaries, transfer, matrix, flags >> 7
    return None


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
