"""Which files a command reads and where each result goes, settled and checked before the first one is read."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..files.finding import Found, walk
from ..files.formats import SUFFIXES, SUFFIXES_IN_SHORT
from ..files.outputs import Target, is_standing
from ..files.sets import is_pattern
from ..files.writing import WRITERS, check_writable_format

DEFAULT_SUFFIX = ".png"  # of results whose source is in a format that is only read


STREAM = Path("-")  # standard input or output; a file of that name is ./-


class Job(NamedTuple):
    """One photograph: where it is, where its result goes, and the picture of the network's confidence."""

    source: Path
    target: Path
    map: Path | None = None

    @property
    def name(self) -> str:
        """What errors call the photograph."""
        return "standard input" if self.source == STREAM else str(self.source)

    @property
    def outputs(self) -> tuple[Path, ...]:
        return (self.target,) if self.map is None else (self.target, self.map)

    @property
    def is_whole(self) -> bool:
        """Whether all of it was written by an earlier run."""
        return self.target != STREAM and all(map(is_standing, self.outputs))


@dataclass
class Plan:
    """What a run does, and what it found beside photographs."""

    jobs: list[Job]
    targets: list[Target]  # of the jobs
    found: Found = field(default_factory=Found)


def plan(inputs: Sequence[str], out: str, *, confidence: Path | None = None) -> Plan:
    """One :class:`Job` a photograph.

    An input is a file, a folder (all images below it) or a glob pattern ("**" goes through folders); places below the
    folder, or below the part of the pattern that has no wildcard, are kept. `out` is a file for one input file, else a
    folder. Results keep the name of their source if that format is written; else they are PNG files: "s.gif" becomes
    "s.gif.png" (:func:`result_name`). `confidence` is a file for one input file, else a folder that gets the names of
    the results. "-" is standard input, or output, of one photograph.

    Raises
    ------
    ValueError
        A file name, or "-", for several photographs.
    ImageError
        `out` or `confidence` is a file with an unknown suffix.
    FileNotFoundError
        No photographs there.
    """
    if "-" in (*inputs, out):
        return _stream_plan(inputs, out, confidence)
    many = len(inputs) > 1 or Path(inputs[0]).is_dir() or is_pattern(inputs[0])
    read = _Inputs(Path(out))
    for text in inputs:
        read.add(text)
    if not read.photographs:
        raise read.found.errors[0]
    names = [result_name(place) for _, place in read.photographs]
    results, maps = [named(out)] * len(names), [confidence] * len(names)
    if into_folder := _is_folder("--out", out, many):
        results = [Path(out) / name for name in names]
    else:
        check_writable_format(out)
    if confidence and (many or confidence.is_dir()):
        _is_folder("--confidence", str(confidence), many)
        maps = [confidence / name for name in names]
    elif confidence:
        check_writable_format(confidence)
    jobs = list(map(Job, read.photographs.values(), results, maps))
    return Plan(jobs, _targets(jobs, into_folder, many), read.found)


def _stream_plan(inputs: Sequence[str], out: str, confidence: Path | None) -> Plan:
    """One photograph from standard input, or to standard output."""
    if len(inputs) > 1 or Path(inputs[0]).is_dir() or is_pattern(inputs[0]):
        raise ValueError(f"-: expected one photograph, got {' '.join(inputs)}; several go to a folder, by --out")
    if out != "-" and _is_folder("--out", out, many=False):
        raise ValueError(f"--out: expected a file name, since standard input has none, got the folder {out}")
    for path in (Path(out), confidence):
        if path not in (None, STREAM):
            check_writable_format(path)
    jobs = [Job(STREAM if inputs[0] == "-" else named(inputs[0]), STREAM if out == "-" else named(out), confidence)]
    return Plan(jobs, _targets(jobs, False, False))


