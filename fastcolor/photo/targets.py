"""Which files a command reads and where each result goes, settled and checked before the first one is read."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..files.formats import SUFFIXES_IN_SHORT
from ..files.marks import is_marked
from ..files.outputs import Target, is_standing
from ..files.sets import hidden, is_image, is_pattern
from ..files.writing import WRITERS, check_writable_format

_OF_SYSTEMS = ("thumbs.db", "desktop.ini")  # not worth a word beside photographs
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
        return all(map(is_standing, self.outputs))


@dataclass
class Plan:
    """What a run does, and what it found beside photographs."""

    jobs: list[Job]
    targets: list[Target]  # of the jobs
    others: list[Path]  # no photographs by their names
    pictures: list[Path]  # maps and sheets of earlier runs


@dataclass
class _Found:
    """Photographs with their places below the output folder, and files that are none."""

    photographs: list[tuple[Path, Path]] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)


def plan(inputs: Sequence[str], out: str, *, confidence: Path | None = None) -> Plan:
    """One :class:`Job` a photograph.

    An input is a file, a folder (all images below it; their places below it are kept) or a glob pattern ("**" goes
    through folders). `out` is a file for one input file, else a folder. Results keep the name of their source, and its
    suffix if that format is written; else they are PNG files: "s.gif" becomes "s.png", or "s.gif.png" if another
    result has that name. `confidence` is a file for one input file, else a folder that gets the names of the results.
    "-" is standard input, or output, of one photograph.

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
    found = _Found()
    for text in inputs:
        _expand(text, Path(out), found)
    photographs = list(dict.fromkeys(found.photographs))
    names = _names([place for _, place in photographs])
    results, maps = [_path(out)] * len(names), [confidence] * len(names)
    if into_folder := _is_folder("--out", out, many):
        results = [Path(out) / name for name in names]
    else:
        check_writable_format(out)
    if confidence and (many or confidence.is_dir()):
        _is_folder("--confidence", str(confidence), many)
        maps = [confidence / name for name in names]
    elif confidence:
        check_writable_format(confidence)
    jobs = list(map(Job, (source for source, _ in photographs), results, maps))
    return Plan(jobs, _targets(jobs, into_folder, many), found.others, found.pictures)


def _stream_plan(inputs: Sequence[str], out: str, confidence: Path | None) -> Plan:
    """One photograph from standard input, or to standard output."""
    if len(inputs) > 1 or Path(inputs[0]).is_dir() or is_pattern(inputs[0]):
        raise ValueError(f"-: expected one photograph, got {' '.join(inputs)}; several go to a folder, by --out")
    if out != "-" and _is_folder("--out", out, many=False):
        raise ValueError(f"--out: expected a file name, since standard input has none, got the folder {out}")
    for path in (Path(out), confidence):
        if path not in (None, STREAM):
            check_writable_format(path)
    jobs = [Job(STREAM if inputs[0] == "-" else _path(inputs[0]), STREAM if out == "-" else _path(out), confidence)]
    return Plan(jobs, _targets(jobs, False, False), [], [])


def _targets(jobs: Sequence[Job], make: bool, make_maps: bool) -> list[Target]:
    """All files that jobs write, and whether folders for them are made."""
    targets = [Target(job.target, f"the result of {job.name}", make) for job in jobs if job.target != STREAM]
    return targets + [Target(job.map, f"the confidence map of {job.name}", make_maps) for job in jobs if job.map]


def _path(text: str) -> Path:
    """The path of a file; ./- is one, too."""
    return Path(text).absolute() if Path(text) == STREAM else Path(text)


def _is_folder(option: str, out: str, many: bool) -> bool:
    """A single input file may go to a file; everything else goes to a folder."""
    if many and Path(out).suffix.lower() in WRITERS and not Path(out).is_dir():
        raise ValueError(f"{option}: expected a folder for several inputs, got the file name {out!r}")
    return many or Path(out).is_dir() or out.endswith(("/", os.sep)) or not Path(out).suffix


def _names(places: Sequence[Path]) -> list[Path]:
    """Where results go below their folder: in a format that is written, and no two alike if that can be."""
    names = [p if p.suffix.lower() in WRITERS else p.with_suffix(DEFAULT_SUFFIX) for p in places]
    alike = Counter(str(name).casefold() for name in names)
    return [
        place.with_name(place.name + DEFAULT_SUFFIX) if name != place and alike[str(name).casefold()] > 1 else name
        for place, name in zip(places, names, strict=True)
    ]


def _expand(text: str, out: Path, found: _Found) -> None:
    """Add everything that one input stands for."""
    path = _path(text)
    if path.is_dir():
        pairs = [(file, file.relative_to(path)) for file in sorted(path.rglob("*"))]
        root = path
    elif is_pattern(text):
        pairs = [(file, Path(file.name)) for file in map(Path, sorted(glob.glob(text, recursive=True)))]
        root = Path(*_without_magic(path.parts[:-1]))
    else:
        found.photographs.append((path, Path(path.name)))  # a missing file is reported when its turn comes
        return
    before = len(found.photographs)
    for file, place in pairs:
        if not file.is_file() or hidden(place, Path()) or _is_result(file, root, out):
            continue
        if not is_image(file):
            found.others += [file] if file.name.lower() not in _OF_SYSTEMS else []
        elif is_marked(file):
            found.pictures.append(file)
        else:
            found.photographs.append((file, place))
    if len(found.photographs) == before:
        raise FileNotFoundError(f"{text}: no photographs there; expected names that end in {SUFFIXES_IN_SHORT}")


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
