"""Zip archives from anywhere: a look at what the directory says before a member is read, and damage told as such."""

from __future__ import annotations

import errno
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import in_short
from .atomic import naming

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_ENCRYPTED = 1  # of a member's flags

# What damage to an archive, to its members and to what is in them may raise.
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, MemoryError),
    *(ValueError, TypeError, KeyError, IndexError, OverflowError, SyntaxError, AttributeError, tokenize.TokenError),
)


@contextmanager
def open_zip(path: str | os.PathLike[str], methods: Collection[int] = (STORED, DEFLATED)) -> Iterator[zipfile.ZipFile]:
    """An archive whose directory may be believed, and what is wrong with it, also under ``with``, as one kind of error.

    Each name is there once, and all that is stored has at most the file's size. What is packed may still be large, by
    its `file_size`.

    Parameters
    ----------
    path : path
    methods : collection of int
        How members may be packed; bzip2 and LZMA unpack without a limit.

    Raises
    ------
    OSError
        If the file cannot be read; names it.
    ValueError
        If it is no zip file, or damaged; says what was found, not where.
    """
    file = Path(path)
    if not file.is_file() and file.exists():  # a pipe or a device never ends
        raise ValueError("no regular file")
    try:
        with naming(path), zipfile.ZipFile(file) as archive:
            _check(archive.infolist(), file.stat().st_size, methods)
            yield archive
    except OSError as error:
        if error.errno != errno.EINVAL:  # a directory that says to begin before the file
            raise
        raise ValueError("a damaged directory") from error
    except DAMAGE as error:
        raise ValueError(in_short(error)) from error


def _check(members: list[zipfile.ZipInfo], size: int, methods: Collection[int]) -> None:
    names: set[str] = set()
    for info in members:
        if info.filename in names:
            raise ValueError(f"{info.filename} is there twice")
        if info.flag_bits & _ENCRYPTED:
            raise ValueError(f"{info.filename} is encrypted")
        if info.compress_type not in methods:
            raise ValueError(f"{info.filename} is packed by method {info.compress_type}; expected {_said(methods)}")
        names.add(info.filename)
    if (stored := sum(info.compress_size for info in members)) > size:
        raise ValueError(f"members of {stored} bytes in a file of {size}")


def _said(methods: Collection[int]) -> str:
    known = {STORED: "0 (stored, as zip -0 does)", DEFLATED: "8 (deflated)"}
    return " or ".join(known[method] for method in methods)
