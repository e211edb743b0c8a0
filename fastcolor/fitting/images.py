"""What people give to be counted: arrays, paths, or an iterable of them; pixels as uint8 RGB."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..arrays import checks
from ..arrays.kinds import as_numpy, kind


def each_image(images: Iterable[Any] | Any) -> Iterator[np.ndarray]:
    """RGB uint8 (..., 3) of each image, one after the other.

    Parameters
    ----------
    images : array, path, or an iterable of them
        uint8 RGB arrays (..., 3) of any kind on the CPU, or paths of image files.

    Examples
    --------
    >>> [image.shape for image in each_image(np.zeros((4, 6, 3), np.uint8))]
    [(4, 6, 3)]
    """
    single = (str, os.PathLike, bytes, bytearray, memoryview)  # buffers are none, and told as a whole
    one = isinstance(images, single) or kind(images) is not None or not isinstance(images, Iterable)
    return map(_pixels, [images] if one else images)


def _pixels(image: Any) -> np.ndarray:
    if isinstance(image, (str, os.PathLike)):
        from ..files.images import read_photo

        photo = read_photo(image)
        return np.zeros((*photo.luma.shape, 3), np.uint8) if photo.rgb is None else photo.rgb  # all grays are alike
    seen = checks.on_cpu("images", checks.array("images", image, ("uint8",)))
    checks.ndim("images", seen, 1)
    checks.size_on_axis("images", seen, -1, "axis", 3)
    return as_numpy(image)
