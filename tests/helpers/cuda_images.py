"""Encode for CUDA on the CPU, whatever the addresses: results with the memory around them checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from cuda_host.backend import ENGINE
from fastcolor.kernels.cupy_cuda import encode as cuda_encode
from guarded import Guarded

Array = np.ndarray


def picture(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    levels = rng.integers(0, 256, shape).astype(np.uint8)
    return levels if dtype == "uint8" else (levels / 255).astype(dtype)


def encode_at(rgb: Array, bins: Any, axis: int, label: str = "uint8", offset: int = 0) -> tuple[Array, ...]:
    """Luma, labels, weights; `offset` elements after an aligned address, with the memory around them checked."""
    shape = tuple(np.delete(rgb.shape, axis))
    out = [Guarded(shape, dtype, offset * np.dtype(dtype).itemsize) for dtype in ("float32", label, "float32")]
    arrays = tuple(o.array for o in out)
    cuda_encode.encode(ENGINE, rgb, bins, channel_axis=axis, label_dtype=label, out=arrays)
    for guarded in out:
        guarded.assert_unharmed()
    return arrays


def assert_same(actual: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)
