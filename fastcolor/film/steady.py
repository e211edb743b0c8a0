"""Steady chroma: a mean over past frames, carried along the motion, of what still belongs to the picture.

Chroma is averaged, not probabilities: in a plane a mean is never farther from the truth than what it is made of, on
average, and decoding it at a low temperature cannot flip between two likely colors. It has two planes instead of n.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import checks
from ..reference.constants import DEFAULT_ALPHA
from .flow import Float, carry_along, doubled, halved, lucas_kanade, mean_around

Flow = Callable[[Float, Float], Float]

_TRUST = 0.06  # difference of the mean luma of 3 x 3 pixels at which the past counts e^-1/2
_REGION = 6  # radius in pixels of the neighborhood that is distrusted together
_REGION_TRUST = 0.09  # root mean square difference in it at which the past counts e^-1/2
_AGREE = 0.15  # difference of chroma at which that of luma counts twice
_EXPOSURE = 0.08  # sudden change of the picture's mean and contrast at which a frame counts e^-1/2
_LEAST = 0.02  # what a frame in a flash, or one without content, counts
_NOTHING = 1e-6  # what a pixel without chroma counts
_FOLLOWED = 0.5  # frames whose exposure counts less say nothing about motion
_ADAPTS = 0.1  # share of a sudden change of exposure that is no longer sudden after a frame
_SETTLED = 3  # frames that make an exposure the picture's own, so that leaving it may be a flash
_REMEMBERED = 12  # frames after which what was kept at another exposure is dropped
_CLEAR = 0.1  # contrast at which a frame counts half: the network leaves gray what is nearly black
_CONTRAST = 0.02  # standard deviation of a picture without content: grain
_NORMAL = 0.25  # standard deviation of the images whose motion is sought


class SteadySmoother:
    """``c_t = S_t / W_t``, ``S_t = w_t x_t + e^-α v_t carry(S_{t-1})``, ``W_t = w_t + e^-α v_t carry(W_{t-1})``.

    x is the chroma of each frame by itself, and `carry` follows the optical flow from the mean luma of the past to the
    frame's. ``v_t = exp(-((d / 0.06)² + (D / 0.09)²) (1 + r_t (δ / 0.15)⁴) / 2)``, d and D the difference of the two
    along the motion around each pixel and in its region, mean and contrast (standard deviation of the luma) made equal
    before, δ that of chroma: the past is forgotten where something was covered or uncovered, and as a dissolve goes on.

    ``r_t = exp(-(e / 0.08)² / 2)``, e = |Δ mean| + |Δ contrast| against a running exposure, which takes over
    max(r_t, 0.1) of each change: a flash has no say, and where r_t < 0.5 nothing is carried. An exposure that stays for
    three frames is no flash, nor is one that follows on less than three frames: the past is left then, and goes on if
    its exposure returns within twelve frames. ``w_t = max(0.02, r_t) max(0.02, s² / (s² + 0.1²))``, s the contrast:
    what a fade from black shows clearly counts more than what it showed before. Where chroma is not finite it counts
    nothing and comes back as NaN. The first frame has exactly its own chroma, and so has one that leaves the past.

    Parameters
    ----------
    alpha : float
        Decay a frame, >= 0.
    flow : callable, optional
        ``flow(before, now)`` of luma (H, W) is (2, H, W), as :func:`~fastcolor.film.motion.backward_flow`; by default
        :func:`~fastcolor.film.flow.lucas_kanade`, of smaller images, which needs NumPy alone.

    Examples
    --------
    >>> smoother, luma = SteadySmoother(), np.full((8, 8), 0.5, np.float32)
    >>> chroma = [smoother.step(np.full((2, 4, 4), value, np.float32), luma) for value in (0.0, 0.1)]
    >>> [round(float(c.mean()), 3) for c in chroma]
    [0.0, 0.055]
    """

    def __init__(self, *, alpha: float = DEFAULT_ALPHA, flow: Flow | None = None) -> None:
        self.alpha = checks.real("alpha", alpha, 0.0)
        self._flow = flow
        self.reset()

    def reset(self) -> None:
        """Forget all past frames."""
        self._past: _Past | None = None
        self._left: _Past | None = None  # at the exposure before
        self._held = self._stays = 0  # frames in a row at the exposure of the past, at another that came suddenly
        self._last = np.zeros(2)  # exposure of the frame before

    def step(self, chroma: Float, luma: Float) -> Float:
        """Add a frame, chroma (2, h, w) and luma (H, W) in [0, 1] of any size: steady chroma (2, h, w)."""
        known = np.isfinite(chroma).all(axis=0)
        small = _resized(luma, chroma.shape[1:])
        exposure = _exposure(small)
        there = np.where(known, chroma, np.float32(0))
        planes = np.stack([*there, small, np.ones_like(small)]) * np.where(known, np.float32(1), np.float32(_NOTHING))
        past = self._continued(exposure)
        self._last = exposure
        if past is None:
            self._past = _Past(planes * np.float32(_clarity(exposure)), exposure, luma)
            return np.where(known, chroma, np.float32(np.nan))
        usual = _usual(exposure, past)
        before = past.planes if usual < _FOLLOWED else carry_along(past.planes, self._motion(past, luma, small))
        kept = np.float32(math.exp(-self.alpha)) * _trust(before, there, small, usual)
        sums = np.float32(max(_LEAST, usual) * _clarity(exposure)) * planes + kept * before
        adapted = past.exposure + max(usual, _ADAPTS) * (exposure - past.exposure)
        self._past = _Past(sums, adapted, past.luma if usual < _FOLLOWED else luma)
        return np.where(known, sums[:2] / sums[3], np.float32(np.nan))

    def _continued(self, exposure: NDArray[np.float64]) -> _Past | None:
        """The past that a frame belongs to; None if it begins a new one."""
        if self._past is None:
            self._held = 1
            return None
        if _usual(exposure, self._past) >= _FOLLOWED:
            self._held, self._stays = self._held + 1, 0
            if self._held >= _REMEMBERED:
                self._left = None
            return self._past
        if self._left is not None and _usual(exposure, self._left) >= _FOLLOWED:
            self._past, self._left = self._left, self._past
            self._held, self._stays = _SETTLED, 0
            return self._past
        near = np.abs(exposure - self._last).sum() <= _EXPOSURE
        self._stays = self._stays + 1 if near else 1
        if self._held >= _SETTLED > self._stays:  # may be a flash
            return self._past
        self._left, self._held, self._stays = self._past, self._stays, 0
        return None

    def _motion(self, past: _Past, luma: Float, small: Float) -> Float:
        """(2, h, w): where each pixel was."""
        if self._flow is not None:
            flow = self._flow(past.luma, luma)
            scale = [small.shape[1] / luma.shape[1], small.shape[0] / luma.shape[0]]
            return np.stack([_resized(flow[k], small.shape) * np.float32(scale[k]) for k in (0, 1)])
        before = past.planes[2] / past.planes[3]
        return 2 * doubled(lucas_kanade(_normal(halved(before)), _normal(halved(small))), small.shape)


class _Past(NamedTuple):
    planes: Float  # (4, h, w): S, luma times W, W
    exposure: NDArray[np.float64]  # running
    luma: Float  # (H, W), of the last frame that the planes were carried to


def _usual(exposure: NDArray[np.float64], past: _Past) -> float:
    """r in [0, 1]: small where the exposure changes suddenly."""
    return math.exp(-0.5 * float(np.abs(exposure - past.exposure).sum() / _EXPOSURE) ** 2)


def _clarity(exposure: NDArray[np.float64]) -> float:
    """What a frame counts by its contrast."""
    power = float(exposure[1]) ** 2
    return max(_LEAST, power / (power + _CLEAR**2))


def _trust(past: Float, chroma: Float, luma: Float, usual: float) -> Float:
    """(h, w) in [0, 1]: whether the past, carried here, shows what is here now, seen at this exposure."""
    u, v, before = past[:3] / past[3]
    (mean, contrast), (old_mean, old_contrast) = _exposure(luma), _exposure(before)
    gain = np.float32((contrast + _CONTRAST) / (old_contrast + _CONTRAST))
    difference = mean_around(luma - np.float32(mean) - (before - np.float32(old_mean)) * gain, 1) ** 2
    region = mean_around(difference, _REGION)
    change = mean_around((chroma[0] - u) ** 2 + (chroma[1] - v) ** 2, 1)
    doubt = 1 + np.float32(usual / _AGREE**4) * change**2
    difference = difference * np.float32(1 / _TRUST**2) + region * np.float32(1 / _REGION_TRUST**2)
    return np.exp(np.float32(-0.5) * doubt * difference)


def _exposure(luma: Float) -> NDArray[np.float64]:
    """Mean and contrast (standard deviation) of a picture."""
    return np.array([luma.mean(), luma.std()], np.float64)


def _normal(luma: Float) -> Float:
    mean, contrast = _exposure(luma)
    return (luma - np.float32(mean)) * np.float32(_NORMAL / (contrast + _CONTRAST))


def _resized(plane: Float, shape: tuple[int, ...]) -> Float:
    """(H, W) at (h, w), by means of what each pixel covers."""
    if plane.shape == shape:
        return np.ascontiguousarray(plane)
    image = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BOX))
