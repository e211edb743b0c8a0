"""Steady chroma: a mean over past frames, carried along the motion, of what still belongs to the picture.

Chroma is averaged, not probabilities: in a plane a mean is never farther from the truth than what it is made of, on
average, and decoding it at a low temperature cannot flip between two likely colors. It has two planes instead of n.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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
_LEAST = 0.02  # what a frame in a flash counts
_FOLLOWED = 0.5  # frames that count less say nothing about motion
_ADAPTS = 0.1  # share of a sudden change of exposure that is no longer sudden after a frame
_CONTRAST = 0.02  # standard deviation of a picture without content: grain
_NORMAL = 0.25  # standard deviation of the images whose motion is sought


class SteadySmoother:
    """``c_t = S_t / W_t``, ``S_t = r_t x_t + e^-α v_t carry(S_{t-1})``, ``W_t = r_t + e^-α v_t carry(W_{t-1})``.

    x is the chroma of each frame by itself, and `carry` follows the optical flow from the mean luma of the past to the
    frame's. ``v_t = exp(-((d / 0.06)² + (D / 0.09)²) (1 + (δ / 0.15)⁴) / 2)``, d and D the difference of the two along
    the motion around each pixel and in its region, δ that of chroma: the past is forgotten where something was covered
    or uncovered, and as a dissolve goes on. ``r_t = max(0.02, exp(-(e / 0.08)² / 2))``, e the sudden change of the
    picture's mean and contrast, after which d is taken: a flash has no say. The first frame has exactly its own chroma.

    Parameters
    ----------
    alpha : float
        Decay a frame, >= 0.
    flow : callable, optional
        ``flow(before, now)`` of luma (H, W) is (H, W, 2), as :func:`~fastcolor.film.motion.backward_flow`; by default
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
        self._past: Float | None = None  # (4, h, w): S, luma times W, W
        self._exposure = np.zeros(2)
        self._luma: Float | None = None  # (H, W), of the frame before

    def step(self, chroma: Float, luma: Float) -> Float:
        """Add a frame, chroma (2, h, w) and luma (H, W) in [0, 1] of any size: steady chroma (2, h, w)."""
        small = _resized(luma, chroma.shape[1:])
        exposure = _exposure(small)
        planes = np.stack([*chroma, small, np.ones_like(small)])
        if self._past is None:
            self._past, self._exposure = planes, exposure
        else:
            change = exposure - self._exposure
            weight = max(_LEAST, math.exp(-0.5 * float(np.abs(change).sum() / _EXPOSURE) ** 2))
            past = self._past if weight < _FOLLOWED else carry_along(self._past, self._motion(luma, small))
            kept = np.float32(math.exp(-self.alpha)) * _trust(past, chroma, small, weight)
            self._past = np.float32(weight) * planes + kept * past
            self._exposure = self._exposure + max(weight, _ADAPTS) * change
        self._luma = luma
        return self._past[:2] / self._past[3]

    def _motion(self, luma: Float, small: Float) -> Float:
        """(2, h, w): where each pixel was."""
        assert self._past is not None
        if self._flow is not None:
            assert self._luma is not None
            flow = self._flow(self._luma, luma)
            scale = [small.shape[1] / luma.shape[1], small.shape[0] / luma.shape[0]]
            return np.stack([_resized(flow[..., k], small.shape) * np.float32(scale[k]) for k in (0, 1)])
        before = self._past[2] / self._past[3]
        return 2 * doubled(lucas_kanade(_normal(halved(before)), _normal(halved(small))), small.shape)


def _trust(past: Float, chroma: Float, luma: Float, weight: float) -> Float:
    """(h, w) in [0, 1]: whether the past, carried here, shows what is here now, seen at this exposure."""
    u, v, before = past[:3] / past[3]
    (mean, contrast), (old_mean, old_contrast) = _exposure(luma), _exposure(before)
    gain = np.float32((contrast + _CONTRAST) / (old_contrast + _CONTRAST))
    difference = mean_around(luma - np.float32(mean) - (before - np.float32(old_mean)) * gain, 1) ** 2
    region = mean_around(difference, _REGION)
    change = mean_around((chroma[0] - u) ** 2 + (chroma[1] - v) ** 2, 1)
    doubt = 1 + np.float32(weight / _AGREE**4) * change**2
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
