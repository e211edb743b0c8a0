"""What lies in a folder: photographs, and whatever else there is, each kind by itself, and nothing is passed over."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .formats import SUFFIXES
from .marks import is_marked

_OF_SYSTEMS = ("thumbs.db", "desktop.ini")  # not worth a word beside photographs


@dataclass
class Found:
    """Files by what they are.

    Attributes
    ----------
    photographs : list of Path
        Images by their names; whether they can be read is found out when they are.
    others : list of Path
        Files that are no images by their names.
    pictures : list of Path
        Maps, sheets and plots that the package made (:mod:`.marks`).
    astray : list of Path
        Names of images that are no files: dead links, pipes, sockets; and links to folders, which are not followed.
    errors : list of OSError
        Of folders that cannot be read.
    """

    photographs: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    astray: list[Path] = field(default_factory=list)
    errors: list[OSError] = field(default_factory=list)

    def take(self, paths: Iterable[Path]) -> None:
        """Put each where it belongs."""
        for path in paths:
            image = path.suffix.lower() in SUFFIXES
            if not _is_file(path):
                self.astray += [path] if image or path.is_symlink() else []
            elif not image:
                self.others += [path] if path.name.lower() not in _OF_SYSTEMS else []
            elif is_marked(path):
                self.pictures.append(path)
            else:
                self.photographs.append(path)

    def add(self, other: Found) -> None:
        """Put what was found elsewhere beside it."""
        for name in ("photographs", "others", "pictures", "astray", "errors"):
            getattr(self, name).extend(getattr(other, name))


def find(folder: Path) -> Found:
    """Everything in a folder and its subfolders, sorted, but for what is hidden; links to folders are not followed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     for file in ("b.jpg", "a.png", ".hidden.png", "notes.txt"):
    ...         Path(name, file).touch()
    ...     found = find(Path(name))
    >>> [path.name for path in found.photographs], [path.name for path in found.others]
    (['a.png', 'b.jpg'], ['notes.txt'])
    """
    found = Found()
    found.take(sorted(walk(folder, found.errors.append)))
    return found


def walk(folder: Path, report: Callable[[OSError], object]) -> Iterator[Path]:
    """All files, and links to folders; `report` gets the errors of folders that cannot be read, the rest goes on."""
    for place, folders, names in os.walk(folder, onerror=report):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name) for name in [*names, *links] if not name.startswith("."))


def _is_file(path: Path) -> bool:
    """Whether it is one, or may be: what lies in a folder that one may not enter tells its error when it is read."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except PermissionError:
        return True
    except OSError:
        return False
