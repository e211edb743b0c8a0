"""Where a pass over logits keeps them on a GPU: in registers for the unrolled n, else in a tile of shared memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FAST_BINS = 32  # has its own instances, unrolled
THREADS = 128
_BYTES = 24 << 10  # of shared memory: several blocks an SM


class Tile(NamedTuple):
    """A launch of blocks of `threads` pixels.

    Attributes
    ----------
    instance : str
        Template arguments: n, or 0 for any, and whether bins are adjacent in memory.
    sizes : tuple
        Kernel arguments: n, and the elements between the tile's rows of pixels (bins adjacent) or of bins.
    threads, shared : int
        Of a block; shared memory in bytes.
    """

    instance: str
    sizes: tuple[Any, Any]
    threads: int
    shared: int


def tile(n: int, itemsize: int, last: bool) -> Tile:
    """The tile for logits of `itemsize` bytes, channels-last or planar.

    Examples
    --------
    >>> tile(32, 4, True).instance, tile(32, 4, True).shared
    ('32, true', 18432)
    """
    row = _row_stride(n, itemsize) if last else n
    threads = next((pixels for pixels in (THREADS, 64) if pixels * row * itemsize <= _BYTES), 32)
    instance = f"{n if n == FAST_BINS else 0}, {'true' if last else 'false'}"
    return Tile(instance, (np.int32(n), np.int32(row if last else threads)), threads, threads * row * itemsize)


def _row_stride(n: int, itemsize: int) -> int:
    """Elements between the rows of a tile: an odd number of words, or of 16-byte words for the unrolled n, so that the
    rows of neighbouring threads lie in different banks.
    """
    if n == FAST_BINS:
        return n + 16 // itemsize
    words = -(-n * itemsize // 4) | 1
    return words * 4 // itemsize
