"""The color arithmetic that all peers share: BT.601 as a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.reference import constants as c

LOG2_E = 1.4426950408889634

# rgb = y + OFFSETS @ (u, v): the exact inverse of the luma and chroma equations.
OFFSETS = np.array(
    [
        [0.0, 1 / c.V_SCALE],
        [-c.LUMA[2] / (c.LUMA[1] * c.U_SCALE), -c.LUMA[0] / (c.LUMA[1] * c.V_SCALE)],
        [1 / c.U_SCALE, 0.0],
    ]
)


def bin_offsets(bins: Any) -> np.ndarray:
    """What each bin adds to the luma: (3, n) float32, R, G, B on the first axis."""
    return (OFFSETS @ bins.colors.T.astype(np.float64)).astype(np.float32)
