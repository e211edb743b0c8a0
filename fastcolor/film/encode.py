"""A film file: pictures encoded, the other tracks of the source between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from .av import opened
from .film import Film
from .tracks import SideTracks

Rgb = NDArray[np.uint8]

CODECS = ("h264", "ffv1")

_H264 = {"crf": "17", "preset": "veryfast", "forced-idr": "1"}
_ENCODERS = {"libx264": _H264, "libopenh264": {"b": "8M"}, "mpeg4": {"qscale": "3"}}  # the first that the build has
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}  # FFmpeg's own ".m4v" drops titles
_AT_ONCE = {"max_interleave_delta": "1"}  # microseconds: tracks come in order, so that FFmpeg need not sort them
_FFV1 = {"level": "3", "slices": "4"}
_MPEG4_TICKS = 60_000  # MPEG-4 allows 65,535 ticks a second
_TICKS = 1_000_000  # a second; with more, a picture of an hour would not fit the 32 bits that MP4 has for it

# FFmpeg's numbers, written into the file, so that players need not guess. The matrix is that of the luma which the
# network colors and `merge` keeps: the plane Y of the file is the luma of the film, level by level.
_BT601, _BT709, _LIMITED = 6, 1, 1
_SWS_BT601 = 5
_EXACT = 0x20 | 0x4000 | 0x40000  # area, full chroma input, accurate rounding: Cb and Cr are means of 2 x 2 pixels


class FilmWriter:
    """One picture track, encoded, and what else the source has: see :class:`SideTracks`.

    Parameters
    ----------
    av : module
    path : Path
        The file that is written; its suffix says the container.
    name : Path
        As errors call it.
    film : Film
        Whose frames they are: rate, aspect, other tracks.
    sound : bool
        Whether sound is kept.
    codec : {"h264", "ffv1"}
    """

    def __init__(self, av: Any, path: Path, name: Path, film: Film, *, sound: bool, codec: str) -> None:
        self.av, self.path, self.name, self.film = av, path, name, film
        self.count = 0
        self.left_out: list[str] = []
        self.lossless = codec == "ffv1"
        options = _AT_ONCE if path.suffix.lower() == ".mkv" else {**_AT_ONCE, "movflags": "faststart"}
        self.container = av.open(os.fspath(path), "w", format=_FORMATS[path.suffix.lower()], options=options)
        self.stream = self._picture_track()
        self.tracks = SideTracks(av, self.container, film, film.path, sound=sound) if film.path else None
        self.reformat = av.video.reformatter.VideoReformatter().reformat
        self.tick = -1
        self.durations: dict[int, int] = {}
        self.size: tuple[int, int] | None = None
        self._last: Any = None  # the frame that is not encoded yet

    def write(self, rgb: Rgb, time: Fraction, duration: Fraction) -> None:
        """Encode a frame; `time` and `duration` in seconds."""
        if not self.lossless:
            rgb = _even(rgb)
        if not self.count:
            self._open(rgb)
        self.count += 1
        base = self.stream.codec_context.time_base
        frame = self._frame(rgb)
        self.tick = max(round(time / base), self.tick + 1)
        frame.pts, frame.time_base = self.tick, base
        self.durations[self.tick] = max(1, round(duration / base))
        self._encode_last()
        self._last = frame

    def finish(self) -> None:
        """Write what is left, and close the file."""
        if self._last is not None:
            # MP4 keeps how long the last frame in the file stands: it must be the last one shown, with none before it
            # that is coded after it.
            self._last.pict_type = self.av.video.frame.PictureType.I
        self._encode_last()
        self._mux(self.stream.encode())
        if self.tracks:
            self.tracks.copy_until(None)
        with self._losing():
            self.container.close()
        if self.tracks:
            self.tracks.close()
            with opened(self.path) as written:
                self.left_out = self.tracks.left_out + self.tracks.missing(written)

    def _encode_last(self) -> None:
        if self._last is not None:
            self._mux(self.stream.encode(self._last))

    def _picture_track(self) -> Any:
        rate, base = self.film.rate, max(self.film.time_base, Fraction(1, _TICKS))
        if self.lossless:
            stream = self.container.add_stream("ffv1", rate=rate, options=_FFV1)
            stream.pix_fmt = "bgr0"
        else:
            name = next(name for name in _ENCODERS if name in self.av.codecs_available)
            stream = self.container.add_stream(name, rate=rate, options=_ENCODERS[name])
            base = base if name != "mpeg4" or base.denominator < _MPEG4_TICKS else Fraction(1, _MPEG4_TICKS)
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.color_primaries = context.color_trc = _BT709
            context.colorspace, context.color_range = _BT601, _LIMITED
        stream.codec_context.time_base = base
        stream.codec_context.sample_aspect_ratio = self.film.aspect
        stream.thread_type = "AUTO"
        # One core is left to the network, which everything else waits for.
        stream.codec_context.thread_count = max(1, (os.cpu_count() or 1) - 1)
        return stream

    def _open(self, rgb: Rgb) -> None:
        """Open the encoder for frames of this size."""
        self.stream.height, self.stream.width = rgb.shape[:2]
        self.size = rgb.shape[1], rgb.shape[0]
        try:
            self.stream.codec_context.open()
        except self.av.FFmpegError as error:
            encoder, size = self.stream.codec_context.name, f"{rgb.shape[1]}x{rgb.shape[0]}"
            raise VideoError(
                f"{self.name}: expected frames that the encoder {encoder} takes, got {size} pixels ({error.strerror}); "
                "choose a folder of PNG files, or scale the film"
            ) from error
        self.container.start_encoding()

    def _frame(self, rgb: Rgb) -> Any:
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        if self.lossless:
            return self.reformat(frame, format="bgr0")
        return self.reformat(
            frame, format="yuv420p", dst_colorspace=_SWS_BT601, dst_color_range=_LIMITED, interpolation=_EXACT
        )

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            packet.duration = self.durations.pop(packet.pts, packet.duration)
            if self.tracks:
                self.tracks.copy_until(packet.dts * packet.time_base)
            with self._losing():
                self.container.mux(packet)

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Errors that packets of other tracks are to blame for are counted."""
        try:
            yield
        except self.av.FFmpegError as error:
            if self.tracks is None:
                raise
            self.tracks.lose(error)


def _even(rgb: Rgb) -> Rgb:
    """4:2:0 needs even sides: the last row or column is repeated."""
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        return np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return rgb
