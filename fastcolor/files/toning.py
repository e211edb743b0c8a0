"""Photographs of one hue: a sepia, a cyanotype, a selenium print are gray photographs that were toned.

What toning does is one curve: every gray becomes one color. So chroma is a function of luma, wherever it lies in the
picture; in a photograph in color, two things of one lightness differ. Noise, JPEG's blocks and edges that were blurred
differ as well, but by chance: the mean of the difference over a neighborhood shows what is left of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..reference.constants import LUMA

Floats = NDArray[np.float32]

_SIDE = 64  # pixels that the longer side is reduced to
_LEAST = 32  # pixels of the shorter side, below which a picture says too little
_SPAN = 24.0  # levels of luma, from the 5th to the 95th percentile: one color alone has no curve
_BIN = 8  # levels of luma a point of the curve
_FEW = 4  # pixels that make a point
_RADIUS = 4  # of the neighborhood
# Levels of 255. Of 1,698 photographs in color three are below (0.26 to 0.33: a sky, a fog), the next has 0.45. Of toned
# ones of 512 pixels 84 % are at a JPEG quality of 75, 97 % at 90; of 1,000 pixels, with grain, at 50 to 90, 96 %.
_DIFFERENCE = 0.4


def is_toned(rgb: NDArray[np.uint8]) -> bool:
    """``rms(mean over 9 x 9 of (c - f(Y))) < 0.4`` levels: whether chroma c is one function f of luma Y.

    Parameters
    ----------
    rgb : ndarray, shape (H, W, 3), uint8

    Returns
    -------
    bool
        False for pictures that are too small, or of too little contrast, to tell.

    Examples
    --------
    >>> gray = np.add.outer(np.arange(64), np.arange(64))[..., None]
    >>> is_toned((gray * [1.0, 0.9, 0.7]).astype(np.uint8))  # sepia
    True
    """
    if min(rgb.shape[:2]) < _LEAST:
        return False
    small = np.asarray(Image.fromarray(rgb).reduce(max(1, max(rgb.shape) // _SIDE))).astype(np.float32)
    luma = small @ np.asarray(LUMA, np.float32)
    if np.ptp(np.quantile(luma, [0.05, 0.95])) < _SPAN:
        return False
    chroma = np.stack([0.492 * (small[..., 2] - luma), 0.877 * (small[..., 0] - luma)], axis=-1)
    contrast = _range(luma)
    flat = contrast <= np.median(contrast)  # at an edge two grays are mixed, and their colors are not the mixture's
    rest = np.zeros_like(chroma)
    rest[flat] = chroma[flat] - _curve(luma[flat], chroma[flat])
    weight = _box(flat.astype(np.float32)[..., None])
    known = weight[..., 0] >= 0.4 * (2 * _RADIUS + 1) ** 2
    if not known.any():
        return False
    mean = _box(rest)[known] / weight[known]
    return bool(np.sqrt((mean**2).sum(axis=-1).mean()) < _DIFFERENCE)


def _curve(luma: Floats, chroma: Floats) -> NDArray[np.float64]:
    """f(Y), (N, 2): mean chroma of each luma, and straight lines between."""
    bins = (luma / _BIN).astype(int)
    count = np.bincount(bins)
    some = count >= min(_FEW, count.max())
    points, blue, red = (np.bincount(bins, values)[some] / count[some] for values in (luma, *chroma.T))
    return np.stack([np.interp(luma, points, blue), np.interp(luma, points, red)], axis=-1)


def _range(luma: Floats) -> Floats:
    """max - min of each 3 x 3 pixels."""
    padded = np.pad(luma, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return windows.max(axis=(2, 3)) - windows.min(axis=(2, 3))


def _box(values: Floats) -> NDArray[np.float64]:
    """Sums of (H, W, n) over 9 x 9 pixels, with zeros around."""
    side = 2 * _RADIUS + 1
    padded = np.pad(values, ((_RADIUS + 1, _RADIUS), (_RADIUS + 1, _RADIUS), (0, 0)))
    sums = padded.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
