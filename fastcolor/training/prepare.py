"""Making a training set of folders of photographs: reduced, split, gray and unreadable files told apart."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ..errors import ImageError
from ..files.atomic import passing, write_json
from ..files.lock import own_folder
from ..files.sets import find_images, fit_within, open_rgb, source_of, unlike_names
from ..files.toning import is_toned
from ..files.writing import save
from ..plural import counted
from .split import DIGITS, PARTS, REPORT, UNFINISHED, Standing, drawn
from .stopping import asked_to_stop

GRAY_SPREAD = 4.0  # a photograph whose mean of max(R, G, B) - min(R, G, B) is below this is called gray
QUALITY = 92
NEW = ".new"  # in the set: what is being written, until all of it is


@dataclass
class Report:
    """What became of the files; paths as text, unreadable ones with the reason."""

    train: list[str] = field(default_factory=list)
    val: list[str] = field(default_factory=list)
    gray: list[str] = field(default_factory=list)
    toned: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    kept: int = 0  # photographs that were in the set before
    damaged: list[str] = field(default_factory=list)  # files of those that could not be read, and are written anew
    options: dict[str, Any] = field(default_factory=dict)
    state: str = "finished"

    def __str__(self) -> str:
        lines = [f"{counted(len(self.train), 'photograph')} for training, {len(self.val)} for validation"]
        if self.kept:
            new = len(self.train) + len(self.val) - self.kept
            lines[0] += f": {self.kept} as before, each in its part, and {new} new"
        lines += [f"damaged, written anew: {path}" for path in self.damaged]
        lines += [f"gray, left out: {path}" for path in self.gray]
        lines += [f"toned, as sepia is, left out: {path}" for path in self.toned]
        lines += [f"unreadable, left out: {path}: {reason}" for path, reason in self.unreadable.items()]
        return "\n".join(lines)


class _Photo(NamedTuple):
    """A photograph to be in the set, and its file there if it was before."""

    path: Path
    digest: str
    before: Path | None


def prepare(
    folders: Sequence[Path],
    out: Path,
    *,
    size: int = 256,
    validation: float = 0.1,
    seed: int = 0,
    progress: bool = False,
) -> Report:
    """Fit each photograph into size x size by Lanczos and write it to `out`/train or `out`/val.

    The aspect ratio is kept and nothing is enlarged; the EXIF orientation is applied. Files are JPEG without chroma
    subsampling (subsampled chroma would be wrong labels at every edge); of exact duplicates the first is taken, or
    one could be trained on and the other validated. They are named `<source>_<hash of the content>.jpg`, the source
    being that in the name of the file, if it is so named, or else the folder where there are several: training balances
    sources (:mod:`fastcolor.training.mixture`). Those without a source are named `<name>-<hash>.jpg`.
    `out`/report.json says what became of each file, and by which options.

    Content and seed alone decide in which part a photograph is (:func:`fastcolor.training.split.drawn`), so that it is
    in the same when others come. A set that is there already is brought up to date: what it holds stays where it is,
    also in one of an older version, which drew parts otherwise, what is new is added, and files that cannot be read are
    written anew. A run that is stopped while it reads and writes leaves the set as it was. Then all is put in its place
    by renaming: Ctrl-C and SIGTERM wait for that. If the process is killed there, or the disk fails, `out`/report.json
    says that the set is unfinished: it is not trained on, and a call with the same options completes it.

    Parameters
    ----------
    folders : sequence of Path
    out : Path
    size : int
    validation : float
        Share of the photographs that goes to `val`, in (0, 1), on average; at least one each when there are two.
    seed : int
        Of the split.
    progress : bool
        Draw a bar.

    Raises
    ------
    ValueError
        If an option is out of range, a folder has no photographs or lies inside another or in `out`, `out` lies inside
        one, no photograph is left, or `out` has a set of other options or of other photographs.
    BlockingIOError
        If another process writes into `out` at this moment.
    OSError
        If something cannot be written, on a full disk say; names it.
    """
    with prepared(folders, out, size=size, validation=validation, seed=seed, progress=progress) as report:
        return report


@contextmanager
def prepared(
    folders: Sequence[Path], out: Path, *, size: int, validation: float, seed: int, progress: bool
) -> Iterator[Report]:
    """As :func:`prepare`; under ``with`` no other process changes the set."""
    if not 0 < validation < 1:
        raise ValueError(f"validation: expected a share in (0, 1), got {validation}")
    if size < 16:
        raise ValueError(f"size: expected at least 16 pixels, got {size}")
    _check_apart(folders, out)
    options = {"size": size, "validation": validation, "seed": seed}
    report = Report(options=options)
    found = [find_images(folder) for folder in folders]  # an empty one is told before the first is read
    with own_folder(out):
        standing = Standing(out, options)
        photos = _photographs(folders, found, standing, report, progress)
        if not photos:
            places = ", ".join(map(str, folders))
            raise ValueError(f"folder: expected color photographs under {places}, but none is left; {report}")
        before = {photo.before for photo in photos.values() if photo.before}
        known = before.union(*(standing.alike(photo.digest) for photo in photos.values()))
        standing.check_all_known(known)
        parts = _parts(photos, standing, validation, seed)
        for name, part in parts.items():
            getattr(report, part).append(str(photos[name].path))
        report.kept = len(before)
        targets = {name: out / part / name for name, part in parts.items()}
        there = [name for name, target in targets.items() if standing.whole and photos[name].before == target]
        damaged = _damaged([targets[name] for name in there], progress)
        report.damaged = sorted(map(str, damaged))
        missing = sorted(targets.keys() - {name for name in there if targets[name] not in damaged})
        older = known - set(targets.values())  # under another name now
        with _beside(out) as new:
            _write_all(((photos[name].path, new / parts[name] / name) for name in missing), size, progress)
            _put([(new / parts[name] / name, targets[name]) for name in missing], older, out, report)
        yield report


def _put(moves: list[tuple[Path, Path]], older: set[Path], out: Path, report: Report) -> None:
    """Move the photographs to their places and remove `older`; the report says it if that comes to no end."""
    with asked_to_stop(alone=True):
        write_json(out / REPORT, {"options": report.options, "state": UNFINISHED})
        for part in PARTS:
            (out / part).mkdir(exist_ok=True)
        for place, target in moves:
            os.replace(place, target)
        for path in older:
            path.unlink()
        write_json(out / REPORT, asdict(report))


def _damaged(paths: list[Path], progress: bool) -> set[Path]:
    """Those that cannot be read, as after the disk was full or the machine lost its power."""
    with ThreadPoolExecutor() as pool:
        read = tqdm(pool.map(_is_read, paths), "checking", len(paths), unit="photo", disable=not (progress and paths))
        return {path for path, whole in zip(paths, read, strict=True) if not whole}


def _is_read(path: Path) -> bool:
    try:
        open_rgb(path)
    except ImageError:
        return False
    return True


def _check_apart(folders: Sequence[Path], out: Path) -> None:
    """No folder inside another, `out` in none, and none in it."""
    places, whole = [folder.resolve() for folder in folders], out.resolve()
    for folder, place in zip(folders, places, strict=True):
        if whole.is_relative_to(place):
            raise ValueError(
                f"out: expected a folder outside of {folder}, got {out}; it would be read as input next time"
            )
        if place.is_relative_to(whole):
            raise ValueError(f"out: expected a folder that holds none that is read, got {out}, in which {folder} lies")
        if sum(other.is_relative_to(place) for other in places) > 1:
            raise ValueError(f"folder: expected folders outside of each other, got {folder} and one inside of it")


def _photographs(
    folders: Sequence[Path], found: list[list[Path]], standing: Standing, report: Report, progress: bool
) -> dict[str, _Photo]:
    """All that are to be in the set by their names in it, each content once; the others go into the report."""
    photos: dict[str, _Photo] = {}
    seen: set[str] = set()
    several = len(folders) > 1
    for paths, title in zip(found, unlike_names([folder.resolve() for folder in folders]), strict=True):
        for path, digest, toned in _usable(paths, report, progress):
            source = source_of(path) or (title if several else "")
            name = (f"{source}_" if source else f"{path.stem}-") + digest[:DIGITS] + ".jpg"
            before = standing.find(name, digest)
            if toned and before is None:
                report.toned.append(str(path))
            elif digest not in seen and name not in photos:
                photos[name] = _Photo(path, digest, before)
            seen.add(digest)
    return dict(sorted(photos.items()))


def _parts(photos: dict[str, _Photo], standing: Standing, validation: float, seed: int) -> dict[str, str]:
    """The part of each: where it is, or as it is drawn; of two that are new in an empty set one in each part."""
    draws = {name: drawn(photo.digest, seed) for name, photo in photos.items()}
    parts = {
        name: standing.parts[photo.before] if photo.before else ("val" if draws[name] < validation else "train")
        for name, photo in photos.items()
    }
    new = [name for name in photos if photos[name].before is None]
    if new and "train" not in parts.values():
        parts[max(new, key=draws.__getitem__)] = "train"
    if new and len(parts) > 1 and "val" not in parts.values():
        parts[min(new, key=draws.__getitem__)] = "val"
    return parts


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """An empty hidden folder in `out` with the parts of a set, gone at the end; what a killed run left is cleared."""
    with passing(out / NEW) as new:
        shutil.rmtree(new, ignore_errors=True)
        for part in PARTS:
            (new / part).mkdir(parents=True)
        yield new


def _usable(paths: list[Path], report: Report, progress: bool) -> Iterator[tuple[Path, str, bool]]:
    """Each photograph with the hash of its content and whether it is toned; those without color go into the report."""
    with ThreadPoolExecutor() as pool:
        looked = pool.map(_look, paths)
        for path, found in zip(
            paths, tqdm(looked, "reading", len(paths), unit="photo", disable=not progress), strict=True
        ):
            if isinstance(found, ImageError):
                report.unreadable[str(path)] = str(found.__cause__ or found)
            elif found == "gray":
                report.gray.append(str(path))
            else:
                yield path, _digest(path), found == "toned"


def _digest(path: Path) -> str:
    """The hash of the content of a file."""
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def _look(path: Path) -> str | ImageError:
    """By what it shows: "gray", "toned" or "", or what went wrong."""
    try:
        photo = open_rgb(path)
    except ImageError as error:
        return error
    small = np.asarray(fit_within(photo, 64)).astype(np.int16)
    if float((small.max(axis=-1) - small.min(axis=-1)).mean()) < GRAY_SPREAD:
        return "gray"
    return "toned" if is_toned(np.asarray(photo)) else ""


def _write_all(jobs: Iterable[tuple[Path, Path]], size: int, progress: bool) -> None:
    """Fit each photograph into size x size."""

    def write(path: Path, target: Path) -> None:
        save(fit_within(open_rgb(path), size), target, "JPEG", quality=QUALITY, subsampling=0)

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(write, *job) for job in jobs]
        try:
            for job in tqdm(running, "writing", unit="photo", disable=not progress):
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
