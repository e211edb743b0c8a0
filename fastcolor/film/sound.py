"""How a track gets into another container: packet by packet, or, where that does not hold it, as AAC."""

from __future__ import annotations

from typing import Any, Protocol

from .av import INDEXED

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # of AAC
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_BITS = 96_000  # a second and channel


class Way(Protocol):
    """How a track gets into the output."""

    stream: Any

    def takes(self, packet: Any) -> bool:
        """Whether a packet of the source can be used."""

    def write(self, packet: Any) -> None:
        """Write a packet of the source, or what is left if it is None."""


class Copied:
    """The packets as they are."""

    def __init__(self, output: Any, track: Any) -> None:
        self.output = output
        self.stream = output.add_stream_from_template(track, opaque=True)
        self._raw_aac = track.codec_context.name == "aac" and track.container.format.name.startswith(INDEXED)

    def takes(self, packet: Any) -> bool:
        """False for raw AAC that looks like a frame with a header: FFmpeg would take its damage for a new format."""
        head = bytes(packet)[:2] if self._raw_aac else b""
        return int.from_bytes(head, "big") & 0xFFF0 != 0xFFF0

    def write(self, packet: Any) -> None:
        """As it is."""
        if packet is not None:
            packet.stream = self.stream
            self.output.mux(packet)


class EncodedAnew:
    """Decoded, and encoded as AAC: of its channels all, up to eight, at the nearest lower rate that AAC has."""

    def __init__(self, output: Any, track: Any) -> None:
        self.output, self.track = output, track
        context = track.codec_context
        rate = next((rate for rate in _RATES if rate <= context.sample_rate), _RATES[-1])
        channels = context.layout.nb_channels if context.layout.nb_channels in _LAYOUTS else 2
        self.stream = output.add_stream("aac", rate=rate, layout=_LAYOUTS[channels])
        self.stream.bit_rate = _BITS * channels

    def takes(self, packet: Any) -> bool:
        """True: the decoder finds out."""
        return True

    def write(self, packet: Any) -> None:
        """Its sound, encoded."""
        for frame in self.track.decode(packet):
            self.output.mux(self.stream.encode(frame))
        if packet is None:
            self.output.mux(self.stream.encode(None))
