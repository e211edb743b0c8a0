"""Where random crops lie, drawn for one photograph or a batch of them: the same numbers, whoever cuts them out.

:mod:`fastcolor.training.dataset` cuts one by Pillow, :mod:`fastcolor.training.crops` a batch on any device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RANDOM_AREA = 0.35  # least area of a random crop, relative to what it is cut from
RANDOM_ASPECT = 4 / 3  # greatest stretch, either way
RANDOM_NOISE = 0.02  # greatest standard deviation of the luminance noise
WHOLE, SQUEEZED = 1 / 8, 7 / 16  # shares of the mixed crops; the rest are cut from the largest square


class Crops(NamedTuple):
    """Where the N crops of a batch lie, and what is done to them besides."""

    near: NDArray[np.float64]  # (N, 2), x and y in pixels
    far: NDArray[np.float64]  # (N, 2)
    flip: NDArray[np.bool_]  # (N,)
    sigma: NDArray[np.float64]  # (N,), standard deviation of the luminance noise

    def part(self, rank: int, world: int) -> Crops:
        """Every `world`-th, from `rank` on."""
        one = slice(rank, None, world)
        return Crops(self.near[one], self.far[one], self.flip[one], self.sigma[one])


def random_crops(
    extent: NDArray[Any], rng: np.random.Generator, smallest: float = RANDOM_AREA, *, mixed: bool = False
) -> Crops:
    """Crops of images of `extent` (N, 2), width and height; they are stretched to squares, half of them mirrored.

    Parameters
    ----------
    extent : (N, 2) array
    rng : Generator
    smallest : float
        Least area, relative to the largest square of an image, or to the image where the crop has its aspect.
    mixed : bool
        Seven in sixteen are cut from the whole image instead and have its aspect, so that it is squeezed as photographs
        are for the network; one in eight is the whole image.
    """
    n, extent = len(extent), extent.astype(float)
    aspect, area = RANDOM_ASPECT ** rng.uniform(-1, 1, n), rng.uniform(smallest, 1, n)
    place, flip, sigma = rng.uniform(0, 1, (n, 2)), rng.random(n) < 0.5, rng.uniform(0, RANDOM_NOISE, n)
    source = np.repeat(extent.min(axis=1, keepdims=True), 2, axis=1)
    if mixed:
        kind = rng.random(n)[:, None]
        source = np.where(kind < WHOLE + SQUEEZED, extent, source)
        aspect, area = (np.where(kind[:, 0] < WHOLE, 1.0, value) for value in (aspect, area))
    near, far = crop_box(extent, source, aspect, area, place)
    return Crops(near, far, flip, sigma)


def crop_box(
    extent: NDArray[Any], source: NDArray[Any], aspect: Any, area: Any, place: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Near and far corner (N, 2) of crops of images of `extent` (N, 2), as (x, y).

    `area` and `aspect` (width to height) are relative to `source` (N, 2), and as large as the image allows; `place`
    (N, 2) in [0, 1] lies between the first and the last that there is.
    """
    stretch = np.stack([np.sqrt(aspect), 1 / np.sqrt(aspect)], axis=-1)
    box = np.minimum(extent, np.sqrt(area)[:, None] * source * stretch)
    near = place * (extent - box)
    return near, near + box
