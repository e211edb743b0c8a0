"""A tile of logits in shared memory, as float32: what the kernels work on, whatever the dtype and layout of the logits.

A block takes as many pixels as it has threads, or fewer where so many columns of a tile would not fit: one row of the
tile for each bin. Global memory is read once, by neighbouring threads at neighbouring addresses in either layout; after
that a thread needs its own column only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda, types

from .device import WARP
from .math import take_logarithms

_TILE = 4096  # numbers: 16 KiB, so that ten blocks and more share a multiprocessor
_MOST = 12288  # numbers: 48 KiB, what a block has on every GPU without asking

_SIXTEEN, _HALF_BELOW, _LAST = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)
_NAN_BITS = np.uint16(0x7FC0)


def pixels_for(n: int) -> int:
    """Pixels of a block for n bins: whole warps, or a part of one.

    Examples
    --------
    >>> [pixels_for(n) for n in (1, 32, 64, 255, 313, 1024)]
    [128, 128, 64, 32, 32, 8]
    """
    warps = min(128, _TILE // n // WARP * WARP)
    return warps or next(part for part in (WARP, 16, 8) if n * (part + 1) <= _MOST)


def tile_bytes(n: int) -> int:
    """Shared memory of a block: a row is one number longer than the pixels, so that columns hit different banks."""
    return 4 * n * (pixels_for(n) + 1)


@cuda.jit(device=True)
def _as_it_is(x):
    return x


@cuda.jit(device=True)
def _from_bfloat16(bits):
    return np.uint32(np.uint32(bits) << _SIXTEEN).view(np.float32)


@cuda.jit(device=True)
def _to_bfloat16(x):
    """The bits of `x`, rounded to nearest even."""
    if x != x:
        return _NAN_BITS
    bits = np.float32(x).view(np.uint32)
    return np.uint16((bits + _HALF_BELOW + ((bits >> _SIXTEEN) & _LAST)) >> _SIXTEEN)


def tile_functions(bfloat16: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """``load`` and ``narrow`` for logits of float32 and float16, or for those of bfloat16, which are uint16 here."""
    widen = _from_bfloat16 if bfloat16 else _as_it_is

    @cuda.jit(device=True)
    def load(x, n, post, pixels, width, from_logits):
        """Copy a block's `width` pixels of (pre, n, post), flattened, to a tile of logits: bin b becomes row b.

        Gives the tile, the thread's pixel, or `pixels` if it has none, its column, and what lies between rows.
        """
        tile = cuda.shared.array(0, types.float32)
        thread, threads = cuda.threadIdx.x, cuda.blockDim.x
        first, stride = cuda.blockIdx.x * width, width + 1
        left = pixels - first
        here = width if width < left else left
        if post == 1:  # channels-last: a warp reads the bins of a pixel
            for pixel in range(thread // WARP, here, threads // WARP):
                for b in range(thread % WARP, n, WARP):
                    tile[b * stride + pixel] = widen(x[(first + pixel) * n + b])
        elif thread % width < here:  # more threads than pixels share the bins
            pixel = first + thread % width
            at = pixel // post * n * post + pixel % post
            for b in range(thread // width, n, threads // width):
                tile[b * stride + thread % width] = widen(x[at + b * post])
        cuda.syncthreads()
        if thread >= here:
            return tile, pixels, thread, stride
        if not from_logits:
            take_logarithms(tile, thread, stride, n)
        return tile, first + thread, thread, stride

    return load, _to_bfloat16 if bfloat16 else _as_it_is
