"""A pytest plugin: the Numba CUDA kernels as a backend of the CPU, run by Numba's simulator at 1000 pixels a second.

``NUMBA_ENABLE_CUDASIM=1 pytest -p numba_simulator`` adds the backend "numba-cuda-simulator", which takes NumPy arrays
and torch tensors of the CPU as if they lay on a GPU, and makes every drawn image small. The host code is the real one,
raw pointers included; what the simulator lacks of Numba's API is made up for here.
"""

from __future__ import annotations

import ctypes
from typing import Any

import hypothesis
import numba
import numpy as np
import strategies
from fastcolor.kernels import registry
from fastcolor.kernels.common import cuda_tables
from fastcolor.kernels.numba_cuda import device
from numba import cuda
from numba.cuda.cudadrv.devicearray import FakeCUDAArray

NAME, PIXELS, LOGITS = "numba-cuda-simulator", 40, 3200

_config: Any = numba.config  # its settings are made at run time, unknown to type checkers
if not _config.ENABLE_CUDASIM:
    raise RuntimeError("set NUMBA_ENABLE_CUDASIM=1: the simulator cannot be switched on later")


class StrictArray(FakeCUDAArray):
    """Memory that must not be indexed from its end: NumPy would take -1 for the last element."""

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(self._checked(index))

    def __setitem__(self, index: int, value: Any) -> None:
        super().__setitem__(self._checked(index), value)

    @staticmethod
    def _checked(index: int) -> int:
        if index < 0:
            raise IndexError(f"index {index} is negative")
        return index


def from_cuda_array_interface(interface: dict[str, Any], owner: Any = None, sync: bool = True) -> StrictArray:
    """The memory at a raw pointer, not copied."""
    assert owner is not None, "nothing would keep the memory alive"
    assert not sync, "Numba would wait for the stream"
    dtype, (size,) = np.dtype(interface["typestr"]), interface["shape"]
    memory = (ctypes.c_char * (size * dtype.itemsize)).from_address(interface["data"][0])
    return StrictArray(np.frombuffer(memory, dtype))


def _small_shapes(max_pixels: int = PIXELS) -> Any:
    return _shapes(max_pixels=min(max_pixels, PIXELS))


cuda.from_cuda_array_interface = from_cuda_array_interface
cuda.external_stream = lambda handle: handle
device.current_stream = lambda like: 0
device.LEAST_BLOCKS = 1
cuda_tables.synchronize = lambda array: None

registry.BACKENDS[NAME] = registry.Backend(
    NAME, "fastcolor.kernels.numba_cuda.ops", ("cpu",), probe=lambda: None, hint="NUMBA_ENABLE_CUDASIM=1"
)
_shapes, strategies.shapes, strategies.MAX_LOGITS = strategies.shapes, _small_shapes, LOGITS
hypothesis.settings.register_profile(
    "simulator", deadline=None, max_examples=2, derandomize=True, phases=[hypothesis.Phase.generate]
)
