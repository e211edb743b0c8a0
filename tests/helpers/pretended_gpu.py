"""A pytest plugin: torch tensors and a stand-in for CuPy's arrays go to the CUDA host code as they are, as on a GPU.

``pytest -p pretended_gpu`` adds the backend "pretended-gpu". The kernels are those of "cuda-host", but the host code
gets tensors and CuPy arrays, not NumPy views of them, and so takes the way that it takes on a GPU. The stand-in has of
CuPy what this package uses, over memory of the CPU, and no more: anything else is an AttributeError.
``FASTCOLOR_PRETENDED=cupy`` gives the backend that name, see :mod:`stand_in_gpu`.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import strategies
import torch
from fastcolor.kernels import registry
from fastcolor.kernels.common import cuda_tables

from fastcolor.arrays import kinds

NAME = os.environ.get("FASTCOLOR_PRETENDED", "pretended-gpu")
_SAME = ("shape", "ndim", "dtype", "size", "nbytes", "itemsize", "strides", "flags")


class Device(nullcontext):
    """The only one, always current."""

    id = 0

    def synchronize(self) -> None: ...


_DEVICE = Device()


class ndarray:
    """An array that NumPy's functions cannot read, as CuPy's."""

    __module__ = "cupy"
    __array_ufunc__ = None
    device = _DEVICE

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __getattr__(self, name: str) -> Any:
        if name not in _SAME:
            raise AttributeError(f"the stand-in for cupy.ndarray has no {name}")
        return getattr(self._values, name)

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self._values.ctypes.data)

    def get(self) -> np.ndarray:
        return self._values.copy()

    def astype(self, dtype: str) -> ndarray:
        return ndarray(self._values.astype(dtype))

    def reshape(self, *shape: Any) -> ndarray:
        return ndarray(self._values.reshape(*shape))

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(self._values[index if isinstance(index, tuple) and index else (index, ...)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[index] = value._values if isinstance(value, ndarray) else value


def _module() -> Any:
    cupy: Any = ModuleType("cupy")
    cupy.ndarray = ndarray
    cupy.empty = lambda shape, dtype=None: ndarray(np.full(shape, 77, dtype))
    cupy.zeros = lambda shape, dtype=None: ndarray(np.zeros(shape, dtype))
    cupy.asarray = lambda values: ndarray(np.array(values))
    cupy.ascontiguousarray = lambda array: ndarray(np.ascontiguousarray(array._values))
    cupy.moveaxis = lambda array, *axes: ndarray(np.moveaxis(array._values, *axes))
    as_strided = np.lib.stride_tricks.as_strided
    cupy.lib = SimpleNamespace(
        stride_tricks=SimpleNamespace(as_strided=lambda x, *form: ndarray(as_strided(x._values, *form)))
    )
    stream = SimpleNamespace(is_capturing=lambda: False)
    cupy.cuda = SimpleNamespace(Device=lambda index: nullcontext(), get_current_stream=lambda: stream)
    return cupy


def _seen_as_on_a_gpu(array: Any) -> Any:
    return array.detach().resolve_neg() if isinstance(array, torch.Tensor) else _as_numpy(array)


def _memory_of(array: Any) -> bytes:
    return _bytes_of(array._values if isinstance(array, ndarray) else array)


sys.modules["cupy"] = _module()
_as_numpy, kinds.as_numpy = kinds.as_numpy, _seen_as_on_a_gpu
_bytes_of, strategies.memory_of = strategies.memory_of, _memory_of
cuda_tables.synchronize = lambda array: None
strategies.KINDS_ON.update(cpu=("torch",), cuda=("cupy",))
registry.BACKENDS[NAME] = registry.Backend(
    NAME, "cuda_host.backend", ("cpu", "cuda"), probe=lambda: None, hint="pytest -p pretended_gpu"
)
hypothesis.settings.register_profile("pretended", deadline=None, max_examples=5, derandomize=True)
