"""Video files by PyAV (FFmpeg): what can be read is read, what is damaged is skipped, see ``Film.problems``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, VideoError
from .film import DEFAULT_RATE, Film, FilmFrame

_NEUTRAL = 1  # chroma of a gray film may be this far from 128
_MICROSECONDS = 1_000_000


class VideoFile(Film):
    """Anything that FFmpeg reads."""

    def __init__(self, path: Path, start: Fraction, end: Fraction | None) -> None:
        super().__init__(start, end)
        self.path: Path = path
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
        stream = picture_stream(container, self.path)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or DEFAULT_RATE
        self.rate = Fraction(rate).limit_denominator(65_535)
        self.time_base = Fraction(stream.time_base)
        self.aspect = Fraction(stream.sample_aspect_ratio or 1)
        self.origin = max(Fraction(container.start_time or 0, _MICROSECONDS), Fraction(0))
        self._length = _length(stream, container)  # seconds
        self._packets = stream.frames  # 0 if the file does not say
        self._expect(stream.frames or round((self._length or 0) * self.rate))

    def _frames(self) -> Iterator[FilmFrame]:
        av = load_av("reading video files")
        reformat = av.video.reformatter.VideoReformatter().reformat
        time, duration = -1 / self.rate, 1 / self.rate
        with av.open(os.fspath(self.path)) as container:
            stream = picture_stream(container, self.path)
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


def picture_stream(container: Any, path: Path) -> Any:
    """The track whose pictures are the film: the first that is no cover and can be decoded."""
    for stream in container.streams.video:
        if not is_cover(stream) and stream.codec_context is not None:
            return stream
    raise VideoError(f"{path}: no video stream; there are {len(container.streams.audio)} audio tracks")


def is_cover(stream: Any) -> bool:
    """Whether it is a picture that stands for the whole film: no track that lasts."""
    return stream.type == "video" and bool(stream.disposition & type(stream.disposition).attached_pic)


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
