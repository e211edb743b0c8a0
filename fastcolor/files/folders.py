"""Folders ("IFDs") of TIFF files: which of them are pages, and what kind and size each has; nothing else is read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import IO

from PIL import TiffImagePlugin

from ..errors import ImageError

MAX_PAGES = 10_000  # a chain of folders costs a hostile file 6 bytes a page

SUBFILE, WIDTH, LENGTH, REDUCED_OR_MASK = 254, 256, 257, 1 | 4  # tags, and bits of the first
_CLASSIC_ENTRY, _BIG_ENTRY = 12, 20  # bytes of a tag
_SHORT, _LONG_PLACES = 3, (16, 18)  # types
_LAST = 2**63 - 1  # place in a file
SUB_FOLDERS, _MOST_SUB_FOLDERS = 330, 32


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
        if not kind & REDUCED_OR_MASK:
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
        tags, at = folder(file, at, order, big)
        yield tags.get(SUBFILE, 0)


def folder(file: IO[bytes], at: int, order: str, big: bool) -> tuple[dict[int, int], int]:
    """The tags of a folder that say what it is and how large, and where the next one is, or 0."""
    entries, length, following = _read(file, at, order, big)
    tags: dict[int, int] = {}
    for start in range(0, len(entries) - length + 1, length):
        tag, kind = struct.unpack_from(order + "HH", entries, start)
        if tag > LENGTH:  # tags are sorted
            break
        if tag in (SUBFILE, WIDTH, LENGTH):
            code = order + ("H" if kind == _SHORT else "I")
            tags[tag] = int(struct.unpack_from(code, entries, start + (12 if big else 8))[0])
    return tags, following


def sub_folders(file: IO[bytes], at: int, order: str, big: bool) -> list[int]:
    """Where the folders beside the chain are that the folder at `at` names, 32 at most."""
    entries, length, _ = _read(file, at, order, big)
    for start in range(0, len(entries) - length + 1, length):
        tag, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), entries, start)
        if tag == SUB_FOLDERS:
            code, size = ("Q", 8) if kind in _LONG_PLACES else ("I", 4)
            room = 8 if big else 4
            count = min(count, _MOST_SUB_FOLDERS)
            places = entries[start + length - room : start + length]
            if count * size > room:
                file.seek(min(struct.unpack(order + ("Q" if big else "I"), places)[0], _LAST))
                places = file.read(count * size)
            count = min(count, len(places) // size)
            return list(struct.unpack(f"{order}{count}{code}", places[: count * size]))
    return []


def _read(file: IO[bytes], at: int, order: str, big: bool) -> tuple[bytes, int, int]:
    """The entries of a folder, the length of one, and where the next folder is, or 0."""
    count_format, entry, next_format = ("Q", _BIG_ENTRY, "Q") if big else ("H", _CLASSIC_ENTRY, "I")
    file.seek(min(at, _LAST))
    count = _unpacked(order + count_format, file)
    entries = file.read(min(count or 0, 65_535) * entry)
    return entries, entry, _unpacked(order + next_format, file) or 0


def _unpacked(code: str, file: IO[bytes]) -> int | None:
    data = file.read(struct.calcsize(code))
    return struct.unpack(code, data)[0] if len(data) == struct.calcsize(code) else None
