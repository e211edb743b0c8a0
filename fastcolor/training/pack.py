"""Packing a prepared set to travel: the best size and quality at which it fits into so many bytes."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..arrays import checks
from ..files.atomic import check_folder_of
from ..files.packs import write_pack
from ..files.sets import find_images, fit_within, open_rgb
from ..files.writing import save
from ..plural import counted
from .split import PARTS, check_finished

SAMPLE = 600  # photographs that the size of the whole is estimated from
SPARE = 0.01  # what the estimate leaves free
MEMBER = 80  # bytes that a zip adds to a member, beside its name twice


class Rung(NamedTuple):
    """Longer side in pixels and quality of JPEG."""

    size: int
    quality: int


# From the best down, quality falling with size: what crops lose least. Sizes are whole blocks of JPEG, for two pixels
# more cost a tenth where a block begins. Below 96 pixels a set is better thinned out.
LADDER = [
    Rung(size, round(float(np.interp(size, (96, 128, 160, 192, 256), (38, 60, 72, 80, 90)))) + more)
    for size in range(256, 88, -8)
    for more in (2, 0, -2)
]


@dataclass(frozen=True)
class Packing:
    """What was chosen and what came of it; `rung` is None where the files went in as they are."""

    path: Path
    rung: Rung | None
    train: int
    val: int
    size: int

    def __str__(self) -> str:
        how = f"at most {self.rung.size} pixels, JPEG quality {self.rung.quality}" if self.rung else "files as they are"
        return f"{self.path}: {self.train} + {self.val} photographs, {self.size / 1e6:.1f} MB, {how}"


def pack_set(
    folder: Path, path: Path, *, megabytes: float = 45.0, progress: bool = False, replace: bool = True
) -> Packing:
    """Write the prepared set `folder` as the pack `path` of at most `megabytes`.

    JPEG files go in as they are if they fit. If not, all photographs are reduced and encoded anew at the first rung of
    :data:`LADDER` that fits by an estimate from :data:`SAMPLE` of them, or the next below if the estimate was too low;
    without chroma subsampling, which would be wrong labels at every edge.

    Parameters
    ----------
    folder : Path
        With `train/` and `val/`, see `fastcolor prepare`.
    path : Path
        The pack, a zip file.
    megabytes : float
        1 MB is 1,000,000 bytes.
    progress : bool
        Draw a bar.
    replace : bool
        Whether a file that is there at the end is replaced.

    Raises
    ------
    FileNotFoundError
        If there is no such `folder`, or none for `path`.
    ValueError
        If there are no photographs, or a stopped `fastcolor prepare` left but some of them, they do not fit at the
        lowest rung, or `megabytes` is not finite and > 0.
    """
    limit = int(checks.positive("megabytes", megabytes) * 1e6)
    check_folder_of(path)  # told now, not after minutes of encoding
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; `fastcolor prepare` makes one of photographs")
    check_finished(folder)
    photographs = {part: find_images(folder / part) for part in PARTS}
    counts = {part: len(paths) for part, paths in photographs.items()}
    named = [(_name(path, folder), path) for part in PARTS for path in photographs[part]]
    overhead = 1000 + sum(MEMBER + 2 * len(name.encode()) for name, _ in named)
    paths = [path for _, path in named]
    if _all_jpeg(paths) and overhead + sum(found.stat().st_size for found in paths) <= limit:
        size = write_pack(
            path, ((name, found.read_bytes()) for name, found in named), {**counts, "size": None}, replace=replace
        )
        return Packing(path, None, size=size, **counts)
    for rung in LADDER[_first_that_should_fit(paths, limit - overhead) :]:
        encoded = list(_encode_all(paths, rung, progress))
        if overhead + sum(map(len, encoded)) <= limit:
            members = zip((name for name, _ in named), encoded, strict=True)
            size = write_pack(path, members, {**counts, **rung._asdict()}, replace=replace)
            return Packing(path, rung, size=size, **counts)
    raise ValueError(
        f"megabytes: no room for {counted(len(paths), 'photograph')} in {megabytes:g} MB even at {LADDER[-1].size} "
        f"pixels and quality {LADDER[-1].quality}; allow more, or prepare fewer photographs"
    )


def _name(path: Path, folder: Path) -> str:
    """Name of the member; all are JPEG, and what was `a.webp` is `a.webp.jpg`, for there may be an `a.jpg`."""
    name = path.relative_to(folder).as_posix()
    return name if _all_jpeg([path]) else f"{name}.jpg"


def _all_jpeg(paths: list[Path]) -> bool:
    return all(path.suffix.lower() in (".jpg", ".jpeg") for path in paths)


def _first_that_should_fit(paths: list[Path], limit: int) -> int:
    """The number of the best rung at which `paths` should fit into `limit` bytes; how many rungs there are, if none."""
    sample = paths[:: max(1, len(paths) // SAMPLE)]

    def fits(rung: Rung) -> bool:
        guess = sum(map(len, _encode_all(sample, rung, False))) * len(paths) / len(sample)
        return guess <= (1 - SPARE) * limit

    return bisect_left(LADDER, True, key=fits)


def _encode_all(paths: list[Path], rung: Rung, progress: bool) -> Iterator[bytes]:
    def encode(path: Path) -> bytes:
        out = io.BytesIO()
        reduced = fit_within(open_rgb(path), rung.size)
        save(reduced, out, "JPEG", quality=rung.quality, subsampling=0, optimize=True)
        return out.getvalue()

    with ThreadPoolExecutor() as pool:
        done = pool.map(encode, paths)
        yield from tqdm(done, f"packing at {rung.size}, {rung.quality}", len(paths), unit="photo", disable=not progress)
