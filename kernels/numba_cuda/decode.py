"""Annealed mean, decode and confidence as Numba CUDA kernels: a block copies its logits to shared memory, then each
thread reduces the column of its pixel. The logits are read once.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace

import numpy as np
from numba import cuda, types

from .math import annealed_mean, channel_zero, confidence, store_rgb
from .tile import tile_functions


@lru_cache(maxsize=2)
def kernels(bfloat16: bool) -> SimpleNamespace:
    """The kernels ``annealed``, ``decode`` and ``top`` for logits in bfloat16 (as uint16), or in float32 and float16.

    All arrays are flat. Logits are (pre, n, post), results with channels (pre, channels, post) of their own `post`.
    """
    fill, narrow = tile_functions(bfloat16)

    @cuda.jit
    def annealed(x, n, post, pixels, inverse_t, colors, chroma, chroma_post):
        tile = cuda.shared.array(0, types.float32)
        thread, threads = cuda.threadIdx.x, cuda.blockDim.x
        first = cuda.blockIdx.x * threads
        fill(tile, x, n, post, first, pixels - first, thread, threads)
        cuda.syncthreads()
        if first + thread < pixels:
            u, v = annealed_mean(tile, thread, threads + 1, n, inverse_t, colors)
            at = channel_zero(first + thread, 2, chroma_post)
            chroma[at] = narrow(u)
            chroma[at + chroma_post] = narrow(v)

    @cuda.jit
    def decode(x, n, post, pixels, inverse_t, colors, luma, luma_unit, rgb, rgb_post, top, ratio):
        tile = cuda.shared.array(0, types.float32)
        thread, threads = cuda.threadIdx.x, cuda.blockDim.x
        first = cuda.blockIdx.x * threads
        fill(tile, x, n, post, first, pixels - first, thread, threads)
        cuda.syncthreads()
        pixel = first + thread
        if pixel < pixels:
            u, v = annealed_mean(tile, thread, threads + 1, n, inverse_t, colors)
            level = np.float32(luma[pixel]) * luma_unit
            store_rgb(rgb, channel_zero(pixel, 3, rgb_post), rgb_post, level, u, v)
            if top.size > 0:  # confidence is wanted, too
                top[pixel], ratio[pixel] = confidence(tile, thread, threads + 1, n)

    @cuda.jit
    def top(x, n, post, pixels, top, ratio):
        tile = cuda.shared.array(0, types.float32)
        thread, threads = cuda.threadIdx.x, cuda.blockDim.x
        first = cuda.blockIdx.x * threads
        fill(tile, x, n, post, first, pixels - first, thread, threads)
        cuda.syncthreads()
        if first + thread < pixels:
            top[first + thread], ratio[first + thread] = confidence(tile, thread, threads + 1, n)

    return SimpleNamespace(annealed=annealed, decode=decode, top=top)
