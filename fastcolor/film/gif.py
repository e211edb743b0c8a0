"""A film as an animated GIF: a palette of its own for each frame, no other tracks."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..plural import counted
from .encode import Rgb
from .facts import names_beside
from .film import Film

_TICKS = 100  # a second
_SHORTEST = 2  # ticks: browsers show a frame of 1 for ten


class GifWriter:
    """``t = round(100 s)`` for a frame at s seconds, so that rounding errors do not add up.

    Of frames that follow each other in less than 2/100 s some are left out: the film lasts as long as it did.
    """

    def __init__(self, av: Any, path: Path, film: Film, *, sound: bool) -> None:
        self.av = av
        self.left_out = names_beside(film, sound=sound)
        self.container = av.open(os.fspath(path), "w", format="gif")
        self.stream = self.container.add_stream("gif", rate=film.rate)
        self.stream.pix_fmt = "pal8"
        self.stream.codec_context.time_base = Fraction(1, _TICKS)
        self.tick = -_SHORTEST
        self.count = self.dropped = 0

    def write(self, rgb: Rgb, time: Fraction, duration: Fraction) -> None:
        """Encode a frame; `time` in seconds."""
        self.count += 1
        tick = round(time * _TICKS)
        if tick < self.tick + _SHORTEST:
            self.dropped += 1
            return
        if self.tick < 0:
            self.stream.height, self.stream.width = rgb.shape[:2]
        self.tick = tick
        frame = self.av.VideoFrame.from_ndarray(_indexed(rgb), format="pal8")
        frame.pts, frame.time_base = tick, Fraction(1, _TICKS)
        self.container.mux(self.stream.encode(frame))

    def finish(self) -> None:
        """Write what is left, and close the file."""
        self.container.mux(self.stream.encode())
        self.container.close()
        if self.dropped:
            self.left_out.append(f"{counted(self.dropped, 'frame')} (a GIF shows 50 a second at most)")


def _indexed(rgb: Rgb) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(H, W) places in a palette, and the palette (256, 4): alpha, red, green, blue."""
    indexed = Image.fromarray(rgb).quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255
    colors = np.array(indexed.getpalette(), np.uint8).reshape(-1, 3)
    palette[: len(colors), 1:] = colors
    return np.asarray(indexed), palette
