"""RGB images as the kernels of colors read them: blocks of pixels, interleaved or in planes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..common.host import Array, allowed, out_of_range, padded, plain
from .jit import jit
from .simd import LANES, load, load_rgb

BLOCK = 4096  # pixels that one step of a thread's range takes
_LOW, _HIGH = (float(edge) for edge in allowed(0.0, 1.0))


@jit(inline=True)
def load_pixels(rgb, image, pixel, count, planar):
    """R, G, B of 16 pixels of an image of `count`."""
    if planar:
        source = 3 * image * count + pixel
        return load(rgb, source), load(rgb, source + count), load(rgb, source + 2 * count)
    return load_rgb(rgb, 3 * (image * count + pixel))


@jit(inline=True)
def levels_of(rgb, image, pixel, count, planar):
    """R, G, B of one pixel of an image of `count`."""
    at, step = (3 * image * count + pixel, count) if planar else (3 * (image * count + pixel), 1)
    return rgb[at], rgb[at + step], rgb[at + 2 * step]


@jit(inline=True)
def block_bounds(block, count):
    """Image, first pixel and last of a block of images of `count` pixels."""
    blocks = (count + BLOCK - 1) // BLOCK
    image = block // blocks
    start = (block - image * blocks) * BLOCK
    return image, start, min(start + BLOCK, count)


@jit(inline=True)
def load_float(rgb, pixel):
    """R, G, B in float64 of one pixel of an (N, 3) float image, and whether one of them leaves [0, 1]."""
    red, green, blue = np.float64(rgb[pixel, 0]), np.float64(rgb[pixel, 1]), np.float64(rgb[pixel, 2])
    low, high = red < _LOW or green < _LOW or blue < _LOW, red > _HIGH or green > _HIGH or blue > _HIGH
    return red, green, blue, low or high


# --- host -------------------------------------------------------------------------------------------------------------


def pixel_rows(rgb: Array, axis: int) -> Array:
    """RGB as (pixels, 3)."""
    return plain(np.moveaxis(rgb, axis, -1)).reshape(-1, 3)


def rgb_planes(rgb: Array, axis: int) -> tuple[Array, int, int, bool]:
    """uint8 RGB, flattened: (images, pixels, 3), or (images, 3, pixels) if planar; padded to 16 pixels."""
    images, count = math.prod(rgb.shape[:axis]), math.prod(rgb.shape[axis + 1 :])
    if rgb.flags.c_contiguous and count >= LANES:
        return plain(rgb).reshape(-1), images, count, True
    pixels = plain(np.moveaxis(rgb, axis, -1))
    count = max(pixels.size // 3, LANES)
    return padded(pixels, 3 * count), 1, count, False


def blocks_of(images: int, count: int) -> int:
    """How many blocks there are."""
    return images * -(-count // BLOCK)


def check_colors(left: Iterable[Any]) -> None:
    """Raise if any part of a float image has left [0, 1]."""
    if any(left):
        out_of_range("rgb", 0.0, 1.0)
