"""Arrays as nobody expects them: every way to lie in memory, every dtype, every kind of tensor, and what is no array.

Each comes with the values that whoever reads it must see, or None where it has none that count.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import strategies as make
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "longdouble", ">f4", ">f8", ">f2", ">u2", "<i4", "complex64", "complex128"),
    *("object", "U4", "S4", "M8[s]", "m8[s]", "V4"),
)
TORCH_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "bfloat16"),
    *("float32", "float64", "float8_e4m3fn", "float8_e5m2", "complex64", "complex32"),
)
SPECIAL = (np.nan, np.inf, -np.inf, 1e37, -3e38, 1e-44, -0.0, 255.0, 1.5, -0.5)


class Odd(NamedTuple):
    """An array, the values that it stands for, and how to say which it is."""

    name: str
    array: Any
    values: Array | None


class Subclass(np.ndarray):
    """Of no use, as those of many libraries."""


class SubTensor(torch.Tensor):
    """A subclass without a mind of its own."""


class Convertible:
    """What numpy.asarray would take."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self.values


def of_numpy(values: Array) -> Iterator[Odd]:
    """Odd NumPy arrays of the values, which are uint8 or floats."""
    for layout in make.LAYOUTS:
        laid = make.lay_out(values, layout)
        yield Odd(layout, laid, np.array(laid))
    for dtype in DTYPES:
        yield _cast(values, dtype)
    for axis in range(values.ndim):
        flip = tuple(slice(None, None, -1 if k == axis else 1) for k in range(values.ndim))
        yield Odd(f"reversed axis {axis}", values[flip], values[flip].copy())
        none = values[tuple(slice(0, 0 if k == axis else None) for k in range(values.ndim))]
        yield Odd(f"empty axis {axis}", none, none)
        yield Odd(f"axis {axis} last", np.moveaxis(values, axis, -1), np.moveaxis(values, axis, -1).copy())
        yield Odd(f"one of axis {axis}", values.take([0], axis), values.take([0], axis))
    yield Odd("far apart", _far_apart(values), values)
    yield Odd("swapped and reversed", values.astype(values.dtype.newbyteorder())[::-1], values[::-1].copy())
    yield Odd("no dimension", values[(0,) * values.ndim][...], values[(0,) * values.ndim][...])
    yield Odd("one dimension", values.reshape(-1), values.reshape(-1))
    yield Odd("an axis more", values[None], values[None])
    yield Odd("an axis less", values[0], values[0])
    yield Odd("memoryview's array", np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape), values)
    yield Odd("subclass", values.view(Subclass), values)
    yield Odd("np.matrix", values.reshape(len(values), -1).view(np.matrix), values.reshape(len(values), -1))
    yield Odd("record array", np.rec.fromarrays([values]), None)
    yield Odd("masked", np.ma.masked_array(values, values == values.flat[0]), None)
    yield Odd("masked nowhere", np.ma.masked_array(values), None)
    if values.dtype.kind == "f":
        for number in SPECIAL:
            changed = values.copy()
            changed[(0,) * values.ndim] = number
            yield Odd(f"with {number}", changed, changed)


def _cast(values: Array, dtype: str) -> Odd:
    if dtype in ("M8[s]", "m8[s]", "V4"):
        return Odd(dtype, np.zeros(values.shape, dtype), None)
    with np.errstate(all="ignore"):
        array = values.astype(dtype)
    seen = array.astype(values.dtype) if array.dtype.kind in "f" else array
    return Odd(dtype, array, seen if array.dtype.kind in "iufb" else None)


def _far_apart(values: Array) -> Array:
    """Each row 64 MiB behind the one before; memory that is not touched is not taken."""
    step = (1 << 26) // values.itemsize
    buffer = np.empty((len(values), step), values.dtype)
    view: Array = buffer[:, : values[0].size].reshape(values.shape)
    assert view.base is not None
    view = np.lib.stride_tricks.as_strided(buffer, values.shape, (buffer.strides[0], *values[0].strides))
    view[...] = values
    return view


