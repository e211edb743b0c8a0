"""Which files a command reads and where each result goes, settled and checked before the first one is read."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..files.images import SUFFIXES
from ..files.sets import is_image, is_pattern
from ..files.writing import WRITERS, check_writable_format

DEFAULT_SUFFIX = ".png"  # of results whose source is in a format that is only read


class Job(NamedTuple):
    """One photograph: where it is, and where its result goes."""

    source: Path
    target: Path


def plan(inputs: Sequence[str], out: str) -> list[Job]:
    """One :class:`Job` a photograph.

    An input is a file, a folder (all images below it; their places below it are kept) or a glob pattern ("**" goes
    through folders). `out` is a file for one input file, else a folder, which is made; results keep the name of their
    source, and its suffix if that format is written.

    Raises
    ------
    ValueError
        Nothing to do, two results of one name, a result that would replace its source.
    ImageError
        `out` is a file with an unknown suffix.
    OSError
        No such pattern or folder, or a folder that cannot be made or written to.
    """
    target = Path(out)
    found = [pair for text in inputs for pair in _expand(text, target)]
    folder = _is_folder(out, inputs)
    if folder:
        names = [p if p.suffix.lower() in WRITERS else p.with_suffix(DEFAULT_SUFFIX) for _, p in found]
        jobs = [Job(source, target / name) for (source, _), name in zip(found, names, strict=True)]
    else:
        check_writable_format(target)
        jobs = [Job(found[0][0], target)]
    _check(jobs)
    for parent in sorted({job.target.parent for job in jobs}):
        _prepare_folder(parent, make=folder)
    return jobs


def check_new(path: Path, force: bool) -> None:
    """FileExistsError if there is something that must not be overwritten."""
    if path.exists() and not force:
        raise FileExistsError(f"{path}: exists already; --force overwrites it")


def _is_folder(out: str, inputs: Sequence[str]) -> bool:
    """A single input file may go to a file; everything else goes to a folder."""
    many = len(inputs) > 1 or Path(inputs[0]).is_dir() or is_pattern(inputs[0])
    if many and Path(out).suffix.lower() in WRITERS and not Path(out).is_dir():
        raise ValueError(f"--out: expected a folder for several inputs, got the file name {out!r}")
    return many or Path(out).is_dir() or out.endswith(("/", os.sep)) or not Path(out).suffix


def _expand(text: str, out: Path) -> Iterator[tuple[Path, Path]]:
    """(file, place below the output folder) of everything that one input stands for."""
    path = Path(text)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if _is_photograph(file, path, out))
        pairs = [(file, file.relative_to(path)) for file in files]
    elif is_pattern(text):
        matches = map(Path, sorted(glob.glob(text, recursive=True)))
        pairs = [(file, Path(file.name)) for file in matches if is_image(file)]
    else:
        pairs = [(path, Path(path.name))]  # a missing file is reported when its turn comes
    if not pairs:
        raise FileNotFoundError(f"{text}: no photographs there ({', '.join(sorted(SUFFIXES))})")
    yield from pairs


def _is_photograph(file: Path, folder: Path, out: Path) -> bool:
    """An image by its name, not hidden, and not a result of an earlier run into a folder inside `folder`."""
    if not is_image(file) or any(part.startswith(".") for part in file.relative_to(folder).parts):
        return False
    return out.resolve() == folder.resolve() or not file.resolve().is_relative_to(out.resolve())


def _check(jobs: Sequence[Job]) -> None:
    sources: dict[Path, Path] = {}
    for source, target in jobs:
        if target in sources:
            raise ValueError(f"{target}: would be the result of both {sources[target]} and {source}; rename one")
        if target.exists() and source.exists() and target.samefile(source):
            raise ValueError(f"{target}: would replace the photograph that it is made from; choose another output")
        sources[target] = source


def _prepare_folder(folder: Path, *, make: bool) -> None:
    if not make and not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; make it first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(f"{folder}: expected a folder for the results, but a file is in the way") from None
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder}: the folder cannot be written to")
