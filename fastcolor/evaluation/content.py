"""What photographs show, by a TOML file: people, animals, indoor, street, food and so on, each measured alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..files.sets import Photograph
from ..files.toml import read_toml

CLASSES = ("people", "animals", "indoor", "street", "food", "plants", "landscapes", "sky and sea", "objects")
OTHER = "other"  # of what no pattern names

_MAGIC = "*?["


@dataclass(frozen=True)
class Content:
    """``class = names[name], else that of the first glob that fits it, else "other"``.

    Attributes
    ----------
    names : mapping of str to str
        Name of a photograph, without folder and suffix, to its class.
    globs : tuple of (str, str)
        Glob for such names, and the class; the first that fits counts.

    Examples
    --------
    >>> content = Content({"sport_1a": "animals"}, (("sport_*", "people"),))
    >>> [content.of_name(name) for name in ("sport_1a", "sport_2b", "tram_3c")]
    ['animals', 'people', 'other']
    """

    names: Mapping[str, str]
    globs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Content:
        """Read a TOML file of one array of patterns a class, ``people = ["sport_*", "voc_01ab"]``.

        A pattern is the name of a photograph without its suffix, or, with ``*``, ``?`` or ``[...]``, a glob for names.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is not TOML, has a key that is no class, or a pattern that is empty, broken, not a text, the path of a
            file or there twice.
        """
        found: dict[str, str] = {}
        for pattern, kind in _patterns(read_toml(path), path):
            if pattern in found:
                raise ValueError(f"{path}: expected a pattern once, got {pattern!r} in {found[pattern]!r} and {kind!r}")
            found[pattern] = kind
        globs = tuple((pattern, kind) for pattern, kind in found.items() if _is_glob(pattern))
        return cls({pattern: kind for pattern, kind in found.items() if not _is_glob(pattern)}, globs)

    def of(self, photograph: Photograph) -> str:
        """The class of a photograph, by its name."""
        return self.of_name(photograph.stem)

    def of_name(self, name: str) -> str:
        """The class of a name without folder and suffix."""
        if name in self.names:
            return self.names[name]
        return next((kind for pattern, kind in self.globs if fnmatchcase(name, pattern)), OTHER)


def _patterns(tables: Mapping[str, Any], path: object) -> Iterator[tuple[str, str]]:
    """(pattern, class) of all classes, checked, in the order of the file."""
    for kind, patterns in tables.items():
        if kind not in CLASSES:
            raise ValueError(f"{path}: expected classes among {', '.join(CLASSES)}, got {kind!r}")
        if not isinstance(patterns, list):
            raise ValueError(f"{path}: {kind}: expected an array of patterns, got {type(patterns).__name__}")
        for pattern in patterns:
            if fault := _fault(pattern):
                raise ValueError(f"{path}: {kind}: expected names without suffix, or globs, got {pattern!r}, {fault}")
            yield pattern, kind


def _fault(pattern: object) -> str:
    """What is wrong with a pattern; "" if nothing is."""
    if not isinstance(pattern, str):
        return "not a text"
    if not pattern.strip():
        return "which is empty"
    if "/" in pattern or "\\" in pattern:
        return "which has a folder"
    if "." in pattern:
        return "which has a suffix"
    return "whose [ is not closed" if "[" in pattern and "]" not in pattern[pattern.index("[") + 2 :] else ""


def _is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in _MAGIC)
