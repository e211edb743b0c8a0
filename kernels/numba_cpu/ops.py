"""The operations on the CPU: layout, threads and allocation here; the arithmetic in the ``_numba_*`` modules.

Arguments are NumPy arrays that the public API has validated; uint16 logits are the bits of bfloat16. Results go to
`out` where it is given, through a contiguous buffer if its strides ask for one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.constants import (
    DEFAULT_LAM,
    DEFAULT_TEMPERATURE,
    U_NUMERATOR_MAX,
    V_NUMERATOR_MAX,
)
from numpy.typing import NDArray

from fastcolor import reference

from ..common.host import NO_BYTES, NO_FLOATS, deliver, flat_buffer, levels, padded, plain, unpad, without
from ..common.layout import planes
from ..common.scale import log2_scale
from . import decode as numba_decode
from . import encode as numba_encode
from . import histogram as numba_histogram
from . import merge as numba_merge
from .gradient import annealed_mean_gradient
from .loss import weighted_cross_entropy
from .simd import LANES
from .smoother import TemporalSmoother
from .threads import run_blocks

__all__ = [
    "TemporalSmoother",
    "annealed_mean",
    "annealed_mean_gradient",
    "chroma_moments",
    "confidence",
    "decode",
    "encode",
    "histogram",
    "merge",
    "weighted_cross_entropy",
]

Array = NDArray[Any]


def encode(
    rgb: Array,
    bins: Any,
    *,
    lam: float = DEFAULT_LAM,
    label_dtype: str = "uint8",
    channel_axis: int = -1,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """``luma = Y(rgb)``, ``labels = table[cell(rgb)]``, ``weights = bins.weights(lam)[labels]``."""
    shape = without(rgb.shape, channel_axis)
    out = out or (np.empty(shape, np.float32), np.empty(shape, label_dtype), np.empty(shape, np.float32))
    buffers = [flat_buffer(array) for array in out]
    by_label = np.asarray(bins.weights(lam), np.float32)
    if rgb.dtype != np.uint8:
        pixels = np.ascontiguousarray(np.moveaxis(rgb, channel_axis, -1)).reshape(-1, 3)
        count = len(pixels)
        table = plain(np.ascontiguousarray(bins.table))
        run_blocks(
            numba_encode.encode_float, len(pixels), len(pixels), plain(pixels), bins.cells, table, by_label, *buffers
        )
    else:
        pixels, images, count, planar = _rgb_planes(rgb, channel_axis)
        full = [padded(buffer, count) for buffer in buffers]
        pixels = padded(pixels, 3 * count)
        shift = int(bins.cells).bit_length()
        tables = _cell_tables(bins.table, by_label, shift)
        blocks = images * -(-count // numba_encode.BLOCK)
        run_blocks(
            numba_encode.encode_uint8,
            blocks,
            images * count,
            *(pixels, count, planar, _scales(bins.cells), bins.cells, shift, *tables, *full),
        )
        for buffer, longer in zip(buffers, full, strict=True):
            unpad(buffer, longer)
    for array, buffer in zip(out, buffers, strict=True):
        deliver(array, buffer)
    return out


def histogram(rgb: Array, cells: int, *, channel_axis: int = -1) -> NDArray[np.int64]:
    """``H[i, j] = number of pixels with (cell_u, cell_v) = (i, j)``, shape (K, K)."""
    if rgb.dtype != np.uint8:
        pixels = np.ascontiguousarray(np.moveaxis(rgb, channel_axis, -1)).reshape(-1, 3)
        return sum(run_blocks(numba_histogram.count_float, len(pixels), len(pixels), plain(pixels), cells))
    if rgb.size < 3 * LANES:
        return reference.histogram(rgb, cells, channel_axis=channel_axis)
    return _fold_edge(sum(_run_histogram(numba_histogram.count_uint8, rgb, cells, channel_axis)), cells)


def chroma_moments(
    rgb: Array, cells: int, *, channel_axis: int = -1
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Counts (K, K), sums (K, K, 2) and squares (2,) of the integer chroma numerators of a uint8 image."""
    if rgb.size < 3 * LANES:
        return reference.chroma_moments(rgb, cells, channel_axis=channel_axis)
    parts = _run_histogram(numba_histogram.moments_uint8, rgb, cells, channel_axis)
    counts, sums, squares = (sum(part) for part in zip(*parts, strict=True))
    return _fold_edge(counts, cells), _fold_edge(sums, cells), squares


