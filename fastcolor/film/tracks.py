"""What a film has beside its pictures, into another container: sound, subtitles, chapters, titles."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol

from .av import is_cover, load_av, picture_stream
from .facts import FILM, Facts, chapters, facts, missing, of_film, of_track, timecode, titles
from .film import Film
from .muxing import holds, is_systems
from .times import Timeline

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # of AAC
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_AAC_BITS = 96_000  # a second and channel
_KINDS = {"audio": "sound", "video": "picture", "subtitle": "subtitle", "data": "data", "attachment": "attachment"}
_MATROSKA = "matroska"


class SideTracks:
    """Tracks are copied packet by packet; sound that the container does not hold is encoded anew.

    Parameters
    ----------
    av : module
    output : av.container.OutputContainer
        Its first track is the pictures'.
    film : Film
        With the file of the tracks.
    sound : bool
        Whether sound is kept.

    Attributes
    ----------
    left_out : list of str
        What the container has no place for, and what was encoded anew.
    """

    def __init__(self, av: Any, output: Any, film: Film, *, sound: bool) -> None:
        self.av, self.output, self.film = av, output, film
        self.left_out: list[str] = []
        self._source = av.open(os.fspath(film.path))
        self._shift = film.origin + film.start
        self._end = None if film.end is None else film.end - film.start
        self._ways: dict[int, _Way] = {}
        self._names: dict[int, str] = {}
        self._lost: Counter[int] = Counter()
        self._given = 0  # packets to the muxer
        self._covers: list[Any] = []
        self._wanted: Facts = {}
        self._say_titles()
        pictures = picture_stream(self._source, film.path)
        # A cover is no track in MP4, nor an attachment in Matroska: last, so that the numbers of tracks stay.
        for track, name in _named(self._source):
            self._names[track.index] = name
            if track.index != pictures.index and (sound or track.type != "audio"):
                self._plan(track)
        self._packets = self._read()
        self._waiting: tuple[Any, Fraction] | None = None

    def copy_until(self, time: Fraction | None) -> None:
        """Write the packets up to `time` in seconds; all that are left if it is None."""
        while self._covers:
            self.output.mux(self._covers.pop())
        while True:
            self._waiting = self._waiting or next(self._packets, None)
            if self._waiting is None or (time is not None and self._waiting[1] > time):
                break
            packet, self._waiting = self._waiting[0], None
            self._write(packet.stream.index, packet)
        if time is None:
            for index in self._ways:
                self._write(index, None)
            self._source.close()
            self.film.problems += [
                f"{self.film.path}: {count} unusable packets of {self._names[index]} are left out"
                for index, count in self._lost.items()
            ]

    def lose(self, error: Exception) -> None:
        """Count a packet that the muxer had kept, and cannot write; `error` if none can be the reason."""
        if sum(self._lost.values()) >= self._given:
            raise error
        self._lost[min(self._ways)] += 1

    def missing(self, written: Any) -> list[str]:
        """What the written film, open to be read, does not say although the source does."""
        return missing(self._wanted, facts(written))

    def _say_titles(self) -> None:
        film, source, output = self.film, self._source, self.output
        output.metadata.update(titles(source.metadata))
        output.set_chapters(chapters(source, self._shift, self._end))
        self._wanted |= of_film(source)
        if not output.chapters():
            self._wanted.pop((FILM, "chapters"), None)
        pictures = output.streams[0]
        self._describe(picture_stream(source, film.path), pictures)
        for said in (output.metadata, pictures.metadata):
            said.pop("timecode", None)
        if code := timecode(source, film.rate):
            self._wanted[0, "timecode"] = code
            if not film.start:  # it would be that of another frame
                pictures.metadata["timecode"] = code

    def _describe(self, track: Any, new: Any) -> None:
        new.metadata.update(titles(track.metadata))
        new.disposition = track.disposition
        self._wanted |= of_track(track, new.index)

    def _plan(self, track: Any) -> None:
        """Decide how a track of the source gets into the output, or that it does not."""
        name, container = self._names[track.index], self.output.format.name
        if is_cover(track) and container == _MATROSKA:
            self._attach_cover(track)
        elif track.type == "attachment" and container == _MATROSKA:
            self.output.add_attachment(track.name or "attachment", track.mimetype or "", track.data)
        elif is_cover(track) and holds(self.av, container, track):
            self._copy_cover(track)
        elif track.type in ("audio", "subtitle") and holds(self.av, container, track):
            self._take(track, _Copied(self.output, track))
        elif track.type == "audio" and track.codec_context is not None:
            self.left_out.append(f"{name} as it is, which is encoded anew as AAC")
            self._take(track, _EncodedAnew(self.output, track))
        elif track.type == "audio":
            self.film.problems.append(f"{self.film.path}: {name} is left out: its codec is unknown")
        elif not _is_made_of_facts(track):
            self.left_out.append(name)

    def _take(self, track: Any, way: _Way) -> None:
        self._ways[track.index] = way
        self._describe(track, way.stream)

    def _cover(self, track: Any) -> Any:
        with self.av.open(os.fspath(self.film.path)) as source:
            for packet in source.demux(source.streams[track.index]):
                if packet.size:
                    return packet
        return None

    def _copy_cover(self, track: Any) -> None:
        packet = self._cover(track)
        if packet is not None:
            packet.stream = self.output.add_stream_from_template(track, opaque=True)
            packet.stream.disposition = track.disposition
            packet.pts = packet.dts = 0
            self._covers.append(packet)

    def _attach_cover(self, track: Any) -> None:
        packet = self._cover(track)
        if packet is not None:
            kind = "png" if track.codec_context.name == "png" else "jpeg"
            self.output.add_attachment(f"cover.{kind.replace('jpeg', 'jpg')}", f"image/{kind}", bytes(packet))

    def _write(self, index: int, packet: Any) -> None:
        self._given += 1
        try:
            self._ways[index].write(packet)
        except self.av.FFmpegError as error:
            if is_systems(error):
                raise
            self._lost[index] += 1

    def _read(self) -> Iterator[tuple[Any, Fraction]]:
        """Packets between start and end, with their time in the new film."""
        timeline = Timeline(self._source)
        tracks = [t for t in self._source.streams if t.type in ("video", "audio") and not is_cover(t)]
        tracks += [t for t in self._source.streams if t.type == "subtitle" and t.index in self._ways]
        try:
            for packet in self._source.demux(tracks) if self._ways else ():
                timeline.retime(packet)
                if packet.pts is None or packet.dts is None or packet.stream.index not in self._ways:
                    continue  # pictures, and the mark at the end of a track
                base = Fraction(packet.time_base)
                time = packet.pts * base - self._shift
                if (self.film.start and time < 0) or (self._end is not None and time >= self._end):
                    continue
                ticks = round(self._shift / base)
                packet.pts -= ticks
                packet.dts -= ticks
                yield packet, time
        except self.av.FFmpegError as error:
            self.film.problems.append(f"{self.film.path}: sound: cannot be read any further ({error.strerror})")


class _Way(Protocol):
    """How a track gets into the output."""

    stream: Any

    def write(self, packet: Any) -> None:
        """Write a packet of the source, or what is left if it is None."""


class _Copied:
    def __init__(self, output: Any, track: Any) -> None:
        self.output = output
        self.stream = output.add_stream_from_template(track, opaque=True)

    def write(self, packet: Any) -> None:
        if packet is not None:
            packet.stream = self.stream
            self.output.mux(packet)


class _EncodedAnew:
    """Decoded, and encoded as AAC."""

    def __init__(self, output: Any, track: Any) -> None:
        self.output, self.track = output, track
        context = track.codec_context
        rate = next((rate for rate in _RATES if rate <= context.sample_rate), _RATES[-1])
        channels = context.layout.nb_channels if context.layout.nb_channels in _LAYOUTS else 2
        self.stream = output.add_stream("aac", rate=rate, layout=_LAYOUTS[channels])
        self.stream.bit_rate = _AAC_BITS * channels

    def write(self, packet: Any) -> None:
        for frame in self.track.decode(packet):
            self.output.mux(self.stream.encode(frame))
        if packet is None:
            self.output.mux(self.stream.encode(None))


def names_beside(film: Film, *, sound: bool) -> list[str]:
    """All that a film has beside its pictures, by name: what a format without place for it leaves out."""
    if film.path is None:
        return []
    av = load_av("reading video files")
    with av.open(os.fspath(film.path)) as source:
        pictures = picture_stream(source, film.path)
        names = [
            name
            for track, name in _named(source)
            if track.index != pictures.index and (sound or track.type != "audio") and not _is_made_of_facts(track)
        ]
        return names + missing(of_film(source), {})


def _named(source: Any) -> Iterator[tuple[Any, str]]:
    """All tracks with their names, covers and attachments last."""
    kinds: Counter[str] = Counter()
    for track in sorted(source.streams, key=lambda track: is_cover(track) or track.type == "attachment"):
        kinds[track.type] += 1
        yield track, _name(track, kinds[track.type])


def _is_made_of_facts(track: Any) -> bool:
    """Whether a data track is what MP4 makes of chapters or of a timecode, which are written as such."""
    return track.type == "data" and ("timecode" in track.metadata or track.name == "bin_data")


def _name(track: Any, number: int) -> str:
    """For example "sound track 2 (aac, fra)"."""
    if track.type == "attachment":
        return f"attachment {track.name}"
    kind = "cover" if is_cover(track) else _KINDS.get(track.type, track.type)
    codec = track.codec_context.name if track.codec_context is not None else "unknown codec"
    language = titles(track.metadata).get("language")
    return f"{kind} track {number} ({', '.join(filter(None, [codec, language]))})"
