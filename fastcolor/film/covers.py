"""Cover pictures and attached files, such as fonts of subtitles, into another container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .av import is_cover
from .muxing import holds

_MATROSKA = "matroska"


def attach(av: Any, output: Any, path: Path, track: Any) -> list[Any] | None:
    """Add the cover or attachment `track` of the film at `path`; packets that are to be written first.

    Returns
    -------
    list of Packet, or None
        None if the container has no place for it.
    """
    matroska = output.format.name == _MATROSKA
    if not is_cover(track):
        if matroska:
            output.add_attachment(track.name or "attachment", track.mimetype or "", track.data)
        return [] if matroska else None
    if not matroska and not holds(av, output.format.name, track):
        return None
    packet = _picture(av, path, track)
    if packet is None:
        return []
    if matroska:
        kind, suffix = ("png", "png") if track.codec_context.name == "png" else ("jpeg", "jpg")
        output.add_attachment(f"cover.{suffix}", f"image/{kind}", bytes(packet))
        return []
    packet.stream = output.add_stream_from_template(track, opaque=True)
    packet.stream.disposition = track.disposition
    packet.pts = packet.dts = 0
    return [packet]


def _picture(av: Any, path: Path, track: Any) -> Any:
    """The one packet of a cover."""
    with av.open(os.fspath(path)) as source:
        return next((packet for packet in source.demux(source.streams[track.index]) if packet.size), None)
