"""Films out: MP4 and MOV (H.264, else MPEG-4), MKV (FFV1, lossless), GIF, folders of PNG; sound is copied as it is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import VideoError
from ..files.atomic import atomic_path, check_folder_of
from .av import load_av
from .film import Film

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".gif")

_H264 = {"crf": "17", "preset": "veryfast"}
_ENCODERS = {"libx264": _H264, "libopenh264": {"b": "8M"}, "mpeg4": {"qscale": "3"}}  # the first that the build has
_MPEG4_TICKS = 60_000  # MPEG-4 allows 65,535 ticks a second
_GIF_BASE = Fraction(1, 100)
_BT709, _LIMITED = 1, 1  # FFmpeg's numbers; written into the file, so that players need not guess

Rgb = NDArray[np.uint8]


class Writer(Protocol):
    """Takes frames of one size; `time` and `duration` in seconds."""

    def write(self, rgb: Rgb, time: Fraction, duration: Fraction) -> None: ...


def check_film_target(path: str | os.PathLike[str]) -> None:
    """VideoError that lists the suffixes if `path` can be no film; a name without suffix is a folder of frames."""
    suffix = Path(path).suffix.lower()
    if suffix and suffix not in SUFFIXES and not Path(path).is_dir():
        raise VideoError(
            f"{path}: expected a name that ends in {', '.join(SUFFIXES)}, or in nothing (a folder of PNG files), "
            f"got {suffix!r}"
        )


@contextmanager
def film_writer(path: str | os.PathLike[str], film: Film, *, sound: bool = True) -> Iterator[Writer]:
    """A writer of `path` with the rate, aspect and sound of `film`: whole, or nothing under the final name.

    Raises
    ------
    VideoError
        Unknown suffix, no frame was written, or the format cannot hold the sound.
    OSError
        The folder does not exist or cannot be written, the disk is full.
    """
    check_film_target(path)
    target = Path(path)
    if not target.suffix or target.is_dir():
        with _folder_writer(target) as writer:
            yield writer
        return
    av = load_av(f"writing {target.suffix}")
    with atomic_path(target) as temporary:
        writer_class = _GifWriter if target.suffix.lower() == ".gif" else _FilmWriter
        try:
            file_writer = writer_class(av, temporary, film, sound)
            try:
                yield file_writer
                file_writer.finish()
            except BaseException:
                with suppress(Exception):  # the first error counts
                    file_writer.container.close()
                raise
        except av.FFmpegError as error:
            if error.errno and error.errno > 0 and error.strerror:  # the system's, such as a full disk
                raise OSError(error.errno, error.strerror, str(target)) from error
            raise VideoError(f"{target}: cannot be written ({error})") from error


class _FilmWriter:
    """One picture track, encoded, and all audio tracks, copied packet by packet."""

    def __init__(self, av: Any, path: Path, film: Film, sound: bool) -> None:
        self.av, self.film = av, film
        self.lossless = path.suffix.lower() == ".mkv"
        self.container = av.open(os.fspath(path), "w", options={} if self.lossless else {"movflags": "faststart"})
        self.stream: Any = None
        self.sound = _SoundCopy(av, self.container, film, film.sound) if sound and film.sound else None
        self.reformat = av.video.reformatter.VideoReformatter().reformat
        self.tick = -1
        self.durations: dict[int, int] = {}

    def write(self, rgb: Rgb, time: Fraction, duration: Fraction) -> None:
        if not self.lossless:
            rgb = _even(rgb)
        if self.stream is None:
            self._start(rgb)
        if self.sound:
            self.sound.copy_until(time)
        base = self.stream.codec_context.time_base
        frame = self._frame(rgb)
        self.tick = max(round(time / base), self.tick + 1)
        frame.pts, frame.time_base = self.tick, base
        self.durations[self.tick] = max(1, round(duration / base))
        self._mux(self.stream.encode(frame))

    def finish(self) -> None:
        if self.stream is None:
            raise VideoError("no frames were read, so nothing was written")
        self._mux(self.stream.encode())
        if self.sound:
            self.sound.copy_until(None)
        self.container.close()

    def _frame(self, rgb: Rgb) -> Any:
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        if self.lossless:
            return self.reformat(frame, format="bgr0")
        return self.reformat(frame, format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)

    def _start(self, rgb: Rgb) -> None:
        rate, base = self.film.rate, self.film.time_base
        if self.lossless:
            self.stream = self.container.add_stream("ffv1", rate=rate, options={"level": "3", "slices": "4"})
        else:
            name = next(name for name in _ENCODERS if name in self.av.codecs_available)
            self.stream = self.container.add_stream(name, rate=rate, options=_ENCODERS[name])
            base = base if name != "mpeg4" or base.denominator < _MPEG4_TICKS else Fraction(1, _MPEG4_TICKS)
            context = self.stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
        self.stream.height, self.stream.width = rgb.shape[:2]
        self.stream.pix_fmt = "bgr0" if self.lossless else "yuv420p"
        self.stream.codec_context.time_base = base
        self.stream.codec_context.sample_aspect_ratio = self.film.aspect
        self.stream.thread_type = "AUTO"
        # One core is left to the network, which everything else waits for.
        self.stream.codec_context.thread_count = max(1, (os.cpu_count() or 1) - 1)

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            packet.duration = self.durations.pop(packet.pts, packet.duration)
            self.container.mux(packet)


class _GifWriter(_FilmWriter):
    """A palette of its own for each frame; no sound."""

    def __init__(self, av: Any, path: Path, film: Film, sound: bool) -> None:
        super().__init__(av, path, film, sound=False)

    def _start(self, rgb: Rgb) -> None:
        self.stream = self.container.add_stream("gif", rate=self.film.rate)
        self.stream.height, self.stream.width = rgb.shape[:2]
        self.stream.pix_fmt = "pal8"
        self.stream.codec_context.time_base = _GIF_BASE

    def _frame(self, rgb: Rgb) -> Any:
        indexed = Image.fromarray(rgb).quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
        palette = np.zeros((256, 4), np.uint8)
        palette[:, 0] = 255  # alpha
        colors = np.array(indexed.getpalette(), np.uint8).reshape(-1, 3)
        palette[: len(colors), 1:] = colors
        return self.av.VideoFrame.from_ndarray((np.asarray(indexed), palette), format="pal8")


class _SoundCopy:
    """Audio packets of the source, put between the pictures where they belong."""

    def __init__(self, av: Any, output: Any, film: Film, path: Path) -> None:
        self.av, self.output, self.film = av, output, film
        self.source = av.open(os.fspath(path))
        audio = self.source.streams.audio
        try:
            self.tracks = {track.index: output.add_stream_from_template(track, opaque=True) for track in audio}
        except (ValueError, av.FFmpegError) as error:
            codecs = ", ".join(track.codec_context.name for track in audio)
            raise VideoError(
                f"{path}: the sound ({codecs}) cannot be copied ({error}); choose another format "
                "(.mkv holds most) or use --no-sound"
            ) from error
        if film.start:
            self.source.seek(int((film.origin + film.start) * 1_000_000))
        self.packets = self._packets(list(audio))
        self.waiting: tuple[Any, Fraction] | None = None

    def copy_until(self, time: Fraction | None) -> None:
        """Write the packets up to `time` in seconds; all that are left if it is None."""
        while True:
            self.waiting = self.waiting or next(self.packets, None)
            if self.waiting is None or (time is not None and self.waiting[1] > time):
                return
            self.output.mux(self.waiting[0])
            self.waiting = None

    def _packets(self, audio: list[Any]) -> Iterator[tuple[Any, Fraction]]:
        """Packets between start and end, with their time in the new film."""
        shift = self.film.origin + self.film.start
        try:
            for packet in self.source.demux(audio):
                if packet.pts is None or packet.dts is None:  # the mark at the end of a track
                    continue
                base = Fraction(packet.time_base)
                time = packet.pts * base - shift
                if self.film.start and time < 0:
                    continue
                if self.film.end is not None and time >= self.film.end - self.film.start:
                    continue
                ticks = round(shift / base)
                packet.pts -= ticks
                packet.dts -= ticks
                packet.stream = self.tracks[packet.stream.index]
                yield packet, time
        except self.av.FFmpegError as error:
            self.film.problems.append(f"{self.film.sound}: sound: cannot be read any further ({error.strerror})")


@contextmanager
def _folder_writer(target: Path) -> Iterator[Writer]:
    """PNG files 000001.png, ... in `target`; a new folder appears when all are written."""
    check_folder_of(target)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        writer = _Folder(temporary)
        yield writer
        if not writer.count:
            raise VideoError("no frames were read, so nothing was written")
        target.mkdir(exist_ok=True)
        for path in sorted(temporary.iterdir()):
            os.replace(path, target / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def write(self, rgb: Rgb, time: Fraction, duration: Fraction) -> None:
        self.count += 1
        Image.fromarray(rgb).save(self.folder / f"{self.count:06}.png", compress_level=1)


def _even(rgb: Rgb) -> Rgb:
    """4:2:0 needs even sides: the last row or column is repeated."""
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        return np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return rgb
