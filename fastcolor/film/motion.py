"""Motion between frames: dense optical flow.

Needs OpenCV, of the extra `video`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError
from ..files.images import gray_of

Float = NDArray[np.float32]

_SHORTEST = 16  # DIS needs images of a few patches


def backward_flow(before: Float, now: Float) -> Float:
    """``now[y, x] ≈ before[y + flow[1, y, x], x + flow[0, y, x]]``: where each pixel was, (2, H, W) in pixels.

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
    >>> np.median(flow, axis=(1, 2)).round().astype(int).tolist()
    [-2, 0]
    """
    if min(now.shape) < _SHORTEST:
        return np.zeros((2, *now.shape), np.float32)
    search = load_cv2().DISOpticalFlow_create(1)  # the preset "fast"
    return np.ascontiguousarray(np.moveaxis(search.calc(gray_of(now), gray_of(before), None), -1, 0))


def load_cv2() -> Any:
    """OpenCV, or an error that names the extra."""
    try:
        import cv2
    except ModuleNotFoundError:
        raise MissingExtraError("motion", "OpenCV (opencv-python-headless)", "video") from None
    return cv2
