"""Photographs of one hue: sepia, cyanotype and selenium are gray ones that were toned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def is_toned(rgb: NDArray[np.uint8]) -> bool:
    """Whether the chroma of (H, W, 3) is a function of its luma, in one hue."""
    return False
