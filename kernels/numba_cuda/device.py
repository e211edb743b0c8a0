"""How Numba launches on memory and streams that belong to torch or CuPy, and whether it can run here at all.

Arrays go in as raw pointers: ``__cuda_array_interface__`` of a torch tensor is slow, fails where a gradient is
required, and makes Numba wait for the stream. Nothing here touches CUDA before the first launch or probe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import cuda

from ..common import device_arrays

_config: Any = numba.config  # its settings are made at run time, unknown to type checkers

THREADS = 256  # a block
LEAST_BLOCKS = 128  # of a launch: with fewer Numba warns its user; those without a pixel end at once


@contextmanager
def on_device(like: Any) -> Iterator[Any]:
    """Make the device of `like` Numba's; gives the stream that is its library's current one at this moment."""
    device = device_arrays.device_index(like)
    with cuda.gpus[device]:
        yield _stream(device, current_stream(like))


@lru_cache(maxsize=64)
def _stream(device: int, handle: int) -> Any:
    """Numba's name for a stream that another library owns; kept, for Numba keeps a launch's configuration by it."""
    return cuda.external_stream(handle)


def current_stream(like: Any) -> int:
    """Handle of the current stream of torch or CuPy on the device of `like`, which is the current one."""
    if device_arrays.is_torch(like):
        return int(device_arrays.library(like).cuda.current_stream(like.device).cuda_stream)
    return int(device_arrays.library(like).cuda.get_current_stream().ptr)


def flat(array: Any) -> Any:
    """A contiguous array as a one-dimensional argument of a kernel; bfloat16 as the bits in uint16."""
    name = device_arrays.dtype_name(array)
    interface = {
        "version": 3,
        "shape": (math.prod(array.shape),),
        "strides": None,
        "typestr": np.dtype("uint16" if name == "bfloat16" else name).str,
        "data": (int(device_arrays.pointer(array)), False),
    }
    return cuda.from_cuda_array_interface(interface, owner=array, sync=False)


def launch(kernel: Any, stream: Any, pixels: int, *args: Any) -> None:
    """Run ``kernel(pixels, *args)``, a thread for each pixel, in :func:`on_device`; arrays are contiguous."""
    ready = [arg if isinstance(arg, (np.generic, int)) else flat(arg) for arg in args]
    kernel[max(-(-pixels // THREADS), LEAST_BLOCKS), THREADS, stream](pixels, *ready)


@cuda.jit
def _increment(x):
    x[cuda.grid(1)] += np.float32(1)


def probe() -> None:
    """Run something on the first GPU; raises with the reason if that is not possible."""
    if _config.ENABLE_CUDASIM:
        raise RuntimeError("NUMBA_ENABLE_CUDASIM is set: Numba would simulate a GPU, a thousand pixels a second")
    try:
        count = len(cuda.gpus)
    except Exception as error:
        raise RuntimeError(f"Numba finds no CUDA driver: {_first_sentence(error)}") from error
    if count == 0:
        raise RuntimeError("the CUDA driver sees no GPU; is CUDA_VISIBLE_DEVICES empty?")
    with cuda.gpus[0]:
        x = cuda.to_device(np.ones(LEAST_BLOCKS, np.float32))
        _increment[LEAST_BLOCKS, 1](x)
        if (x.copy_to_host() != 2).any():
            raise RuntimeError("Numba compiled a CUDA kernel that gives a wrong answer")


def _first_sentence(error: Exception) -> str:
    """Numba's messages fill a screen: the first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line.rstrip(".") for line in lines if not line.endswith(":")), type(error).__name__)
