"""Decode, annealed mean and confidence: one pass over the logits, block by block.

Channels-last logits are transposed into a tile that stays in the L1 cache. Rungs, 32 float32 bins, one thread of a Xeon
with AVX-512 (its memory would allow 118 MP/s): tiles with planes a power of two apart fight for a few cache sets,
43 MP/s -> padded planes, 55 -> the next tile is fetched while this one is summed, 70. Planar: see `softmax`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.constants import LUMA, U_SCALE, V_SCALE

from ..common import face
from ..common.host import NO_BYTES, NO_FLOATS, ONE, Array, as_bits, levels, padded, plain, unpad, without
from ..common.kept import kept
from ..common.layout import planes
from ..common.scale import log2_scale
from .jit import jit
from .simd import LANES, fma, greater, lesser, load, splat, store, store_rgb, to_int
from .softmax import RATIO, ROWS, SUM_U, SUM_V, TOP, block_sums, bounds, transpose_block
from .threads import run_blocks

BLOCK = 1024  # pixels: the sums stay in the L1 cache
TILE = 256  # pixels of channels-last logits that are transposed at a time
TILE_STRIDE = TILE + LANES  # not a power of two, which would put all planes into a few sets of the L1 cache

# 255 (R - Y), 255 (B - Y), 255 (G - Y) for one unit of V or U, from the exact inverse of the luma equation.
_R_V, _B_U = np.float32(255 / V_SCALE), np.float32(255 / U_SCALE)
_G_V, _G_U = np.float32(-255 / V_SCALE * LUMA[0] / LUMA[1]), np.float32(-255 / U_SCALE * LUMA[2] / LUMA[1])


@jit(inline=True)
def to_level(x):
    """F32 x + 0.5, clipped so that it truncates to a uint8 level; NaN gives 0."""
    return lesser(greater(x, splat(0.0)), splat(255.5))


@jit(inline=True)
def write_rgb(luma, u, v, rgb, pixel, base, plane):
    """Join 16 pixels: `luma` F32 in 0..255. Interleaved if plane is 0, else R at `base` and planes `plane` apart."""
    luma = luma + splat(0.5)  # truncation then rounds
    red, blue = fma(v, splat(_R_V), luma), fma(u, splat(_B_U), luma)
    green = fma(u, splat(_G_U), fma(v, splat(_G_V), luma))
    if plane == 0:
        store_rgb(rgb, 3 * pixel, to_level(red), to_level(green), to_level(blue))
    else:
        store(rgb, base, to_int(to_level(red)))
        store(rgb, base + plane, to_int(to_level(green)))
        store(rgb, base + 2 * plane, to_int(to_level(blue)))


@jit
def write_block(image, start, count, size, sums, luma, luma_unit, rgb, planar, chroma, top, ratio, wanted):
    """Turn the sums of a block into what is wanted: (rgb, chroma, confidence)."""
    want_rgb, want_chroma, want_top = wanted
    width = sums.shape[1]
    flat = sums.reshape(-1)
    for i in range(0, size, LANES):
        within = min(start + i, count - LANES)
        pixel = image * count + within
        if want_rgb or want_chroma:
            scale = splat(1.0) / load(flat, i)
            u, v = load(flat, SUM_U * width + i) * scale, load(flat, SUM_V * width + i) * scale
            if want_rgb:
                y = load(luma, pixel) * splat(luma_unit)
                write_rgb(y, u, v, rgb, pixel, 3 * image * count + within, count if planar else 0)
            else:
                store(chroma, 2 * image * count + within, u)
                store(chroma, (2 * image + 1) * count + within, v)
        if want_top:
            store(top, pixel, load(flat, TOP * width + i))
            store(ratio, pixel, load(flat, RATIO * width + i))


@jit
def decode_planar(first, last, x, n, count, scale, colors, luma, luma_unit, rgb, planar, chroma, top, ratio, wanted):
    """Blocks [first, last) of logits (images, n, count), flattened, count >= 16; `planar` is about the RGB."""
    sums, color = np.empty((ROWS, BLOCK), np.float32), wanted[0] or wanted[1]
    for block in range(first, last):
        image, start, size = bounds(block, count, BLOCK)
        base = image * n * count
        # Inside the block, pixel i is at min(i, rest): the last vector overlaps the one before.
        block_sums(x, base + start, count, count - start, size, n, scale, colors, color, wanted[2], x, -1, 0, sums)
        write_block(image, start, count, size, sums, luma, luma_unit, rgb, planar, chroma, top, ratio, wanted)


@jit
def decode_last(first, last, x, n, count, scale, colors, luma, luma_unit, rgb, planar, chroma, top, ratio, wanted):
    """Tiles [first, last) of channels-last logits (count, n), flattened, count >= 16."""
    sums, color = np.empty((ROWS, TILE), np.float32), wanted[0] or wanted[1]
    tile = np.empty(n * TILE_STRIDE, np.float32)
    for block in range(first, last):
        _, start, size = bounds(block, count, TILE)
        transpose_block(x, start, count, size, n, TILE_STRIDE, tile)
        source = x, (start + size) * n, size
        block_sums(tile, 0, TILE_STRIDE, size, size, n, scale, colors, color, wanted[2], *source, sums)
        write_block(0, start, count, size, sums, luma, luma_unit, rgb, planar, chroma, top, ratio, wanted)


_NO_COLORS = np.zeros((1, 2), np.float32)

# --- host -------------------------------------------------------------------------------------------------------------


@face.annealed_mean
def annealed_mean(logits: Array, bins: Any, temperature: float, axis: int, out: Array) -> None:
    run = _Run(logits, axis)
    chroma = np.empty(2 * run.count, out.dtype) if run.transposed else out.reshape(-1)
    run(bins, temperature, chroma=chroma)
    if run.transposed:
        chroma = chroma.reshape(2, -1)[:, : run.pixels]
        out[...] = np.moveaxis(chroma.reshape(2, *without(logits.shape, axis)), 0, axis)


@face.confidence
def confidence(logits: Array, axis: int, top: Array, ratio: Array) -> None:
    _Run(logits, axis)(None, 1.0, top=top, ratio=ratio)


@face.decode
def decode(
    logits: Array, luma: Array, bins: Any, temperature: float, axis: int, channel: int, rgb: Array, *maps: Array
) -> None:
    run, last, (top, ratio) = _Run(logits, axis), channel == logits.ndim - 1, maps or (None, None)
    planar = not last and not run.transposed and math.prod(luma.shape[:channel]) == run.images
    target = rgb if planar or last else np.empty((*luma.shape, 3), np.uint8)
    run(bins, temperature, luma=luma, rgb=target, planar=planar, top=top, ratio=ratio)
    if target is not rgb:
        rgb[...] = np.moveaxis(target, -1, channel)


def colors_of(bins: Any) -> Array:
    """Colors of the bins as kernels take them."""
    return kept(bins, "colors", lambda: plain(np.asarray(bins.colors, np.float32)))


class _Run:
    """One pass over logits: their layout, then what is wanted of them, each into its own contiguous array.

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
        self.flat = padded(plain(as_bits(view)), self.images * self.n * self.count)

    def __call__(
        self,
        bins: Any,
        temperature: float,
        *,
        luma: Any = None,
        rgb: Any = None,
        planar: bool = False,
        chroma: Any = None,
        top: Any = None,
        ratio: Any = None,
    ) -> None:
        colors = _NO_COLORS if bins is None else colors_of(bins)
        level, unit = (NO_FLOATS, ONE) if luma is None else levels(luma)
        to_rgb = NO_BYTES if rgb is None else padded(rgb, 3 * self.count)
        maps = [NO_FLOATS if array is None else padded(array, self.count) for array in (top, ratio)]
        block = TILE if self.transposed else BLOCK
        run_blocks(
            decode_last if self.transposed else decode_planar,
            self.images * -(-self.count // block),
            self.pixels,
            *(self.flat, self.n, self.count, log2_scale(temperature), colors),
            *(level if luma is None else padded(level, self.count), unit),
            *(to_rgb, planar, NO_FLOATS if chroma is None else as_bits(chroma), *maps),
            (rgb is not None, chroma is not None, top is not None),
        )
        for array, buffer in ((rgb, to_rgb), (top, maps[0]), (ratio, maps[1])):
            if array is not None:
                unpad(array, buffer)
