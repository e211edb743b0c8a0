"""Decode, annealed mean and confidence: one pass over the logits, block by block.

Channels-last logits are transposed into a tile that stays in the L1 cache. Rungs, 32 float32 bins, one thread of a Xeon
with AVX-512 (its memory would allow 118 MP/s): tiles with planes a power of two apart fight for a few cache sets,
43 MP/s -> padded planes, 55 -> the next tile is fetched while this one is summed, 70. Planar: see `softmax`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.bins import space_of
from fastcolor.reference.constants import ALLOWANCE, LUMA_MAX

from ..common import face
from ..common.host import NO_BYTES, NO_FLOATS, ONE, Array, as_bits, levels, out_of_range, padded, plain, unpad, without
from ..common.kept import kept
from ..common.layout import planes
from ..common.scale import LOG2E, log2_scale
from .jit import jit
from .join import write_rgb
from .simd import LANES, greater, lesser, load, outside, splat, store
from .softmax import RATIO, ROWS, SUM_U, SUM_V, TOP, block_sums
from .threads import run_blocks
from .tiles import bounds, copy_logarithms, tile_pixels, transpose_block

BLOCK = 1024  # pixels: the sums stay in the L1 cache
_TILE = 1 << 16  # elements of a tile, 256 KB, which leave room in an L2 cache

_LOG2E, _INF = np.float32(LOG2E), np.float32(np.inf)
_LEVELS, _LIGHTEST, _ALLOWANCE = np.float32(255), np.float32(LUMA_MAX["lab"]), np.float32(ALLOWANCE)


@jit(inline=True)
def beyond_luma(least, most, lab):
    """True if the range of lumas, as levels or L of Lab, leaves that of the space; `least` <= 0 <= `most`."""
    high = _LIGHTEST if lab else _LEVELS
    slack = high * _ALLOWANCE
    return outside(splat(-slack), least, splat(_INF)) or outside(splat(-_INF), most, splat(high + slack))


@jit(inline=True)
def _chroma_at(flat, width, i):
    """The annealed mean of the 16 pixels at `i` of a block's sums."""
    scale = splat(1.0) / load(flat, i)
    return load(flat, SUM_U * width + i) * scale, load(flat, SUM_V * width + i) * scale


@jit(inline=True)
def _join_block(image, start, count, size, sums, luma, luma_unit, lab, rgb, planar):
    """RGB of a block. True if a luma is out of range."""
    width = sums.shape[1]
    flat = sums.reshape(-1)
    least, most = splat(0.0), splat(0.0)
    for i in range(0, size, LANES):
        within = min(start + i, count - LANES)
        pixel = image * count + within
        u, v = _chroma_at(flat, width, i)
        y = load(luma, pixel) * splat(luma_unit)
        least, most = lesser(y, least), greater(y, most)  # NaN is neither
        write_rgb(y, u, v, rgb, pixel, 3 * image * count + within, count if planar else 0, lab)
    return beyond_luma(least, most, lab)


@jit
def write_block(image, start, count, size, sums, luma, luma_unit, lab, rgb, planar, chroma, top, ratio, wanted):
    """Turn the sums of a block into what is wanted: (rgb, chroma, confidence). True if a luma is out of range."""
    want_rgb, want_chroma, want_top = wanted
    width = sums.shape[1]
    flat = sums.reshape(-1)
    strange = False
    if want_rgb and lab:  # two loops, each of which knows its space
        strange = _join_block(image, start, count, size, sums, luma, luma_unit, True, rgb, planar)
    elif want_rgb:
        strange = _join_block(image, start, count, size, sums, luma, luma_unit, False, rgb, planar)
    elif want_chroma:
        for i in range(0, size, LANES):
            place = 2 * image * count + min(start + i, count - LANES)
            u, v = _chroma_at(flat, width, i)
            store(chroma, place, u)
            store(chroma, place + count, v)
    if want_top:
        for i in range(0, size, LANES):
            pixel = image * count + min(start + i, count - LANES)
            store(top, pixel, load(flat, TOP * width + i))
            store(ratio, pixel, load(flat, RATIO * width + i))
    return strange


@jit
def decode_planar(
    first, last, x, n, count, scale, one, colors, luma, luma_unit, lab, rgb, planar, chroma, top, ratio, wanted
):
    """Blocks [first, last) of logits (images, n, count), flattened, count >= 16; `planar` is about the RGB.

    True if a luma is out of range.
    """
    sums, color = np.empty((ROWS, BLOCK), np.float32), wanted[0] or wanted[1]
    strange = False
    for block in range(first, last):
        image, start, size = bounds(block, count, BLOCK)
        base = image * n * count
        # Inside the block, pixel i is at min(i, rest): the last vector overlaps the one before.
        inside = base + start, count, count - start, size, n
        block_sums(x, *inside, scale, one, colors, color, wanted[2], x, -1, 0, sums)
        place = image, start, count, size, sums
        strange |= write_block(*place, luma, luma_unit, lab, rgb, planar, chroma, top, ratio, wanted)
    return strange


