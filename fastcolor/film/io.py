"""Films in: video files, animated GIF, WebP and PNG by Pillow, folders and globs of images.

Each is a :class:`Film`. What can be read is read; what is damaged ends up in ``Film.problems``.
"""

from __future__ import annotations

import glob
import io
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError, VideoError
from ..files.formats import open_image
from ..files.images import SUFFIXES, Photo, as_photo, gray_of, in_color, read_photo
from ..files.sets import is_image, is_pattern
from ..plural import counted
from .film import DEFAULT_RATE, FASTEST, SLOWEST, Film, FilmFrame
from .videofile import VideoFile

ANIMATIONS = frozenset({".gif", ".webp", ".apng", ".png"})

_ANY = 1 << 31  # frames: nobody knows how many
_LOOK = 50  # frames of an animation whose delays are looked at before it is read
_GIF_DELAY = 100  # ms, what browsers take for a frame without a duration


def open_film(
    path: str | os.PathLike[str],
    *,
    start: Fraction = Fraction(0),
    end: Fraction | None = None,
    rate: Fraction | None = None,
    color: bool = False,
) -> Film:
    """The :class:`Film` at `path`: a video file, an animated GIF, WebP or PNG, a folder or glob of images.

    Parameters
    ----------
    path : path
    start, end : Fraction
        Seconds; the frames with start <= time < end come, or, if there are none, the one that stands there.
    rate : Fraction, optional
        Frames a second of a folder or glob of images, 25 by default; other films know theirs.
    color : bool
        Whether frames come as RGB (H, W, 3), to measure against, or as luma (H, W).

    Raises
    ------
    FileNotFoundError, OSError
        Nothing there.
    VideoError
        No film, one without pictures, or damaged from the start; names the file.
    MissingExtraError
        PyAV is needed and not installed.
    """
    text = os.fspath(path)
    if Path(text).is_dir() or is_pattern(text):
        return _Images(text, start, end, DEFAULT_RATE if rate is None else rate, color)
    if rate is not None:
        raise ValueError(f"rate: expected None, got {float(rate):g}; only folders and globs of images have no rate")
    if not Path(text).is_file():
        raise FileNotFoundError(f"{text}: no such file")
    if Path(text).suffix.lower() in ANIMATIONS:
        return _Animation(Path(text), start, end, color)
    return VideoFile(Path(text), start, end, color)


def frames_at(text: str) -> list[Path]:
    """The images of a folder, its subfolders apart, or of a glob; hidden ones, which may be half-written, are none."""
    found = Path(text).iterdir() if Path(text).is_dir() else map(Path, glob.glob(text, recursive=True))
    return [path for path in found if is_image(path) and not path.name.startswith(".")]


class _Images(Film):
    """Images of a folder or glob, in the order people expect: frame2 before frame10."""

    def __init__(self, text: str, start: Fraction, end: Fraction | None, rate: Fraction, color: bool) -> None:
        super().__init__(start, end)
        self._color = color
        if not SLOWEST <= rate <= FASTEST:
            raise ValueError(f"rate: expected {SLOWEST} to {FASTEST} frames a second, got {rate}")
        self.name = text
        self.paths = sorted(frames_at(text), key=_natural)
        if not self.paths:
            raise FileNotFoundError(f"{text}: no images there ({', '.join(sorted(SUFFIXES))})")
        self.rate, self.time_base = rate, 1 / rate
        self._expect(len(self.paths))
        self.length = len(self.paths) / rate

    def _frames(self) -> Iterator[FilmFrame]:
        for number, path in enumerate(self.paths):
            try:
                photo = read_photo(path)
            except ImageError as error:
                self.problems.append(str(error))
                continue
            yield FilmFrame(_on_white(photo, self._color), number / self.rate, 1 / self.rate)


def _natural(path: Path) -> list[Any]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path))]


