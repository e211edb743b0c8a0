"""Films in: video files, animated GIF and WebP by Pillow, folders and globs of images.

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
from PIL import Image

from ..errors import ImageError, VideoError
from ..files.images import SUFFIXES, gray_of, in_color, luma_of, read_photo
from ..files.sets import is_image, is_pattern
from .film import DEFAULT_RATE, Film, FilmFrame
from .videofile import VideoFile

ANIMATIONS = frozenset({".gif", ".webp"})

_GIF_DELAY = 100  # ms, what browsers take for a frame without a duration


def open_film(
    path: str | os.PathLike[str],
    *,
    start: Fraction = Fraction(0),
    end: Fraction | None = None,
    rate: Fraction | None = None,
    color: bool = False,
) -> Film:
    """The :class:`Film` at `path`: a video file, an animated GIF or WebP, a folder or glob of images.

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
        return _Images(text, start, end, rate or DEFAULT_RATE, color)
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
        if rate <= 0:
            raise ValueError(f"rate: expected a number > 0, got {float(rate):g}")
        folder = Path(text)
        found = folder.iterdir() if folder.is_dir() else map(Path, glob.glob(text, recursive=True))
        self.paths = sorted(filter(is_image, found), key=_natural)
        if not self.paths:
            raise FileNotFoundError(f"{text}: no images there ({', '.join(sorted(SUFFIXES))})")
        self.rate, self.time_base = rate, 1 / rate
        self._expect(len(self.paths))

    def _frames(self) -> Iterator[FilmFrame]:
        for number, path in enumerate(self.paths):
            try:
                photo = read_photo(path)
            except ImageError as error:
                self.problems.append(str(error))
                continue
            gray = gray_of(photo.luma)
            pixels = in_color(gray if photo.rgb is None else photo.rgb) if self._color else gray
            yield FilmFrame(pixels, number / self.rate, 1 / self.rate)


def _natural(path: Path) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


class _Animation(Film):
    """Animated GIF and WebP, frames as they are shown, transparency on white."""

    time_base = Fraction(1, 1000)

    def __init__(self, path: Path, start: Fraction, end: Fraction | None, color: bool) -> None:
        super().__init__(start, end)
        self._file = path
        self._color = color
        try:
            with Image.open(path, formats=("GIF", "WEBP")) as image:
                frames = getattr(image, "n_frames", 1)
                image.load()
                self.rate = 1 / _delay(image)
        except (OSError, SyntaxError, EOFError, ValueError) as error:
            raise VideoError(
                f"{path}: expected a GIF or WebP, got something else or a damaged file ({error})"
            ) from error
        self._expect(frames)

    def _frames(self) -> Iterator[FilmFrame]:
        time = Fraction(0)
        with Image.open(self._file, formats=("GIF", "WEBP")) as image:
            for number in range(getattr(image, "n_frames", 1)):
                try:
                    image.seek(number)
                    shown = image.convert("RGBA")
                except (OSError, SyntaxError, EOFError, ValueError) as error:
                    self.problems.append(f"{self._file}: damaged or truncated after {number} frames ({error})")
                    return
                opaque = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
                duration = _delay(image)
                rgb = np.asarray(opaque)
                yield FilmFrame(rgb if self._color else gray_of(luma_of(rgb)), time, duration)
                time += duration


def _delay(image: Image.Image) -> Fraction:
    return Fraction(int(image.info.get("duration") or _GIF_DELAY), 1000)
