"""What a film is here: upright frames with exact times, and what must survive of the file that they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DEFAULT_RATE = Fraction(25)
SLOWEST, FASTEST = Fraction(1, 10_000), Fraction(1000)  # frames a second; MP4 has 32 bits for how long a frame stands


class FilmFrame(NamedTuple):
    """One frame: luma uint8 (H, W), or RGB (H, W, 3) of a film opened in color; time and duration in seconds."""

    pixels: NDArray[np.uint8]
    time: Fraction
    duration: Fraction


class Film(ABC):
    """Frames in order, and what must survive: rate, time base, aspect, the file with the other tracks.

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
    name : str
        As messages call it.
    length : Fraction or None
        Seconds, if they are known.
    path : Path or None
        The video file whose sound, subtitles, chapters and titles go with the pictures; its times count from `origin`
        seconds.
    problems : list of str
        What could not be read. Complete after the last frame.
    """

    rate = DEFAULT_RATE
    time_base = 1 / DEFAULT_RATE
    count: int | None = None
    aspect = Fraction(1)
    name = "film"
    length: Fraction | None = None
    path: Path | None = None
    origin = Fraction(0)

    def __init__(self, start: Fraction = Fraction(0), end: Fraction | None = None) -> None:
        if start < 0 or (end is not None and end <= start):
            raise ValueError(f"start, end: expected 0 <= start < end in seconds, got {float(start):g} and {end}")
        self.start, self.end = start, end
        self.problems: list[str] = []

    def __iter__(self) -> Iterator[FilmFrame]:
        """The frames that begin between `start` and `end`, or, if none does, the one that stands there.

        Times count from `start`; a frame stands until `end` at most.
        """
        standing: FilmFrame | None = None  # the last that begins before the part
        came = False
        for frame in self._frames():
            if self.end is not None and frame.time >= self.end:
                break
            if frame.time < self.start:
                standing = frame
                continue
            came = True
            yield self._in_part(frame)
        if came:
            return
        if standing is not None and standing.time + standing.duration > self.start:
            yield self._in_part(standing)
        elif self.start and (self.length is None or self.start >= self.length):
            end = "" if self.length is None else f", at {float(self.length):.2f} s"
            self.problems.append(
                f"start: expected one before the end of {self.name}{end}, got {float(self.start):.2f} s"
            )

    def _in_part(self, frame: FilmFrame) -> FilmFrame:
        """What of a frame's time lies between `start` and `end`, counted from `start`."""
        first, last = max(frame.time, self.start), frame.time + frame.duration
        if self.end is not None:
            last = min(last, self.end)
        return frame._replace(time=first - self.start, duration=last - first)

    @abstractmethod
    def _frames(self) -> Iterator[FilmFrame]:
        """All frames of the film, in order; those that no longer stand at `start` may be left out."""

    def _expect(self, frames: int) -> None:
        """Set `count` from the number of frames in the whole film."""
        first, last = int(self.start * self.rate), frames if self.end is None else int(self.end * self.rate)
        self.count = max(0, min(frames, last) - first) or None
