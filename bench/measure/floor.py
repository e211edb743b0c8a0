"""The speed of memory, measured in the same process and the same round robin as the cases.

Sequential reading (a sum over all of a buffer) and copying, over 1 GiB: larger than any L2 and than most L3 caches.
A virtual machine may report an L3 of hundreds of megabytes that it shares with others; the third figure, reading a
buffer of the size that the operation reads, over and over, shows what a cache gives on top.

``runs(hot_bytes)`` of a floor gives, by name, a function that returns the bytes that it moves, and the seconds that
it takes at most.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

BUFFER_BYTES = 1 << 30
QUICK_BUFFER_BYTES = 1 << 26
Runs = dict[str, tuple[Callable[[], int], float]]


@lru_cache(maxsize=1)
def _sum_kernel() -> Callable[[Any], float]:
    import numba

    @numba.njit(nogil=True, fastmath=True, cache=True)
    def total(values: Any) -> float:  # vectorised to a handful of independent accumulators: bound by memory alone
        result = np.float32(0)
        for i in range(values.size):
            result += values[i]
        return result

    return total


class Floor:
    """Reads and copies a buffer of `size` bytes with as many threads as the case uses."""

    def __init__(self, threads: int, size: int = BUFFER_BYTES) -> None:
        self.buffer = np.ones(size // 4, dtype=np.float32)
        self.threads = threads
        self._sum = _sum_kernel()
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._sum(self.buffer[:16])

    def runs(self, hot_bytes: int) -> Runs:
        hot = min(hot_bytes, self.buffer.nbytes)
        return {"read": (self._read, 0.05), "copy": (self._copy, 0.1), "hot": (lambda: self._read(hot), 1e-3)}

    def _read(self, size: int | None = None) -> int:
        part = self.buffer if size is None else self.buffer[: max(size // 4, 1)]
        self._split(self._sum, part)
        return part.nbytes

    def _copy(self) -> int:
        """The first half onto the second: bytes read plus bytes written."""
        half = self.buffer.size // 2
        self._split(np.copyto, self.buffer[half : 2 * half], self.buffer[:half])
        return 2 * half * self.buffer.itemsize

    def _split(self, function: Callable[..., Any], *arrays: np.ndarray) -> None:
        if self._pool is None or arrays[0].nbytes < 1 << 20:
            function(*arrays)
            return
        cuts = [arrays[0].size * k // self.threads for k in range(self.threads + 1)]
        parts = [[array[a:b] for array in arrays] for a, b in itertools.pairwise(cuts)]
        list(self._pool.map(lambda part: function(*part), parts))


class DeviceFloor:
    """Sums one buffer of `size` bytes on a GPU, and copies it to another; no hot one, since the L2 is flushed."""

    def __init__(self, device: str, size: int = BUFFER_BYTES) -> None:
        import torch

        self._source = torch.ones(size // 4, dtype=torch.float32, device=device)
        self._target = torch.empty_like(self._source)

    def runs(self, hot_bytes: int) -> Runs:
        return {"read": (self._read, 1e-3), "copy": (self._copy, 1e-3)}

    def _read(self) -> int:
        self._source.sum()
        return self._source.nbytes

    def _copy(self) -> int:
        self._target.copy_(self._source)
        return 2 * self._source.nbytes
