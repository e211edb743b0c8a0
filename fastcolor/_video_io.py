"""Films in: video files by PyAV (FFmpeg), animated GIF and WebP by Pillow, folders and globs of images.

Each is a :class:`Film` of upright frames with exact times. What can be read is read; what is damaged ends up in
``Film.problems``.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import ImageError, MissingExtraError, VideoError
from .images import SUFFIXES, gray_of, read_photo

DEFAULT_RATE = Fraction(25)
ANIMATIONS = frozenset({".gif", ".webp"})

_GIF_DELAY = 100  # ms, what browsers take for a frame without a duration
_NEUTRAL = 1  # chroma of a gray film may be this far from 128
_MICROSECONDS = 1_000_000


class FilmFrame(NamedTuple):
    """One frame: uint8 (H, W) if it is gray, else (H, W, 3); time and duration in seconds since the start."""

    pixels: NDArray[np.uint8]
    time: Fraction
    duration: Fraction


class Film:
    """Frames in order, and what must survive: rate, time base, aspect, the file with the sound.

    Attributes
    ----------
    rate : Fraction
        Frames a second, on average.
    time_base : Fraction
        Unit in which all times are whole numbers.
    count : int or None
        About how many frames there are, for the progress bar.
    aspect : Fraction
        Width of a pixel over its height, 1 for square ones.
    sound : Path or None
        The video file with audio tracks; their times count from `origin` seconds.
    problems : list of str
        What could not be read. Complete after the last frame.
    """

    rate = DEFAULT_RATE
    time_base = 1 / DEFAULT_RATE
    count: int | None = None
    aspect = Fraction(1)
    sound: Path | None = None
    origin = Fraction(0)

    def __init__(self, start: Fraction = Fraction(0), end: Fraction | None = None) -> None:
        if start < 0 or (end is not None and end <= start):
            raise ValueError(f"start, end: expected 0 <= start < end in seconds, got {float(start):g} and {end}")
        self.start, self.end = start, end
        self.problems: list[str] = []

    def __iter__(self) -> Iterator[FilmFrame]:
        """The frames between `start` and `end`, their times counted from `start`."""
        for frame in self._frames():
            if self.end is not None and frame.time >= self.end:
                break
            if frame.time >= self.start:
                yield frame._replace(time=frame.time - self.start)

    def _frames(self) -> Iterator[FilmFrame]:
        raise NotImplementedError

    def _expect(self, frames: int) -> None:
        """Set `count` from the number of frames in the whole film."""
        first, last = int(self.start * self.rate), frames if self.end is None else int(self.end * self.rate)
        self.count = max(0, min(frames, last) - first) or None


def open_film(
    path: str | os.PathLike[str],
    *,
    start: Fraction = Fraction(0),
    end: Fraction | None = None,
    rate: Fraction | None = None,
) -> Film:
    """The :class:`Film` at `path`: a video file, an animated GIF or WebP, a folder or glob of images.

    Parameters
    ----------
    path : path
    start, end : Fraction
        Seconds; only frames with start <= time < end come.
    rate : Fraction, optional
        Frames a second of a folder or glob of images, 25 by default; other films know theirs.

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
    if Path(text).is_dir() or (glob.has_magic(text) and not Path(text).exists()):
        return _Images(text, start, end, rate or DEFAULT_RATE)
    if rate is not None:
        raise ValueError(f"rate: expected None, got {float(rate):g}; only folders and globs of images have no rate")
    if not Path(text).is_file():
        raise FileNotFoundError(f"{text}: no such file")
    if Path(text).suffix.lower() in ANIMATIONS:
        return _Animation(Path(text), start, end)
    return _Video(Path(text), start, end)


class _Images(Film):
    """Images of a folder or glob, in the order people expect: frame2 before frame10."""

    def __init__(self, text: str, start: Fraction, end: Fraction | None, rate: Fraction) -> None:
        super().__init__(start, end)
        if rate <= 0:
            raise ValueError(f"rate: expected a number > 0, got {float(rate):g}")
        folder = Path(text)
        found = folder.iterdir() if folder.is_dir() else map(Path, glob.glob(text, recursive=True))
        self.paths = sorted((p for p in found if p.suffix.lower() in SUFFIXES and p.is_file()), key=_natural)
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
            yield FilmFrame(gray_of(photo.luma) if photo.rgb is None else photo.rgb, number / self.rate, 1 / self.rate)


def _natural(path: Path) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


class _Animation(Film):
    """Animated GIF and WebP, frames as they are shown, transparency on white."""

    time_base = Fraction(1, 1000)

    def __init__(self, path: Path, start: Fraction, end: Fraction | None) -> None:
        super().__init__(start, end)
        self.path = path
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
        with Image.open(self.path, formats=("GIF", "WEBP")) as image:
            for number in range(getattr(image, "n_frames", 1)):
                try:
                    image.seek(number)
                    shown = image.convert("RGBA")
                except (OSError, SyntaxError, EOFError, ValueError) as error:
                    self.problems.append(f"{self.path}: damaged or truncated after {number} frames ({error})")
                    return
                opaque = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
                duration = _delay(image)
                yield FilmFrame(np.asarray(opaque), time, duration)
                time += duration


