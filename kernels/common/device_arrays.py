"""The few things that kernels ask of NumPy arrays, torch tensors and CuPy arrays alike.

An array of a library exists only if its owner imported that library: nothing is imported here but NumPy.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np


def library(array: Any) -> Any:
    """The module (numpy, torch or cupy) that `array` belongs to."""
    kind: Any = type(array)
    return _library_of(kind)


@cache
def _library_of(kind: Any) -> Any:
    return np if issubclass(kind, np.ndarray) else sys.modules[kind.__module__.partition(".")[0]]


def is_torch(array: Any) -> bool:
    return library(array).__name__ == "torch"


def address(array: Any) -> int:
    """Of the first element; 0 for None."""
    if array is None:
        return 0
    if isinstance(array, np.ndarray):
        return array.ctypes.data
    return int(array.data_ptr() if is_torch(array) else array.data.ptr)


def pointer(array: Any) -> np.uint64:
    """The address of an array, or of None, as a kernel argument."""
    return np.uint64(address(array))


def is_contiguous(array: Any) -> bool:
    """C-contiguous, each element at a multiple of its size; only NumPy has arrays that are not so aligned."""
    if isinstance(array, np.ndarray):
        return bool(array.flags.c_contiguous and array.flags.aligned)
    return array.is_contiguous() if is_torch(array) else array.flags.c_contiguous


def contiguous(array: Any) -> Any:
    """`array` itself, or a copy that :func:`is_contiguous`."""
    if isinstance(array, np.ndarray):
        return np.require(array, requirements=("C", "A"))
    return array.contiguous() if is_torch(array) else library(array).ascontiguousarray(array)


def moveaxis(array: Any, source: int, destination: int) -> Any:
    """A view with one axis moved."""
    if is_torch(array):
        return array.movedim(source, destination)
    return library(array).moveaxis(array, source, destination)


def dtype_name(array: Any) -> str:
    """``"float32"``, ``"bfloat16"``, ...; uint16 of NumPy and CuPy are the bits of bfloat16 among logits."""
    return str(array.dtype).removeprefix("torch.") if is_torch(array) else _numpy_name(array.dtype)


@cache
def _numpy_name(dtype: Any) -> str:
    """Kept, for NumPy takes several microseconds to find it; CuPy's dtypes are NumPy's."""
    return str(dtype)


def cast(array: Any, dtype: str) -> Any:
    """`array` as another dtype; itself if it has it."""
    if dtype_name(array) == dtype:
        return array
    if is_torch(array):
        return array.to(getattr(library(array), dtype))
    with _device(array):
        return array.astype(dtype)


def is_double(array: Any) -> bool:
    return dtype_name(array) == "float64"


def empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """A new C-contiguous array of the library and on the device of `like`."""
    return _make("empty", like, shape, dtype)


def zeros(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    return _make("zeros", like, shape, dtype)


def _make(function: str, like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    make = getattr(library(like), function)
    if is_torch(like):
        return make(shape, dtype=getattr(library(like), dtype), device=like.device)
    with _device(like):
        return make(shape, dtype=dtype)


def _device(array: Any) -> AbstractContextManager[object]:
    """Makes the device of a CuPy array the current one; torch needs no such thing."""
    if is_torch(array) or isinstance(array, np.ndarray):
        return nullcontext()
    device: AbstractContextManager[object] = library(array).cuda.Device(array.device.id)
    return device


def contiguous_like(array: Any) -> Any:
    """`array` itself if a kernel can write it, else a buffer for :func:`deliver`."""
    return array if is_contiguous(array) else empty(array, tuple(array.shape), dtype_name(array))


def deliver(array: Any, buffer: Any) -> Any:
    """`array`, filled from `buffer` if that is another one."""
    if buffer is not array:
        with _device(array):
            array[...] = buffer
    return array


def from_numpy(like: Any, values: np.ndarray) -> Any:
    """`values`, copied to the library and the device of `like`."""
    if is_torch(like):
        return library(like).from_numpy(np.array(values)).to(like.device)
    if isinstance(like, np.ndarray):
        return values
    with _device(like):
        return library(like).asarray(values)


def device_index(array: Any) -> int:
    """Number of the GPU; 0 on the CPU."""
    if is_torch(array):
        return int(array.device.index or 0)
    return 0 if isinstance(array, np.ndarray) else int(array.device.id)


def is_capturing(array: Any) -> bool:
    """Whether the current stream of `array`'s library records a CUDA graph instead of running."""
    if isinstance(array, np.ndarray) or (is_torch(array) and not array.is_cuda):
        return False
    cuda = library(array).cuda
    if is_torch(array):
        if cuda.current_device() == device_index(array):
            return bool(cuda.is_current_stream_capturing())
        with cuda.device(array.device):
            return bool(cuda.is_current_stream_capturing())
    with _device(array):
        return bool(cuda.get_current_stream().is_capturing())


def synchronize(array: Any) -> None:
    """Wait for all work on the GPU of `array`."""
    if is_torch(array):
        if array.is_cuda:
            library(array).cuda.synchronize(array.device)
    elif not isinstance(array, np.ndarray):
        array.device.synchronize()
