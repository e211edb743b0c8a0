"""Times that go on where those of a file jump: films joined end to end, clocks set anew, absurd time stamps."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

BACK = Fraction(1, 4)  # seconds that a track's packets may be out of order
GAP = Fraction(10)  # seconds without a packet in formats whose clock may be set anew: MPEG-TS, MPEG-PS (VOB)
LONGEST_GAP = Fraction(3600)  # in formats whose times are one clock's

_TS_DISCONT = 0x200  # FFmpeg's flag of formats whose clock may be set anew


@dataclass
class _Track:
    shift: Fraction  # seconds added to the file's times
    end: Fraction | None = None  # of the last packet, shifted
    ticks: int | None = None  # its decoding time


class Timeline:
    """``t' = t + s``, s changed at a joint so that the first packet after it begins where the longest track ended.

    A joint is where a track of pictures or sound goes back by more than a quarter of a second, or leaves a gap of more
    than ten seconds (an hour in formats that have one clock). What one track shows is true for all: each takes over
    the new shift where its own packets jump, so that sound and pictures stay together, whichever comes first. Decoding
    times of sound and subtitles only increase.

    Pictures and sound are read apart. Both find the same joints if each gives all packets of picture and sound tracks
    to a timeline of its own, from the start of the file.

    Parameters
    ----------
    container : av.container.InputContainer

    Attributes
    ----------
    joints : int
        How many there were.
    """

    def __init__(self, container: Any) -> None:
        self._gap = GAP if container.format.flags & _TS_DISCONT else LONGEST_GAP
        self._shift = Fraction(0)
        self._tracks: dict[int, _Track] = {}
        self.joints = 0

    def retime(self, packet: Any) -> None:
        """Set the packet's ``pts`` and ``dts``; one without times stays as it is."""
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None:
            return
        base = Fraction(packet.time_base)
        track = self._tracks.setdefault(packet.stream.index, _Track(self._shift))
        if packet.stream.type in ("video", "audio"):
            self._follow(track, stamp * base)
            track.end = stamp * base + track.shift + (packet.duration or 0) * base
        else:  # subtitles come rarely, and say nothing of the clock
            track.shift = self._shift
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
            self._shift = max(other.end for other in self._tracks.values() if other.end is not None) - time
            self.joints += 1
        track.shift = self._shift

    def _goes_on(self, track: _Track, time: Fraction) -> bool:
        return track.end is None or track.end - BACK <= time <= track.end + self._gap


def _increase(packet: Any, track: _Track) -> None:
    if packet.dts is None:
        return
    if track.ticks is not None and packet.dts <= track.ticks:
        packet.dts = track.ticks + 1
    track.ticks = packet.dts
    if packet.pts is not None and packet.pts < packet.dts:
        packet.pts = packet.dts
