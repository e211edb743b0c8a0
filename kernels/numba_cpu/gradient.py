"""The gradient of the annealed mean on the CPU: layout and threads here, the arithmetic in ``_numba_gradient``."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.reference.constants import DEFAULT_TEMPERATURE
from numpy.typing import NDArray

from fastcolor import reference

from ..common.host import plain
from ..common.layout import planes
from ..common.scale import log2_scale
from . import gradient_pixels
from .loss import _bfloat16_bits
from .loss_pixels import TILE
from .simd import LANES
from .threads import run_blocks

Array = NDArray[Any]


def annealed_mean_gradient(
    gradient: Array, logits: Array, bins: Any, *, temperature: float = DEFAULT_TEMPERATURE, axis: int = -3, out: Array
) -> Array:
    """``d (g . chroma) / d x_b = f_b (c_b - chroma) . g / T`` with ``f = softmax(x / T)``; T > 0.

    Parameters
    ----------
    gradient : ndarray, 2 on `axis`
        g, in the dtype of the logits, float32 for float64.
    logits : ndarray, n on `axis`
        float32, float16, uint16 (the bits of bfloat16), or float64, which is rounded to float32.
    bins : ColorBins
    temperature, axis : see the annealed mean
    out : ndarray, shape and dtype of the logits
        Written and returned; in the memory layout of the logits nothing n-wide is allocated.
    """
    axis %= logits.ndim
    x = planes(logits, axis)[0]
    images, n, count = x.shape
    pixels, last = images * count, count == 1
    if pixels < LANES:
        return _small(gradient, logits, bins, temperature, axis, out)
    target, copied = planes(out, axis)
    if copied or target.shape != x.shape or (n if last else count) < LANES or x.dtype == np.float64:
        return _through_planes(gradient, logits, bins, temperature, axis, out)
    slope = np.moveaxis(gradient, axis, 0) if last else gradient
    kernel = gradient_pixels.gradient_last if last else gradient_pixels.gradient_planar
    _run(kernel, x, slope, bins, temperature, target)
    return out


def _run(kernel: Any, x: Array, slope: Array, bins: Any, temperature: float, target: Array) -> None:
    images, n, count = x.shape
    last = count == 1
    pixels, along = images * count, images if last else count
    tiles = -(-pixels // TILE) if last else images * -(-count // TILE)
    colors = plain(np.ascontiguousarray(bins.colors, np.float32))
    scales = log2_scale(temperature), np.float32(min(1 / temperature, 1e38))
    flat, slope, result = (_flat(array) for array in (x, np.ascontiguousarray(slope), target))
    run_blocks(kernel, tiles, pixels, plain(flat), n, along, plain(slope), *scales, colors, result)


def _flat(array: Array) -> Array:
    """float16 as bits, which is how kernels read and write it."""
    return array.reshape(-1).view(np.int16) if array.dtype == np.float16 else array.reshape(-1)


def _through_planes(gradient: Array, logits: Array, bins: Any, temperature: float, axis: int, out: Array) -> Array:
    """By copies whose bins are far apart, for what the kernels do not take as it is."""
    dtype = np.float32 if logits.dtype == np.float64 else logits.dtype
    x, slope = (np.ascontiguousarray(np.moveaxis(array, axis, 0), dtype=dtype) for array in (logits, gradient))
    made = np.empty_like(x)
    shape = (1, len(x), -1)
    _run(gradient_pixels.gradient_planar, x.reshape(shape), slope, bins, temperature, made.reshape(shape))
    out[...] = np.moveaxis(made, 0, axis)
    return out


def _small(gradient: Array, logits: Array, bins: Any, temperature: float, axis: int, out: Array) -> Array:
    """Fewer pixels than a vector has, by the reference."""
    bits = logits.dtype == np.uint16
    g, x = ((a.astype(np.uint32) << 16).view(np.float32) if a.dtype == np.uint16 else a for a in (gradient, logits))
    x = np.asarray(x, np.float32)
    result = reference.annealed_mean_gradient(g, x, bins, temperature=temperature, axis=axis)
    out[...] = _bfloat16_bits(result) if bits else result
    return out
