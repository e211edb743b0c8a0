"""Arrays at chosen places in memory, amid bytes that must not change."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
CANARY = 0xA5


class Guarded:
    """An array that begins `offset` bytes after a multiple of 64, amid bytes that must not change."""

    def __init__(self, shape: tuple[int, ...], dtype: str, offset: int) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._bytes = np.full(size + 192, CANARY, np.uint8)
        self._start = 64 - self._bytes.ctypes.data % 64 + offset
        self._stop = self._start + size
        self.array: Array = np.ndarray(shape, dtype, self._bytes.data, self._start)

    def assert_unharmed(self) -> None:
        outside = np.concatenate([self._bytes[: self._start], self._bytes[self._stop :]])
        assert (outside == CANARY).all(), "bytes around the result were written"


def at_offset(array: Array, offset: int) -> Array:
    """A copy of `array` that begins `offset` bytes after a multiple of 64."""
    guarded = Guarded(array.shape, str(array.dtype), offset)
    guarded.array[...] = array
    return guarded.array
