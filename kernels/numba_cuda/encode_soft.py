"""Soft encode as a Numba CUDA kernel, a thread for each pixel, in float64.

The next nearest bin is looked for k times among the few candidates of the pixel's cell: slower than to keep the k
nearest so far, but nothing has to be kept.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from fastcolor.reference.bins import space_of
from fastcolor.reference.constants import CHROMA_MAX
from numba import cuda

from ..common import face
from ..common.candidates import CELLS, candidates
from ..common.cuda_tables import on_device as there
from ..common.device_arrays import dtype_name
from .color import cell_along, reader
from .decode import colors as colors_of
from .device import launch, on_device
from .encode import image_of, weights_of
from .math import INF, NAN, ZERO, channel_zero, exp


@cuda.jit(device=True)
def next_nearest(first, second, square, label, near, start, stop, colors):
    """Squared distance and label of the nearest bin after the one given; ties go in the order of the labels.

    For chroma that is NaN, the next label at a distance of NaN.
    """
    least, found = np.float64(INF), label + 1
    for at in range(start, stop):  # labels ascend
        here = np.int64(near[at])
        along, across = first - np.float64(colors[2 * here]), second - np.float64(colors[2 * here + 1])
        other = along * along + across * across
        if other < least and (other > square or (other == square and here > label)):
            least, found = other, here
    return (least if least < INF else np.float64(NAN)), found


@lru_cache(maxsize=4)
def soft_kernel(space: str, uint8: bool) -> Any:
    """The kernel for RGB in uint8, or in float32 and float64."""
    read, (first_top, second_top) = reader(space, uint8), CHROMA_MAX[space]

    @cuda.jit
    def encode_soft(
        rgb, post, pixels, levels, starts, near, colors, by_label, k, falloff, mean, between,
        luma, labels, shares, weights,
    ):  # fmt: skip
        """`between` pixels lie between two of the k labels, and of the k shares, of a pixel."""
        pixel = cuda.grid(1)
        if pixel < pixels:
            light, first, second = read(rgb, channel_zero(pixel, 3, post), post, levels)
            luma[pixel] = light
            cell = cell_along(first, first_top, CELLS) * CELLS + cell_along(second, second_top, CELLS)
            at, square, label = channel_zero(pixel, k, between), -1.0, np.int64(-1)
            nearest, total, weight = 0.0, ZERO, ZERO
            for j in range(k):
                square, label = next_nearest(first, second, square, label, near, starts[cell], starts[cell + 1], colors)
                nearest = square if j == 0 else nearest
                share = exp(np.float32((nearest - square) * falloff))
                total += share
                weight += share * by_label[label]
                labels[at + j * between] = label
                shares[at + j * between] = share
            for j in range(k):
                shares[at + j * between] /= total
            weights[pixel] = weight / total if mean else by_label[labels[at]]

    return encode_soft


@face.encode_soft
def encode_soft(
    rgb: Any,
    bins: Any,
    neighbors: int,
    sigma: float,
    lam: float,
    weighting: str,
    axis: int,
    channel_axis: int,
    luma: Any,
    *results: Any,
) -> None:
    with on_device(rgb) as stream:
        image, lists = image_of(rgb, space_of(bins), channel_axis), candidates(bins, neighbors)
        tables = there(lists.first, rgb), there(lists.bins, rgb), colors_of(bins, rgb), weights_of(bins, lam, rgb)
        falloff = 0.5 / max(sigma * sigma, 1e-300)  # times a difference of zero it must be zero
        options = neighbors, np.float64(falloff), weighting == "mean", math.prod(luma.shape[axis:])
        launch(
            soft_kernel(space_of(bins), dtype_name(rgb) == "uint8"),
            *(stream, image[2], (*image, *tables, *options, luma, *results)),
        )
