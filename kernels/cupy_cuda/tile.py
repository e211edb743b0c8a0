"""A pass over logits on a GPU: which instance of its kernel runs, and how it is launched.

Planar logits of the unrolled n stay in registers (``..._planar``); others go through a tile of shared memory
(``..._tiled``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..common.device_arrays import cast, is_double, pointer
from ..common.layout import planes
from .engine import Engine, index_type, index_value, scalar_type

FAST_BINS = 32  # has its own instances, unrolled
THREADS = 128
_BYTES = 24 << 10  # of shared memory: several blocks an SM


class Tile(NamedTuple):
    """Blocks of a pass.

    Attributes
    ----------
    instance : str
        Template arguments: n, or 0 for any, and whether bins are adjacent in memory; of a :class:`Pass` the whole name.
    sizes : tuple
        Kernel arguments: n, and the elements between the tile's rows of pixels (bins adjacent) or of bins.
    threads, shared : int
        Of a block; shared memory in bytes.
    pixels : int
        Of a block.
    """

    instance: str
    sizes: tuple[Any, ...]
    threads: int
    shared: int
    pixels: int


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
    return Tile(instance, (np.int32(n), np.int32(row if last else threads)), threads, threads * row * itemsize, threads)


def _row_stride(n: int, itemsize: int) -> int:
    """Elements between the rows of a tile: an odd number of words, or of 16-byte words for the unrolled n, so that the
    rows of neighbouring threads lie in different banks.
    """
    if n == FAST_BINS:
        return n + 16 // itemsize
    words = -(-n * itemsize // 4) | 1
    return words * 4 // itemsize


class Pass:
    """A pass of a kernel of ``<name>.cu`` over logits.

    Parameters
    ----------
    engine : Engine
    name : str
    logits : array
        float64 is rounded to float32.
    axis : int
        Where the n bins are.
    """

    def __init__(self, engine: Engine, name: str, logits: Any, axis: int) -> None:
        self.engine, self.name = engine, name
        self.x, _ = planes(cast(logits, "float32") if is_double(logits) else logits, axis)
        self.images, self.n, self.count = self.x.shape
        self.pixels, self.last = self.images * self.count, self.count == 1
        self.tiled = self.last or self.n != FAST_BINS
        self.index = index_type(self.pixels * max(self.n, 3))

    def sizes(self, *values: int) -> tuple[Any, ...]:
        """Numbers of pixels, as arguments of the kernel."""
        return tuple(index_value(self.index, value) for value in values)

    def plan(self, kernel: str, kinds: tuple[Any, ...], most: int, in_planes: Iterable[Any]) -> Tile:
        """The instance of ``kernel_planar`` or ``kernel_tiled`` that fits the logits.

        `kinds` are its template arguments before the index. In registers up to `most` neighbours of each plane lie
        together, where the arrays `in_planes` are aligned for it.
        """

        def expression(*held: Any) -> str:
            words = (scalar_type(self.x), *held, *kinds, self.index)
            return f"fc::{kernel}_{'tiled' if self.tiled else 'planar'}<{', '.join(map(str, words))}>"

        if self.tiled:
            held = tile(self.n, self.x.itemsize, self.last)
            return held._replace(instance=expression(held.instance))

        def instance(pixels: int) -> str:
            return expression(self.n, pixels)

        each = self.engine.pixels_each(self.x, self.name, instance, most, self.count, in_planes)
        return Tile(instance(each), (), THREADS, 0, each * THREADS)

    def blocks(self, plan: Tile) -> int:
        return -(-self.pixels // plan.pixels)

    def launch(self, plan: Tile, *args: Any) -> None:
        """Run the planned instance."""
        args = (pointer(self.x), *plan.sizes, *args)
        self.engine.launch(self.x, self.name, plan.instance, self.blocks(plan), plan.threads, args, plan.shared)
