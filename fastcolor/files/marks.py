"""Pictures about photographs, maps and sheets, are told from photographs: a mark in their EXIF data says what they are.

A folder of photographs may hold such pictures of an earlier run; they are found among the photographs then, by name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PIL import Image

_MARK = "fastcolor: made from photographs, none itself"
_SOFTWARE = 0x0131  # tag of EXIF, and of TIFF
_ENDS = 8192  # bytes; the formats have EXIF data near the start of the file, WebP at its end


def marked() -> dict[str, Any]:
    """The mark, as metadata for :func:`fastcolor.files.writing.write_photo`.

    Examples
    --------
    >>> b"made from photographs" in marked()["exif"]
    True
    """
    tags = Image.Exif()
    tags[_SOFTWARE] = _MARK
    return {"exif": tags.tobytes()}


def is_marked(path: Path) -> bool:
    """Whether the file is such a picture; False for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            start = file.read(_ENDS)
            file.seek(max(0, os.fstat(file.fileno()).st_size - _ENDS))
            return _MARK.encode() in start or _MARK.encode() in file.read(_ENDS)
    except OSError:
        return False
