"""Photographs one after another: read, colorized some at a time, written, with the pictures that go with them.

One photograph's error is kept, and the others go on.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from ..files.images import Photo, count_pages, gray_of, read_photo
from ..files.kept import left_out
from ..files.marks import marked
from ..files.outputs import check_new, is_standing
from ..files.writing import DEFAULT_QUALITY, Page, check_writable_format, write_pages, write_photo
from ..plots.figures import confidence_map, contact_sheet, enlarged
from .colorizer import Colorizer, Prediction
from .targets import STREAM, Job

BATCH = 8  # photographs in one pass of the network
WAITING_PIXELS = 16_000_000  # kept in memory while a batch fills
SHEET_ROWS, SHEET_WIDTH = 50, 480  # of the sheet that compares
STREAM_FORMAT = "PNG"  # of a result on standard output

Picture = NDArray[np.uint8]


class _Item(NamedTuple):
    """A photograph that waits for its batch."""

    job: Job
    photo: Photo
    small: NDArray[np.float32]  # luma as the network sees it


@dataclass
class Bulk:
    """Colorizes jobs; what went wrong, and what there is to say of results, is kept.

    Attributes
    ----------
    colorizer : Colorizer
    force, skip_existing : bool
        What happens to a file under a result's name: it is replaced; it is left as it is. An error otherwise.
    quality : int
        Of JPEG and WebP, 1..100.
    max_pixels : int, optional
        Larger photographs are refused; Pillow's limit by default.
    page : int, optional
        The only one that is wanted of files with several, from 1; by default all are.
    sheet : Path, optional
        A picture of gray, colorized and original of the first photographs.
    """

    colorizer: Colorizer
    force: bool = False
    skip_existing: bool = False
    quality: int = DEFAULT_QUALITY
    max_pixels: int | None = None
    page: int | None = None
    sheet: Path | None = None
    done: int = 0  # photographs
    failures: list[Exception] = field(default_factory=list)
    toned: list[str] = field(default_factory=list)  # names of photographs
    lost: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (format, what it cannot hold) -> names
    _rows: list[list[tuple[str, Picture]]] = field(default_factory=list)

    def do(self, jobs: Iterable[Job]) -> None:
        """Read, colorize and write; then the sheet."""
        for batch in _batches(self._read(jobs)):
            small = np.stack([item.small for item in batch])
            maps = any(item.job.map for item in batch)
            for item, prediction in zip(batch, self.colorizer.predict(small, with_confidence=maps), strict=True):
                with self._collected(item.job.name):
                    self._finish(item, prediction)
                    self.done += 1
        if self.sheet and self._rows:
            with self._collected(str(self.sheet)):
                self._write_sheet(self.sheet)

    def _write_sheet(self, path: Path) -> None:
        if self._takes(path):
            width = min(SHEET_WIDTH, max(picture.shape[1] for row in self._rows for _, picture in row))
            picture = contact_sheet(self._rows, width=max(width, 64))
            write_photo(path, picture, metadata=marked(), quality=self.quality)

    def _read(self, jobs: Iterable[Job]) -> Iterator[_Item]:
        """The photographs of the jobs; files of several pages are done on the way."""
        for job in jobs:
            photo = None
            with self._collected(job.name):
                source = standard_input() if job.source == STREAM else job.source
                if (page := self._page(job, source)) is None:
                    self._do_pages(job, source)
                    self.done += 1
                else:
                    photo = read_photo(source, page=page, max_pixels=self.max_pixels)
            if photo:
                yield _Item(job, photo, self.colorizer.reduce(photo.luma))

    def _page(self, job: Job, source: Path | BinaryIO) -> int | None:
        """The one page that is wanted, from 0; None if it is all of several."""
        count = count_pages(source)
        if self.page is not None and self.page > count:
            raise ImageError(f"{job.name}: --page: expected 1..{count}, the pages there are, got {self.page}")
        if self.page is None and count > 1:
            for path in job.outputs:
                if path == STREAM or check_writable_format(path) != "TIFF":
                    raise ImageError(
                        f"{job.name}: has {count} pages, which only TIFF can hold; choose a name that ends in .tif "
                        f"instead of {path}, or one page with --page 1..{count}"
                    )
            return None
        return (self.page or 1) - 1

    def _do_pages(self, job: Job, source: Path | BinaryIO) -> None:
        """All pages of a file into one, with no more than a page in memory."""
        tops: list[tuple[NDArray[np.float32], tuple[int, ...]]] = []

        def results() -> Iterator[Page]:
            for page in range(count_pages(source)):
                photo = read_photo(source, page=page, max_pixels=self.max_pixels)
                small = self.colorizer.reduce(photo.luma)[None]
                (prediction,) = self.colorizer.predict(small, with_confidence=job.map is not None)
                if prediction.top is not None:
                    tops.append((prediction.top, photo.luma.shape))
                rgb = self.colorizer.render(prediction, photo.luma)
                self._note(job, photo, rgb, f"{job.name} {page + 1}")
                yield rgb, photo.alpha, photo.metadata

        if self._takes(job.target):
            write_pages(job.target, results())
        else:
            tuple(None for _ in results())  # for the map and the sheet
        if job.map is not None and self._takes(job.map):
            write_pages(job.map, ((enlarged(confidence_map(top), size), None, marked()) for top, size in tops))

    def _finish(self, item: _Item, prediction: Prediction) -> None:
        """Merge and write one photograph and what goes with it."""
        job, photo, _ = item
        rgb = self.colorizer.render(prediction, photo.luma)
        whole: dict[str, Any] = {"alpha": photo.alpha, "metadata": photo.metadata, "quality": self.quality}
        if job.target == STREAM:
            write_photo(sys.stdout.buffer, rgb, format=STREAM_FORMAT, **whole)
        elif self._takes(job.target):
            write_photo(job.target, rgb, **whole)
        if job.map is not None and prediction.top is not None and self._takes(job.map):
            picture = enlarged(confidence_map(prediction.top), photo.luma.shape)
            write_photo(job.map, picture, metadata=marked(), quality=self.quality)
        self._note(job, photo, rgb, job.name)

    def _note(self, job: Job, photo: Photo, rgb: Picture, name: str) -> None:
        """What there is to say of a result, and its row of the sheet."""
        if photo.toned:
            self.toned.append(name)
        kind = STREAM_FORMAT if job.target == STREAM else check_writable_format(job.target)
        for what in left_out(photo.metadata, kind, alpha=photo.alpha is not None):
            self.lost.setdefault((kind, what), []).append(name)
        if self.sheet and len(self._rows) < SHEET_ROWS:
            self._rows.append(_row(Path(name).name, photo, rgb))

    def _takes(self, path: Path) -> bool:
        """Whether `path` is to be written; its folder is there then, and nothing that came after the plan."""
        if self.skip_existing and is_standing(path):
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        check_new([path], self.force)
        return True

    @contextmanager
    def _collected(self, name: str) -> Iterator[None]:
        """One photograph's error is kept for the end; the others go on."""
        try:
            yield
        except (OSError, ValueError) as error:
            self.failures.append(error)
        except MemoryError:
            self.failures.append(MemoryError(f"{name}: too large for the memory that there is; reduce it first"))


class _Input(io.BytesIO):
    name = "standard input"


def standard_input() -> BinaryIO:
    """All of standard input, in memory: pictures are not read from their start to their end."""
    return _Input(sys.stdin.buffer.read())


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
