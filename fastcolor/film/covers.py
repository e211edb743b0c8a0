"""Cover pictures and attached files, such as fonts of subtitles, into another container."""

from __future__ import annotations

from typing import Any

from .muxing import holds

MATROSKA = "matroska"


def attach(av: Any, output: Any, track: Any, packet: Any) -> list[Any] | None:
    """Add the attachment `track`, or the cover in its one packet; packets that are to be written first.

    Returns
    -------
    list of Packet, or None
        None if the container has no place for it.
    """
    matroska = output.format.name == MATROSKA
    if track.type == "attachment":
        if matroska:
            output.add_attachment(track.name or "attachment", track.mimetype or "", track.data)
        return [] if matroska else None
    if packet is None:
        return []
    if not matroska and not holds(av, output.format.name, track, packet):
        return None
    if matroska:
        kind, suffix = ("png", "png") if track.codec_context.name == "png" else ("jpeg", "jpg")
        output.add_attachment(f"cover.{suffix}", f"image/{kind}", bytes(packet))
        return []
    packet.stream = output.add_stream_from_template(track, opaque=True)
    packet.stream.disposition = track.disposition
    packet.pts = packet.dts = 0
    return [packet]
