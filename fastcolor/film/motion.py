"""Motion between frames: dense optical flow, and arrays carried along it.

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
_CHANNELS = 4  # that OpenCV carries at once: with more, pixels at the border are garbage


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
    search = load_cv2().DISOpticalFlow_create(1)  # the preset "fast"
    return search.calc(gray_of(now), gray_of(before), None)


def carry(array: Float, flow: Float) -> Float:
    """`array` (H, W, ...) of the frame before, seen from now: bilinear, edges repeated.

    Examples
    --------
    >>> carry(np.array([[1, 2, 3]], np.float32), np.full((1, 3, 2), [-1, 0], np.float32)).tolist()
    [[1.0, 1.0, 2.0]]
    """
    cv2 = load_cv2()
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


def load_cv2() -> Any:
    """OpenCV, or an error that names the extra."""
    try:
        import cv2
    except ModuleNotFoundError:
        raise MissingExtraError("motion", "OpenCV (opencv-python-headless)", "video") from None
    return cv2
