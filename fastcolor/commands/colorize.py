"""``fastcolor colorize INPUT... -o OUT``: photographs, folders of them, globs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..files.images import Photo, gray_of, pixel_limit, read_photo
from ..files.outputs import Target, check_new, check_outputs
from ..files.writing import DEFAULT_QUALITY, check_writable_format, write_photo
from ..ops import merge
from ..photo.colorizer import Colorizer, Prediction
from ..photo.targets import Job, plan
from ..plots.figures import confidence_map, contact_sheet, enlarged
from . import options

BATCH = 8  # photographs in one pass of the network
WAITING_PIXELS = 16_000_000  # kept in memory while a batch fills
SHEET_ROWS, SHEET_WIDTH = 50, 480  # of the picture of --compare

Picture = NDArray[np.uint8]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("inputs", nargs="+", metavar="INPUT", help="photograph, folder (subfolders included), 'glob'")
    out = "a file (.jpg .png .tif .webp) for one photograph, else a folder, made if missing: results keep names"
    arg("-o", "--out", required=True, help=out)
    options.add(parser, "--model", "--temperature", "--size", "--mirror", "--device")
    compare = f"one picture of gray, colorized and, if it had color, original, for the first {SHEET_ROWS} photographs"
    arg("--compare", type=Path, metavar="FILE", help=compare)
    sure = "how sure the network is where; a folder for several photographs"
    arg("--confidence", type=Path, metavar="FILE", help=sure)
    arg("--quality", type=int, default=DEFAULT_QUALITY, help="1..100, JPEG and WebP (default: %(default)s)")
    arg("--max-pixels", type=int, help="refuse larger photographs (default: Pillow's 89 million)")
    options.add(parser, "--force")


def run(args: argparse.Namespace) -> int:
    _check_options(args)
    jobs = _planned(args)
    work = _Work(args)
    chosen = options.chosen(args, "temperature", "size", "mirror", "device")
    colorizer = Colorizer.load(args.model, **chosen)
    # disable=None: no bar where nobody watches
    watched = tqdm(jobs, unit="photo", disable=None if len(jobs) > 1 else True)
    with pixel_limit(args.max_pixels):
        for batch in _batches(work.read(watched, colorizer)):
            small = np.stack([item.small for item in batch])
            predictions = colorizer.predict(small, with_confidence=bool(args.confidence))
            for item, prediction in zip(batch, predictions, strict=True):
                work.finish(item, prediction)
    work.write_sheet()
    return work.report(len(jobs))


class _Item(NamedTuple):
    """A photograph that waits for its batch."""

    job: Job
    photo: Photo
    small: NDArray[np.float32]  # luma as the network sees it


@dataclass
class _Work:
    """What is to be written, and what has gone wrong so far."""

    args: argparse.Namespace
    sheet: list[list[tuple[str, Picture]]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def read(self, jobs: Iterable[Job], colorizer: Colorizer) -> Iterator[_Item]:
        for job in jobs:
            photo = None
            with self._collected():
                photo = read_photo(job.source)
            if photo:
                yield _Item(job, photo, colorizer.reduce(photo.luma))

    def finish(self, item: _Item, prediction: Prediction) -> None:
        """Merge and write one photograph and what goes with it."""
        job, photo, _ = item
        with self._collected():
            rgb = merge(prediction.chroma, photo.luma)
            quality = self.args.quality
            self._make_room(job.target)
            write_photo(job.target, rgb, alpha=photo.alpha, metadata=photo.metadata, quality=quality)
            if prediction.top is not None and job.map is not None:
                self._make_room(job.map)
                write_photo(job.map, enlarged(confidence_map(prediction.top), photo.luma.shape), quality=quality)
            if self.args.compare and len(self.sheet) < SHEET_ROWS:
                self.sheet.append(_row(job.source.name, photo, rgb))

    def _make_room(self, path: Path) -> None:
        """Its folder, and nothing there that came after the plan."""
        path.parent.mkdir(parents=True, exist_ok=True)
        check_new([path], self.args.force)

    def write_sheet(self) -> None:
        if self.sheet:
            width = min(SHEET_WIDTH, max(picture.shape[1] for row in self.sheet for _, picture in row))
            write_photo(self.args.compare, contact_sheet(self.sheet, width=max(width, 64)), quality=self.args.quality)

    def report(self, total: int) -> int:
        """The exit status; a single photograph's error is raised."""
        if self.failures and total == 1:
            raise self.failures[0]
        done = total - len(self.failures)
        print(f"colorized {done} of {total} photograph{'s' * (total > 1)} into {self.args.out}")
        return options.tell(self.failures)

    @contextmanager
    def _collected(self) -> Iterator[None]:
        """One photograph's error is kept for the end; the others go on."""
        try:
            yield
        except (OSError, ValueError) as error:
            self.failures.append(error)


def _check_options(args: argparse.Namespace) -> None:
    if not 1 <= args.quality <= 100:
        raise ValueError(f"--quality: expected 1..100, got {args.quality}")
    if args.max_pixels is not None and args.max_pixels < 1:
        raise ValueError(f"--max-pixels: expected at least 1, got {args.max_pixels}")


def _planned(args: argparse.Namespace) -> list[Job]:
    """What is to be done, checked before torch is loaded."""
    planned = plan(args.inputs, args.out, confidence=args.confidence)
    targets = planned.targets
    if args.compare:
        check_writable_format(args.compare)
        targets.append(Target(args.compare, "--compare"))
    sources = [job.source for job in planned.jobs]
    check_outputs([*sources, *options.model_files(args.model)], targets, force=args.force)
    return planned.jobs


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Items whose small images have one shape, at most BATCH together, with a bound on what waits."""
    waiting: dict[tuple[int, ...], list[_Item]] = {}
    for item in items:
        group = waiting.setdefault(item.small.shape, [])
        group.append(item)
        if len(group) == BATCH:
            yield waiting.pop(item.small.shape)
        elif sum(i.photo.luma.size for g in waiting.values() for i in g) > WAITING_PIXELS:
            yield from waiting.values()
            waiting = {}
    yield from waiting.values()


def _row(name: str, photo: Photo, rgb: Picture) -> list[tuple[str, Picture]]:
    """Thumbnails, so that the sheet of many photographs fits into memory."""
    pictures = [(f"{name}: gray", gray_of(photo.luma)), ("colorized", rgb)]
    if photo.rgb is not None:
        pictures.append(("original", photo.rgb))
    return [(caption, _thumbnail(picture)) for caption, picture in pictures]


def _thumbnail(picture: Picture) -> Picture:
    image = Image.fromarray(picture)
    image.thumbnail((SHEET_WIDTH, 4 * SHEET_WIDTH), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)
