"""Video files by PyAV (FFmpeg): what can be read is read, what is damaged is skipped, see ``Film.problems``."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, VideoError
from .display import Orientation, orientation_of
from .film import DEFAULT_RATE, Film, FilmFrame
from .planes import luma_plane, rgb_of
from .times import FrameClock, PresentationOrder, Timeline, clocked, is_still

_DEFAULT = 1  # FFmpeg's disposition of the track that players choose
_MICROSECONDS = 1_000_000
_FASTEST = 1000  # frames a second; what a damaged file says beyond is not believed
_LOOK = 300  # packets that are read before the first frame must have come
_MOST_PIXELS = 1 << 27  # of a frame; a header that says more is damaged or hostile
INDEXED = ("mov", "matroska")  # where one can begin anywhere; elsewhere the film is decoded from its beginning


class VideoFile(Film):
    """Anything that FFmpeg reads, of one file: what a playlist names is not opened."""

    def __init__(self, path: Path, start: Fraction, end: Fraction | None, color: bool) -> None:
        super().__init__(start, end)
        self.path: Path = path
        self._color = color
        with opened(path) as container, _damage(path):
            self._describe(container)

    def _describe(self, container: Any) -> None:
        stream = picture_stream(container, self.path)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or DEFAULT_RATE
        self.rate = Fraction(rate).limit_denominator(65_535) if 0 < rate <= _FASTEST else DEFAULT_RATE
        self.time_base = Fraction(stream.time_base)
        self.origin = Fraction(container.start_time or 0, _MICROSECONDS)
        if self.origin < 0:  # sound may begin before the pictures do
            self.origin = min(Fraction(0), (stream.start_time or 0) * self.time_base)
        self._indexed = container.format.name.startswith(INDEXED)
        self._promised = stream.frames  # 0 if the file does not say
        self._length = _length(stream, container, self.rate)  # seconds
        self._expect(self._promised or round((self._length or 0) * self.rate))
        coded = Fraction(stream.sample_aspect_ratio or 1)
        self._orientation = self._look(container, stream)
        self.aspect = self._orientation.aspect(coded)

    def _look(self, container: Any, stream: Any) -> Orientation:
        """How the first frame is to be shown; also finds out whether its pixels can be read."""
        for frame in self._decoded(container, stream, most=_LOOK):
            self._pixels(frame)
            self.problems.clear()
            return orientation_of(frame)
        self.problems.clear()
        return Orientation()

    def _frames(self) -> Iterator[FilmFrame]:
        if self.start and self._indexed:
            frames = self._read(seek=True)
            first = next(frames, None)
            if first is not None and first.time <= self.start:
                yield first
                yield from frames
                return
            frames.close()
            self.problems.clear()
        yield from self._read(seek=False)

    def _read(self, *, seek: bool) -> Generator[FilmFrame, None, None]:
        clock, count = FrameClock(self.rate, self.time_base, self.origin), 0
        with opened(self.path) as container:
            stream = picture_stream(container, self.path)
            stream.thread_type = "AUTO"
            if seek and not _sought(container, stream, self.origin + self.start):
                return
            for frame in self._decoded(container, stream):
                count += 1
                clock.step(frame)
                if self.end is not None and clock.time >= self.end:
                    return
                if seek or clock.time >= self.start:
                    yield FilmFrame(self._orientation.shown(self._pixels(frame)), clock.time, clock.duration)
        if self.end is None and self._length is not None and clock.time + 3 * clock.duration < self._length:
            self._tell_cut(count, clock.time + clock.duration)

    def _tell_cut(self, count: int, length: Fraction) -> None:
        said, came = f"{float(self._length or 0):.2f} s", f"{float(length):.2f} s"
        if self._promised and not self.start:
            said, came = f"{self._promised} frames ({said})", f"{count} ({came})"
        self.problems.append(f"{self.path}: truncated: the file says {said}, got {came}")

    def _decoded(self, container: Any, stream: Any, most: int | None = None) -> Iterator[Any]:
        """Frames; what cannot be decoded is skipped, and the end comes where nothing more can be read."""
        av = load_av("reading video files")
        timeline, order = Timeline(container), PresentationOrder(container)
        packets = islice(container.demux(clocked(container)), most)
        damaged = 0
        while True:
            try:
                packet = next(packets, None)
            except Exception as error:
                _raise_the_system_s(error)
                self.problems.append(f"{self.path}: cannot be read any further ({_reason(error)})")
                packet = None
            if packet is not None:
                timeline.retime(packet)
                if packet.stream.index != stream.index or not packet.size:  # none to decode: a repeated frame of AVI
                    continue
                damaged += packet.is_corrupt
            try:
                for frame in stream.decode(order.sent(packet)):
                    damaged += frame.is_corrupt
                    yield order.received(frame)
            except av.EOFError:  # nothing was left in the decoder
                pass
            except av.FFmpegError:
                damaged += 1
            if packet is None:
                break
        if damaged:
            self.problems.append(f"{self.path}: {damaged} damaged packets or frames; some are missing or broken")

    def _pixels(self, frame: Any) -> NDArray[np.uint8]:
        try:
            return rgb_of(frame) if self._color else luma_plane(frame)
        except VideoError as error:
            raise VideoError(f"{self.path}: {error}") from error


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


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The container in this file, whatever its name is, and nothing else: no other file, no protocol, no device.

    Raises
    ------
    OSError
        The file cannot be read.
    VideoError
        No film, or one that is damaged from the start.
    """
    av = load_av("reading video files")
    # FFmpeg gets the open file: of "12:30 film.mp4" it would take "12" for a protocol. What playlists name stays shut.
    with _File(path) as file:
        with _damage(path):
            container = av.open(file, options={"protocol_whitelist": "none"}, metadata_errors="surrogateescape")
        with container:
            yield container


