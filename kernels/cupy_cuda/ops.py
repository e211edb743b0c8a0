"""The operations on a GPU: CUDA C++ (``*.cu``), compiled by NVRTC and launched through CuPy.

Arguments are torch CUDA tensors or CuPy arrays that the public API has validated; everything runs on their device and
on the current stream of their library, which is read at every call. The first call of an instance compiles it (about
a second; CuPy 14.2 keeps the binary on disk) and must not happen while a CUDA graph is being captured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import cupy
import numpy as np

from ..common.device_arrays import device_index, is_torch, library
from .engine import Engine
from .operations import operations


class _TorchStream:
    """torch's current stream in the protocol that CuPy reads, whatever the version of torch."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.stream.cuda_stream


@contextmanager
def _context(array: Any) -> Iterator[None]:
    """The device and the current stream of `array`'s own library."""
    with cupy.cuda.Device(device_index(array)):
        if not is_torch(array):
            yield
            return
        current = library(array).cuda.current_stream(array.device)
        stream = cupy.cuda.Stream.from_external(_TorchStream(current)) if current.cuda_stream else cupy.cuda.Stream.null
        with stream:
            yield


class _Stream:
    """A stream by its number, as CuPy reads one where a kernel is called."""

    def __init__(self, number: int) -> None:
        self.ptr = number


def _stream(array: Any) -> Any:
    """The stream that :func:`_context` makes current; None unless the device is current, which takes less time."""
    index = device_index(array)
    if cupy.cuda.runtime.getDevice() != index:
        return None
    return (
        _Stream(library(array)._C._cuda_getCurrentRawStream(index))
        if is_torch(array)
        else cupy.cuda.get_current_stream()
    )


def _hold(value: Any) -> Any:
    """A value as CuPy passes it on: to make that of a structure takes it longer than all else in a launch."""
    return cupy.cuda.function.CNumpyArray(np.atleast_1d(value))


ENGINE = Engine(partial(cupy.RawModule, backend="nvrtc"), _context, _stream, _hold)
globals().update(operations(ENGINE))
