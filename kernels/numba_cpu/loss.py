"""Weighted cross entropy and its gradient: one pass over the logits, tile by tile.

Rungs, 313 planes of 32768 pixels with their gradient, one thread of an EPYC with AVX-512 (copying alone takes 3.1 ms):
log-softmax as an array of its own, pick, a second array for the gradient -> a tile is copied, turned into its gradient
in the cache and written, 9.8 ms -> the logits are read where they lie, eight planes at a time while the next tile is
fetched, and exponentials are multiplied as they are written, 7.1. Nothing n-wide exists but the gradient.

What only targets change is one step a pixel, scalar: k of them are subtracted from exponentials that lie in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..common.device_arrays import contiguous_like, deliver
from ..common.host import NO_FLOATS, Array, plain
from ..common.layout import planes
from ..common.scale import LOG2E
from .exponentials import exponentials, tops_of
from .jit import jit
from .loss_dense import run_dense
from .loss_exact import run_exact
from .math import log2
from .simd import LANES, load, load_one, splat, store
from .threads import run_blocks
from .tiles import bounds, tile_pixels, transpose_block, write_planes, write_transposed

_TILE = 1 << 16  # elements

_LOG2E, _LN2 = np.float32(LOG2E), np.float32(1 / LOG2E)
_NOTHING = 1e-30  # shares of a pixel that add up to less are no distribution
_NO_LABELS = np.zeros(0, np.int64)

TOP, TOTAL, LOG, FACTOR = range(4)  # rows, of a number a pixel


@jit
def settle(x, place, first, count, size, n, offset, labels, shares, soft, k, apart, weights, scale, tile, rows, losses):
    """Subtract the targets from a tile of exponentials; the sum of its losses.

    Times the row FACTOR the tile is then the gradient. Bin b of pixel i of the image is at ``origin + b * of_bin + i *
    of_pixel`` of `x`, the three of which are `place`. Pixel i counts as the one at ``offset + i`` among the weights;
    its targets lie `apart` from each other, all of an image after those of the one before. They are not looked at where
    the weight is 0; elsewhere a label that is no bin makes the loss NaN.
    """
    origin, of_bin, of_pixel = place
    width = rows.shape[1]
    summed = 0.0
    for i in range(0, size, LANES):
        store(rows[LOG], i, log2(load(rows[TOTAL], i)) * splat(_LN2))
        start = min(first + i, count - LANES)
        for lane in range(LANES):
            column, pixel = i + lane, start + lane
            at = offset + pixel
            weight, total = weights[at], rows[TOTAL, column]
            loss, factor = 0.0, np.float32(0)
            if weight == 0:
                if total != total:  # what it stands for is not looked at either
                    _clear(tile, column, width, n)
            else:
                target = at // apart * k * apart + at % apart if soft else at
                mass, unit, factor = 1.0, total, weight * scale / total
                if soft:
                    mass = _mass(shares, target, k, apart)
                    if abs(mass) < _NOTHING:
                        _clear(tile, column, width, n)
                    else:
                        unit, factor = total / np.float32(mass), factor * np.float32(mass)
                loss = mass * np.float64(rows[LOG, column]) + np.float64(total - total)  # NaN stays NaN
                for j in range(k):
                    label = np.int64(labels[target + j * apart])
                    share = shares[target + j * apart] if soft else np.float32(1)
                    if label < 0 or label >= n:
                        loss = np.nan
                    elif share != 0:  # 0 times infinity would not be 0
                        below = load_one(x, origin + label * of_bin + pixel * of_pixel) - rows[TOP, column]
                        loss -= np.float64(share) * np.float64(below)
                        tile[label * width + column] -= share * unit
                loss *= np.float64(weight)
            rows[FACTOR, column] = factor
            if losses.size > 0:
                losses[at] = loss
            if pixel >= first + i:  # the last vector may repeat pixels of the one before
                summed += loss
    return summed


@jit(inline=True)
def _mass(shares, target, k, apart):
    mass = 0.0
    for j in range(k):
        mass += np.float64(shares[target + j * apart])
    return mass


@jit(inline=True)
def _clear(tile, column, width, n):
    for b in range(n):
        tile[b * width + column] = 0


@jit
def loss_tiles(
    first, last, x, n, count, transposed, labels, shares, soft, k, apart,
    weights, scale, losses, gradient, wanted, width,
):  # fmt: skip
    """Tiles [first, last), of `width` pixels, of logits (images, n, count) or, `transposed`, (count, n), flattened.

    The sum of weighted losses. count >= 16, and n >= 16 if transposed.
    """
    tile, rows = np.zeros(n * width, np.float32), np.zeros((4, width), np.float32)
    targets = labels, shares, soft, k, apart
    tops, totals = rows[TOP], rows[TOTAL]
    summed = 0.0
    for number in range(first, last):
        image, start, size = bounds(number, count, width)
        base, offset = image * n * count, image * count
        if transposed:
            transpose_block(x, start, count, size, n, width, tile)
            tops_of(tile, 0, width, size, size, n, tops)
            exponentials(tile, 0, width, size, size, n, _LOG2E, tops, 0, width, tile, totals)
            place = 0, 1, n
        else:
            inside = base + start, count, count - start, size, n
            tops_of(x, *inside, tops)
            exponentials(x, *inside, _LOG2E, tops, size, width, tile, totals)
            place = base, count, 1
        summed += settle(x, place, start, count, size, n, offset, *targets, weights, scale, tile, rows, losses)
        if wanted:
            if transposed:
                write_planes(tile, width, rows[FACTOR], 0, 0, width, size, n, tile)
                write_transposed(tile, width, start, count, size, n, gradient)
            else:
                write_planes(tile, width, rows[FACTOR], base, start, count, size, n, gradient)
    return summed


# --- host -------------------------------------------------------------------------------------------------------------


def weighted_cross_entropy(
    logits: Array,
    labels: Array | None,
    weights: Array,
    *,
    shares: Array | None = None,
    over: Array | None = None,
    number: float | None = 1.0,
    factor: Array | None = None,
    losses: Array | None = None,
    gradient: Array | None = None,
) -> float:
    """``sum_i w_i l_i / D`` with ``l_i = sum_k s_ik (logsumexp(x_i) - x_i[y_ik])``, ``D = number + sum(over)``.

    With its gradient; a D of 0 counts as 1. A pixel of weight 0 adds nothing, whatever else stands there; its gradient
    is 0.

    Parameters
    ----------
    logits : ndarray, shape (N, n, ...)
        float32, float64, or uint16 (the bits of bfloat16); contiguous, or channels-last in memory.
    labels : ndarray, integers
        Hard, (N, ...), where every s is 1; soft, (N, k, ...), with `shares`; None if these are dense. Below n.
    weights : ndarray, shape (N, ...), float32 or float64
    shares : ndarray, float32 or float64, optional
        Of the shape of soft labels, or dense, of the shape of the logits.
    over : ndarray, float32 or float64, optional
        Of any shape.
    number : float, optional
        None: the sum is not wanted, and D is 1.
    factor : ndarray of one number, optional
        1 if it is not given.
    losses : ndarray, shape (N, ...), float32 or float64, optional
        Written if given: ``w_i l_i``.
    gradient : ndarray, dtype and memory layout of the logits, optional
        Written if given: ``factor w_i (softmax(x_i)_b sum_k s_ik - sum_k s_ik [b = y_ik]) / D``.

    Returns
    -------
    float
        Summed in float64. Arithmetic is float32 unless the logits are float64, or tiny.
    """
    divisor = (1.0 if number is None else number) + (0.0 if over is None else float(np.sum(over, dtype=np.float64)))
    scale = 1 / divisor if divisor > 0 else 1.0
    of_gradient = scale if factor is None else scale * float(factor[0])
    into = None if losses is None else contiguous_like(losses)
    total = _sum(logits, labels, shares, weights, of_gradient, into, gradient)
    if losses is not None:
        deliver(losses, into)
    return scale * total


def _sum(
    logits: Array,
    labels: Array | None,
    shares: Array | None,
    weights: Array,
    scale: float,
    losses: Array | None,
    gradient: Array | None,
) -> float:
    """The loss before it is scaled, with the gradient that is."""
    x, _ = planes(logits, 1)
    images, n, count = x.shape
    last, pixels = count == 1, images * count
    along = pixels if last else count
    if x.dtype == np.float64 or along < LANES or (last and n < LANES):
        return run_exact(x, labels, shares, weights, scale, losses, gradient)
    flat = plain(x).reshape(-1)
    width = tile_pixels(n, _TILE, 128, 256)
    shape = flat, n, along, last
    common = (
        *(plain(np.asarray(weights, np.float32)).reshape(-1), np.float32(scale)),
        NO_FLOATS if losses is None else losses.reshape(-1),
        *(flat if gradient is None else planes(gradient, 1)[0].reshape(-1), gradient is not None, width),
    )
    tiles = -(-pixels // width) if last else images * -(-count // width)
    if labels is None:
        parts = run_dense(tiles, pixels, shape, shares, common)
    else:
        parts = run_blocks(loss_tiles, tiles, pixels, *shape, *_targets(labels, shares), *common)
    return float(sum(parts))


def _targets(labels: Array, shares: Array | None) -> tuple[Any, ...]:
    """Labels and shares in one layout, flattened: whether they are soft, how many a pixel has, and how far apart."""
    if labels.dtype != np.uint8:
        labels = np.asarray(labels, np.int64)
    if shares is None:
        return plain(labels).reshape(-1), NO_FLOATS, False, 1, 0
    one, other = planes(labels, 1)[0], planes(shares, 1)[0]
    if one.shape != other.shape:
        one, other = (np.ascontiguousarray(array) for array in (labels, shares))
        one, other = planes(one, 1)[0], planes(other, 1)[0]
    _, k, apart = one.shape
    return plain(one).reshape(-1), plain(np.asarray(other, np.float32)).reshape(-1), True, k, apart
