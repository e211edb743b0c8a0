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
from fastcolor.reference.constants import LUMA_MAX

from ..common import face
from ..common.host import NO_BYTES, NO_FLOATS, ONE, Array, as_bits, levels, out_of_range, padded, plain, unpad, without
from ..common.kept import kept
from ..common.layout import planes
from ..common.scale import LOG2E, log2_scale
from .jit import jit
from .results import write_block
from .simd import LANES
from .softmax import ROWS, block_sums, take_mode
from .threads import run_blocks
from .tiles import bounds, copy_logarithms, copy_ordered, tile_pixels, transpose_block

BLOCK = 1024  # pixels: the sums stay in the L1 cache
_TILE = 1 << 16  # elements of a tile, 256 KB, which leave room in an L2 cache

_LOG2E, _INF = np.float32(LOG2E), np.float32(np.inf)


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
def decode_last(
    first, last, x, n, count, most, scale, one, colors, luma, luma_unit, lab, rgb, planar, chroma, top, ratio, wanted
):
    """As :func:`decode_planar`, by tiles of `most` pixels, of channels-last logits (count, n)."""
    sums, color = np.empty((ROWS, most), np.float32), wanted[0] or wanted[1]
    stride = most + LANES  # not a power of two, which would put all planes into a few sets of the L1 cache
    tile = np.empty(n * stride, np.float32)
    strange = False
    for block in range(first, last):
        _, start, size = bounds(block, count, most)
        transpose_block(x, start, count, size, n, stride, tile)
        source = x, (start + size) * n, size
        block_sums(tile, 0, stride, size, size, n, scale, one, colors, color, wanted[2], *source, sums)
        place = 0, start, count, size, sums
        strange |= write_block(*place, luma, luma_unit, lab, rgb, planar, chroma, top, ratio, wanted)
    return strange


@jit
def fill_tile(x, image, start, count, size, n, transposed, ordered, stride, tile):
    """A tile of probabilities of either layout: their logarithms or, if `ordered`, what has their order."""
    place = x, image * n * count, start, count
    if transposed:
        transpose_block(x, start, count, size, n, stride, tile)
        if ordered:
            copy_ordered(tile, 0, 0, stride, size, n, stride, tile)
        else:
            copy_logarithms(tile, 0, 0, stride, size, n, stride, tile)
    elif ordered:
        copy_ordered(*place, size, n, stride, tile)
    else:
        copy_logarithms(*place, size, n, stride, tile)


@jit
def decode_shares(
    first, last, x, n, count, most, transposed, scale, one, colors,
    luma, luma_unit, lab, rgb, planar, chroma, top, ratio, wanted,
):  # fmt: skip
    """As :func:`decode_planar`, by tiles of `most` pixels, of probabilities of any scale.

    They are (images, n, count) or, `transposed`, (count, n), flattened. The code of logits takes their logarithms.
    """
    sums, color = np.empty((ROWS, most), np.float32), wanted[0] or wanted[1]
    stride = most + LANES
    tile = np.empty(n * stride, np.float32)
    mode = color and scale == _INF  # of the probabilities themselves
    strange = False
    for block in range(first, last):
        image, start, size = bounds(block, count, most)
        source = (x, (start + size) * n, size) if transposed else (x, image * n * count + start + size, count)
        if wanted[2] or not mode:
            fill_tile(x, image, start, count, size, n, transposed, False, stride, tile)
            block_sums(tile, 0, stride, size, size, n, scale, one, colors, color and not mode, wanted[2], *source, sums)
        if mode:
            fill_tile(x, image, start, count, size, n, transposed, True, stride, tile)
            take_mode(tile, 0, stride, size, size, n, colors, sums)
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
        one, block = ONE if self.known else _LOG2E, self._block()
        strange = run_blocks(
            decode_shares if self.known else decode_last if self.transposed else decode_planar,
            self.images * -(-self.count // block),
            self.pixels,
            *(self.flat, self.n, self.count),
            *((block,) if self.known or self.transposed else ()),
            *((self.transposed,) if self.known else ()),
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

    def _block(self) -> int:
        """Pixels that are decoded at a time."""
        return tile_pixels(self.n, _TILE, LANES, 256) if self.known or self.transposed else BLOCK
