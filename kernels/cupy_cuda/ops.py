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

from ..common.device_arrays import device_index, is_torch, library
from . import decode as cuda_decode
from . import encode as cuda_encode
from . import encode_soft as cuda_encode_soft
from . import gradient, loss, temporal
from . import merge as cuda_merge
from .engine import Engine


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


ENGINE = Engine(partial(cupy.RawModule, backend="nvrtc"), _context, _stream)

encode = partial(cuda_encode.encode, ENGINE)
encode_soft = partial(cuda_encode_soft.encode_soft, ENGINE)
histogram = partial(cuda_encode.histogram, ENGINE)
annealed_mean = partial(cuda_decode.annealed_mean, ENGINE)
confidence = partial(cuda_decode.confidence, ENGINE)
decode = partial(cuda_decode.decode, ENGINE)
merge = partial(cuda_merge.merge, ENGINE)
annealed_mean_gradient = partial(gradient.annealed_mean_gradient, ENGINE)
weighted_cross_entropy = partial(loss.weighted_cross_entropy, ENGINE)
loss_forward = partial(loss.loss_forward, ENGINE)
loss_backward = partial(loss.loss_backward, ENGINE)
TemporalSmoother = partial(temporal.TemporalSmoother, ENGINE)
