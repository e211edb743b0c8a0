"""What host functions on the CPU do with their arrays: make them contiguous, writable, long enough."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.reference.constants import ALLOWANCE
from numpy.typing import NDArray

Array = NDArray[Any]

NO_FLOATS, NO_BYTES = np.empty(0, np.float32), np.empty(0, np.uint8)
ONE, _LEVELS = np.float32(1), np.float32(255)


def without(shape: Any, axis: int) -> tuple[int, ...]:
    """`shape` less one axis, which may count from the end."""
    axis %= len(shape)
    return (*shape[:axis], *shape[axis + 1 :])


def out_of_range(name: str, low: float, high: float, hint: str = "scale or clip them first") -> None:
    """Raise what an argument deserves that leaves its range by more than rounding to bfloat16 explains."""
    raise ValueError(f"{name}: expected values in [{low:g}, {high:g}], got others; {hint}")


def allowed(low: float, high: float) -> tuple[np.float32, np.float32]:
    """A range with the allowance for rounding to either side, as kernels compare with it."""
    slack = ALLOWANCE * (high - low)
    return np.float32(low - slack), np.float32(high + slack)


class _Writable:
    """A read-only array as one that claims to be writable: Numba would compile a second kernel for the other."""

    def __init__(self, array: Array) -> None:
        interface = array.__array_interface__
        self.array, self.__array_interface__ = array, {**interface, "data": (interface["data"][0], False)}


def plain(array: Array) -> Array:
    """`array`, contiguous and, so it says, writable."""
    flags = array.flags
    if flags.c_contiguous and flags.writeable:
        return array
    array = np.ascontiguousarray(array)
    return array if array.flags.writeable else np.asarray(_Writable(array))


def as_bits(array: Array) -> Array:
    """float16 as int16, which is how kernels read and write it."""
    return array.view(np.int16) if array.dtype == np.float16 else array


def from_bfloat16(array: Array) -> Array:
    """The float32 of bits of bfloat16; another array as it is."""
    return (array.astype(np.uint32) << 16).view(np.float32) if array.dtype == np.uint16 else array


def bfloat16_bits(values: Array) -> Array:
    """Bits of bfloat16, rounded to nearest even."""
    raw = values.astype(np.float32).view(np.uint32)
    return ((raw + 0x7FFF + ((raw >> 16) & 1)) >> 16).astype(np.uint16)


def padded(array: Array, size: int) -> Array:
    """Contiguous `array`, flattened, or a longer copy if it has fewer than `size` elements."""
    buffer = array.reshape(-1)
    return buffer if buffer.size >= size else np.concatenate([buffer, np.zeros(size - buffer.size, buffer.dtype)])


def unpad(array: Array, buffer: Array) -> None:
    """`array`, filled from what :func:`padded` made of it, if that is a copy."""
    if buffer.size > array.size:
        array.reshape(-1)[...] = buffer[: array.size]


def levels(luma: Array, lab: bool = False) -> tuple[Array, np.float32]:
    """Flat uint8 or float32 luma, and what turns it into levels 0..255, or into L of Lab."""
    if luma.dtype == np.uint8:
        return plain(luma).reshape(-1), ONE
    return plain(np.asarray(luma, np.float32)).reshape(-1), ONE if lab else _LEVELS