@jit
def decode_tiles(
    first, last, x, n, count, most, transposed, known, scale, one, colors,
    luma, luma_unit, lab, rgb, planar, chroma, top, ratio, wanted,
):  # fmt: skip
    """As :func:`decode_planar`, by copies of `most` pixels: of what is channels-last, (count, n), if `transposed`.

    If `known`, and always if planar, these are probabilities, of which a copy holds the logarithms.
    """
    sums, color = np.empty((ROWS, most), np.float32), wanted[0] or wanted[1]
    stride = most + LANES  # not a power of two, which would put all planes into a few sets of the L1 cache
    tile = np.empty(n * stride, np.float32)
    strange = False
    for block in range(first, last):
        image, start, size = bounds(block, count, most)
        if transposed:
            transpose_block(x, start, count, size, n, stride, tile)
            if known:
                copy_logarithms(tile, 0, 0, stride, size, n, stride, tile)
            source = x, (start + size) * n, size
        else:
            base = image * n * count
            copy_logarithms(x, base, start, count, size, n, stride, tile)
            source = x, base + start + size, count
        block_sums(tile, 0, stride, size, size, n, scale, one, colors, color, wanted[2], *source, sums)
        place = image, start, count, size, sums
        strange |= write_block(*place, luma, luma_unit, lab, rgb, planar, chroma, top, ratio, wanted)
    return strange


_NO_COLORS = np.zeros((1, 2), np.float32)

# --- host -------------------------------------------------------------------------------------------------------------


@face.annealed_mean
def annealed_mean(logits: Array, bins: Any, temperature: float, axis: int, from_logits: bool, out: Array) -> None:
    run = _Run(logits, axis, from_logits)
    chroma = np.empty(2 * run.count, out.dtype) if run.transposed else out.reshape(-1)
    run(bins, temperature, chroma=chroma)
    if run.transposed:
        chroma = chroma.reshape(2, -1)[:, : run.pixels]
        out[...] = np.moveaxis(chroma.reshape(2, *without(logits.shape, axis)), 0, axis)


@face.confidence
def confidence(logits: Array, axis: int, from_logits: bool, top: Array, ratio: Array) -> None:
    _Run(logits, axis, from_logits)(None, 1.0, top=top, ratio=ratio)


@face.decode
def decode(
    logits: Array,
    luma: Array,
    bins: Any,
    temperature: float,
    axis: int,
    channel: int,
    from_logits: bool,
    rgb: Array,
    *maps: Array,
) -> None:
    run, last, (top, ratio) = _Run(logits, axis, from_logits), channel == logits.ndim - 1, maps or (None, None)
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

    def __init__(self, logits: Array, axis: int, from_logits: bool) -> None:
        view, _ = planes(logits, axis)
        self.images, self.n, self.count = view.shape
        self.pixels = self.images * self.count
        if self.count < LANES and self.count > 1:
            view = np.ascontiguousarray(np.moveaxis(view, 1, -1)).reshape(self.pixels, self.n, 1)
        self.known, self.transposed = not from_logits, view.shape[2] < LANES
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
        colors, lab = (_NO_COLORS, False) if bins is None else (colors_of(bins), space_of(bins) == "lab")
        level, unit = (NO_FLOATS, ONE) if luma is None else levels(luma, lab)
        to_rgb = NO_BYTES if rgb is None else padded(rgb, 3 * self.count)
        maps = [NO_FLOATS if array is None else padded(array, self.count) for array in (top, ratio)]
        one = ONE if self.known else _LOG2E
        tiles = self.transposed or self.known
        block = tile_pixels(self.n, _TILE, LANES, 256) if tiles else BLOCK
        strange = run_blocks(
            decode_tiles if tiles else decode_planar,
            self.images * -(-self.count // block),
            self.pixels,
            *(self.flat, self.n, self.count, *((block, self.transposed, self.known) if tiles else ())),
            *(log2_scale(temperature, float(one)), one, colors),
            *(level if luma is None else padded(level, self.count), unit, lab),
            *(to_rgb, planar, NO_FLOATS if chroma is None else as_bits(chroma), *maps),
            (rgb is not None, chroma is not None, top is not None),
        )
        if any(strange):
            out_of_range("luma", 0, LUMA_MAX["lab" if lab else "yuv"])
        for array, buffer in ((rgb, to_rgb), (top, maps[0]), (ratio, maps[1])):
            if array is not None:
                unpad(array, buffer)
