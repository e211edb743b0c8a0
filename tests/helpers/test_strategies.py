"""Arrays put on another device keep values, strides, misalignment and what lies between their elements."""

from __future__ import annotations

from typing import Any

import compare
import numpy as np
import pytest
import strategies as make


def values(dtype: str) -> Any:
    whole = np.random.default_rng(3).integers(0, 200, (3, 5, 7))
    return whole.astype(np.uint8) if dtype == "uint8" else whole / 8


@pytest.mark.parametrize("layout", make.TORCH_LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8", "int64"])
def test_a_placed_tensor_is_the_same_tensor(dtype: str, layout: str) -> None:
    tensor = make.as_kind(values(dtype), "torch", dtype, layout)
    there = make.place(tensor, "cpu")
    assert there.data_ptr() != tensor.data_ptr()
    assert (there.dtype, there.shape, there.stride()) == (tensor.dtype, tensor.shape, tensor.stride())
    assert there.data_ptr() % 16 == tensor.data_ptr() % 16
    np.testing.assert_array_equal(compare.as_float64(there), compare.as_float64(tensor))
    between = make.place(make.elements_of(tensor)[0], "cpu")
    assert make.memory_of(between) in make.memory_of(there)


@pytest.mark.parametrize("layout", make.TORCH_LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_an_array_placed_in_another_library_is_the_same_array(dtype: str, layout: str) -> None:
    tensor = make.as_kind(values(dtype), "torch", dtype, layout)
    there = make.place_in(np, tensor)
    steps = tuple(step * tensor.element_size() for step in tensor.stride())
    assert (there.shape, there.strides, str(there.dtype)) == (tuple(tensor.shape), steps, dtype)
    assert there.ctypes.data % 16 == tensor.data_ptr() % 16
    np.testing.assert_array_equal(there, tensor.numpy())


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,)])
def test_small_and_empty_arrays_can_be_placed(shape: tuple[int, ...]) -> None:
    tensor = make.as_kind(np.full(shape, 3.0), "torch", "float32", "offset")
    for there in (make.place(tensor, "cpu"), make.place_in(np, tensor)):
        assert tuple(there.shape) == shape
        assert (compare.as_float64(there) == 3).all()


def test_offset_arrays_are_misaligned() -> None:
    tensor = make.as_kind(np.zeros(9), "torch", "float32", "offset")
    assert make.place(tensor, "cpu").data_ptr() % 16 == 4


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(ValueError, match="kind: expected one of"):
        make.as_kind(np.zeros(1), "jax", "float32")
