"""Every uint8 color, a red at a time, and bins that tell its cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcolor import reference

LEVELS = np.arange(256, dtype=np.uint8)
_UNIT = LEVELS / 255
LIGHT = np.where(_UNIT <= 0.04045, _UNIT / 12.92, ((_UNIT + 0.055) / 1.055) ** 2.4)  # linear, of each level of sRGB


def all_colors(red: int) -> Any:
    """The (256, 256, 3) colors with this red: green down, blue across."""
    rgb = np.empty((256, 256, 3), np.uint8)
    rgb[..., 0], rgb[..., 1], rgb[..., 2] = red, LEVELS[:, None], LEVELS
    return rgb


def coordinate_bins(cells: int, axis: int, space: str) -> reference.ColorBins:
    """Bins whose label is the cell's index on one axis, so that no wrong cell can hide behind a right label."""
    label = np.arange(cells)
    table = np.broadcast_to(label[:, None] if axis == 0 else label, (cells, cells)).astype(np.uint8)
    return reference.ColorBins(table, np.zeros((cells, 2), np.float32), np.full(cells, 1 / cells), space=space)
