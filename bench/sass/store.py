"""Figures of instances, compiled once: kept in the user's cache by the hash of all that they depend on."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from ..measure.machine import kept, write_text
from . import cubin
from .code import Figures, figures

FOLDER = kept("sass")


def figures_of(code: str, expressions: Sequence[str], arch: str, options: Sequence[str] = ()) -> dict[str, Figures]:
    """Of all name expressions of one source."""
    cubin.require()
    places = {expression: FOLDER / f"{_key(code, expression, arch, *options)}.json" for expression in expressions}
    found = {expression: _read(place) for expression, place in places.items()}
    new = sorted(expression for expression, known in found.items() if known is None)
    if new:
        for expression, compiled in cubin.build(code, new, arch, options).items():
            found[expression] = counted = figures(compiled, arch)
            with contextlib.suppress(OSError):  # a cache that cannot be written to compiles again
                write_text(places[expression], json.dumps(counted._asdict()))
    return {expression: known for expression, known in found.items() if known is not None}


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join((_tools(), *parts)).encode()).hexdigest()[:32]


@cache
def _tools() -> str:
    """The compiler, the disassemblers, and the code that reads what they say."""
    modules = (Path(__file__).with_name(f"{name}.py") for name in ("cubin", "code", "hardware"))
    return "\0".join(
        [*cubin.OPTIONS, *map(metadata.version, cubin.WHEELS), *(path.read_text(encoding="utf-8") for path in modules)]
    )


def _read(place: Path) -> Figures | None:
    try:
        fields = json.loads(place.read_text(encoding="utf-8"))
        widths = {name: {int(size): count for size, count in fields[name].items()} for name in ("loads", "stores")}
        return Figures(**{**fields, **widths})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