def _delay(image: Image.Image) -> Fraction:
    return Fraction(int(image.info.get("duration") or _GIF_DELAY), 1000)


class _Video(Film):
    """Anything that FFmpeg reads."""

    def __init__(self, path: Path, start: Fraction, end: Fraction | None) -> None:
        super().__init__(start, end)
        self.path = path
        av = load_av("reading video files")
        try:
            with av.open(os.fspath(path)) as container:
                self._describe(container)
        except av.FFmpegError as error:
            raise VideoError(
                f"{path}: expected a video file, got something else or one that is damaged from the start "
                f"({error.strerror})"
            ) from error

    def _describe(self, container: Any) -> None:
        stream = _picture_stream(container, self.path)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or DEFAULT_RATE
        self.rate = Fraction(rate).limit_denominator(65_535)
        self.time_base = Fraction(stream.time_base)
        self.aspect = Fraction(stream.sample_aspect_ratio or 1)
        self.origin = max(Fraction(container.start_time or 0, _MICROSECONDS), Fraction(0))
        self.sound = self.path if container.streams.audio else None
        self._length = _length(stream, container)  # seconds
        self._packets = stream.frames  # 0 if the file does not say
        self._expect(stream.frames or round((self._length or 0) * self.rate))

    def _frames(self) -> Iterator[FilmFrame]:
        av = load_av("reading video files")
        reformat = av.video.reformatter.VideoReformatter().reformat
        time, duration = -1 / self.rate, 1 / self.rate
        with av.open(os.fspath(self.path)) as container:
            stream = _picture_stream(container, self.path)
            stream.thread_type = "AUTO"
            if self.start:
                container.seek(int((self.origin + self.start) / self.time_base), stream=stream)
            for frame in self._decoded(av, container, stream):
                if frame.pts is None:
                    time += duration
                else:
                    time = max(frame.pts * Fraction(frame.time_base) - self.origin, time + self.time_base)
                if frame.duration:
                    duration = frame.duration * Fraction(frame.time_base)
                if self.end is not None and time >= self.end:
                    return
                if time >= self.start:
                    yield FilmFrame(_upright(_pixels(frame, reformat), frame.rotation), time, duration)
        if self.end is None and self._length is not None and time + 3 * duration < self._length:
            self.problems.append(
                f"{self.path}: truncated: expected {float(self._length):.2f} s, got {float(time + duration):.2f} s"
            )

    def _decoded(self, av: Any, container: Any, stream: Any) -> Iterator[Any]:
        """Frames; what cannot be decoded is skipped, and the end comes where nothing more can be read."""
        packets = container.demux(stream)
        damaged = 0
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self.problems.append(f"{self.path}: cannot be read any further ({error.strerror})")
                packet = None
            damaged += packet is not None and packet.is_corrupt
            try:
                yield from stream.decode(packet)
            except av.EOFError:  # nothing was left in the decoder
                pass
            except av.FFmpegError:
                damaged += 1
            if packet is None:
                break
        if damaged:
            self.problems.append(f"{self.path}: {damaged} damaged packets; frames are missing or broken")


def _picture_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if "attached_pic" not in str(stream.disposition) and stream.codec_context is not None:
            return stream
    raise VideoError(f"{path}: no video stream; there are {len(container.streams.audio)} audio tracks")


def _length(stream: Any, container: Any) -> Fraction | None:
    """Seconds that the file promises for the pictures, counted from the start; None if it does not say."""
    if stream.duration:
        return stream.duration * Fraction(stream.time_base)
    if match := re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "")):  # Matroska
        hours, minutes, seconds = match.groups()
        return (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, _MICROSECONDS)
    return None


def _pixels(frame: Any, reformat: Any) -> NDArray[np.uint8]:
    """Gray if the frame has no color: then the luma plane is all there is, and a third of the work."""
    name = frame.format.name
    planar = name.startswith(("yuv420p", "yuvj420p", "yuv422p", "yuv444p")) and name[-2:] not in ("le", "be")
    gray = name.startswith("gray") or (planar and all(_neutral(plane) for plane in frame.planes[1:]))
    return reformat(frame, format="gray" if gray else "rgb24").to_ndarray()


def _neutral(plane: Any) -> bool:
    values = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    return int(values.min()) >= 128 - _NEUTRAL and int(values.max()) <= 128 + _NEUTRAL


def _upright(pixels: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """Turned counterclockwise by the nearest multiple of 90 degrees."""
    return np.ascontiguousarray(np.rot90(pixels, round(degrees / 90) % 4))


def load_av(what: str) -> Any:
    """PyAV, or an error that names the extra."""
    try:
        import av
        import av.video.reformatter
    except ModuleNotFoundError as error:
        if error.name != "av":
            raise
        raise MissingExtraError(what, "PyAV (av)", "video") from None
    return av