def _targets(jobs: Sequence[Job], make: bool, make_maps: bool) -> list[Target]:
    """All files that jobs write, and whether folders for them are made."""
    targets = [Target(job.target, f"the result of {job.name}", make) for job in jobs if job.target != STREAM]
    return targets + [Target(job.map, f"the confidence map of {job.name}", make_maps) for job in jobs if job.map]


def named(text: str) -> Path:
    """The path that a word of the command names: - is a stream, ./- a file."""
    return Path(text).absolute() if Path(text) == STREAM and text != "-" else Path(text)


def _is_folder(option: str, out: str, many: bool) -> bool:
    """A single input file may go to a file; everything else goes to a folder."""
    if many and Path(out).suffix.lower() in WRITERS and not Path(out).is_dir():
        raise ValueError(f"{option}: expected a folder for several inputs, got the file name {out!r}")
    return many or Path(out).is_dir() or out.endswith(("/", os.sep)) or not Path(out).suffix


def result_name(place: Path) -> Path:
    """Where a result goes below its folder, by the name of its source alone, whatever lies beside that.

    It keeps its name if it can be written in that format. If not, ``.png`` is added; and to names that look as if it
    had been, too, so that no two sources have one result.

    Examples
    --------
    >>> [str(result_name(Path(name))) for name in ("sub/a.jpg", "a.gif", "a.gif.png")]
    ['sub/a.jpg', 'a.gif.png', 'a.gif.png.png']
    """
    stem = place
    while stem.suffix.lower() == DEFAULT_SUFFIX:
        stem = stem.with_suffix("")
    kept = stem.suffix.lower() in WRITERS or (stem != place and stem.suffix.lower() not in SUFFIXES)
    return place if kept else place.with_name(place.name + DEFAULT_SUFFIX)


class _Inputs:
    """Photographs with their places below the output folder, each once, and what was found beside them."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.photographs: dict[tuple[Path, Path], Path] = {}  # (real path, place) -> path
        self.found = Found()

    def add(self, text: str) -> None:
        """Everything that one input stands for."""
        path = named(text)
        if path.is_dir():
            self._take(text, path, walk(path, self.found.errors.append))
        elif is_pattern(text):
            hits = map(Path, glob.glob(text, recursive=True))
            root = Path(*_without_magic(path.parts[:-1]))
            self._take(text, root, (hit for hit in hits if not (hit.name.startswith(".") or _is_plain_folder(hit))))
        else:
            self._put(path, Path(path.name))  # a missing file is reported when its turn comes

    def _take(self, text: str, root: Path, paths: Iterable[Path]) -> None:
        """What lies below `root`; of a file that several ways lead to, by links in a circle say, the shortest."""
        ways: dict[Path, Path] = {}
        for path in sorted(paths, key=lambda path: (len(path.parts), path)):
            if not _is_result(path, root, self.out):
                ways.setdefault(_real(path), path)
        here = Found()
        here.take(sorted(ways.values()))
        for path in here.photographs:
            self._put(path, path.relative_to(root))
        self.found.add(here)
        if not (here.photographs or self.found.errors):
            raise FileNotFoundError(f"{text}: no photographs there; expected names that end in {SUFFIXES_IN_SHORT}")

    def _put(self, path: Path, place: Path) -> None:
        self.photographs.setdefault((_real(path), place), path)


def _real(path: Path) -> Path:
    """The one true path of a name in a folder; two links to one file are two names."""
    return Path(os.path.realpath(path.parent), path.name)


def _is_plain_folder(path: Path) -> bool:
    """Whether it is a folder and nobody could take it for a photograph."""
    return path.suffix.lower() not in SUFFIXES and os.path.isdir(path)


def _without_magic(parts: Sequence[str]) -> Iterator[str]:
    """The folders of a pattern that are the same for all it matches."""
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _is_result(file: Path, root: Path, out: Path) -> bool:
    """Whether `file` lies in the folder of results, and that inside the folder that is read."""
    inner = out.resolve()
    return inner != root.resolve() and inner.is_relative_to(root.resolve()) and file.resolve().is_relative_to(inner)
