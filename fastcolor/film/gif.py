"""A film as an animated GIF: a palette of its own for each frame, no other tracks."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from ..plural import counted
from .encode import Rgb
from .facts import names_beside
from .film import Film

_Indexed: TypeAlias = "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]"

_TICKS = 100  # a second
_SHORTEST = 2  # ticks: browsers show a frame of 1 for ten
_LONGEST = 65_535  # ticks
# Frames are written whole: FFmpeg finds what differs by places in palettes, and takes a frame that has the palette of
# the first one again for one in the palette of the last one.
_WHOLE = {"gifflags": "0"}
_END = b"\x21\xfe\x01 \x00"  # a comment: FFmpeg shows a frame until the next packet, and this one shows nothing


class GifWriter:
    """``t = round(100 s)`` for a frame at s seconds, so that rounding errors do not add up.

    Of frames that follow each other in less than 2/100 s some are left out, and one that stands longer than a GIF can
    say is repeated: the film lasts as long as it did.
    """

    def __init__(self, av: Any, path: Path, film: Film, *, sound: bool) -> None:
        self.av = av
        self.left_out = names_beside(film, sound=sound)
        self.container = av.open(os.fspath(path), "w", format="gif")
        self.stream = self.container.add_stream("gif", rate=film.rate, options=_WHOLE)
        self.stream.pix_fmt = "pal8"
        self.stream.codec_context.time_base = Fraction(1, _TICKS)
        self.tick = -_SHORTEST
        self.end = Fraction(0)  # seconds
        self.count = self.dropped = 0
        self.size: tuple[int, int] | None = None
        self._shown: Any = None  # the frame of `tick`

    def write(self, rgb: Rgb, time: Fraction, duration: Fraction) -> None:
        """Encode a frame; `time` and `duration` in seconds."""
        tick, self.end = round(time * _TICKS), time + duration
        if tick < self.tick + _SHORTEST:
            self.dropped += 1
            return
        if self.size is None:
            self.stream.height, self.stream.width = rgb.shape[:2]
            self.size = rgb.shape[1], rgb.shape[0]
        self._repeat_until(tick)
        self.count += 1
        self._encode(_indexed(rgb), tick)

    def finish(self) -> None:
        """Write what is left, and close the file."""
        end = max(round(self.end * _TICKS), self.tick + _SHORTEST)
        self._repeat_until(end)
        self.container.mux(self.stream.encode())
        last = self.av.Packet(_END)
        last.stream, last.time_base, last.pts, last.dts = self.stream, Fraction(1, _TICKS), end, end
        self.container.mux(last)
        self.container.close()
        if self.dropped:
            self.left_out.append(f"{counted(self.dropped, 'frame')} (a GIF shows 50 a second at most)")

    def _encode(self, indexed: _Indexed, tick: int) -> None:
        frame = self.av.VideoFrame.from_ndarray(indexed, format="pal8")
        frame.pts, frame.time_base = tick, Fraction(1, _TICKS)
        self.container.mux(self.stream.encode(frame))
        self.tick, self._shown = tick, indexed

    def _repeat_until(self, tick: int) -> None:
        """Show the last frame again, as often as a delay of it would be too long."""
        while self._shown is not None and tick - self.tick > _LONGEST:
            self._encode(self._shown, min(self.tick + _LONGEST, tick - _SHORTEST))


def _indexed(rgb: Rgb) -> _Indexed:
    """(H, W) places in a palette, and the palette (256, 4): alpha, red, green, blue."""
    indexed = Image.fromarray(rgb).quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255
    colors = np.array(indexed.getpalette(), np.uint8).reshape(-1, 3)
    palette[: len(colors), 1:] = colors
    return np.asarray(indexed), palette
