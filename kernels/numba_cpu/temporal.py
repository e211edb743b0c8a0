"""Temporal smoothing and decoding of a frame, block by block: softmax, recursion, annealed mean in one pass.

State and ring are stored by block, (blocks, n, BLOCK), so that each block is one stream in memory; the probabilities of
this frame overwrite those that leave the window. Per pixel of 32 bins that is 128 bytes of logits, 256 of state, and
twice 128, 64 or 32 of a float32, float16 or uint8 ring. Rungs, one thread of a Xeon with AVX-512 and a uint8 ring (its
memory would allow 35 MP/s): 22 MP/s -> the next block's logits are fetched while this one is decoded, 27.

Rounding: an error of the sum decays by e^-α a frame, so that it stays below 1.5 eps S / (1 - e^-α), where S is the
largest possible sum, (1 - e^-(α (w + 1))) / (1 - e^-α). For small α that is no bound, and each block is summed anew
from the ring every `REFRESH` frames, a different share of the blocks in each frame.

A ring of fewer bits rounds p by at most d (uint8: 1/510). Two ways to live with that, whichever errs less: add the
rounded p, so that what leaves later is exactly what came (error at most d S), or add p itself, so that only what
leaves is rounded (error at most d e^(-α (w + 1)) / (1 - e^-α): 1.6e-4 instead of 1.1e-2 with α = 0.2 and w = 20).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference.bins import space_of
from fastcolor.reference.constants import LUMA_MAX

from ..common.host import NO_BYTES, NO_FLOATS, ONE, Array, as_bits, levels, out_of_range, padded, plain, unpad
from ..common.layout import planes
from ..common.scale import log2_scale
from ..common.smoother import REFRESH, Smoother
from .decode import colors_of
from .jit import jit
from .math import log2
from .results import beyond_luma, write_block
from .shares import share_block, softmax_block
from .simd import LANES, fma, greater, lesser, load, splat, store, to_int, where_greater
from .softmax import ROWS, block_sums
from .threads import run_blocks
from .tiles import tile_pixels, transpose_block

BLOCK, _TILE = 512, 1 << 18  # pixels of a block, and elements, so that one of 1024 bins takes a megabyte

_ZERO = np.float32(2.0**-125)  # exp2_scaled gives 2^-126 for probability zero
_BYTE = np.float32(1 / 255)


@jit(inline=True)
def _load_past(ring, at):
    """F32 of past probabilities; a uint8 ring holds 255 p."""
    return load(ring, at) * splat(_BYTE) if ring.itemsize == 1 else load(ring, at)


@jit(inline=True)
def _store_past(ring, at, p):
    if ring.itemsize == 1:
        store(ring, at, to_int(fma(p, splat(255.0), splat(0.5))))
    else:
        store(ring, at, p)


@jit
def advance_block(tile, scales, size, n, width, sums, ring, base, slot, decay, leaving, exact):
    """Bring the sums of a block forward by the softmax in `tile`, and leave log2 of them in `tile`.

    `base` is the block's place in the sums, `slot` its place in the ring, where this frame replaces the one that
    leaves; `exact` adds p as the ring rounds it.
    """
    keep, drop = splat(decay), splat(leaving)
    for b in range(n):
        row = b * width
        for i in range(0, size, LANES):
            scale = load(scales, i)
            broken = scale - scale  # NaN or 0
            e = load(tile, row + i)
            p = where_greater(e, splat(_ZERO), e * scale, splat(0.0))
            p = greater(p, splat(0.0))  # an invalid pixel counts as probability zero
            past = _load_past(ring, slot + row + i)
            _store_past(ring, slot + row + i, p)
            if exact:
                p = _load_past(ring, slot + row + i)
            s = fma(load(sums, base + row + i), keep, fma(past, -drop, p))
            store(sums, base + row + i, s)
            store(tile, row + i, log2(s) + broken)


@jit
def refresh_block(size, n, width, sums, ring, base, slots, frame, decay):
    """The window form: sum the past of a block anew from the ring, as it was before this frame."""
    length = slots.size
    for b in range(n):
        row = b * width
        for i in range(0, size, LANES):
            total = splat(0.0)
            for age in range(min(frame, length), 0, -1):
                past = _load_past(ring, slots[(frame - age) % length] + row + i)
                total = fma(total, splat(decay), past)
            store(sums, base + row + i, total)


@jit
def is_strange(luma, unit, lab):
    """True if one of at least 16 lumas is out of range."""
    least, most = splat(0.0), splat(0.0)
    for i in range(0, luma.size, LANES):
        y = load(luma, min(i, luma.size - LANES)) * splat(unit)
        least, most = lesser(y, least), greater(y, most)  # NaN is neither
    return beyond_luma(least, most, lab)


@jit
def step(
    first, last, x, n, count, width, transposed, known, luma, luma_unit, lab, rgb, chroma, colors, scale,
    sums, ring, frame, window, rules,
):  # fmt: skip
    """Blocks [first, last) of a frame: logits (n, count), or (count, n) if `transposed`, flattened, count >= 16.

    They are probabilities if `known`, and a block has `width` pixels. The result is chroma where there is an array for
    it, else RGB.
    """
    decay, leaving, exact, refresh = rules
    tile = np.empty(n * width, np.float32)
    stride = width + LANES  # not a power of two, which would put all planes into a few sets of the L1 cache
    turned = np.empty(n * stride if transposed else 0, np.float32)
    scales = np.empty(width, np.float32)
    rows = np.empty((ROWS, width), np.float32)
    nothing = np.empty(0, np.float32)
    wanted = (chroma.size == 0, chroma.size > 0, False)
    blocks = (count + width - 1) // width
    length = window + 1
    slots = np.empty(length, np.int64)
    for block in range(first, last):
        start = block * width
        size = (min(width, count - start) + LANES - 1) // LANES * LANES
        base = block * n * width
        for k in range(length):
            slots[k] = (k * blocks + block) * n * width
        if transposed:
            transpose_block(x, start, count, size, n, stride, turned)
            if known:
                share_block(turned, 0, stride, size, size, n, width, tile, scales)
            else:
                softmax_block(turned, 0, stride, size, size, n, width, tile, scales)
        elif known:
            share_block(x, start, count, count - start, size, n, width, tile, scales)
        else:
            softmax_block(x, start, count, count - start, size, n, width, tile, scales)
        upcoming, apart = ((start + size) * n, size) if transposed else (start + size, count)
        if refresh and (frame + block) % REFRESH == 0:
            refresh_block(size, n, width, sums, ring, base, slots, frame, decay)
        slot = slots[frame % length]
        advance_block(tile, scales, size, n, width, sums, ring, base, slot, decay, leaving, exact)
        block_sums(tile, 0, width, size, size, n, scale, ONE, colors, True, False, x, upcoming, apart, rows)
        write_block(0, start, count, size, rows, luma, luma_unit, lab, rgb, False, chroma, nothing, nothing, wanted)


# --- host -------------------------------------------------------------------------------------------------------------

_RINGS = {"float32": np.float32, "float16": np.int16, "uint8": np.uint8}  # float16 as bits


class TemporalSmoother(Smoother):
    """Sums and ring are stored by block, as the kernel wants them."""

    def _advance(self, logits: Array, luma: Any, rgb: Any, chroma: Any) -> None:
        n, lab = len(logits), space_of(self.bins) == "lab"
        view, _ = planes(logits, 0)
        pixels = view.shape[0] * view.shape[2]
        if pixels < LANES:
            view = np.ascontiguousarray(np.moveaxis(view, 1, -1)).reshape(pixels, -1, 1)
        count = max(pixels, LANES)
        flat = padded(plain(as_bits(view)), n * count)
        level, unit = (NO_FLOATS, ONE) if luma is None else levels(luma, lab)
        level = level if luma is None else padded(level, count)
        if level.dtype != np.uint8 and level.size and is_strange(level, unit, lab):  # before anything has changed
            out_of_range("luma", 0, LUMA_MAX[space_of(self.bins)])
        if self._frame == 0:
            self._allocate()
        to_rgb = NO_BYTES if rgb is None else padded(rgb, 3 * count)
        to_chroma = NO_FLOATS if chroma is None else np.empty((2, count), np.float32)
        run_blocks(
            step,
            -(-count // self._width),
            count,
            *(flat, n, count, self._width, view.shape[2] == 1, not self.from_logits),
            *(level, unit, lab, to_rgb, to_chroma.reshape(-1), colors_of(self.bins)),
            *(log2_scale(self.temperature, 1.0), self._sums, self._past, self._frame, self.window, self._numbers),
        )
        if rgb is not None:
            unpad(rgb, to_rgb)
        else:
            chroma[...] = to_chroma[:, :pixels].reshape(chroma.shape)

    @property
    def _width(self) -> int:
        """Pixels of a block, in whole vectors."""
        return tile_pixels(self._shape[0], _TILE, LANES, BLOCK)

    def _normalised(self) -> Array:
        n, count = self._shape[0], math.prod(self._shape[1:])
        stored = self._sums.reshape(-1, n, self._width).transpose(1, 0, 2).reshape(n, -1)
        result = np.maximum(stored[:, :count], 0)
        if count > LANES and count % LANES:  # the last vector overlaps the one before it in the image, not in the state
            tail = count - count % LANES
            result[:, count - LANES :] = np.maximum(stored[:, tail : tail + LANES], 0)
        total = result.sum(axis=0)
        result /= np.where(total > self._rules.least, total, np.float32(np.nan))
        return result.reshape(self._shape)

    def _allocate(self) -> None:
        n, width = self._shape[0], self._width
        size = -(-max(math.prod(self._shape[1:]), LANES) // width) * n * width
        self._sums = np.zeros(size, np.float32)
        self._past = np.zeros((self.window + 1) * size, _RINGS[self.ring])
