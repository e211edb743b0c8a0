"""Motion between frames: dense optical flow, arrays carried along it, and temporal smoothing that follows it.

Needs OpenCV, of the extra `video`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import checks
from ..errors import MissingExtraError
from ..files.images import gray_of
from ..ops import annealed_mean
from ..reference.bins import ColorBins
from ..reference.constants import DEFAULT_ALPHA, DEFAULT_TEMPERATURE

Float = NDArray[np.float32]

_SHORTEST = 16  # DIS needs images of a few patches
_CHANNELS = 4  # that OpenCV carries at once: with more, pixels at the border are garbage
_TRUST = 0.06  # difference of luma along the motion at which the past counts e^-1/2


def backward_flow(before: Float, now: Float) -> Float:
    """``now[y, x] ≈ before[y + flow[y, x, 1], x + flow[y, x, 0]]``: where each pixel was, (H, W, 2) in pixels.

    Dense inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016), OpenCV's.

    Parameters
    ----------
    before, now : ndarray, shape (H, W), float32
        Luma in [0, 1]. Images with a side below 16 pixels have no motion.

    Raises
    ------
    MissingExtraError
        OpenCV is not installed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = np.kron(rng.uniform(size=(16, 16)), np.ones((4, 4))).astype(np.float32)
    >>> flow = backward_flow(image, np.roll(image, 2, axis=1))
    >>> np.median(flow, axis=(0, 1)).round().astype(int).tolist()
    [-2, 0]
    """
    if min(now.shape) < _SHORTEST:
        return np.zeros((*now.shape, 2), np.float32)
    search = _cv2().DISOpticalFlow_create(1)  # the preset "fast"
    return search.calc(gray_of(now), gray_of(before), None)


def carry(array: Float, flow: Float) -> Float:
    """`array` (H, W, ...) of the frame before, seen from now: bilinear, edges repeated.

    Examples
    --------
    >>> carry(np.array([[1, 2, 3]], np.float32), np.full((1, 3, 2), [-1, 0], np.float32)).tolist()
    [[1.0, 1.0, 2.0]]
    """
    cv2 = _cv2()
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    source = array.reshape(height, width, -1)
    result = np.empty(source.shape, np.float32)
    for first in range(0, source.shape[2], _CHANNELS):
        part = np.ascontiguousarray(source[..., first : first + _CHANNELS])
        carried = cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        result[..., first : first + _CHANNELS] = carried.reshape(part.shape)
    return result.reshape(array.shape)


def resize_flow(flow: Float, shape: tuple[int, int]) -> Float:
    """The same motion on a grid of another size (h, w): vectors are scaled with it."""
    height, width = flow.shape[:2]
    if (height, width) == shape:
        return flow
    cv2 = _cv2()
    resized = cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_AREA)
    return resized * np.array([shape[1] / width, shape[0] / height], np.float32)


class MotionSmoother:
    """``s_t = p_t + e^-α v_t carry(s_{t-1})``, chroma = annealed mean of ``log s_t``: smoothing that follows motion.

    The window is infinite, since only the sum is carried: with α = 0.2, frames more than 20 back have 1.5 % of the
    weight. ``v_t = exp(-(Y_t - carry(Y_{t-1}))^2 / (2 σ^2))`` with σ = 0.06 forgets what has been covered or uncovered.

    Parameters
    ----------
    bins : ColorBins
    alpha : float
    temperature : float
    """

    def __init__(
        self, bins: ColorBins, *, alpha: float = DEFAULT_ALPHA, temperature: float = DEFAULT_TEMPERATURE
    ) -> None:
        checks.color_bins(bins)
        self.bins = bins
        self.alpha = checks.real("alpha", alpha, 0.0)
        self.temperature = checks.real("temperature", temperature, 0.0, hint="T = 0 is the mode")
        self.reset()

    def reset(self) -> None:
        """Forget all past frames."""
        self._sum: Float | None = None  # (h, w, n): OpenCV wants channels last
        self._luma: Float | None = None

    def chroma(self, logits: NDArray[Any], luma: Float) -> Float:
        """Add a frame, logits (n, h, w) and luma (H, W) in [0, 1] of any size: smoothed chroma (2, h, w)."""
        x = np.ascontiguousarray(np.moveaxis(logits, 0, -1), np.float32)
        total = np.exp(x - x.max(axis=-1, keepdims=True))
        total /= total.sum(axis=-1, keepdims=True)
        if self._sum is not None and self._luma is not None:
            flow = backward_flow(self._luma, luma)
            change = luma - carry(self._luma, flow)
            trust = np.exp(change**2 * np.float32(-0.5 / _TRUST**2))
            cv2 = _cv2()
            trust = cv2.resize(trust, total.shape[1::-1], interpolation=cv2.INTER_AREA)
            past = carry(self._sum, resize_flow(flow, total.shape[:2]))
            past *= (np.float32(math.exp(-self.alpha)) * trust)[..., None]
            total += past
        self._sum, self._luma = total, luma
        with np.errstate(divide="ignore"):
            chroma = annealed_mean(np.log(total), self.bins, temperature=self.temperature, axis=-1)
        return np.moveaxis(chroma, -1, 0)


def _cv2() -> Any:
    try:
        import cv2
    except ModuleNotFoundError:
        raise MissingExtraError("motion", "OpenCV (opencv-python-headless)", "video") from None
    return cv2
