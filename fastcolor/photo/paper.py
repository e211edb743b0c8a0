"""Paper stays white and black stays black: no tint where a pixel can have no color, nor on the borders of a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files.images import gray_of
from ..ops import merge

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

# Luma in levels of 255: over so many, color fades to nothing at both ends of the range.
DARK, LIGHT = 8, 16
# Borders: paper is at least this light on average, a film's edge at most this dark; in single pixels so much less.
PAPER, EDGE, NOISE = 238, 12, 16
SHARE = 0.97  # of a block's pixels that are so, or there is a drawing on it
GRID, BLOCK = 256, 4  # blocks along the longer side, of so many pixels at least, whose noise has to even out
STRIP = 64  # rows at a time, that stay in the cache
MANY = 0.1  # of the pixels, above which all are looked at in turn: few are picked out
REACH = 2  # blocks around a border that are its own where they are as light: those that it fills in part


def render(chroma: NDArray[np.float32], luma: NDArray[Any], *, borders: bool = True) -> NDArray[np.uint8]:
    """``rgb = Y + w (merge(c, Y) - Y)``, ``w = s(Y / 8) s((255 - Y) / 16) b``, Y in levels: color, but for paper's.

    ``s(x) = x^2 (3 - 2x)``, clipped to [0, 1], fades color to nothing at both ends of the range; ``b`` does so on light
    or dark regions that touch the border of the picture and are as even as paper.

    Parameters
    ----------
    chroma : ndarray, shape (2, h, w), float32
        Upsampled to the size of `luma`, as :func:`fastcolor.merge` does.
    luma : ndarray, shape (H, W), uint8 or float32 in [0, 1]
    borders : bool
        False for films: what belongs to a border may change from frame to frame, and would flicker.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        Its luma is the input's, as that of :func:`fastcolor.merge`.

    Examples
    --------
    >>> tint = np.full((2, 1, 1), 0.05, np.float32)
    >>> render(tint, np.array([[0, 255]], np.uint8)).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    rgb, gray = merge(chroma, luma), gray_of(luma)
    frame = _border(gray) if borders else None
    for top in range(0, len(gray), STRIP):
        rows = slice(top, top + STRIP)
        _fade(rgb[rows], gray[rows], None if frame is None else frame[rows])
    return rgb


def _fade(rgb: NDArray[np.uint8], gray: NDArray[np.uint8], frame: NDArray[np.uint8] | None) -> None:
    """``rgb = Y + w (rgb - Y)`` in place, in whole numbers of which w has 7 bits; few pixels of a photograph fade."""
    fading = gray - np.uint8(DARK) >= 255 - LIGHT - DARK  # those below DARK have come round to the top
    if frame is not None:
        fading |= (frame > 0) & ((gray >= PAPER - NOISE) | (gray <= EDGE + NOISE))
    many = np.count_nonzero(fading)
    if many > MANY * fading.size:
        _fade_all(rgb, gray, frame)
    elif many:
        _fade_at(np.flatnonzero(fading), rgb, gray, frame)


def _fade_all(rgb: NDArray[np.uint8], gray: NDArray[np.uint8], frame: NDArray[np.uint8] | None) -> None:
    weight = np.take(_WEIGHT, gray)
    if frame is not None:
        weight *= _ONE - (np.take(_PAPERLIKE, gray) * frame >> 7)
        weight >>= 7
    wide = gray.astype(np.int16)
    color = np.empty_like(wide)
    for channel in range(3):
        np.subtract(rgb[..., channel], wide, out=color)
        color *= weight
        color += _ONE // 2
        color >>= 7
        color += wide
        rgb[..., channel] = color


def _fade_at(
    places: NDArray[np.intp], rgb: NDArray[np.uint8], gray: NDArray[np.uint8], frame: NDArray[np.uint8] | None
) -> None:
    levels = np.take(gray, places)
    weight = np.take(_WEIGHT, levels)
    if frame is not None:
        weight = weight * (_ONE - (np.take(_PAPERLIKE, levels) * np.take(frame, places).astype(np.int16) >> 7)) >> 7
    pixels = rgb.reshape(-1, 3)
    color = np.take(pixels, places, axis=0).astype(np.int16)
    wide, factor = (np.repeat(values.astype(np.int16), 3).reshape(-1, 3) for values in (levels, weight))
    color -= wide
    color *= factor
    color += _ONE // 2
    color >>= 7
    color += wide
    faded = color.astype(np.uint8)
    for channel in range(3):  # four times as fast as all at once
        pixels[:, channel][places] = faded[:, channel]


def _smooth(x: Floats) -> Floats:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


_ONE = np.int16(128)
_LEVELS = np.arange(256.0)
_WEIGHT = np.rint(128 * _smooth(_LEVELS / DARK) * _smooth((255 - _LEVELS) / LIGHT)).astype(np.int16)
# 1 within half the noise of paper's lightness, and of an edge's darkness; 0 beyond all of it
_PAPERLIKE = np.maximum(_smooth(2 * (_LEVELS - PAPER + NOISE) / NOISE), _smooth(2 * (EDGE + NOISE - _LEVELS) / NOISE))
_PAPERLIKE = np.rint(128 * _PAPERLIKE).astype(np.int16)


def _border(gray: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """(H, W) in 0..128: 128 where even light or dark blocks hang together with a whole side; None if there are none."""
    image = Image.fromarray(gray)
    side = max(BLOCK, -(-max(gray.shape) // GRID))
    mean = np.asarray(image.reduce(side))
    blocks = np.zeros(mean.shape, np.bool_)
    for alike, single in ((mean >= PAPER, _LEVELS >= PAPER - NOISE), (mean <= EDGE, _LEVELS <= EDGE + NOISE)):
        if _has_side(alike):
            even = np.asarray(image.point((single * 255).astype(int).tolist()).reduce(side)) >= 255 * SHARE
            if _has_side(alike & even):
                blocks |= _from_border(alike & even)
    if not blocks.any():
        return None
    for _ in range(REACH):
        blocks = _grown(blocks)
    return np.asarray(Image.fromarray(blocks * np.uint8(128)).resize(image.size, Image.Resampling.BILINEAR))


def _has_side(mask: Mask) -> bool:
    """Whether one of the four sides is in `mask` as a whole, but for a speck."""
    return max(float(line.mean()) for line in (mask[0], mask[-1], mask[:, 0], mask[:, -1])) >= SHARE


def _from_border(mask: Mask) -> Mask:
    """What of `mask` hangs together with its border, by neighbors in rows and columns."""
    reached = mask.copy()
    reached[1:-1, 1:-1] = False
    while True:
        before = reached.sum()
        reached = _along_rows(mask, reached)
        reached = _along_rows(mask.T, reached.T).T
        if reached.sum() == before:
            return reached


def _along_rows(mask: Mask, reached: Mask) -> Mask:
    """Runs of `mask` in a row that have a reached element, as a whole."""
    apart = np.pad(~mask, ((0, 0), (0, 1)), constant_values=True)
    runs = np.cumsum(apart).reshape(apart.shape)[:, :-1]  # elements of one run have one number
    hit = np.zeros(runs[-1, -1] + 2, np.bool_)
    hit[runs[reached]] = True
    return mask & hit[runs]


def _grown(mask: Mask) -> Mask:
    """With the eight neighbors of each element."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