def annealed_mean(
    logits: Array, bins: Any, *, temperature: float = DEFAULT_TEMPERATURE, axis: int = -3, out: Array | None = None
) -> Array:
    """``chroma = sum_b softmax(x / T)_b c_b``; dtype of the logits, float32 for float64."""
    axis %= logits.ndim
    if out is None:
        dtype = np.float32 if logits.dtype == np.float64 else logits.dtype
        out = np.empty((*logits.shape[:axis], 2, *logits.shape[axis + 1 :]), dtype)
    run = _Run(logits, axis)
    chroma = np.empty(run.images * 2 * run.count, out.dtype)
    run(bins, temperature, chroma=chroma)
    result = chroma.reshape(run.images, 2, run.count)
    if run.transposed:
        pixels = result[0, :, : run.pixels].T.reshape(*without(logits.shape, axis), 2)
        out[...] = np.moveaxis(pixels, -1, axis)
    else:
        out[...] = result.reshape(out.shape)
    return out


def confidence(logits: Array, *, axis: int = -3, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """``top = max_b softmax(x)_b`` and ``ratio = top / second``, at T = 1, float32."""
    shape = without(logits.shape, axis)
    out = out or (np.empty(shape, np.float32), np.empty(shape, np.float32))
    _Run(logits, axis)(None, 1.0, top=out[0], ratio=out[1])
    return out


def decode(
    logits: Array,
    luma: Array,
    bins: Any,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    channel_axis: int = -1,
    confidence: bool = False,
    out: Any = None,
) -> Any:
    """``rgb = floor(255 clip(rgb(Y, annealed_mean(x))) + 0.5)``; ``(rgb, top, ratio)`` with confidence."""
    pixels, channel = without(logits.shape, axis), channel_axis % logits.ndim
    if out is None:
        rgb = np.empty((*pixels[:channel], 3, *pixels[channel:]), np.uint8)
        out = (rgb, np.empty(pixels, np.float32), np.empty(pixels, np.float32)) if confidence else rgb
    rgb, top, ratio = out if confidence else (out, None, None)
    run = _Run(logits, axis)
    planar = channel < logits.ndim - 1 and not run.transposed and math.prod(pixels[:channel]) == run.images
    ready = planar or channel == logits.ndim - 1
    target = rgb if ready else np.empty((*pixels, 3), np.uint8)
    run(bins, temperature, luma=luma, rgb=target, planar=planar, top=top, ratio=ratio)
    if not ready:
        rgb[...] = np.moveaxis(target, -1, channel)
    return out


def merge(chroma: Array, luma: Array, *, out: Array | None = None) -> Array:
    """``rgb = join(Y, bilinear(chroma))``, (H, W, 3) uint8."""
    height, width = luma.shape
    out = np.empty((height, width, 3), np.uint8) if out is None else out
    if width < LANES:
        out[...] = reference.merge(chroma, luma)
        return out
    buffer = flat_buffer(out)
    source = plain(np.ascontiguousarray(chroma, np.float32))
    flat, unit = levels(luma)
    run_blocks(numba_merge.merge_rows, height, height * width, source, flat, unit, width, height, buffer)
    deliver(out, buffer)
    return out


class _Run:
    """One pass over logits: their layout, then what is wanted of them, each into its own array.

    Images of fewer than 16 pixels are padded, since a kernel works on whole vectors.
    """

    def __init__(self, logits: Array, axis: int) -> None:
        view, _ = planes(logits, axis)
        self.images, self.n, self.count = view.shape
        self.pixels = self.images * self.count
        if self.count < LANES and self.count > 1:
            view = np.ascontiguousarray(np.moveaxis(view, 1, -1)).reshape(self.pixels, self.n, 1)
        self.transposed = view.shape[2] < LANES
        if self.transposed:
            self.images, self.count = 1, max(self.pixels, LANES)
            if self.pixels < LANES:
                view = np.concatenate([view, np.zeros((LANES - self.pixels, self.n, 1), view.dtype)])
        self.flat = plain(view.view(np.int16) if view.dtype == np.float16 else view).reshape(-1)

    def __call__(
        self,
        bins: Any,
        temperature: float,
        *,
        luma: Array | None = None,
        rgb: Array | None = None,
        planar: bool = False,
        chroma: Array | None = None,
        top: Array | None = None,
        ratio: Array | None = None,
    ) -> None:
        colors = np.zeros((self.n, 2), np.float32) if bins is None else np.asarray(bins.colors, np.float32)
        level, unit = (NO_FLOATS, np.float32(1)) if luma is None else levels(luma)
        given = {"rgb": rgb, "top": top, "ratio": ratio}
        targets = {name: array for name, array in given.items() if array is not None}
        buffers = {name: flat_buffer(array) for name, array in targets.items()}
        full = {name: padded(buffer, self.count * (3 if name == "rgb" else 1)) for name, buffer in buffers.items()}
        if chroma is not None and chroma.dtype == np.float16:
            chroma = chroma.view(np.int16)
        block = numba_decode.TILE if self.transposed else numba_decode.BLOCK
        run_blocks(
            numba_decode.decode_last if self.transposed else numba_decode.decode_planar,
            self.images * -(-self.count // block),
            self.pixels,
            *(self.flat, self.n, self.count, log2_scale(temperature), plain(np.ascontiguousarray(colors))),
            *(level if luma is None else padded(level, self.count), unit),
            *(full.get("rgb", NO_BYTES), planar, NO_FLOATS if chroma is None else chroma),
            *(full.get("top", NO_FLOATS), full.get("ratio", NO_FLOATS)),
            (rgb is not None, chroma is not None, top is not None),
        )
        for name, buffer in buffers.items():
            unpad(buffer, full[name])
            deliver(targets[name], buffer)


def _rgb_planes(rgb: Array, channel_axis: int) -> tuple[Array, int, int, bool]:
    """uint8 RGB, flattened: (images, pixels, 3), or (images, 3, pixels) if planar; claims at least 16 pixels."""
    axis = channel_axis % rgb.ndim
    images, count = math.prod(rgb.shape[:axis]), math.prod(rgb.shape[axis + 1 :])
    if rgb.flags.c_contiguous and count >= LANES:
        return plain(rgb).reshape(-1), images, count, True
    pixels = np.ascontiguousarray(np.moveaxis(rgb, axis, -1))
    return plain(pixels).reshape(-1), 1, max(pixels.size // 3, LANES), False


def _scales(cells: int) -> Any:
    tops = (U_NUMERATOR_MAX, V_NUMERATOR_MAX)
    return tuple((*numba_encode.cell_scale(cells, top), top) for top in tops)


def _cell_tables(table: Array, by_label: Array, shift: int) -> tuple[Array, Array]:
    """Label and weight by cell, rows of 2^shift: index K, which only the top edge reaches, repeats K - 1."""
    cells = len(table)
    labels = np.zeros((cells + 1, 1 << shift), np.int32)
    labels[:cells, :cells] = table
    labels[cells] = labels[cells - 1]
    labels[:, cells] = labels[:, cells - 1]
    return labels.reshape(-1), by_label[labels].reshape(-1)


def _run_histogram(kernel: Any, rgb: Array, cells: int, channel_axis: int) -> list[Any]:
    pixels, images, count, planar = _rgb_planes(rgb, channel_axis)
    blocks = images * -(-count // numba_histogram.BLOCK)
    return run_blocks(kernel, blocks, images * count, pixels, count, planar, _scales(cells), cells)


def _fold_edge(counts: Array, cells: int) -> Array:
    """(K + 1, K + 1) to (K, K): the top edge belongs to the last cell."""
    counts[cells - 1] += counts[cells]
    counts[:, cells - 1] += counts[:, cells]
    return counts[:cells, :cells].copy()