def of_torch(values: Array) -> Iterator[Odd]:
    """Odd tensors of the values."""
    base = torch.from_numpy(values.copy())
    for layout in make.TORCH_LAYOUTS:
        tensor = make.as_kind(values, "torch", values.dtype.name, layout)
        yield Odd(layout, tensor, tensor.numpy().copy())
    for dtype in TORCH_DTYPES:
        tensor = base.to(getattr(torch, dtype)) if dtype != "complex32" else base.to(torch.complex64).to(torch.chalf)
        plain = tensor.float() if tensor.dtype.is_floating_point else tensor
        seen = values if dtype == values.dtype.name else None if tensor.dtype.is_complex else plain.numpy()
        yield Odd(f"torch.{dtype}", tensor, seen)
    yield from _tensors(base, values)
    for axis in range(values.ndim):
        yield Odd(f"empty axis {axis}", base.narrow(axis, 0, 0), values.take([], axis).astype(values.dtype))
        moved = base.movedim(axis, -1)
        yield Odd(f"axis {axis} last", moved, moved.numpy().copy())
    if values.dtype.kind == "f":
        for number in SPECIAL:
            changed = base.clone()
            changed[(0,) * values.ndim] = number
            yield Odd(f"with {number}", changed, changed.numpy())


def _tensors(base: torch.Tensor, values: Array) -> Iterator[Odd]:
    """Of every kind that torch has, apart from dtypes."""
    yield Odd("sparse", base.to_sparse(), None)
    yield Odd("nested", torch.nested.nested_tensor([base, base]), None)
    yield Odd("jagged", torch.nested.nested_tensor([base, base], layout=torch.jagged), None)
    yield Odd("meta", base.to("meta"), None)
    yield Odd("subclass", base.as_subclass(SubTensor), values)
    yield Odd("no dimension", base.reshape(-1)[0], values.reshape(-1)[0])
    yield Odd("an axis more", base[None], values[None])
    yield Odd("an axis less", base[0], values[0])
    yield Odd("conjugate", base.to(torch.complex64).conj(), None)
    with torch.inference_mode():
        yield Odd("of inference mode", base.clone(), values)
    if base.dtype.is_floating_point:
        yield Odd("mkldnn", base.float().to_mkldnn(), None)
        yield Odd("negated", torch._neg_view(-base), values)
        yield Odd("imaginary part", torch.complex(base * 0, -base).conj().imag, values)
        yield Odd("zeros nowhere", torch._efficientzerotensor(base.shape, dtype=base.dtype), np.zeros_like(values))
        yield Odd("quantized", torch.quantize_per_tensor(base.float(), 0.1, 0, torch.quint8), None)
        yield Odd("parameter", torch.nn.Parameter(base.clone(), requires_grad=False), values)
        yield Odd("with a gradient", base.clone().requires_grad_(), values)
        yield Odd("masked", torch.masked.masked_tensor(base, base > 0), None)
        yield Odd("sparse rows", base.reshape(len(base), -1).to_sparse_csr(), None)


def no_arrays(values: Array) -> Iterator[Odd]:
    """What is none, though some of it could be made one."""
    things: tuple[Any, ...] = None, 3, 0.5, "text", b"bytes", {}, [], (), object()
    yield from (Odd(type(thing).__name__, thing, None) for thing in things)
    yield Odd("list", values.tolist(), values)
    yield Odd("generator", (row for row in values), None)
    yield Odd("memoryview", memoryview(values.data), values)
    yield Odd("file", io.BytesIO(values.tobytes()), None)
    yield Odd("convertible", Convertible(values), values)
    yield Odd("class", np.ndarray, None)
    yield Odd("NumPy scalar", values.reshape(-1)[0], None)


KINDS: dict[str, Callable[[Array], Iterator[Odd]]] = {"numpy": of_numpy, "torch": of_torch, "none": no_arrays}
