"""Video files read: what can be read is read, what is damaged is skipped, what is missing is told."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from .av import INDEXED, damage, load_av, opened, picture_stream, raise_the_system_s, reason
from .display import Orientation, orientation_of
from .film import DEFAULT_RATE, FASTEST, SLOWEST, Film, FilmFrame
from .planes import UNSPECIFIED, check_picture, luma_plane, rgb_of
from .times import FrameClock, PresentationOrder, Timeline, clocked

_MICROSECONDS = 1_000_000
_FINEST = 65_535  # the denominator of a rate has 16 bits in MPEG-4
_LOOK = 300  # packets that are read before the first frame must have come
_AVI = "avi"
_SLACK = 3  # frames at the end that may be missing, or less long than the file says
_AVI_SLACK = Fraction(1, 2)  # in AVI, which counts frames
_UNITS = {"mpegts": (188, 192, 204), "dv": (120_000, 144_000)}  # bytes of what such a file is made of

Frames = Generator[Any, None, None]


class VideoFile(Film):
    """Anything that FFmpeg reads, of one file: what a playlist names is not opened."""

    def __init__(self, path: Path, start: Fraction, end: Fraction | None, color: bool) -> None:
        super().__init__(start, end)
        self.path: Path = path
        self.name = str(path)
        self._color = color
        with opened(path) as container, damage(path):
            self._describe(container)

    def _describe(self, container: Any) -> None:
        stream = picture_stream(container, self.path)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or DEFAULT_RATE
        believed = max(SLOWEST, Fraction(rate).limit_denominator(_FINEST))
        self.rate = believed if 0 < rate <= FASTEST else DEFAULT_RATE
        self.time_base = Fraction(stream.time_base)
        self.origin = Fraction(container.start_time or 0, _MICROSECONDS)
        if self.origin < 0:  # sound may begin before the pictures do
            self.origin = min(Fraction(0), (stream.start_time or 0) * self.time_base)
        self._indexed = container.format.name.startswith(INDEXED)
        self._note_promises(container, stream)
        self._curve = stream.codec_context.color_trc  # before decoding: what ProRes itself does not say is lost then
        coded = Fraction(stream.sample_aspect_ratio or 1)
        self._orientation = self._look(container, stream)
        self.aspect = self._orientation.aspect(coded)

    def _note_promises(self, container: Any, stream: Any) -> None:
        """What the file says of its length, so that what is missing can be told."""
        name = container.format.name
        self._promised = stream.frames  # 0 if the file does not say
        self.length = _length(stream, container, self.rate)  # of the pictures
        self._slack = _AVI_SLACK if name == _AVI else _SLACK
        self._whole = (
            Fraction(container.duration or 0, _MICROSECONDS) if name == "flv" else Fraction(0)
        )  # of all tracks
        self._broken_off = all(self.path.stat().st_size % size for size in _UNITS.get(name, (1,)))
        self._expect(self._promised or round((self.length or 0) * self.rate))

    def _look(self, container: Any, stream: Any) -> Orientation:
        """How the first frame is to be shown; also finds out whether its pixels can be read."""
        with closing(self._decoded(container, stream, Timeline(container), _LOOK)) as frames:
            first = next(frames, None)
        self.problems.clear()
        if first is None:
            return Orientation()
        self._pixels(first, new=True)
        return orientation_of(first)

    def _frames(self) -> Iterator[FilmFrame]:
        clock, count, seek = FrameClock(self.rate, self.time_base, self.origin), 0, self._can_seek()
        shown: tuple[Any, Fraction] | None = None  # the frame that stands until the next one comes, and since when
        with opened(self.path) as container:
            stream, timeline = picture_stream(container, self.path), Timeline(container)
            stream.thread_type = "AUTO"
            if seek:
                self._seek(container, stream)
            with closing(self._decoded(container, stream, timeline)) as frames:
                for frame in frames:
                    count += 1
                    clock.step(frame)
                    if shown is not None and clock.time > self.start:
                        yield self._film_frame(*shown, clock.time)
                    if self.end is not None and clock.time >= self.end:
                        return
                    shown = frame, clock.time
                if shown is not None:
                    yield self._film_frame(*shown, clock.time + clock.duration)
        if not count:
            self.problems.append(f"{self.path}: no frame of it can be decoded")
        elif self.end is None or clock.time + clock.duration < self.end:
            self._tell_cut(0 if seek else count, clock, timeline)

    def _film_frame(self, frame: Any, time: Fraction, end: Fraction) -> FilmFrame:
        """A decoded frame that stands from `time` until `end`: what its packet says is of the order of decoding."""
        return FilmFrame(self._orientation.shown(self._pixels(frame)), time, end - time)

    def _can_seek(self) -> bool:
        """Whether reading may begin at a key frame before the start; else all frames before it are decoded."""
        if not self.start or not self._indexed:
            return False
        with opened(self.path) as container:
            stream = picture_stream(container, self.path)
            try:
                self._seek(container, stream)
            except Exception as error:
                raise_the_system_s(error)
                return False
            with closing(self._decoded(container, stream, Timeline(container), _LOOK)) as frames:
                first = next(frames, None)
        self.problems.clear()
        return first is not None and first.pts is not None and first.pts * self.time_base <= self.origin + self.start

    def _seek(self, container: Any, stream: Any) -> None:
        container.seek(int((self.origin + self.start) / self.time_base), stream=stream)

    def _tell_cut(self, count: int, clock: FrameClock, timeline: Timeline) -> None:
        """Tell what is missing: of the pictures (`count` came, 0 if unknown), or of all tracks."""
        came, end = clock.time + clock.duration, timeline.end - self.origin
        if timeline.one_clock and timeline.closed:
            what = f"no frame for more than an hour, which is cut: {float(timeline.closed):,.0f} s in all"
        elif self.length is not None and came + self._slack * clock.duration < self.length:
            said, got = f"{float(self.length):.2f} s", f"{float(came):.2f} s"
            if self._promised and count:
                said, got = f"{self._promised} frames ({said})", f"{count} ({got})"
            what = f"truncated: the file says {said}, got {got}"
        elif end + _SLACK * clock.duration < self._whole:
            what = f"truncated: the file says {float(self._whole):.2f} s, got {float(end):.2f} s"
        elif self._broken_off:
            what = "truncated: it ends within a packet"
        else:
            return
        self.problems.append(f"{self.path}: {what}")

    def _decoded(self, container: Any, stream: Any, timeline: Timeline, most: int | None = None) -> Frames:
        """Frames; what cannot be decoded is skipped, and the end comes where nothing more can be read."""
        av = load_av("reading video files")
        order = PresentationOrder(container)
        packets = islice(container.demux(clocked(container)), most)
        damaged = broken = 0
        try:
            while True:
                packet = self._next(packets)
                if packet is not None:
                    timeline.retime(packet)
                    if packet.stream.index != stream.index or not packet.size:  # nothing: AVI repeats a frame
                        continue
                    broken += packet.is_corrupt
                try:
                    for frame in stream.decode(order.sent(packet)):
                        damaged += frame.is_corrupt
                        yield order.received(frame)
                except av.EOFError:  # nothing was left in the decoder
                    pass
                except av.FFmpegError:
                    damaged += 1
                if packet is None:
                    return
        finally:
            damaged += max(0, broken - timeline.joints)  # a joint looks like a packet lost
            if damaged:
                self.problems.append(
                    f"{self.path}: damaged packets or frames: {damaged}; some frames are missing or broken"
                )

    def _next(self, packets: Iterator[Any]) -> Any:
        """The next packet; None where there are none, or cannot be read any further."""
        try:
            return next(packets, None)
        except Exception as error:
            raise_the_system_s(error)
            self.problems.append(f"{self.path}: cannot be read any further ({reason(error)})")
            return None

    def _pixels(self, frame: Any, *, new: bool = False) -> NDArray[np.uint8]:
        """Luma or RGB of a frame, which is the first one of the film if it is `new`."""
        if frame.color_trc == UNSPECIFIED:
            frame.color_trc = self._curve
        try:
            if new:
                check_picture(frame)
            return rgb_of(frame) if self._color else luma_plane(frame)
        except VideoError as error:
            raise VideoError(f"{self.path}: {error}") from error


def _length(stream: Any, container: Any, rate: Fraction) -> Fraction | None:
    """Seconds that the file promises for the pictures, counted from the start; None if it does not say."""
    if container.format.name == _AVI and stream.frames:  # FFmpeg shortens the duration to what is there
        return stream.frames / rate
    if stream.duration:
        return Fraction(stream.duration) * Fraction(stream.time_base)
    if match := re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "")):  # Matroska
        hours, minutes, seconds = match.groups()
        return (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, _MICROSECONDS)
    return None
