"""From logits to chroma by confidence: toward gray where the network is in doubt, vivid where it is sure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bins import ColorBins
from ..network.config import check_decoding
from ..ops import annealed_mean


@dataclass(frozen=True)
class Decoding:
    """``chroma = gain m |m|^2 / (|m|^2 + doubt^2 s^2)``, m and s^2 the mean and variance of the colors.

    At every pixel of the logits ``p = softmax(x / T)``, ``m = sum_b p_b c_b``, ``s^2 = sum_b p_b |c_b - m|^2``. m is
    the annealed mean, s the spread of the colors that the network holds possible, and their ratio is how sure it is
    of any color at all. Where |m| = doubt s, chroma is half of gain m; it nears gain m where the spread goes to 0,
    and gray where the colors cancel: the form of Wiener's filter for a signal m in noise of doubt s. A network trained
    with class weights holds rare colors more likely than they are, so that its mean, where it is in doubt, is further
    from the truth than gray is; where it is sure, the gain gives back the chroma that a mean takes, up to the range of
    the bins' colors. ``Decoding(T)`` is the plain annealed mean.

    Parameters
    ----------
    temperature : float
        T >= 0 of the softmax; 0 is the mode, of which there is no doubt.
    doubt : float
        In [0, 1000]; 0 pulls nothing to gray.
    gain : float
        In (0, 1000].

    Raises
    ------
    TypeError, ValueError
        If a number is not one, or out of range.

    Examples
    --------
    >>> bins = ColorBins.default()
    >>> torn = np.zeros((bins.n, 1, 1), np.float32)  # all bins alike
    >>> plain, careful = (np.linalg.norm(Decoding(1, doubt).chroma(torn, bins)) for doubt in (0, 1))
    >>> bool(careful < 0.1 * plain)
    True
    """

    temperature: float
    doubt: float = 0.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        check_decoding(self.temperature, self.doubt, self.gain)

    def __str__(self) -> str:
        """How captions and tables name it."""
        plain = f"T = {self.temperature:g}"
        if self.doubt:
            plain += f", doubt {self.doubt:g}"
        return plain + (f", gain {self.gain:g}" if self.gain != 1 else "")

    def chroma(self, logits: Any, bins: ColorBins) -> NDArray[np.float32]:
        """Chroma (2, h, w) or (N, 2, h, w) of planar logits on the CPU; NaN where the annealed mean is.

        ValueError if there is doubt or gain and the bins are not of YUV, of whose chroma the formula speaks.
        """
        exact = np.asarray(logits.float() if hasattr(logits, "float") else logits, np.float32)  # bfloat16 is torch's
        if self.doubt == 0 and self.gain == 1:
            return np.asarray(annealed_mean(exact, bins, temperature=self.temperature))
        if bins.space != "yuv":
            raise ValueError(f"bins: expected bins of YUV with doubt or gain, got bins of {bins.space}")
        return self.of_moments(*moments(exact, bins, self.temperature), bins)

    def of_moments(
        self, mean: NDArray[np.float32], square: NDArray[np.float32], bins: ColorBins
    ) -> NDArray[np.float32]:
        """Chroma of the :func:`moments` of logits at this T, on each axis within the range of the bins' colors."""
        power = (mean**2).sum(axis=-3, keepdims=True)
        spread = np.maximum(square - power, 0)
        share = power / np.maximum(power + self.doubt**2 * spread, _TINY)
        low, high = (end(bins.colors, axis=0).reshape(2, 1, 1) for end in (np.min, np.max))
        return np.clip(np.float32(self.gain) * mean * share.astype(np.float32), low, high)


_TINY = np.finfo(np.float32).tiny


def moments(
    logits: NDArray[np.float32], bins: ColorBins, temperature: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``m = sum_b p_b c_b`` (..., 2, h, w) and ``sum_b p_b |c_b|^2`` (..., 1, h, w) of planar logits.

    Their difference is the spread: half precision would not do.
    """
    mean = annealed_mean(logits, bins, temperature=temperature)
    square = annealed_mean(logits, _squares(bins), temperature=temperature)
    return mean, square[..., :1, :, :]


@lru_cache(maxsize=8)
def _squares(bins: ColorBins) -> ColorBins:
    """Bins whose colors are ``(|c|^2, 0)``, so that the annealed mean of them is a mean square."""
    square = (bins.colors.astype(np.float64) ** 2).sum(axis=1)
    colors = np.stack([square, np.zeros_like(square)], axis=1).astype(np.float32)
    return ColorBins(bins.table, colors, bins.prior, space=bins.space)
