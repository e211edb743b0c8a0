"""How a track gets into another container: packet by packet, or, where that does not hold it, as AAC."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, Protocol

from .av import INDEXED
from .covers import MATROSKA
from .muxing import LAYOUTS, track_like

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # of AAC
_BITS = 96_000  # a second and channel
_APART = Fraction(1, 50)  # seconds that samples may be from their times: Matroska's are rounded, and clocks drift
_AT_ONCE = 1 << 20  # bytes of silence in a packet
_SILENCE = {"pcm_u8": 0x80, "pcm_alaw": 0xD5, "pcm_mulaw": 0xFF}  # a byte of it, where it is not 0
_BITS_IN_NAME = re.compile(r"\d+")  # of a sample: pcm_s24be; A-law and µ-law have 8


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
        self.stream = track_like(output, track)
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


class Counted(Copied):
    """Samples, in a container that counts them and keeps the time of the first alone, as MP4 does those of PCM.

    What is missing in between becomes silence, and what overlaps is cut: the sound stays where the pictures are.
    """

    def __init__(self, output: Any, track: Any) -> None:
        super().__init__(output, track)
        context = track.codec_context
        self._rate, self._silence = context.sample_rate, bytes([_SILENCE.get(context.name, 0)])
        bits = _BITS_IN_NAME.search(context.name)
        self._bytes = context.layout.nb_channels * (int(bits[0]) if bits else 8) // 8  # of a sample of all channels
        self._due: int | None = None  # samples from the zero of time to the end of what is written

    def write(self, packet: Any) -> None:
        """As many samples as its time needs."""
        if packet is None:
            return
        data, first = bytes(packet), round(packet.pts * packet.time_base * self._rate)
        due = first if self._due is None else self._due
        apart = first - due if abs(first - due) > _APART * self._rate else 0
        while apart > 0:
            some = min(apart, _AT_ONCE // self._bytes)
            due = self._put(packet, self._silence * (some * self._bytes), due)
            apart -= some
        self._due = self._put(packet, data[-apart * self._bytes :], due)

    def _put(self, packet: Any, data: bytes, due: int) -> int:
        """Write `data` at `due`; where it ends."""
        samples = len(data) // self._bytes
        if samples:
            new = type(packet)(data)
            new.time_base, new.pts, new.dts, new.duration = Fraction(1, self._rate), due, due, samples
            super().write(new)
        return due + samples


def copied(output: Any, track: Any) -> Copied:
    """How a track is copied that the container holds."""
    counted = track.type == "audio" and track.codec_context.name.startswith("pcm_") and output.format.name != MATROSKA
    return Counted(output, track) if counted else Copied(output, track)


class EncodedAnew:
    """Decoded, and encoded as AAC: of its channels all, up to eight, at the nearest lower rate that AAC has."""

    def __init__(self, output: Any, track: Any) -> None:
        self.output, self.track = output, track
        context = track.codec_context
        rate = next((rate for rate in _RATES if rate <= context.sample_rate), _RATES[-1])
        channels = context.layout.nb_channels if context.layout.nb_channels in LAYOUTS else 2
        self.stream = output.add_stream("aac", rate=rate, layout=LAYOUTS[channels])
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
