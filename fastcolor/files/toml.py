"""Reading TOML, which Python does by itself from 3.11 on."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from ..errors import in_short

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST = 1 << 20  # bytes
MOST_DOTS = 100  # in a key; reading takes time that grows with the square of their number
# Texts, also what is not closed, so that no byte is seen twice; and comments.
_TEXTS = re.compile(
    r'''"""(?:\\[\s\S]|[^\\])*?(?:"""|\Z)|"(?:[^"\\\n]|\\.)*"?'''
    r"""|'''[\s\S]*?(?:'''|\Z)|'[^'\n]*'?|#[^\n]*"""
)
_AROUND_KEYS = re.compile(r"[\n=,{}\[\]]")


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
        text = Path(path).read_text(encoding="utf-8")
        if max(part.count(".") for part in _AROUND_KEYS.split(_TEXTS.sub("", text))) > MOST_DOTS:
            raise ValueError(f"a key of more than {MOST_DOTS} dots")
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of the grammar, or of the encoding; lists in lists in lists
        raise ValueError(f"{path}: expected TOML, got {in_short(error)}") from error
