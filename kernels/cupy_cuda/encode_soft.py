"""Soft encode on a GPU: which instance of ``encode_soft.cu`` runs, and on what.

Arguments are arrays that the public API has validated, of one library and device; results are contiguous.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from fastcolor.reference.bins import space_of

from ..common import face
from ..common.candidates import CELLS, candidates
from ..common.cuda_tables import on_device
from ..common.device_arrays import pointer
from ..common.kept import name_of
from ..common.scale import log2_scale
from .encode import ENCODE_THREADS, WARP, Image, plane, weights_of
from .engine import Engine, index_value, label_type

KEPT = (5, 10, 32)  # bins in registers: the instances
_BINS = np.dtype([(name, np.uint64) for name in ("first", "candidates", "colors", "weights")])


@face.encode_soft
def encode_soft(
    engine: Engine,
    rgb: Any,
    bins: Any,
    neighbors: int,
    sigma: float,
    lam: float,
    weighting: str,
    axis: int,
    channel_axis: int,
    luma: Any,
    labels: Any,
    shares: Any,
    weights: Any,
) -> None:
    with engine.context(rgb):
        image = Image(rgb, channel_axis, results=neighbors)
        space, cells = plane(space_of(bins), CELLS)
        between = math.prod(luma.shape[axis:])
        most, last = next(size for size in KEPT if neighbors <= size), "true" if between == 1 else "false"
        options = falloff(sigma), np.int32(neighbors), np.int32(weighting == "mean"), index_value(image.index, between)
        kinds = (space, image.scalar, label_type(labels), image.planar, most, last, image.index)
        expression = f"fc::encode_soft<{', '.join(map(str, kinds))}>"
        blocks = -(-image.tiles // (ENCODE_THREADS // WARP))
        args = (*image.head, cells, _bins(bins, neighbors, lam, rgb), *options, luma, labels, shares, weights)
        engine.launch(image.rgb, "encode_soft", expression, blocks, ENCODE_THREADS, args)


def _bins(bins: Any, neighbors: int, lam: float, like: Any) -> Any:
    """``fc::Bins``, in the memory of the GPU."""
    near, lists = candidates(bins, neighbors), ("candidates", neighbors)
    tables: dict[Any, np.ndarray] = {
        (*lists, "first"): near.first,
        (*lists, "bins"): near.bins,
        "colors": np.array(bins.colors, np.float32),  # a copy lies where pairs can be read, whatever they come from
        ("weights", lam): weights_of(bins, lam),
    }
    pointers = (pointer(on_device(table, like, name_of(bins, what))) for what, table in tables.items())
    return np.array([tuple(pointers)], _BINS)


@lru_cache(maxsize=256)
def falloff(sigma: float) -> np.float32:
    """``log2(e) / (2 sigma^2)``, kept where a product with zero is zero and with one is finite.

    Examples
    --------
    >>> round(float(falloff(5.0)), 6)
    0.028854
    """
    return log2_scale(2 * sigma * sigma or 1e-300)
