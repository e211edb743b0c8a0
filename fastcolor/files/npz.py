"""Arrays of an npz file from anywhere: of what is asked for, and only after a look at how large it says it is."""

from __future__ import annotations

import math
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ..errors import in_short
from .zips import DAMAGE, open_zip

LARGEST_FILE = 8 << 20  # bytes; a directory of members that alone fills it is read in a second
LARGEST = 32 << 20  # bytes of all arrays together, unpacked
_HEADER = 1024  # characters; that of an array of numbers has 54 to 118
_NUMBERS = "biufcU"  # kinds of dtypes that are neither objects nor records


def read_npz(path: str | os.PathLike[str], wanted: str) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays whose names match `wanted` in full; no other member is unpacked, and nothing is unpickled.

    Parameters
    ----------
    path : path
        A file that ``numpy.savez`` or ``numpy.savez_compressed`` wrote.
    wanted : str
        Regular expression.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no npz file or damaged, or larger than 8 MiB, or its arrays are larger than 32 MiB together or hold
        objects; says what was found, not where.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder) / "a.npz", a=np.arange(3), b=np.zeros(10**7))
    ...     read_npz(Path(folder) / "a.npz", "a")
    Traceback (most recent call last):
    ...
    ValueError: 8000... bytes; expected at most 8388608
    """
    file = Path(path)
    if (size := file.stat().st_size) > LARGEST_FILE:
        raise ValueError(f"{size} bytes; expected at most {LARGEST_FILE}")
    with open_zip(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        asked = {name: info for name, info in members.items() if re.fullmatch(wanted, name)}
        if (size := sum(info.file_size for info in asked.values())) > LARGEST:
            raise ValueError(f"arrays of {size} bytes; expected at most {LARGEST}")
        return {name: _read(archive, info) for name, info in asked.items()}


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray[Any, Any]:
    """One member, when its header agrees with its size."""
    name = info.filename
    try:
        with archive.open(info) as file:
            if (version := npy.read_magic(file)) != (1, 0):
                raise ValueError(f"array format {version}; expected (1, 0)")
            shape, _, dtype = npy.read_array_header_1_0(file, max_header_size=_HEADER)
            start = file.tell()
        if dtype.kind not in _NUMBERS:
            raise ValueError(f"an array of {dtype}; expected numbers")
        if min(shape, default=0) < 0 or start + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"an array of {dtype} of shape {shape} in {info.file_size} bytes")
        with archive.open(info) as file:
            return npy.read_array(file, allow_pickle=False, max_header_size=_HEADER)
    except OSError:
        raise
    except DAMAGE as error:
        raise ValueError(f"{name}: {in_short(error)}") from error