class _Animation(Film):
    """Animated GIF, WebP and PNG, frames as they are shown."""

    time_base = Fraction(1, 1000)

    def __init__(self, path: Path, start: Fraction, end: Fraction | None, color: bool) -> None:
        super().__init__(start, end)
        self.name = str(path)
        self._file = path
        self._color = color
        with open(path, "rb") as file:
            try:
                image, _ = _open_animation(file)
                self._numbers = _frame_numbers(image)
                image, _ = _open_animation(file)  # it may be lost after a look at all frames
                self.rate = _average_rate(image, self._numbers)
            except Exception as error:  # a damaged file can raise anything in Pillow's decoders
                raise VideoError(
                    f"{path}: expected a GIF, WebP or PNG, got something else or a damaged file ({error})"
                ) from error
        if self._numbers.stop != _ANY:
            self._expect(len(self._numbers))

    def _frames(self) -> Iterator[FilmFrame]:
        time = Fraction(0)  # ms
        with open(self._file, "rb") as file:
            image, cut = _open_animation(file)
            for came, number in enumerate(self._numbers):
                try:
                    image.seek(number)
                    image.load()
                    pixels = _on_white(as_photo(image), self._color)
                except Exception as error:
                    whole = counted(came, "frame")
                    self.problems.append(f"{self._file}: damaged or truncated after {whole} ({error})")
                    return
                shown, time = round(time), time + _delay(image)
                self.length = time / 1000
                yield FilmFrame(pixels, Fraction(shown, 1000), Fraction(max(1, round(time) - shown), 1000))
        if cut:
            self.problems.append(f"{self._file}: damaged or truncated after {counted(came + 1, 'frame')}")


def _open_animation(file: IO[bytes]) -> tuple[Image.Image, bool]:
    """The animation, and whether it is a WebP file that is cut: of that the decoder gets what is whole."""
    file.seek(0)
    head = file.read(12)
    promised = int.from_bytes(head[4:8], "little") + 8
    cut = head[:4] + head[8:] == b"RIFFWEBP" and file.seek(0, io.SEEK_END) < promised
    file.seek(0)
    return open_image(_whole_chunks(file.read()) if cut else file), cut


def _whole_chunks(data: bytes) -> IO[bytes]:
    """A RIFF file without the last chunk, which is cut."""
    end = after = 12
    while after <= len(data):
        end, size = after, int.from_bytes(data[after + 4 : after + 8], "little")
        after += 8 + size + size % 2
    return io.BytesIO(data[:4] + (end - 8).to_bytes(4, "little") + data[8:end])


def _frame_numbers(image: Image.Image) -> range:
    """Without the picture that PNG has for those who know no animations; of a damaged file, as many as there may be."""
    first = int(bool(getattr(image, "default_image", False)))
    try:
        return range(first, getattr(image, "n_frames", 1))
    except Exception:
        return range(first, _ANY)


def _average_rate(image: Image.Image, numbers: range) -> Fraction:
    """Frames a second, of the first ones; an error if there is none."""
    delays: list[Fraction] = []
    for number in islice(numbers, _LOOK):
        try:
            image.seek(number)
            image.load()
        except Exception:
            if not delays:
                raise
            break
        delays.append(_delay(image))
    return 1000 * len(delays) / sum(delays, Fraction(0))


def _delay(image: Image.Image) -> Fraction:
    """Of a frame, in ms."""
    return Fraction(image.info.get("duration") or _GIF_DELAY)


def _on_white(photo: Photo, color: bool) -> NDArray[np.uint8]:
    """Luma (H, W) or RGB (H, W, 3) of a picture, what is transparent on white."""
    pixels = gray_of(photo.luma) if photo.rgb is None or not color else photo.rgb
    if photo.alpha is not None:
        opaque = (photo.alpha if pixels.ndim == 2 else photo.alpha[..., None]) / np.float32(255)
        pixels = (255 - opaque * (255 - pixels) + np.float32(0.5)).astype(np.uint8)
    return in_color(pixels) if color else pixels
