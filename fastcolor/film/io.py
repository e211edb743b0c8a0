"""Films in: video files, animated GIF, WebP and PNG by Pillow, folders and globs of images.

Each is a :class:`Film`. What can be read is read; what is damaged ends up in ``Film.problems``.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError, VideoError
from ..files.formats import open_image
from ..files.images import SUFFIXES, Photo, as_photo, gray_of, in_color, read_photo
from ..files.sets import is_image, is_pattern
from .film import DEFAULT_RATE, FASTEST, SLOWEST, Film, FilmFrame
from .videofile import VideoFile

ANIMATIONS = frozenset({".gif", ".webp", ".apng", ".png"})

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
        Seconds; only frames with start <= time < end come.
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


class _Images(Film):
    """Images of a folder or glob, in the order people expect: frame2 before frame10."""

    def __init__(self, text: str, start: Fraction, end: Fraction | None, rate: Fraction, color: bool) -> None:
        super().__init__(start, end)
        self._color = color
        if not SLOWEST <= rate <= FASTEST:
            raise ValueError(
                f"rate: expected {SLOWEST} to {FASTEST} frames a second, got {rate}; leave pictures out, or make it slower"
            )
        self.name = text
        folder = Path(text)
        found = folder.iterdir() if folder.is_dir() else map(Path, glob.glob(text, recursive=True))
        self.paths = sorted(filter(is_image, found), key=_natural)
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
        self._file = path
        self._color = color
        with open(path, "rb") as file:
            try:
                image = open_image(file)
                frames = _frame_numbers(image)
                image.seek(frames[0])
                image.load()
                self.rate = 1000 / _delay(image)
            except Exception as error:  # a damaged file can raise anything in Pillow's decoders
                raise VideoError(
                    f"{path}: expected a GIF, WebP or PNG, got something else or a damaged file ({error})"
                ) from error
        self._expect(len(frames))

    def _frames(self) -> Iterator[FilmFrame]:
        time = Fraction(0)  # ms
        with open(self._file, "rb") as file:
            image = open_image(file)
            for number in _frame_numbers(image):
                try:
                    image.seek(number)
                    image.load()
                    pixels = _on_white(as_photo(image), self._color)
                except Exception as error:
                    self.problems.append(f"{self._file}: damaged or truncated after {number} frames ({error})")
                    return
                shown, time = round(time), time + _delay(image)
                yield FilmFrame(pixels, Fraction(shown, 1000), Fraction(max(1, round(time) - shown), 1000))


def _frame_numbers(image: Image.Image) -> range:
    """Without the picture that PNG has for those who know no animations."""
    return range(int(bool(getattr(image, "default_image", False))), getattr(image, "n_frames", 1))


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
