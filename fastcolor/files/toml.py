"""Reading TOML, which Python does by itself from 3.11 on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ..errors import in_short

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST = 1 << 20  # bytes


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tables of a TOML file, in its order.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not TOML; names the file, the line and the column.
    """
    try:
        if (size := Path(path).stat().st_size) > LARGEST:
            raise ValueError(f"a file of {size} bytes; expected at most {LARGEST}")
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of the grammar, or of the encoding; lists in lists in lists
        raise ValueError(f"{path}: expected TOML, got {in_short(error)}") from error
