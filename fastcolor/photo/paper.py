"""Paper stays white and black stays black: no tint where a pixel can have no color, nor on the borders of a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..ops import merge

Mask = NDArray[np.bool_]

# Luma in levels of 255: from here to the end of the range, color fades.
DARK, LIGHT = 8.0, 16.0
# Borders: paper is at least this light, a film's edge at most this dark; color comes back over so many levels.
PAPER, EDGE, SOFT = 238.0, 12.0, 12.0
UNEVEN = 7.0  # standard deviation of a block that is paper: noise of a scan, rings of JPEG, no drawing
GRID = 256  # blocks along the longer side, in which borders are looked for
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
    rgb = merge(chroma, luma)
    levels = luma if luma.dtype == np.uint8 else luma * np.float32(255)
    near = (levels < DARK) | (levels > 255 - LIGHT)
    frame = _border(levels) if borders else None
    if frame is not None:
        near |= (frame > 0) & ((levels > PAPER - SOFT) | (levels < EDGE + SOFT))
    rows, columns = np.nonzero(near)
    gray = levels[rows, columns].astype(np.float32)
    weight = _smooth(gray / DARK) * _smooth((255 - gray) / LIGHT)
    if frame is not None:
        even = np.maximum(_smooth((gray - PAPER + SOFT) / SOFT), _smooth((EDGE + SOFT - gray) / SOFT))
        weight *= 1 - even * frame[rows, columns]
    color = rgb[rows, columns].astype(np.float32)
    rgb[rows, columns] = gray[:, None] + weight[:, None] * (color - gray[:, None]) + np.float32(0.5)
    return rgb


def _border(levels: NDArray[Any]) -> NDArray[np.float32] | None:
    """(H, W) in [0, 1]: 1 where even light or dark blocks hang together with the border; None if there are none."""
    side = -(-max(levels.shape) // GRID)
    starts = [np.arange(0, length, side) for length in levels.shape]
    sizes = [np.diff(np.append(start, length)) for start, length in zip(starts, levels.shape, strict=True)]
    mean, square = (
        _block_sums(values, starts) / np.outer(*sizes) for values in (levels, np.square(levels, dtype=np.float32))
    )
    even = square - np.square(mean) <= UNEVEN**2
    found = [_from_border(even & level) for level in (mean >= PAPER, mean <= EDGE)]
    blocks = found[0] | found[1]
    if not blocks.any():
        return None
    for _ in range(REACH):
        blocks = _grown(blocks)
    shape = (levels.shape[1], levels.shape[0])
    return np.asarray(Image.fromarray(blocks.astype(np.float32)).resize(shape, Image.Resampling.BILINEAR))


def _block_sums(values: NDArray[Any], starts: list[NDArray[np.int_]]) -> NDArray[np.float64]:
    rows = np.add.reduceat(values, starts[0], axis=0, dtype=np.float32)
    return np.add.reduceat(rows, starts[1], axis=1, dtype=np.float64)


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
    hit = np.zeros(apart.sum() + 1, np.bool_)
    hit[runs[reached]] = True
    return mask & hit[runs]


def _grown(mask: Mask) -> Mask:
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def _smooth(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
