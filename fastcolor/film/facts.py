"""What a film says of itself beside pictures and sound: titles, languages, roles, chapters, timecode."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from .av import opened, picture_stream
from .film import Film
from .times import is_still

FILM = -1  # the place of what is said of the whole film, beside the numbers of its tracks

Facts = dict[tuple[int, str], str]  # (track or FILM, what) -> what is said

# Said by a file of how it was made, which is not true of another one.
_OF_THE_FILE = re.compile(
    r"encoder|software|timecode|(major|compatible)_brands?|minor_version|duration|handler_name|vendor_id|filename|mimetype|variant_bitrate"
    r"|(_statistics_.*|bps|number_of_(frames|bytes)|source_id)(-\w+)?"
)
_ESCAPED = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8, as Python keeps them
_TIMECODE = re.compile(r"\d\d:[0-5]\d:[0-5]\d[:;.]\d\d")
_DROPPING = (Fraction(30_000, 1001), Fraction(60_000, 1001))  # rates of timecodes that leave numbers out
_KINDS = {"audio": "sound", "video": "picture", "subtitle": "subtitle", "data": "data", "attachment": "attachment"}
_ROLES = ("dub", "original", "comment", "lyrics", "karaoke", "forced", "hearing_impaired", "visual_impaired")


def titles(metadata: dict[str, str]) -> dict[str, str]:
    """Names in lower case, as each container finds them, and what is said; without what is said of the file alone.

    Examples
    --------
    >>> titles({"TITLE": "A trip", "title-eng": "A trip", "ENCODER": "Lavf", "language": "und", "name": "Main"})
    {'title': 'A trip'}
    """
    said = {name.lower(): _readable(text) for name, text in metadata.items() if text}
    said.setdefault("title", said.pop("name", ""))  # what MP4 calls the title of a track
    if said.get("language") == "und":  # undetermined
        del said["language"]
    doubled = {name for name in said if name.rpartition("-")[0] in said}
    return {
        name: text for name, text in said.items() if text and name not in doubled and not _OF_THE_FILE.fullmatch(name)
    }


def _readable(text: str) -> str:
    """Titles that are no UTF-8 are those of Windows, as old AVI files have them."""
    if _ESCAPED.search(text):
        return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    return text


def roles(track: Any) -> list[str]:
    """What a track is for: "forced", "comment", "hearing_impaired" and so on."""
    return [role.name for role in type(track.disposition) if role in track.disposition and role.name in _ROLES]


def timecode(container: Any) -> str | None:
    """The first timecode that the container or a track of it says."""
    places = [container.metadata, *(stream.metadata for stream in container.streams)]
    for said in places:
        for name, text in said.items():
            if name.lower() == "timecode" and _TIMECODE.fullmatch(text):
                return text
    return None


def fits(code: str, rate: Fraction) -> bool:
    """Whether a film of this rate can have the timecode: one that leaves numbers out is for NTSC's rates alone."""
    return rate >= 1 and (code[-3] == ":" or rate in _DROPPING)


def chapters(container: Any, shift: Fraction, end: Fraction | None) -> list[dict[str, Any]]:
    """Chapters that a film has which begins at `shift` seconds of the container and is `end` seconds long."""
    kept = []
    for chapter in container.chapters():
        base = Fraction(chapter["time_base"])
        first, last = (max(chapter[name] * base - shift, Fraction(0)) for name in ("start", "end"))
        last = last if end is None else min(last, end)
        if first < last:
            ticks = {"start": round(first * 1000), "end": round(last * 1000), "time_base": Fraction(1, 1000)}
            kept.append({**chapter, **ticks})
    return kept


def facts(container: Any) -> Facts:
    """All that a film says."""
    said = of_film(container)
    for track in container.streams:
        said |= of_track(track, track.index)
    return said


def of_film(container: Any) -> Facts:
    """What is said of the whole film: titles, timecode, that there are chapters, a cover."""
    said = {(FILM, name): text for name, text in titles(container.metadata).items()}
    if found := container.chapters():
        said[FILM, "chapters"] = str(len(found))
    if any(_is_cover(track) for track in container.streams):
        said[FILM, "cover picture"] = "yes"
    if code := timecode(container):
        said[FILM, "timecode"] = code
    return said


def of_track(track: Any, number: int) -> Facts:
    """What is said of a track, under another number."""
    said = {(number, name): text for name, text in titles(track.metadata).items()}
    return said | {(number, f"role {role!r}"): role for role in roles(track)}


def missing(wanted: Facts, found: Facts) -> list[str]:
    """Names of what is wanted and not said."""
    absent = [(place, name) for place, name in wanted if (place, name) not in found]
    return [name if place == FILM else f"{name} of track {place}" for place, name in absent]


def names_beside(film: Film, *, sound: bool) -> list[str]:
    """All that a film has beside its pictures, by name: what a format without place for it leaves out."""
    if film.path is None:
        return []
    with opened(film.path) as source:
        pictures = picture_stream(source, film.path)
        names = [
            name
            for track, name in named(source)
            if track.index != pictures.index and (sound or track.type != "audio") and not is_made_of_facts(track)
        ]
        return names + missing(of_film(source), {})


def named(source: Any) -> Iterator[tuple[Any, str]]:
    """All tracks with their names, covers and attachments last."""
    kinds: Counter[str] = Counter()
    for track in sorted(source.streams, key=lambda track: _is_cover(track) or track.type == "attachment"):
        kinds[track.type] += 1
        yield track, name_of(track, kinds[track.type])


def is_made_of_facts(track: Any) -> bool:
    """Whether a data track is what MP4 makes of chapters or of a timecode, which are written as such."""
    return track.type == "data" and ("timecode" in track.metadata or track.name == "bin_data")


def name_of(track: Any, number: int) -> str:
    """For example "sound track 2 (aac, fra)"."""
    if track.type == "attachment":
        return f"attachment {track.name}"
    kind = "cover" if _is_cover(track) else _KINDS.get(track.type, track.type)
    codec = track.codec_context.name if track.codec_context is not None else "unknown codec"
    language = titles(track.metadata).get("language")
    return f"{kind} track {number} ({', '.join(filter(None, [codec, language]))})"


def _is_cover(track: Any) -> bool:
    return track.type == "video" and is_still(track)
