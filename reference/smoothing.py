"""Temporal smoothing of the probabilities before decoding: the window form is the truth, the recursion its twin."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bins import ColorBins
from .color import Float
from .constants import DEFAULT_ALPHA, DEFAULT_TEMPERATURE, DEFAULT_WINDOW
from .ops import annealed_mean, decode, softmax


def smooth_window(frames: Sequence[ArrayLike], alpha: float = DEFAULT_ALPHA, window: int = DEFAULT_WINDOW) -> Float:
    """``p̂_t = sum_{i=0..window} p_{t-i} exp(-α i)`` for the last of `frames`, over the frames that exist.

    ColorUNet, section 3.5. Not normalised: the annealed mean does not need it.

    Examples
    --------
    >>> smooth_window([np.array([1.0, 0.0]), np.array([0.0, 1.0])], alpha=math.log(2))
    array([0.5, 1. ])
    """
    recent = list(frames)[: -window - 2 : -1]
    return sum((np.asarray(p, np.float64) * math.exp(-alpha * i) for i, p in enumerate(recent)), np.float64(0.0))


class TemporalSmoother:
    """``rgb_t = decode(log p̂_t)`` with ``s_t = p_t + e^-α s_{t-1} - e^{-α (window + 1)} p_{t-window-1}``.

    The cost of a frame does not grow with the window. A pixel whose logits are invalid (NaN, +inf, or -inf in every
    bin) is black in that frame and counts as probability zero in every bin for the frames that follow.

    Parameters
    ----------
    bins : ColorBins
    alpha : float
        Decay a frame, >= 0.
    window : int
        Number of past frames, >= 0.
    temperature : float
        T of the annealed mean of p̂.
    from_logits : bool
        False if frames are probabilities, of any scale.

    Examples
    --------
    >>> bins = ColorBins(np.zeros((3, 3), np.uint8), np.zeros((1, 2), np.float32), np.ones(1))
    >>> TemporalSmoother(bins).step(np.zeros((1, 1, 1)), np.full((1, 1), 1.0))
    array([[[255, 255, 255]]], dtype=uint8)
    """

    def __init__(
        self,
        bins: ColorBins,
        *,
        alpha: float = DEFAULT_ALPHA,
        window: int = DEFAULT_WINDOW,
        temperature: float = DEFAULT_TEMPERATURE,
        from_logits: bool = True,
    ) -> None:
        self.bins, self.alpha, self.window, self.temperature = bins, alpha, window, temperature
        self.from_logits = from_logits
        self.reset()

    def reset(self) -> None:
        """Forget all past frames (a scene cut)."""
        self._past: deque[Float] = deque(maxlen=self.window + 1)
        self._sum: Float | None = None

    def step(self, logits: ArrayLike, luma: ArrayLike) -> NDArray[np.uint8]:
        """Add the logits (n, H, W) of a frame and decode it with luma (H, W): RGB (H, W, 3), uint8."""
        rgb = decode(self._advance(logits), luma, self.bins, temperature=self.temperature)
        assert isinstance(rgb, np.ndarray)
        return rgb

    def chroma(self, logits: ArrayLike) -> Float:
        """Add the logits (n, H, W) of a frame: chroma (2, H, W), the annealed mean of ``log p̂``."""
        return annealed_mean(self._advance(logits), self.bins, temperature=self.temperature)

    def _advance(self, logits: ArrayLike) -> Float:
        """``log p̂``, NaN where this frame's logits are invalid."""
        p = softmax(logits, axis=-3, from_logits=self.from_logits)
        broken = np.isnan(p[0])
        p = np.where(broken, 0.0, p)
        s = p if self._sum is None else p + math.exp(-self.alpha) * self._sum
        if len(self._past) == self.window + 1:
            s = s - math.exp(-self.alpha * (self.window + 1)) * self._past[0]
        # Rounding can leave a probability that should be 0 a few eps below it.
        self._sum = np.maximum(s, 0.0)
        self._past.append(p)
        with np.errstate(divide="ignore"):
            return np.where(broken, np.nan, np.log(self._sum))

    @property
    def probabilities(self) -> Float:
        """``p̂ / sum_b p̂``, shape (n, H, W); NaN where no frame of the window had a valid pixel.

        Raises
        ------
        RuntimeError
            Before the first frame.
        """
        if self._sum is None:
            raise RuntimeError("probabilities: expected at least one step() before; no frame has been seen")
        total = self._sum.sum(axis=0)
        # Each valid frame adds at least e^(-α window); what is less is left over from rounding.
        return self._sum / np.where(total > 0.5 * math.exp(-self.alpha * self.window), total, np.nan)
