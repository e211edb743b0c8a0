"""Making a training set of folders of photographs: reduced, split, gray and unreadable files told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import ImageError
from ..files.atomic import atomic_path, write_json
from ..files.sets import find_images, fit_within, open_rgb, source_of, unlike_names

GRAY_SPREAD = 4.0  # a photograph whose mean of max(R, G, B) - min(R, G, B) is below this is called gray
QUALITY = 92


@dataclass
class Report:
    """What became of the files; paths as text, unreadable ones with the reason."""

    train: list[str] = field(default_factory=list)
    val: list[str] = field(default_factory=list)
    gray: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.train)} photographs for training, {len(self.val)} for validation"]
        lines += [f"gray, left out: {path}" for path in self.gray]
        lines += [f"unreadable, left out: {path}: {reason}" for path, reason in self.unreadable.items()]
        return "\n".join(lines)


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
    `out`/report.json says what became of each file.

    Parameters
    ----------
    folders : sequence of Path
    out : Path
    size : int
    validation : float
        Share of the photographs that goes to `val`, in (0, 1); at least one each when there are two.
    seed : int
        Of the split.
    progress : bool
        Draw a bar.

    Raises
    ------
    ValueError
        If an option is out of range, a folder has no photographs or lies inside another, `out` lies inside one, or no
        photograph is left.
    """
    if not 0 < validation < 1:
        raise ValueError(f"validation: expected a share in (0, 1), got {validation}")
    if size < 16:
        raise ValueError(f"size: expected at least 16 pixels, got {size}")
    _check_apart(folders, out)
    report = Report()
    kept: dict[str, Path] = {}
    seen: set[str] = set()
    several = len(folders) > 1
    found = [find_images(folder) for folder in folders]  # an empty one is told before the first is read
    for paths, title in zip(found, unlike_names([folder.resolve() for folder in folders]), strict=True):
        for path, digest in _usable(paths, report, progress):
            source = source_of(path) or (title if several else "")
            name = f"{source}_{digest[:12]}" if source else f"{path.stem}-{digest[:8]}"
            if digest not in seen:
                kept.setdefault(f"{name}.jpg", path)
                seen.add(digest)
    if not kept:
        places = ", ".join(map(str, folders))
        raise ValueError(f"folder: expected color photographs under {places}, but none is left; {report}")
    names = sorted(kept)
    order = np.random.default_rng(seed).permutation(len(names))
    held = set(order[: max(1, round(validation * len(names)))]) if len(names) > 1 else set()
    for part in ("train", "val"):
        (out / part).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        parts = ["val" if number in held else "train" for number in range(len(names))]
        jobs = [
            pool.submit(_write, kept[name], out / part / name, size) for name, part in zip(names, parts, strict=True)
        ]
        for job in tqdm(jobs, desc="writing", unit="photo", disable=not progress):
            job.result()
    for name, part in zip(names, parts, strict=True):
        getattr(report, part).append(str(kept[name]))
    write_json(out / "report.json", vars(report))
    return report


def _check_apart(folders: Sequence[Path], out: Path) -> None:
    """No folder inside another, `out` in none."""
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if out.resolve().is_relative_to(place):
            raise ValueError(
                f"out: expected a folder outside of {folder}, got {out}; it would be read as input next time"
            )
        if sum(other.is_relative_to(place) for other in places) > 1:
            raise ValueError(f"folder: expected folders outside of each other, got {folder} and one inside of it")


def _usable(paths: list[Path], report: Report, progress: bool) -> Iterator[tuple[Path, str]]:
    """Each usable photograph with the hash of its content; the others go into the report."""
    with ThreadPoolExecutor() as pool:
        looked = pool.map(_look, paths)
        for path, found in zip(
            paths, tqdm(looked, "reading", len(paths), unit="photo", disable=not progress), strict=True
        ):
            if isinstance(found, ImageError):
                report.unreadable[str(path)] = str(found.__cause__ or found)
            elif found < GRAY_SPREAD:
                report.gray.append(str(path))
            else:
                yield path, hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def _look(path: Path) -> float | ImageError:
    """Mean spread of the channels of a small copy, or what went wrong."""
    try:
        small = np.asarray(fit_within(open_rgb(path), 64)).astype(np.int16)
    except ImageError as error:
        return error
    return float((small.max(axis=-1) - small.min(axis=-1)).mean())


def _write(path: Path, target: Path, size: int) -> None:
    with atomic_path(target) as temporary:
        fit_within(open_rgb(path), size).save(temporary, "JPEG", quality=QUALITY, subsampling=0)
