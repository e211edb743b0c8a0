"""Which photographs are validated with: decided by their content, and for good once a set holds them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files.sets import hidden, is_image
from ..plural import counted

PARTS = ("train", "val")
REPORT = "report.json"
_DIGEST = re.compile(r".*[-_]([0-9a-f]{8})(?:[0-9a-f]{4})?")  # how a set names the content of a photograph


def drawn(digest: str, seed: int) -> float:
    """A number in [0, 1) of the content and the seed alone: ``SHA-256("seed:digest") / 2^256``.

    A photograph with less than the share of the validation is validated with, whatever else is in the set.

    Examples
    --------
    >>> round(drawn("da39a3ee5e6b4b0d3255bfef95601890afd80709", 0), 3)
    0.859
    """
    return int(hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest(), 16) / 2**256


class Standing:
    """What a set holds from earlier, and that it can be brought up to date.

    Parameters
    ----------
    out : Path
        The set; it need not be there.
    options : mapping
        Those that decide what is in a set.

    Raises
    ------
    ValueError
        If it was made with other options, or a photograph of it is in both parts, as older versions left them.
    """

    def __init__(self, out: Path, options: Mapping[str, Any]) -> None:
        self.out = out
        made = _options_of(out / REPORT)
        for name, value in options.items() if made else ():
            if made.get(name) != value:
                raise ValueError(
                    f"out: {out} was made with {name}={made.get(name)}, got {value}; parts and sizes would mix: choose "
                    "another folder, or remove it first"
                )
        self.whole = bool(made)  # else it may be of another size, and all is written anew
        self.parts = {
            path: part
            for part in PARTS
            for path in sorted((out / part).rglob("*"))
            if is_image(path) and not hidden(path, out)
        }
        self._by_name = {path.name: path for path in self.parts}
        self._by_digest: dict[str, list[Path]] = {}
        for path in self.parts:
            if found := _DIGEST.fullmatch(path.stem):
                self._by_digest.setdefault(found[1], []).append(path)
        self._check_parts()

    def find(self, name: str, digest: str) -> Path | None:
        """The file of a photograph, under its name or, where that has changed since, by its content."""
        return self._by_name.get(name) or next(iter(self.alike(digest)), None)

    def alike(self, digest: str) -> list[Path]:
        """All files of a content; more than one if it was prepared under several names."""
        return self._by_digest.get(digest[:8], [])

    def check_all_known(self, known: set[Path]) -> None:
        """ValueError if there are photographs of others than the folders that are read."""
        if strange := [path for path in self.parts if path not in known]:
            raise ValueError(
                f"out: {self.out} holds {counted(len(strange), 'photograph')} that are not among those of the folders, "
                f"the first {strange[0]}; name all folders that it was made of, remove what is not wanted, or choose "
                "another folder"
            )

    def _check_parts(self) -> None:
        both = [paths[0] for paths in self._by_digest.values() if len({self.parts[path] for path in paths}) > 1]
        if both:
            raise ValueError(
                f"out: {self.out} has {counted(len(both), 'photograph')} in training and in validation, the first "
                f"{both[0].name}: prepared twice by an older version; prepare into another folder"
            )


def _options_of(path: Path) -> dict[str, Any]:
    """The options in the report of a set; nothing of one that an older version made, or that has none."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise ValueError(f"{path}: expected the report of `fastcolor prepare`, got {error}; remove it") from error
    options = report.get("options", {}) if isinstance(report, dict) else {}
    return options if isinstance(options, dict) else {}
