"""Photographs one after another: read, colorized some at a time, written, with the pictures that go with them.

One photograph's error is kept, and the others go on.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

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
Row = list[tuple[str, Picture]]  # of the sheet, with captions


class _Item(NamedTuple):
    """A photograph that waits for its batch."""

    job: Job
    photo: Photo
    small: NDArray[np.float32]  # luma as the network sees it


class _Note(NamedTuple):
    """What there is to say of a result."""

    name: str
    toned: bool
    lost: list[tuple[str, str]]  # (format, what it cannot hold)
    row: Row | None  # of the sheet


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
    done: int = 0  # photographs whose results were written
    failures: list[Exception] = field(default_factory=list)
    toned: list[str] = field(default_factory=list)  # names of photographs
    lost: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (format, what it cannot hold) -> names
    _rows: list[Row] = field(default_factory=list)

    def do(self, jobs: Iterable[Job]) -> None:
        """Read, colorize and write; then the sheet."""
        for batch in _batches(self._read(jobs)):
            for item, prediction in self._predicted(batch):
                with self._collected(item.job.name):
                    self._finish(item, prediction)
        if self.sheet and self._rows:
            with self._collected(str(self.sheet)):
                self._write_sheet(self.sheet)

    def _predicted(self, batch: Sequence[_Item]) -> list[tuple[_Item, Prediction]]:
        """A batch with its predictions; where it fails, each by itself, and those that fail then are left out."""
        try:
            small, maps = np.stack([item.small for item in batch]), any(item.job.map for item in batch)
            return list(zip(batch, self.colorizer.predict(small, with_confidence=maps), strict=True))
        except (MemoryError, RuntimeError):  # torch's, of a GPU's memory say
            if len(batch) > 1:
                return [pair for item in batch for pair in self._predicted([item])]
            with self._collected(batch[0].job.name):
                raise
            return []

    def _write_sheet(self, path: Path) -> None:
        if self._takes(path):
            width = min(SHEET_WIDTH, max(picture.shape[1] for row in self._rows for _, picture in row))
            picture = contact_sheet(self._rows, width=max(width, 64))
            write_photo(path, picture, metadata=marked(), quality=self.quality, replace=self.force)

    def _read(self, jobs: Iterable[Job]) -> Iterator[_Item]:
        """The photographs of the jobs; files of several pages are done on the way."""
        for job in jobs:
            item = None
            with self._collected(job.name):
                source = standard_input() if job.source == STREAM else job.source
                if (page := self._page(job, source)) is None:
                    self._do_pages(job, source)
                else:
                    photo = read_photo(source, page=page, max_pixels=self.max_pixels)
                    item = _Item(job, photo, self.colorizer.reduce(photo.luma))
            if item:
                yield item

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
        notes: list[_Note] = []
        shown = self._is_shown(job)

        def results() -> Iterator[Page]:
            for page in range(count_pages(source)):
                photo = read_photo(source, page=page, max_pixels=self.max_pixels)
                small = self.colorizer.reduce(photo.luma)[None]
                (prediction,) = self.colorizer.predict(small, with_confidence=job.map is not None)
                if prediction.top is not None:
                    tops.append((prediction.top, photo.luma.shape))
                rgb = self.colorizer.render(prediction, photo.luma)
                notes.append(self._note(job, photo, rgb, f"{job.name} {page + 1}", len(notes)))
                yield rgb, photo.alpha, photo.metadata

        if self._takes(job.target):
            write_pages(job.target, results(), replace=self.force)
        else:
            tuple(None for _ in results())  # for the map and the sheet
        if job.map is not None and self._takes(job.map):
            maps = ((enlarged(confidence_map(top), size), None, marked()) for top, size in tops)
            write_pages(job.map, maps, replace=self.force)
        self._tell(notes, shown)

    def _finish(self, item: _Item, prediction: Prediction) -> None:
        """Merge and write one photograph and what goes with it."""
        job, photo, _ = item
        shown = self._is_shown(job)
        rgb = self.colorizer.render(prediction, photo.luma)
        whole: dict[str, Any] = {"alpha": photo.alpha, "metadata": photo.metadata, "quality": self.quality}
        if job.target == STREAM:
            write_photo(standard_output(), rgb, format=STREAM_FORMAT, **whole)
        elif self._takes(job.target):
            write_photo(job.target, rgb, **whole, replace=self.force)
        if job.map is not None and prediction.top is not None and self._takes(job.map):
            picture = enlarged(confidence_map(prediction.top), photo.luma.shape)
            write_photo(job.map, picture, metadata=marked(), quality=self.quality, replace=self.force)
        self._tell([self._note(job, photo, rgb, job.name)], shown)

    def _is_shown(self, job: Job) -> bool:
        """Whether all of it is there, and it is done again for the sheet alone."""
        return self.skip_existing and job.is_whole

    def _note(self, job: Job, photo: Photo, rgb: Picture, name: str, before: int = 0) -> _Note:
        """What there is to say of a result when it is written, and its row of the sheet after `before` of its file."""
        kind = STREAM_FORMAT if job.target == STREAM else check_writable_format(job.target)
        lost = [(kind, what) for what in left_out(photo.metadata, kind, alpha=photo.alpha is not None)]
        wanted = self.sheet and len(self._rows) + before < SHEET_ROWS
        return _Note(name, photo.toned, lost, _row(Path(name).name, photo, rgb) if wanted else None)

    def _tell(self, notes: Iterable[_Note], shown: bool) -> None:
        """Keep what there is to say of a file's results, which are written; only the rows if they were before."""
        self.done += not shown
        for note in notes:
            self._rows += [note.row] if note.row else []
            if note.toned and not shown:
                self.toned.append(note.name)
            for key in note.lost if not shown else ():
                self.lost.setdefault(key, []).append(note.name)

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
        except RuntimeError as error:  # torch's
            self.failures.append(RuntimeError(f"{name}: {error}"))
        except MemoryError:
            self.failures.append(MemoryError(f"{name}: too large for the memory that there is; reduce it first"))


class _Input(io.BytesIO):
    name = "standard input"


def standard_input() -> BinaryIO:
    """All of standard input, in memory: pictures are not read from their start to their end."""
    return _Input(sys.stdin.buffer.read())


class _Output:
    name = "standard output"

    def __init__(self) -> None:
        self.write, self.flush = sys.stdout.buffer.write, sys.stdout.buffer.flush


def standard_output() -> BinaryIO:
    """Standard output, by the name that errors call it."""
    return cast(BinaryIO, _Output())


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


def _row(name: str, photo: Photo, rgb: Picture) -> Row:
    """Thumbnails, so that the sheet of many photographs fits into memory."""
    pictures = [(f"{name}: gray", gray_of(photo.luma)), ("colorized", rgb)]
    if photo.rgb is not None:
        pictures.append(("original", photo.rgb))
    return [(caption, _thumbnail(picture)) for caption, picture in pictures]


def _thumbnail(picture: Picture) -> Picture:
    image = Image.fromarray(picture)
    image.thumbnail((SHEET_WIDTH, 4 * SHEET_WIDTH), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)