class _File(io.FileIO):
    """A file in which a damaged header may send FFmpeg before the beginning: it is told so, and goes on."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return -errno.EINVAL


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """VideoError for anything that a damaged header makes PyAV raise."""
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        _raise_the_system_s(error)
        raise VideoError(
            f"{path}: expected a video file, got something else or one that is damaged from the start "
            f"({_reason(error)})"
        ) from error


def _raise_the_system_s(error: Exception) -> None:
    """Raise errors again that are none of the film's: the disk's, memory."""
    av = load_av("reading video files")
    if isinstance(error, (OSError, MemoryError)) and not isinstance(error, av.FFmpegError):
        raise error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def picture_stream(container: Any, path: Path) -> Any:
    """The track that players show: the one marked as default, or the first; no cover art, no thumbnails."""
    shown = [stream for stream in container.streams.video if not is_still(stream) and stream.codec_context is not None]
    if not shown:
        raise VideoError(f"{path}: no film in it; there are {len(container.streams.audio)} audio tracks")
    stream = next((stream for stream in shown if stream.disposition & _DEFAULT), shown[0])
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > _MOST_PIXELS:
        raise VideoError(f"{path}: expected frames of at most {_MOST_PIXELS:,} pixels, got {width}x{height}")
    return stream


def _sought(container: Any, stream: Any, time: Fraction) -> bool:
    """Whether the container now stands at a key frame that is said to lie before `time`."""
    try:
        container.seek(int(time / stream.time_base), stream=stream)
    except Exception as error:
        _raise_the_system_s(error)
        return False
    return True


def _length(stream: Any, container: Any, rate: Fraction) -> Fraction | None:
    """Seconds that the file promises for the pictures, counted from the start; None if it does not say."""
    if container.format.name == "avi" and stream.frames:  # FFmpeg shortens the duration to what is there
        return stream.frames / rate
    if stream.duration:
        return Fraction(stream.duration) * Fraction(stream.time_base)
    if match := re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "")):  # Matroska
        hours, minutes, seconds = match.groups()
        return (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, _MICROSECONDS)
    return None
