"""Times that go on where those of a file jump: films joined end to end, clocks set anew, absurd time stamps."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

BACK = Fraction(1, 4)  # seconds that a track's packets may be out of order
GAP = Fraction(10)  # seconds without a packet in formats whose clock may be set anew: MPEG-TS, MPEG-PS (VOB)
LONGEST_GAP = Fraction(3600)  # in formats whose times are one clock's
_REORDERED = 4  # frames by which decoding may precede showing

_ATTACHED, _THUMBNAILS = 0x400, 0x800  # FFmpeg's dispositions of pictures that are no film
_TS_DISCONT = 0x200  # FFmpeg's flag of formats whose clock may be set anew

_DELAY = 64  # frames that a decoder keeps at most, in order to sort them


def is_still(stream: Any) -> bool:
    """Whether a picture track is cover art or thumbnails."""
    return bool(stream.disposition & (_ATTACHED | _THUMBNAILS))


def clocked(container: Any) -> list[Any]:
    """The tracks that a :class:`Timeline` must see: pictures and sound."""
    return [stream for stream in container.streams if stream.type in ("video", "audio") and not is_still(stream)]


@dataclass
class _Track:
    shift: Fraction  # seconds added to the file's times
    last: Fraction | None = None  # when the last packet begins and ends, shifted
    end: Fraction | None = None
    ticks: int | None = None  # its decoding time


class Timeline:
    """``t' = t + s``, s changed at a joint so that the first packet after it begins where the longest track ended.

    A joint is where a track of pictures or sound goes back by more than a quarter of a second, or leaves the longest
    track more than ten seconds behind (an hour in formats that have one clock). What one track shows is true for all:
    each takes over the new shift where its own packets jump, so that sound and pictures stay together, whichever comes
    first. Decoding times of sound and subtitles only increase.

    Pictures and sound are read apart. Both find the same joints if each gives all packets of picture and sound tracks
    to a timeline of its own, from the start of the file.

    Parameters
    ----------
    container : av.container.InputContainer

    Attributes
    ----------
    joints : int
        How many there were.
    one_clock : bool
        Whether times that jump are not what they should be in this format.
    closed : Fraction
        Seconds that were left out where times jumped ahead.
    """

    def __init__(self, container: Any) -> None:
        self.one_clock = not container.format.flags & _TS_DISCONT
        self._gap = LONGEST_GAP if self.one_clock else GAP
        self._ahead = _REORDERED * LONGEST_GAP if self.one_clock else GAP  # of decoding
        self._shift = Fraction(0)
        self._tracks: dict[int, _Track] = {}
        self.joints, self.closed = 0, Fraction(0)

    @property
    def end(self) -> Fraction:
        """Where the longest track has ended so far, in seconds."""
        return max((track.end for track in self._tracks.values() if track.end is not None), default=Fraction(0))

    def retime(self, packet: Any) -> None:
        """Set the packet's ``pts`` and ``dts``; one without times stays as it is."""
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None:
            return
        base = Fraction(packet.time_base)
        track = self._tracks.setdefault(packet.stream.index, _Track(self._shift))
        if packet.stream.type in ("video", "audio"):
            self._follow(track, stamp * base)
            track.last = stamp * base + track.shift
            track.end = track.last + min((packet.duration or 0) * base, self._gap)
        else:  # subtitles come rarely, and say nothing of the clock
            track.shift = self._shift
        if packet.pts is not None and packet.dts is not None and abs(packet.pts - packet.dts) * base > self._ahead:
            packet.pts = packet.dts
        ticks = round(track.shift / base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        if packet.stream.type != "video":
            _increase(packet, track)

    def _follow(self, track: _Track, time: Fraction) -> None:
        """Set the track's shift for a packet at `time` in the file."""
        if self._goes_on(track, time + track.shift):
            return
        if not self._goes_on(track, time + self._shift):
            self.closed += max(Fraction(0), time + self._shift - self.end)
            self._shift = self.end - time
            self.joints += 1
        track.shift = self._shift

    def _goes_on(self, track: _Track, time: Fraction) -> bool:
        return track.last is None or track.last - BACK <= time <= self.end + self._gap


def _increase(packet: Any, track: _Track) -> None:
    if packet.dts is None:
        return
    if track.ticks is not None and packet.dts <= track.ticks:
        packet.dts = track.ticks + 1
    track.ticks = packet.dts
    if packet.pts is not None and packet.pts < packet.dts:
        packet.pts = packet.dts


class PresentationOrder:
    """Gives decoded frames times where the file has times of decoding only.

    AVI keeps frames in the order in which they are coded: FFmpeg's guess when to show them is wrong if there are
    frames between frames. The first that comes out of the decoder is shown at the first time, and so on.
    """

    def __init__(self, container: Any) -> None:
        self._times: deque[int] | None = deque() if container.format.name == "avi" else None

    def sent(self, packet: Any) -> Any:
        """The packet, as it is to be decoded."""
        if self._times is not None and packet is not None and packet.dts is not None:
            self._times.append(packet.dts)
            if len(self._times) > _DELAY:  # frames were lost
                self._times.popleft()
        return packet

    def received(self, frame: Any) -> Any:
        """The frame, with its time."""
        if self._times is not None:
            frame.pts = self._times.popleft() if self._times else None
        return frame


class FrameClock:
    """Times and durations of frames as they come: increasing, whatever the file says.

    A frame without a time follows its predecessor after that one's duration; one that is not later than its
    predecessor follows after half of it, so that one doubled time is made good by the next frame, and a clock that
    stands still does not make a film of no length.

    Attributes
    ----------
    time, duration : Fraction
        Of the last frame, in seconds.
    """

    def __init__(self, rate: Fraction, time_base: Fraction, origin: Fraction) -> None:
        self._base, self._origin = time_base, origin
        self.duration = min(1 / rate, LONGEST_GAP)
        self.time = -self.duration

    def step(self, frame: Any) -> None:
        """Take the next frame's time."""
        if frame.pts is None:
            self.time += self.duration
        else:
            time = frame.pts * self._base - self._origin
            half = max(self._base, self.duration / 2 // self._base * self._base)
            self.time = time if time > self.time else self.time + half
        if frame.duration:
            self.duration = min(frame.duration * self._base, LONGEST_GAP)
