"""Small films for tests, with all that a film can have beside its pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastcolor.film.film import Film, FilmFrame

RATE, SIDE, SOUND_RATE = 25, 32, 48_000
LANGUAGES = ("eng", "fra")
_MILLISECOND = Fraction(1, 1000)


class Made(Film):
    """A film of given frames (H, W, 3), so many a second."""

    def __init__(self, frames: list[np.ndarray], rate: int = RATE) -> None:
        super().__init__()
        self.rate, self.time_base, self.frames = Fraction(rate), Fraction(1, rate), frames
        self._expect(len(frames))

    def _frames(self) -> Iterator[FilmFrame]:
        for number, pixels in enumerate(self.frames):
            yield FilmFrame(pixels, number / self.rate, 1 / self.rate)


def make_film(
    path: Path, frames: int = 8, *, video: str = "mpeg4", sound: str = "aac", rich: bool = False, title: str = ""
) -> Path:
    """Gray frames of 32 x 32, 25 a second; a tone of one language, or, `rich`, of two and everything else."""
    import av

    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        pictures = container.add_stream(video, rate=RATE, width=SIDE, height=SIDE)
        tones = [_tone(container, sound, language) for language in LANGUAGES[: 2 if rich else 1]]
        packets = _rich(av, container, pictures, path.suffix) if rich else []
        if rich:
            tones[1].disposition, tones[1].metadata["title"] = 8, "Commentary"  # FFmpeg's number of a comment
        for number in range(frames):
            packets += pictures.encode(_picture(av, number))
        packets += pictures.encode()
        for tone in tones:
            packets += _sound(av, tone, frames)
        for packet in sorted((p for p in packets if p.dts is not None), key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


def _picture(av: Any, number: int) -> Any:
    gray = (np.add.outer(np.arange(SIDE), np.arange(SIDE)) * 3 + 40 + number % 8).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(np.repeat(gray[..., None], 3, axis=2), format="rgb24")
    frame.pts, frame.time_base = number, Fraction(1, RATE)
    return frame


def _tone(container: Any, codec: str, language: str) -> Any:
    tone = container.add_stream(codec, rate=SOUND_RATE, layout="mono", bit_rate=64_000)
    tone.metadata["language"] = language
    return tone


def _sound(av: Any, tone: Any, frames: int) -> list[Any]:
    wave = np.sin(np.arange(frames * SOUND_RATE // RATE) / 9).astype(np.float32)[None] / 3
    frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = SOUND_RATE, 0
    return [*tone.encode(frame), *tone.encode()]


def _rich(av: Any, container: Any, pictures: Any, suffix: str) -> list[Any]:
    """Titles, timecode, chapters and a cover; in Matroska subtitles and a font as well."""
    container.metadata.update(title="The trip", artist="Méliès", comment="nitrate")
    pictures.metadata["timecode"] = "01:00:00:00"
    named = [(0, 80, "Start"), (80, 320, "Landing")][suffix == ".mkv" :]  # in MP4 the first begins with the film
    container.set_chapters([_chapter(*chapter) for chapter in named])
    cover = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(cover, "JPEG")
    if suffix != ".mkv":
        picture = container.add_mux_stream("mjpeg", width=8, height=8, time_base=_MILLISECOND)
        picture.disposition = 0x400
        return [_packet(av, picture, cover.getvalue(), 0)]
    subtitles = container.add_mux_stream("subrip", time_base=_MILLISECOND)
    subtitles.disposition, subtitles.metadata["language"] = 0x40, "deu"  # forced
    container.add_attachment("font.ttf", "font/ttf", b"a font")
    container.add_attachment("cover.jpg", "image/jpeg", cover.getvalue())
    return [_packet(av, subtitles, b"Bonjour", 40)]


def _chapter(start: int, end: int, title: str) -> dict[str, Any]:
    return {"id": start, "start": start, "end": end, "time_base": _MILLISECOND, "metadata": {"title": title}}


def _packet(av: Any, stream: Any, data: bytes, time: int) -> Any:
    packet = av.Packet(data)
    packet.stream, packet.time_base, packet.duration = stream, _MILLISECOND, 100
    packet.pts = packet.dts = time
    return packet


def write_gray(film: Any, path: Path, **options: Any) -> list[str]:
    """The film as it is, at `path`; what was left out."""
    from fastcolor.film.write import film_writer

    with film_writer(path, film, **options) as writer:
        for frame in film:
            rgb = frame.pixels if frame.pixels.ndim == 3 else np.repeat(frame.pixels[..., None], 3, axis=2)
            writer.write(rgb, frame.time, frame.duration)
    return writer.left_out


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """(time, bytes) of the packets of each track of this kind."""
    import av

    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found: dict[int, list[tuple[Fraction, bytes]]] = {stream.index: [] for stream in streams}
        for packet in container.demux(streams) if streams else ():
            if packet.size:
                found[packet.stream.index].append((packet.pts * packet.time_base, bytes(packet)))
    return list(found.values())
