"""Weighted cross entropy with a share for every bin, tile by tile: two arrays are read, one is written."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..common.host import Array, plain
from ..common.layout import planes
from ..common.scale import LOG2E
from .exponentials import exponentials, tops_of
from .jit import jit
from .math import log2
from .simd import LANES, fma, load, splat, store, where_greater
from .softmax import GROUP
from .threads import run_blocks
from .tiles import bounds, transpose_block, write_transposed

_LOG2E, _LN2 = np.float32(LOG2E), np.float32(1 / LOG2E)

TOP, TOTAL, LOG, MASS, BELOW, FACTOR, KEPT = range(7)  # rows, of a number a pixel


@jit
def add_shares(x, start, stride, s, s_start, s_stride, count, size, n, rows):
    """Rows ``MASS = sum_b s_b`` and ``BELOW = sum_b s_b (x_b - top)``, where a share of 0 counts nothing."""
    for first in range(0, n, GROUP):
        planes = min(GROUP, n - first)
        for i in range(0, size, LANES):
            within = min(i, count - LANES)
            top = load(rows[TOP], i)
            mass = splat(0.0) if first == 0 else load(rows[MASS], i)
            below = splat(0.0) if first == 0 else load(rows[BELOW], i)
            for b in range(first, first + planes):
                share = load(s, s_start + b * s_stride + within)
                value = load(x, start + b * stride + within) - top
                mass = mass + share
                below = fma(share, where_nonzero(share, value, splat(0.0)), below)
            store(rows[MASS], i, mass)
            store(rows[BELOW], i, below)


@jit(inline=True)
def where_nonzero(x, yes, no):
    """``yes if x != 0 else no``; no for NaN."""
    return where_greater(x, splat(0.0), yes, where_greater(splat(0.0), x, yes, no))


@jit
def settle_dense(first, count, size, offset, weights, scale, rows, losses):
    """The rows FACTOR and KEPT, ``gradient = FACTOR e - KEPT s``, and the sum of the losses of a tile."""
    summed = 0.0
    for i in range(0, size, LANES):
        store(rows[LOG], i, log2(load(rows[TOTAL], i)) * splat(_LN2))
        start = min(first + i, count - LANES)
        for lane in range(LANES):
            column, pixel = i + lane, start + lane
            weight, total, mass = weights[offset + pixel], rows[TOTAL, column], rows[MASS, column]
            kept = weight * scale
            loss = 0.0
            if weight != 0:
                log = np.float64(rows[LOG, column]) + np.float64(total - total)  # NaN stays NaN
                loss = np.float64(weight) * (np.float64(mass) * log - np.float64(rows[BELOW, column]))
            rows[KEPT, column], rows[FACTOR, column] = kept, kept * mass / total
            if losses.size > 0:
                losses[offset + pixel] = loss
            if pixel >= first + i:  # the last vector may repeat pixels of the one before
                summed += loss
    return summed


@jit
def write_dense(tile, width, s, s_start, s_stride, s_count, rows, base, start, stride, size, n, out):
    """``out = FACTOR tile - KEPT s``, and 0 where KEPT is."""
    for b in range(n):
        for i in range(0, size, LANES):
            kept = load(rows[KEPT], i)
            share = load(s, s_start + b * s_stride + min(i, s_count - LANES))
            value = load(tile, b * width + i) * load(rows[FACTOR], i) - kept * share
            value = where_nonzero(kept, value, splat(0.0))
            store(out, base + b * stride + min(start + i, stride - LANES), value)


@jit
def dense_tiles(first, last, x, n, count, transposed, shares, weights, scale, losses, gradient, wanted, width):
    """As ``loss.loss_tiles``, of shares in the layout of the logits."""
    tile, rows = np.zeros(n * width, np.float32), np.zeros((7, width), np.float32)
    turned = np.zeros(n * width if transposed else 0, np.float32)
    tops, totals = rows[TOP], rows[TOTAL]
    summed = 0.0
    for number in range(first, last):
        image, start, size = bounds(number, count, width)
        base = image * n * count
        if transposed:
            transpose_block(x, start, count, size, n, width, tile)
            transpose_block(shares, start, count, size, n, width, turned)
            tops_of(tile, 0, width, size, size, n, tops)
            add_shares(tile, 0, width, turned, 0, width, size, size, n, rows)
            exponentials(tile, 0, width, size, size, n, _LOG2E, tops, 0, width, tile, totals)
        else:
            inside = base + start, count, count - start, size, n
            tops_of(x, *inside, tops)
            add_shares(x, base + start, count, shares, *inside, rows)
            exponentials(x, *inside, _LOG2E, tops, size, width, tile, totals)
        summed += settle_dense(start, count, size, image * count, weights, scale, rows, losses)
        if wanted and transposed:
            write_dense(tile, width, turned, 0, width, size, rows, 0, 0, width, size, n, tile)
            write_transposed(tile, width, start, count, size, n, gradient)
        elif wanted:
            within = base + start, count, count - start
            write_dense(tile, width, shares, *within, rows, base, start, count, size, n, gradient)
    return summed


# --- host -------------------------------------------------------------------------------------------------------------


def run_dense(tiles: int, pixels: int, shape: tuple[Any, ...], shares: Any, common: tuple[Any, ...]) -> list[float]:
    """Sums of losses: `shape` and `common` are arguments of :func:`dense_tiles`, to either side of the shares."""
    return run_blocks(dense_tiles, tiles, pixels, *shape, in_layout(shares, shape[3]).reshape(-1), *common)


def in_layout(shares: Array, last: bool) -> Array:
    """Dense shares (N, n, ...) as float32 (images, n, pixels), or (pixels, n, 1), contiguous."""
    view, _ = planes(shares, 1)
    if (view.shape[2] == 1) != last:
        view = np.ascontiguousarray(np.moveaxis(shares, 1, -1) if last else shares)
    return plain(np.asarray(view, np.float32))
