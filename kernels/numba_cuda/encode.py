"""Encode as Numba CUDA kernels, a thread for each pixel: exact integers for uint8 RGB, float64 for float RGB.

float64 is slow on most GPUs, but twenty operations a pixel still cost less than the 21 bytes that it moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.reference import constants as c
from fastcolor.reference.constants import U_MAX, U_NUMERATOR_MAX, U_SCALE, V_MAX, V_NUMERATOR_MAX, V_SCALE
from numba import cuda

from ..common import face
from ..common.cuda_tables import on_device as there
from ..common.device_arrays import dtype_name
from ..common.layout import planes
from .device import launch, on_device
from .math import channel_zero

_U_R, _U_G, _U_B = c.U_COEFFICIENTS
_V_R, _V_G, _V_B = c.V_COEFFICIENTS
_Y_R, _Y_G, _Y_B = (round(1000 * x) for x in c.LUMA)
_LUMA_R, _LUMA_G, _LUMA_B = c.LUMA
_Y_WHITE = np.float32(255 * sum((_Y_R, _Y_G, _Y_B)))


@cuda.jit(device=True)
def exact_cell(numerator, top, cells):
    """``min(K - 1, (a + a_max) K // (2 a_max))``."""
    cell = (numerator + top) * cells // (2 * top)
    return cell if cell < cells else cells - 1


@cuda.jit(device=True)
def float_cell(chroma, top, cells):
    """Cell of a float64 chroma, clamped; NaN falls into the middle cell."""
    if chroma != chroma:
        return cells // 2
    scaled = (chroma + top) / (2 * top) * cells
    if scaled < 0:
        return 0
    return int(scaled) if scaled < cells else cells - 1


@cuda.jit
def encode_uint8(rgb, post, pixels, cells, table, by_label, luma, labels, weights):
    """uint8 RGB (pre, 3, post), flattened; `table` is (K, K), flattened, `by_label` the weight of each bin."""
    pixel = cuda.grid(1)
    if pixel < pixels:
        at = channel_zero(pixel, 3, post)
        red, green, blue = int(rgb[at]), int(rgb[at + post]), int(rgb[at + 2 * post])
        cell_u = exact_cell(_U_R * red + _U_G * green + _U_B * blue, U_NUMERATOR_MAX, cells)
        cell_v = exact_cell(_V_R * red + _V_G * green + _V_B * blue, V_NUMERATOR_MAX, cells)
        label = table[cell_u * cells + cell_v]
        luma[pixel] = np.float32(_Y_R * red + _Y_G * green + _Y_B * blue) / _Y_WHITE
        labels[pixel] = label
        weights[pixel] = by_label[label]


@cuda.jit
def encode_float(rgb, post, pixels, cells, table, by_label, luma, labels, weights):
    """float32 or float64 RGB in [0, 1], else as :func:`encode_uint8`, in the reference's order of operations."""
    pixel = cuda.grid(1)
    if pixel < pixels:
        at = channel_zero(pixel, 3, post)
        red, green, blue = np.float64(rgb[at]), np.float64(rgb[at + post]), np.float64(rgb[at + 2 * post])
        y = _LUMA_R * red + _LUMA_G * green + _LUMA_B * blue
        cell_u = float_cell(U_SCALE * (blue - y), U_MAX, cells)
        cell_v = float_cell(V_SCALE * (red - y), V_MAX, cells)
        label = table[cell_u * cells + cell_v]
        luma[pixel] = y
        labels[pixel] = label
        weights[pixel] = by_label[label]


@face.encode
def encode(rgb: Any, bins: Any, lam: float, axis: int, *results: Any) -> None:
    with on_device(rgb) as stream:
        view, _ = planes(rgb, axis)
        post, pixels = view.shape[2], view.shape[0] * view.shape[2]
        table, by_label = there(bins.table, rgb), there(bins.weights(lam).astype(np.float32), rgb)
        kernel = encode_uint8 if dtype_name(rgb) == "uint8" else encode_float
        launch(kernel, stream, pixels, (view, post, pixels, bins.cells, table, by_label, *results))
