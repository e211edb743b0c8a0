"""Encode as Numba CUDA kernels, a thread for each pixel: YUV of uint8 RGB in exact integers, all else in float64."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from fastcolor.reference import constants as c
from fastcolor.reference.bins import space_of
from fastcolor.reference.constants import CHROMA_MAX, U_NUMERATOR_MAX, V_NUMERATOR_MAX
from numba import cuda

from ..common import face
from ..common.cuda_tables import on_device as there
from ..common.device_arrays import dtype_name
from ..common.layout import planes
from .color import LEVELS, cell_along, reader
from .device import launch, on_device
from .math import channel_zero

_U_R, _U_G, _U_B = c.U_COEFFICIENTS
_V_R, _V_G, _V_B = c.V_COEFFICIENTS
_Y_R, _Y_G, _Y_B = (round(1000 * x) for x in c.LUMA)
_Y_WHITE = np.float32(255 * sum((_Y_R, _Y_G, _Y_B)))


@cuda.jit(device=True)
def exact_cell(numerator, top, cells):
    """``min(K - 1, (a + a_max) K // (2 a_max))``."""
    cell = (numerator + top) * cells // (2 * top)
    return cell if cell < cells else cells - 1


@cuda.jit
def encode_exact(rgb, post, pixels, levels, cells, table, by_label, luma, labels, weights):
    """YUV of uint8 RGB (pre, 3, post), flattened; `table` is (K, K), flattened, `by_label` the weight of each bin."""
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


@lru_cache(maxsize=4)
def encode_kernel(space: str, uint8: bool) -> Any:
    """:func:`encode_exact`, or the same in float64 for another space or for RGB in float32 or float64."""
    if uint8 and space == "yuv":
        return encode_exact
    read, (first_top, second_top) = reader(space, uint8), CHROMA_MAX[space]

    @cuda.jit
    def encode_double(rgb, post, pixels, levels, cells, table, by_label, luma, labels, weights):
        pixel = cuda.grid(1)
        if pixel < pixels:
            light, first, second = read(rgb, channel_zero(pixel, 3, post), post, levels)
            label = table[cell_along(first, first_top, cells) * cells + cell_along(second, second_top, cells)]
            luma[pixel] = light
            labels[pixel] = label
            weights[pixel] = by_label[label]

    return encode_double


@face.encode
def encode(rgb: Any, bins: Any, lam: float, axis: int, *results: Any) -> None:
    with on_device(rgb) as stream:
        image = image_of(rgb, space_of(bins), axis)
        tables = bins.cells, there(bins.table, rgb), weights_of(bins, lam, rgb)
        kernel = encode_kernel(space_of(bins), dtype_name(rgb) == "uint8")
        launch(kernel, stream, image[2], (*image, *tables, *results))


def image_of(rgb: Any, space: str, axis: int) -> tuple[Any, int, int, Any]:
    """RGB as kernels take it: contiguous (pre, 3, post), `post`, the number of pixels, and what levels stand for."""
    view, _ = planes(rgb, axis)
    return view, view.shape[2], view.shape[0] * view.shape[2], there(LEVELS[space], rgb)


def weights_of(bins: Any, lam: float, like: Any) -> Any:
    return there(bins.weights(lam).astype(np.float32), like)
