"""JSON from anywhere, of which the package reads objects alone: names and their values."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import in_short


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The object that a JSON text is.

    Raises
    ------
    ValueError
        If it is no JSON, or nested deeper than Python can follow, or a list, say; says what was found, not where.

    Examples
    --------
    >>> parse_object('{"step": 3}')
    {'step': 3}
    >>> parse_object("[" * 100_000)
    Traceback (most recent call last):
    ...
    ValueError: JSON that is nested too deep
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"no JSON ({in_short(error)})") from error
    if not isinstance(found, dict):
        raise ValueError(f"JSON of a {type(found).__name__}; expected an object of keys and values")
    return found


def read_object(path: str | os.PathLike[str], largest: int) -> dict[str, Any]:
    """The object in a file of at most `largest` bytes; OSError, or ValueError as of :func:`parse_object`."""
    file = Path(path)
    if not file.is_file() and file.exists():  # a pipe or a device never ends
        raise ValueError("no regular file")
    if (size := file.stat().st_size) > largest:
        raise ValueError(f"a file of {size} bytes; expected at most {largest}")
    return parse_object(file.read_text(encoding="utf-8"))
