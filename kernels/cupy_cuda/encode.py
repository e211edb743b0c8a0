"""Encode and histogram on a GPU: which instance of ``encode.cu`` and ``histogram.cu`` runs, and on what.

Arguments are arrays that the public API has validated, of one library and device; results are contiguous.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from fastcolor.reference.bins import class_weights
from fastcolor.reference.constants import MAX_BINS, U_NUMERATOR_MAX, V_NUMERATOR_MAX

from ..common import face
from ..common.cuda_tables import on_device
from ..common.device_arrays import contiguous, moveaxis, pointer, zeros
from ..common.layout import planes
from .engine import Engine, index_type, scalar_type

WARP = 32
ENCODE_THREADS, HISTOGRAM_THREADS = 128, 256  # as in encode.cu and histogram.cu
LOCAL_CELLS = 92  # K up to which the counts of a block fit in shared memory, beside its tiles
COPIES_BYTES = 8 << 10  # of shared memory: more copies of a small histogram, less contention
BLOCKS = 1024  # of a histogram, so that a 32-bit count cannot overflow and adding up stays cheap
_MIN_PLANE = 128  # pixels: a warp takes pieces of one image's planes
_GRID = np.dtype([(name, np.uint32) for name in ("cells", "u_scale", "v_scale")])
_WEIGHTS = np.dtype([("of", np.float32, (MAX_BINS + 1,))])


@face.encode
def encode(
    engine: Engine, rgb: Any, bins: Any, lam: float, axis: int, luma: Any, labels: Any, label_weights: Any
) -> None:
    with engine.context(rgb):
        image = _Image(rgb, axis)
        table = on_device(bins.table, rgb)
        by_label = _by_label(np.asarray(bins.prior, np.float64).tobytes(), lam)
        results = map(pointer, (luma, labels, label_weights))
        args = (*image.head, grid(bins.cells), pointer(table), by_label, np.int32(bins.n), *results)
        expression = f"fc::encode<{image.scalar}, {scalar_type(labels)}, {image.planar}, {image.index}>"
        blocks = -(-image.tiles // (ENCODE_THREADS // WARP))
        engine.launch(image.rgb, "encode", expression, blocks, ENCODE_THREADS, args)


def histogram(engine: Engine, rgb: Any, cells: int, *, channel_axis: int = -1) -> Any:
    """``H[i, j] = number of pixels with (cell_u, cell_v) = (i, j)``, shape (K, K)."""
    with engine.context(rgb):
        image = _Image(rgb, channel_axis)
        counts = zeros(rgb, (cells, cells), "int64")
        warps, local = HISTOGRAM_THREADS // WARP, cells <= LOCAL_CELLS
        copies = min(max(COPIES_BYTES // (4 * cells * cells), 1), warps) if local else 0
        # A block adds K^2 counts to the result at the end: it shall have seen several times as many pixels.
        sweeps = max(4, 4 * cells * cells // (warps * image.tile)) if local else 4
        blocks = min(-(-image.tiles // (warps * sweeps)), BLOCKS)
        expression = f"fc::histogram<{image.scalar}, {image.planar}, {'true' if local else 'false'}, {image.index}>"
        args = (*image.head, grid(cells), np.int32(copies), pointer(counts))
        shared = copies * 4 * cells * cells
        engine.launch(image.rgb, "histogram", expression, blocks, HISTOGRAM_THREADS, args, shared)
    return counts


class _Image:
    """RGB as a kernel takes it: contiguous, interleaved as one image or in planes, and cut into tiles of a warp.

    Parameters
    ----------
    rgb : array
    channel_axis : int
    """

    def __init__(self, rgb: Any, channel_axis: int) -> None:
        view, _ = planes(rgb, channel_axis)
        images, _, count = view.shape
        if 1 < count < _MIN_PLANE:
            view = contiguous(moveaxis(view, 1, -1))
            images, count = images * count, 1
        planar = count > 1
        images, count = (images, count) if planar else (1, images)
        self.rgb = view
        self.scalar, self.planar = scalar_type(view), "true" if planar else "false"
        self.tile = WARP * 16 // view.itemsize
        self.tiles = images * -(-count // self.tile)
        self.index = index_type(4 * images * count)
        size = np.uint32 if self.index == "fc::u32" else np.uint64
        self.head = (pointer(view), size(count), size(self.tiles))


@lru_cache(maxsize=64)
def _by_label(prior: bytes, lam: float) -> Any:
    """Class weights as ``fc::Weights``, for the content of a prior."""
    weights = class_weights(np.frombuffer(prior), lam)
    by_label = np.zeros(1, _WEIGHTS)
    by_label["of"][0, : len(weights)] = weights
    return by_label


@lru_cache(maxsize=256)
def grid(cells: int) -> Any:
    """``fc::Grid``: ``x K // D = x ceil(2^38 K / D) >> 38`` for chroma numerators x in [0, D], D < 2^19.

    Examples
    --------
    >>> g = grid(17)[0]
    >>> 225930 * int(g["u_scale"]) >> 38
    8
    """
    scales = (-(-(cells << 38) // (2 * top)) for top in (U_NUMERATOR_MAX, V_NUMERATOR_MAX))
    return np.array([(cells, *scales)], _GRID)
