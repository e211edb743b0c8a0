"""What a film has beside its pictures, into another container: sound, subtitles, chapters, titles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import VideoError
from .av import INDEXED, opened, picture_stream
from .covers import MATROSKA, attach
from .facts import (
    FILM,
    Facts,
    chapters,
    facts,
    fits,
    is_made_of_facts,
    missing,
    named,
    of_film,
    of_track,
    timecode,
    titles,
)
from .film import Film
from .muxing import first_packets, holds, is_systems
from .sound import EncodedAnew, Way, copied
from .times import Timeline, clocked, is_still

MICROSECOND = Fraction(1, 1_000_000)

_KINDS = {"audio": "sound", "subtitle": "subtitles"}
_STANDS = 60  # seconds before the start of a part from which subtitles are read that may still stand there


class SideTracks:
    """Tracks are copied packet by packet; sound that the container does not hold is encoded anew.

    Parameters
    ----------
    av : module
    output : av.container.OutputContainer
        Its first track is the pictures'.
    film : Film
        Its start and end; what cannot be read or written is added to its problems.
    path : Path
        The file of the tracks.
    sound : bool
        Whether sound is kept.

    Attributes
    ----------
    left_out : list of str
        What the container has no place for, and what was encoded anew.
    """

    def __init__(self, av: Any, output: Any, film: Film, path: Path, *, sound: bool) -> None:
        self.av, self.output, self.film, self._path = av, output, film, path
        self.left_out: list[str] = []
        self._open = ExitStack()
        self._source = self._open.enter_context(opened(path))
        self._shift = film.origin + film.start
        self._end = None if film.end is None else film.end - film.start
        self._ways: dict[int, Way] = {}
        self._names: dict[int, str] = {}
        self._lost = 0  # packets
        self._first: list[Any] = []  # packets of covers
        self._wanted: Facts = {}
        self._say_titles()
        pictures = picture_stream(self._source, path)
        samples = first_packets(path)
        # A cover is no track in MP4, nor an attachment in Matroska: last, so that the numbers of tracks stay.
        for track, name in named(self._source):
            self._names[track.index] = name
            if track.index != pictures.index and (sound or track.type != "audio"):
                self._plan(track, samples.get(track.index))
        self._packets = self._read()
        self._waiting: tuple[Any, Fraction] | None = None

    def copy_until(self, time: Fraction | None) -> None:
        """Write the packets up to `time` in seconds; all that are left if it is None."""
        while self._first:
            self.output.mux(self._first.pop())
        while True:
            self._waiting = self._waiting or next(self._packets, None)
            if self._waiting is None or (time is not None and self._waiting[1] > time):
                break
            packet, self._waiting = self._waiting[0], None
            self._write(packet.stream.index, packet)
        if time is None:
            for index in self._ways:
                self._write(index, None)

    def lose(self, error: Any) -> None:
        """Count a packet that cannot be written; an error of the system, or without other tracks, is raised again.

        FFmpeg keeps a packet until it has one of each track, and says only then that it cannot write it: whoever puts
        another one into the file meets the error.
        """
        if is_systems(error) or not self._ways:
            raise error
        self._lost += 1

    def close(self) -> None:
        """Close the source, and say what was lost."""
        self._open.close()
        if self._lost:
            what = f"packets of {self._kinds()} that cannot be used are left out: {self._lost}"
            self.film.problems.append(f"{self._path}: {what}")

    def missing(self, written: Any) -> list[str]:
        """What the written film, open to be read, does not say although the source does.

        Raises
        ------
        VideoError
            It has not the pictures that it should have.
        """
        wanted = Counter(["video", *(way.stream.type for way in self._ways.values())])
        found = Counter(track.type for track in written.streams if not is_still(track) and track.type in wanted)
        if found["video"] != 1:
            raise VideoError(f"{self._path}: its {self._kinds()} cannot go into this container; write another one")
        if lacking := sum((wanted - found).values()):
            self.film.problems.append(f"{self._path}: damaged tracks of {self._kinds()}, lost: {lacking}")
        return missing(self._wanted, facts(written))

    def _kinds(self) -> str:
        """What the tracks are that go with the pictures: "sound or subtitles"."""
        kinds = {way.stream.type for way in self._ways.values()}
        return " or ".join(name for kind, name in _KINDS.items() if kind in kinds)

    def _say_titles(self) -> None:
        source, output = self._source, self.output
        output.metadata.update(titles(source.metadata))
        kept = chapters(source, self._shift, self._end)
        if kept and kept[0]["start"] and output.format.name != MATROSKA:  # there the first one begins with the film
            kept.insert(0, {**kept[0], "id": 0, "start": 0, "end": kept[0]["start"], "metadata": {"title": ""}})
        output.set_chapters(kept)
        self._describe(picture_stream(source, self._path), output.streams[0])
        self._wanted |= of_film(source)
        if not kept:
            self._wanted.pop((FILM, "chapters"), None)
        code = timecode(source)
        if code and fits(code, self.film.rate) and not self.film.start:  # else it would be that of another frame
            output.streams[0].metadata["timecode"] = code

    def _describe(self, track: Any, new: Any) -> None:
        new.metadata.update(titles(track.metadata))
        new.disposition = track.disposition
        self._wanted |= of_track(track, new.index)

    def _plan(self, track: Any, sample: Any) -> None:
        """Decide how a track of the source gets into the output, or that it does not."""
        name, container = self._names[track.index], self.output.format.name
        if is_still(track) or track.type == "attachment":
            first = attach(self.av, self.output, track, sample)
            self._first += first or []
            if first is None:
                self.left_out.append(name)
        elif track.type in ("audio", "subtitle") and holds(self.av, container, track, sample):
            self._take(track, copied(self.output, track))
        elif track.type == "audio" and track.codec_context is not None:
            self.left_out.append(f"{name} as it is, which is encoded anew as AAC")
            self._take(track, EncodedAnew(self.output, track))
        elif track.type == "audio":
            self.film.problems.append(f"{self._path}: {name} is left out: its codec is unknown")
        elif not is_made_of_facts(track):
            self.left_out.append(name)

    def _take(self, track: Any, way: Way) -> None:
        self._ways[track.index] = way
        self._describe(track, way.stream)

    def _write(self, index: int, packet: Any) -> None:
        way = self._ways[index]
        if packet is not None and not way.takes(packet):
            self._lost += 1
            return
        try:
            way.write(packet)
        except self.av.FFmpegError as error:
            self.lose(error)

    def _read(self) -> Iterator[tuple[Any, Fraction]]:
        """Packets between start and end, with their time in the new film."""
        timeline = Timeline(self._source)
        if self.film.start and self._source.format.name.startswith(INDEXED):
            with suppress(self.av.FFmpegError, OverflowError):  # then from the beginning
                early = _STANDS if any(way.stream.type == "subtitle" for way in self._ways.values()) else 0
                self._source.seek(int(max(self.film.origin, self._shift - early) / MICROSECOND))
        tracks = [*clocked(self._source), *(t for t in self._source.streams.subtitles if t.index in self._ways)]
        try:
            for packet in self._source.demux(tracks) if self._ways else ():
                timeline.retime(packet)
                if packet.pts is None or packet.dts is None or packet.stream.index not in self._ways:
                    continue  # pictures, and the mark at the end of a track
                base = Fraction(packet.time_base)
                time = packet.pts * base - self._shift
                if packet.stream.type == "subtitle":
                    time = self._clip(packet, time)
                if (self.film.start and time < 0) or (self._end is not None and time >= self._end):
                    continue
                ticks = round(self._shift / base)
                packet.pts -= ticks
                packet.dts -= ticks
                yield packet, time
        except self.av.FFmpegError as error:
            self.film.problems.append(f"{self._path}: {self._kinds()}: cannot be read any further ({error.strerror})")

    def _clip(self, packet: Any, time: Fraction) -> Fraction:
        """Let a line of subtitles stand only within the part of the film; its time there."""
        base = Fraction(packet.time_base)
        first, last = time, time + (packet.duration or 0) * base
        if self.film.start and first < 0 < last:
            first = Fraction(0)
        if self._end is not None:
            last = min(last, self._end)
        if last > first:
            ticks = round((first - time) / base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.duration = round((last - first) / base)
        return first
