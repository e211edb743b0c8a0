"""Encode and histogram on a GPU: which instance of ``encode.cu`` and ``histogram.cu`` runs, and on what.

Arguments are arrays that the public API has validated, of one library and device; results are contiguous.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from fastcolor.reference.bins import class_weights, space_of
from fastcolor.reference.constants import AB_MAX, U_NUMERATOR_MAX, V_NUMERATOR_MAX

from ..common import face
from ..common.cuda_tables import on_device
from ..common.device_arrays import contiguous, moveaxis, pointer
from ..common.layout import planes
from ..common.recording import zeroed
from .engine import Engine, index_type, label_type, scalar_type
from .source import FEW_BINS

WARP = 32
ENCODE_THREADS, HISTOGRAM_THREADS = 128, 256  # as in encode.cu and histogram.cu
LOCAL_CELLS = 92  # K up to which the counts of a block fit in shared memory, beside its tiles
COPIES_BYTES = 8 << 10  # of shared memory: more copies of a small histogram, less contention
BLOCKS = 1024  # of a histogram, so that a 32-bit count cannot overflow and adding up stays cheap
_MIN_PLANE = 128  # pixels: a warp takes pieces of one image's planes
_GRID = np.dtype([(name, np.uint32) for name in ("cells", "u_scale", "v_scale")])
_LAB_GRID = np.dtype(
    [("cells", np.uint32), *((name, np.float32) for name in ("middle", "a_scale", "b_scale", "a_sure", "b_sure"))]
)
_FEW, _MANY = np.dtype([("of", np.float32, (FEW_BINS + 1,))]), np.dtype([("of", np.uint64)])


@face.encode
def encode(
    engine: Engine, rgb: Any, bins: Any, lam: float, axis: int, luma: Any, labels: Any, label_weights: Any
) -> None:
    with engine.context(rgb):
        image = Image(rgb, axis)
        table = on_device(bins.table, rgb)
        kind, by_label = _by_label(bins, lam, rgb)
        space, cells = plane(space_of(bins), bins.cells)
        args = (*image.head, cells, table, by_label, np.int32(bins.n), luma, labels, label_weights)
        expression = f"fc::encode<{space}, {kind}, {image.scalar}, {label_type(labels)}, {image.planar}, {image.index}>"
        blocks = -(-image.tiles // (ENCODE_THREADS // WARP))
        engine.launch(image.rgb, "encode", expression, blocks, ENCODE_THREADS, args)


def histogram(engine: Engine, rgb: Any, cells: int, *, space: str = "yuv", channel_axis: int = -1) -> Any:
    """``H[i, j] = number of pixels in cell (i, j)`` of the chroma plane, shape (K, K)."""
    with engine.context(rgb):
        image = Image(rgb, channel_axis)
        counts = zeroed(rgb, (cells, cells), "int64")
        local = cells <= LOCAL_CELLS
        shift = next((shift for shift in (2, 1) if 4 * cells * cells << shift <= COPIES_BYTES), 0)
        blocks = min(-(-image.tiles // (HISTOGRAM_THREADS // WARP)), BLOCKS)
        kind, grid_of_cells = plane(space, cells)
        shared_counts = "true" if local else "false"
        expression = f"fc::histogram<{kind}, {image.scalar}, {image.planar}, {shared_counts}, {image.index}>"
        args = (*image.head, grid_of_cells, np.uint32(shift), counts)
        shared = -(-(cells * cells << shift) // 4) * 16 if local else 0
        engine.launch(image.rgb, "histogram", expression, blocks, HISTOGRAM_THREADS, args, shared)
    return counts


class Image:
    """RGB as a kernel takes it: contiguous, interleaved as one image or in planes, and cut into tiles of a warp.

    Parameters
    ----------
    rgb : array
    channel_axis : int
    results : int
        The most that an array of results has for a pixel.
    """

    def __init__(self, rgb: Any, channel_axis: int, results: int = 1) -> None:
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
        self.index = index_type(max(4, results) * images * count)
        size = np.uint32 if self.index == "fc::u32" else np.uint64
        self.head = (view, size(count), size(self.tiles))


def _by_label(bins: Any, lam: float, like: Any) -> tuple[str, Any]:
    """Class weights as ``fc::Few``, by value, or as ``fc::Many``, in the memory of the GPU; the type, and the value."""
    if bins.n <= FEW_BINS:
        return "fc::Few", _few(_prior(bins), lam)
    return "fc::Many", np.array([(pointer(on_device(weights_of(bins, lam), like)),)], _MANY)


def weights_of(bins: Any, lam: float) -> np.ndarray:
    """Class weights, float32."""
    return _weights(_prior(bins), lam)


def _prior(bins: Any) -> bytes:
    """What weights are kept by."""
    return np.asarray(bins.prior, np.float64).tobytes()


@lru_cache(maxsize=64)
def _weights(prior: bytes, lam: float) -> np.ndarray:
    return class_weights(np.frombuffer(prior), lam).astype(np.float32)


@lru_cache(maxsize=64)
def _few(prior: bytes, lam: float) -> Any:
    weights = _weights(prior, lam)
    by_label = np.zeros(1, _FEW)
    by_label["of"][0, : len(weights)] = weights
    return by_label


def plane(space: str, cells: int) -> tuple[str, Any]:
    """The type of a space's grid of K x K cells, and its value."""
    return ("fc::LabGrid", lab_grid(cells)) if space == "lab" else ("fc::Grid", grid(cells))


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


@lru_cache(maxsize=256)
def lab_grid(cells: int) -> Any:
    """``fc::LabGrid``: ``(a + a_max) K / (2 a_max) = K / 2 + (fx - fy) 500 K / (2 a_max)``, and what float32 errs by.

    In units u = 2^-24, next to cubes of less than 1: a summand of XYZ errs by 5 (linear light and matrix rounded, a
    product, two sums), its cube root by a third of that and 1.4, so by 3.1. Where XYZ lies so close to the threshold
    that its error picks the other branch, they differ by 5.5 there, where either errs by 0.8 itself: f errs by 6.3 at
    most. A difference of two, of which none exceeds 0.7, errs by 13.3, and its share of the plane, 500 / 230 or
    200 / 230 times as much, by 28.9 or 11.6; the scale and the sum round by 1.5 more. In all 31 and 14 u K.

    Examples
    --------
    >>> float(lab_grid(23)["b_scale"][0])
    20.0
    """
    width, error = 2 * AB_MAX, 2.0**-24 * cells
    scales = (500 / width * cells, 200 / width * cells)
    return np.array([(cells, cells / 2 - 0.5, *scales, 0.5 - 31 * error, 0.5 - 14 * error)], _LAB_GRID)
