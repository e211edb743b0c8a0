"""No output ever replaces an input or another output: every target of a run is checked before the first is written.

Two paths are one file if they are the same by (device, inode), which sees through symbolic and hard links, or, of what
is not there yet, if they have one name in one folder; in upper and lower case alike where the file system says so.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .atomic import check_folder_of, check_no_file, temporary_path

Source = str | os.PathLike[str] | int
Key = tuple[object, ...]  # (device, inode) of what is there, followed by the names of what is not


class Target(NamedTuple):
    """Something that a run is going to write."""

    path: Path
    what: str  # as errors call it: "--json", "the result of photos/a.png"
    make: bool = False  # whether the run makes its folder if that is missing


def check_outputs(
    sources: Iterable[Source],
    targets: Iterable[Target],
    *,
    force: bool,
    instead: str = "",
) -> None:
    """Nothing, if every target can be written and nothing is lost by it; an error that names the file otherwise.

    Parameters
    ----------
    sources : iterable of path or int
        All files that the run reads. Of a folder, all files in it; what is not there cannot be lost. A number is an
        open file's, as that of standard input.
    targets : iterable of Target
        All files that the run is going to write. They, and all folders, are left as they are.
    force : bool
        Whether they may replace what is there already; never a source.
    instead : str
        What else than ``--force`` helps against files that are there: said at the end of the error.

    Raises
    ------
    ValueError
        A target is a source, or two targets are one file, or one would be a folder of another.
    FileExistsError
        A target is there already, and `force` is false; says how many.
    IsADirectoryError, NotADirectoryError, FileNotFoundError, PermissionError
        A target is a folder or a device, or its folder is a file, is missing, or cannot be written to.

    Examples
    --------
    >>> check_outputs([], [Target(Path("r.png"), "--out"), Target(Path("./r.png"), "--compare")], force=False)
    Traceback (most recent call last):
        ...
    ValueError: r.png: would be both --out and --compare; choose another name for one of them
    """
    planned = list(targets)
    places = _Places()
    for target in planned:
        _check_place(target, places)
    there = any(target.path.exists() for target in planned)  # or nothing can be lost
    read = dict(pair for source in sources for pair in places.read(source)) if there else {}
    taken: dict[Key, Target] = {}
    for target in planned:
        key = places.key(target.path)
        if key in read:
            called = "" if read[key] == str(target.path) else f" as {read[key]}"
            raise ValueError(f"{target.path}: would replace a file that this run reads{called}; choose another output")
        if key in taken:
            both = f"{taken[key].what} and {target.what}"
            raise ValueError(f"{target.path}: would be both {both}; choose another name for one of them")
        taken[key] = target
    for key, target in taken.items():
        for upper in (key[:end] for end in range(3, len(key))):
            if upper in taken:
                outer = taken[upper]
                raise ValueError(f"{outer.path}: would be both {outer.what} and a folder for {target.what}")
    check_new((target.path for target in planned), force, instead)


def check_folder(
    sources: Iterable[str | os.PathLike[str]],
    target: Target,
    *,
    force: bool,
    instead: str = "--force replaces what is in it",
) -> None:
    """As :func:`check_outputs`, of a folder that a run is going to fill: new, or empty, or with `force` not a source's.

    Raises
    ------
    ValueError
        A source is that folder, or lies in it.
    FileExistsError
        There is something in it, and `force` is false.
    NotADirectoryError, FileNotFoundError, PermissionError
        A file is in the way, or the folder that it would lie in is missing or cannot be written to.
    """
    path = target.path
    check_no_file(path, target.what)
    _check_place(Target(path / "file", target.what, make=True), _Places())
    check_folder_of(path)
    if not path.is_dir():
        return
    whole = os.path.realpath(path)
    for source in map(Path, sources):
        if source.exists() and Path(os.path.realpath(source)).is_relative_to(whole):
            raise ValueError(f"{path}: {source}, which is read, lies in it; choose another output")
    if not force and any(path.iterdir()):
        raise FileExistsError(f"{path}: exists already and is not empty; {instead}")


def is_standing(path: Path) -> bool:
    """Whether a file lies there; it is whole, for none is written under its final name by parts."""
    return path.is_file()


def check_new(paths: Iterable[Path], force: bool, instead: str = "") -> None:
    """FileExistsError if there is something that must not be overwritten; says how many files."""
    found = [] if force else [path for path in paths if os.path.lexists(path)]
    if found:
        more = f", and so do {len(found) - 1} more results" if len(found) > 1 else ""
        them = "them" if more else "it"
        raise FileExistsError(f"{found[0]}: exists already{more}; --force overwrites {them}{instead}")


class _Places:
    """What files and folders are the same, with what is found out about folders kept."""

    def __init__(self) -> None:
        self.folders: dict[Path, bool] = {}  # those that can be written to -> whether they ignore case

    def key(self, path: Path) -> Key:
        """Equal for two paths that are, or would be, one file."""
        there, missing = _there(Path(os.path.realpath(path)))
        if missing and self.ignores_case(there):
            missing = tuple(unicodedata.normalize("NFC", name).casefold() for name in missing)
        found = there.stat()
        return (found.st_dev, found.st_ino, *missing)

    def read(self, source: Source) -> Iterator[tuple[Key, str]]:
        """The file `source`, or all in the folder `source`, with their names; nothing if it is not there."""
        if isinstance(source, int):
            found = os.fstat(source)
            if stat.S_ISREG(found.st_mode):
                yield (found.st_dev, found.st_ino), "standard input"
        else:
            yield from ((self.key(path), str(path)) for path in _files(Path(source)))

    def ignores_case(self, folder: Path) -> bool:
        """Whether `folder` takes "a" and "A" for one name; PermissionError if nothing can be written there."""
        if folder not in self.folders:
            try:
                self.folders[folder] = ignores_case(folder)
            except OSError as error:
                raise PermissionError(f"{folder}: the folder cannot be written to ({error.strerror})") from error
        return self.folders[folder]


def ignores_case(folder: Path) -> bool:
    """Whether the file system takes "a" and "A" for one name in `folder`: tried with a temporary file."""
    with temporary_path(folder / "probe") as probe:
        open(probe, "xb").close()
        return probe.with_name(probe.name.swapcase()).exists()


def _there(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The part of an absolute path that is there, and the names below it."""
    there = path
    while not os.path.lexists(there):
        there = there.parent
    return there, path.relative_to(there).parts


def _check_place(target: Target, places: _Places) -> None:
    """That a file can be made there."""
    path = target.path
    with suppress(FileNotFoundError, NotADirectoryError):
        path.lstat()  # or an error that no later look can do without, as of a name that is too long
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected the name of a file to write, got a folder")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise FileExistsError(f"{path}: expected the name of a file to write, got a device or a pipe")
    folder, missing = _there(Path(os.path.abspath(path.parent)))
    if not folder.is_dir():
        what = "a file" if folder.exists() else "a link that leads to nothing"
        raise NotADirectoryError(f"{path}: expected a folder, but {folder} is {what}; choose another output")
    if missing and not target.make:
        check_folder_of(path)
    places.ignores_case(folder)


def _files(source: Path) -> Iterator[Path]:
    """The file `source`, or all in the folder `source`; nothing if it is not there."""
    if os.path.isdir(source):
        inner = (os.path.join(folder, name) for folder, _, names in os.walk(source) for name in names)
        yield from map(Path, filter(os.path.exists, inner))
    elif os.path.exists(source):
        yield source
