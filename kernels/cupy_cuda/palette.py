"""The colors of the bins as a launch argument: by value, or a table in the memory of the GPU (``palette.cuh``)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..common.cuda_tables import on_device
from ..common.device_arrays import pointer
from ..common.kept import kept
from .source import FEW_BINS

_BY_VALUE = np.dtype([("u", np.float32, (FEW_BINS + 1,)), ("v", np.float32, (FEW_BINS + 1,))])
_TABLE = np.dtype([("colors", np.uint64), ("count", np.int32), ("padding", np.int32)])
_ROOM = 512  # bins that a group of lanes reads at once: those beyond the last are there, and zero


class Colors(NamedTuple):
    """A C++ type, an argument of it, and the shared memory, in bytes, that a block brings it to."""

    type: str
    argument: Any
    shared: int


def by_value(bins: Any) -> Colors:
    """``fc::Palette``, of up to 255 bins; zeros without bins."""
    return Colors("fc::Palette", kept(bins, "colors by value", lambda: _filled(bins)), 0)


def in_table(bins: Any, like: Any) -> Colors:
    """``fc::Table`` on the device of `like`; an empty one without bins."""
    if bins is None:
        return Colors("fc::Table", np.zeros(1, _TABLE), 0)
    table = on_device(kept(bins, "colors in a table", lambda: _padded(bins)), like)
    argument = np.array([(pointer(table), table.shape[1], 0)], _TABLE)
    return Colors("fc::Table", argument, 4 * 2 * table.shape[1])


def colors(bins: Any, like: Any) -> Colors:
    """By value where that is possible: nothing has to be copied, and the constant bank serves a whole warp at once."""
    return by_value(bins) if bins is None or bins.n <= FEW_BINS else in_table(bins, like)


def _filled(bins: Any) -> Any:
    argument = np.zeros(1, _BY_VALUE)
    if bins is not None:
        argument["u"][0, : bins.n], argument["v"][0, : bins.n] = np.asarray(bins.colors, np.float32).T
    return argument


def _padded(bins: Any) -> np.ndarray:
    """All U, then all V, with zeros up to a multiple of what a group of lanes reads at once."""
    table = np.zeros((2, -(-bins.n // _ROOM) * _ROOM), np.float32)
    table[:, : bins.n] = np.asarray(bins.colors, np.float32).T
    return table
