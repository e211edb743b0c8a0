"""What host functions do with their arrays: make them contiguous, writable, long enough, and bring results home."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NO_FLOATS, NO_BYTES = np.empty(0, np.float32), np.empty(0, np.uint8)


def without(shape: Any, axis: int) -> tuple[int, ...]:
    """`shape` less one axis, which may count from the end."""
    axis %= len(shape)
    return (*shape[:axis], *shape[axis + 1 :])


class _Writable:
    """A read-only array as one that claims to be writable: Numba would compile a second kernel for the other."""

    def __init__(self, array: Array) -> None:
        interface = array.__array_interface__
        self.array, self.__array_interface__ = array, {**interface, "data": (interface["data"][0], False)}


def plain(array: Array) -> Array:
    return array if array.flags.writeable else np.asarray(_Writable(array))


def flat_buffer(array: Array) -> Array:
    """`array` flattened if it is C-contiguous, else a new buffer that :func:`deliver` copies back."""
    return array.reshape(-1) if array.flags.c_contiguous else np.empty(array.size, array.dtype)


def deliver(array: Array, buffer: Array) -> None:
    if not array.flags.c_contiguous:
        array[...] = buffer.reshape(array.shape)


def padded(buffer: Array, size: int) -> Array:
    """`buffer`, or a longer copy if it has fewer than `size` elements."""
    if buffer.size >= size:
        return buffer
    return np.concatenate([buffer, np.zeros(size - buffer.size, buffer.dtype)])


def unpad(buffer: Array, padded: Array) -> None:
    if padded is not buffer:
        buffer[...] = padded[: buffer.size]


def levels(luma: Array) -> tuple[Array, np.float32]:
    """Flat uint8 or float32 luma, and what turns it into levels 0..255."""
    if luma.dtype == np.uint8:
        return plain(np.ascontiguousarray(luma)).reshape(-1), np.float32(1)
    return plain(np.ascontiguousarray(luma, np.float32)).reshape(-1), np.float32(255)
