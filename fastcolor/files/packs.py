"""A prepared set as one file, a *pack*: an uncompressed zip of `index.json`, `train/*.jpg` and `val/*.jpg`.

Any unzip makes the folder of it. Each member has a checksum and the directory stands at the end, so that a file that
was cut or damaged is known as such.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .atomic import atomic_path
from .formats import SUFFIXES
from .objects import parse_object
from .zips import STORED, open_zip

FORMAT = "fastcolor pack 1"
INDEX = "index.json"
_DATE = (1980, 1, 1, 0, 0, 0)  # of every member: the same photographs are the same bytes


class _NamedBytes(io.BytesIO):
    """Bytes as a file that has a name."""

    name: str


@dataclass(frozen=True)
class Packed:
    """A photograph in a pack, as the bytes of an image file."""

    pack: Path
    name: str
    data: bytes

    @property
    def stem(self) -> str:
        """The name without folder and suffix, as of a path."""
        return Path(self.name).stem

    def open(self) -> IO[bytes]:
        """The image file, by whose name errors call it."""
        file = _NamedBytes(self.data)
        file.name = str(self)
        return file

    def __str__(self) -> str:
        return f"{self.pack}, {self.name}"


def write_pack(
    path: Path, photographs: Iterable[tuple[str, bytes]], index: dict[str, Any], *, replace: bool = True
) -> int:
    """Write `(name, bytes)` after `index`, whole or not at all; returns the size of the file in bytes.

    Parameters
    ----------
    path : Path
    photographs : iterable of (str, bytes)
        Names begin with ``train/`` or ``val/``.
    index : dict
        What is to be known of the whole, as JSON; `format` is added.

    Raises
    ------
    OSError
        If the folder is not there, or the disk is full, or, without `replace`, a file is there at the end.
    """
    with atomic_path(path, replace=replace) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
            file.writestr(zipfile.ZipInfo(INDEX, _DATE), json.dumps({"format": FORMAT, **index}, indent=1))
            for name, data in photographs:
                file.writestr(zipfile.ZipInfo(name, _DATE), data)
        return temporary.stat().st_size


def read_pack(path: Path, part: str) -> list[Packed]:
    """The photographs of `part`, "train" or "val", sorted by name and held in memory.

    Raises
    ------
    ValueError
        If `path` is no pack, is cut or damaged, or has no such photographs; names it.
    """
    try:
        with open_zip(path, (STORED,)) as file:  # a few bytes that are inflated can fill the memory; a pack has none
            index = parse_object(file.read(INDEX))
            if index.get("format") != FORMAT:
                raise ValueError(f"{INDEX} says format {index.get('format')!r}, not {FORMAT!r}")
            names = [name for name in file.namelist() if name.startswith(f"{part}/") and _is_photograph(name)]
            found = [Packed(path, name, file.read(name)) for name in sorted(names)]
    except ValueError as error:
        raise ValueError(
            f"{path}: expected a pack of `fastcolor prepare --pack`, got another, a cut or a damaged file ({error})"
        ) from error
    if not found:
        raise ValueError(f"{path}: expected photographs under {part}/, found none")
    return found


def _is_photograph(name: str) -> bool:
    """By its name, and no hidden file, such as systems put beside photographs."""
    return Path(name).suffix.lower() in SUFFIXES and not Path(name).name.startswith(".")
