"""Which photographs are validated with: decided by their content, and for good once a set holds them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files.objects import read_object
from ..files.sets import hidden, is_image
from ..plural import counted

PARTS = ("train", "val")
REPORT = "report.json"
UNFINISHED = "unfinished"  # the state in the report while photographs are put in their places
DIGITS = 12  # of the hash of a content, in the name of its file; two of a million photographs share so many once in 600
_DIGEST = re.compile(r".*[-_]([0-9a-f]{8}(?:[0-9a-f]{4})?)")  # 8 in the names that older versions gave
_LARGEST = 1 << 30  # bytes of a report


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
        report = _report_of(out)
        made = report.get("options")
        made = made if isinstance(made, dict) else {}  # nothing in one that an older version made
        for name, value in options.items() if made else ():
            if made.get(name) != value:
                raise ValueError(
                    f"out: {out} was made with {name}={made.get(name)}, got {value}; parts and sizes would mix: choose "
                    "another folder, or remove it first"
                )
        # Else photographs may be of another size, and all are written anew.
        self.whole = bool(made) and report.get("state") != UNFINISHED
        self.parts = {
            path: part
            for part in PARTS
            for path in sorted((out / part).rglob("*"))
            if is_image(path) and not hidden(path, out)
        }
        self._by_name = {path.name: path for path in self.parts}
        self._digests = {path: found[1] for path in self.parts if (found := _DIGEST.fullmatch(path.stem))}
        self._by_start: dict[str, list[Path]] = {}
        for path, digest in self._digests.items():
            self._by_start.setdefault(digest[:8], []).append(path)
        self._check_parts()

    def find(self, name: str, digest: str) -> Path | None:
        """The file of a photograph, under its name or, where that has changed since, by its content."""
        older = name.replace(digest[:DIGITS], digest[:8])
        return self._by_name.get(name) or self._by_name.get(older) or next(iter(self.alike(digest)), None)

    def alike(self, digest: str) -> list[Path]:
        """All files of a content, by as many digits as their names have; several if it was prepared under several."""
        return [path for path in self._by_start.get(digest[:8], []) if digest.startswith(self._digests[path])]

    def check_all_known(self, known: set[Path]) -> None:
        """ValueError if there are photographs of others than the folders that are read."""
        if strange := [path for path in self.parts if path not in known]:
            raise ValueError(
                f"out: {self.out} holds {counted(len(strange), 'photograph')} that are not among those of the folders, "
                f"the first {strange[0]}; name all folders that it was made of, remove what is not wanted, or choose "
                "another folder"
            )

    def _check_parts(self) -> None:
        both = [
            (path, other)
            for path, digest in self._digests.items()
            for other in self._by_start[digest[:8]]
            if self.parts[path] < self.parts[other] and _alike(digest, self._digests[other])
        ]
        if both:
            first, second = both[0]
            raise ValueError(
                f"out: {self.out} has {counted(len(both), 'photograph')} in training and in validation, the first "
                f"{first.name} and {second.name}: copied by hand, or prepared twice by an older version; remove one "
                "of the two, or prepare into another folder"
            )


def _alike(digest: str, other: str) -> bool:
    """Whether two names are of one content, by as many digits as both have."""
    return digest.startswith(other) or other.startswith(digest)


def check_finished(place: Path) -> None:
    """ValueError if `place` is a set of which a `fastcolor prepare` that was killed has put but a part in its place."""
    if _report_of(place).get("state") == UNFINISHED:
        raise ValueError(
            f"{place}: expected a whole set, got one that a stopped `fastcolor prepare` left {UNFINISHED}; run it "
            "again with the same folders and options, and it comes to its end"
        )


def _report_of(place: Path) -> dict[str, Any]:
    """The report of a set; empty of one that has none, as a pack or a folder made by hand."""
    path = place / REPORT
    try:
        return read_object(path, _LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise ValueError(f"{path}: expected the report of `fastcolor prepare`, got {error}; remove it") from error
