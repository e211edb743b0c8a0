"""Flicker: how much the chroma of a film changes from frame to frame along the motion of the picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..files.images import luma_of
from ..film.flow import Float, carry_along
from ..film.motion import backward_flow
from ..film.scenes import CutDetector
from ..reference.constants import U_SCALE, V_SCALE
from .metrics import Rgb

_SAME = 0.05  # pixels whose luma changes more along the motion were covered or uncovered, and do not count


class FlickerMeter:
    """``flicker_t = 255 mean |c_t - carry(c_{t-1})|`` over the pixels whose luma follows the motion, c = (U, V).

    Motion is the optical flow of the true film's luma, the same for all films that are measured; a change of chroma
    that the truth has too (light, noise) counts, so compare with the truth's own figure. Cuts are left out.

    Examples
    --------
    >>> meter = FlickerMeter()
    >>> frames = [np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 110, np.uint8)]
    >>> [{k: v < 1e-4 for k, v in meter.step(frame, {"still": frame}).items()} for frame in frames]
    [{}, {'still': True}]
    """

    def __init__(self) -> None:
        self._cuts = CutDetector()
        self._luma: Float | None = None
        self._chroma: dict[str, Float] = {}

    def step(self, truth: Rgb, films: Mapping[str, Rgb]) -> dict[str, float]:
        """Flicker of each film at this frame; empty for the first frame, at cuts, and if nothing can be followed."""
        luma = luma_of(truth)
        chroma = {name: _chroma(rgb) for name, rgb in films.items()}
        cut = self._cuts.step(luma)
        before, self._luma = self._luma, luma
        past, self._chroma = self._chroma, chroma
        if before is None or cut:
            return {}
        flow = backward_flow(before, luma)
        followed = (np.abs(luma - carry_along(before[None], flow)[0]) < _SAME) & _inside(flow)
        if not followed.any():
            return {}
        return {name: _change(past[name], now, flow, followed) for name, now in chroma.items()}


def _change(before: Float, now: Float, flow: Float, followed: NDArray[np.bool_]) -> float:
    u, v = (now - carry_along(before, flow))[:, followed]
    return float(255 * np.hypot(u, v).mean())


def _inside(flow: Float) -> NDArray[np.bool_]:
    """Pixels that were in the picture before."""
    height, width = flow.shape[1:]
    x, y = flow[0] + np.arange(width), flow[1] + np.arange(height)[:, None]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _chroma(rgb: Rgb) -> Float:
    """U and V, (2, H, W)."""
    luma = luma_of(rgb)
    red, blue = rgb[..., 0].astype(np.float32) / 255, rgb[..., 2].astype(np.float32) / 255
    return np.stack([U_SCALE * (blue - luma), V_SCALE * (red - luma)]).astype(np.float32)
