"""The signature of a call: all that decides which kernels run, and on what, but for the values in the arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels import registry
from .kinds import is_watched

ALIGNED = 16  # bytes: of an address the choice of a kernel looks at the remainder
_PLAIN = frozenset({float, int, bool, str, type(None)})
_NUMBERS = (int, float, np.number, np.bool_)


class Signed(NamedTuple):
    """A call as a key, and the arrays in it with their addresses."""

    key: tuple[Any, ...]
    arrays: list[Any]
    addresses: list[int]


def sign(name: Any, args: tuple[Any, ...], options: dict[str, Any], backend: str = "auto") -> Signed | None:
    """What a call depends on; None where it has no plan.

    That is where the first argument lies on the CPU, unless a backend is named; where torch traces, transforms, or
    differentiates; for subclasses of arrays, tensors without memory or lazily negated, bins without a key, and any
    value that is none of an array, a number, a text or bins.
    """
    library = _library_of(args[0], backend)
    if library is None:
        return None
    classes, read = library
    key: list[Any] = [name, *registry.BACKENDS.values(), *options]
    arrays: list[Any] = []
    addresses: list[int] = []
    values = [*args, *options.values()]
    try:
        for value in values:
            kind = type(value)
            if kind in _PLAIN:
                key += kind, value
            elif kind in classes:
                address = read(value, key)
                if address is None:
                    return None
                arrays.append(value)
                addresses.append(address)
            elif kind in (tuple, list):
                key += kind, len(value)
                values += value
            elif (content := getattr(value, "_key", None)) is not None:
                key += kind, content
            elif isinstance(value, _NUMBERS):
                key += kind, value
            else:
                return None
    except RuntimeError:  # a tensor without strides or memory, which the slow way will name
        return None
    return Signed(tuple(key), arrays, addresses)


Place = tuple[int, tuple[int, ...], Any]


def places(kept: Sequence[Any]) -> list[Place]:
    """Where tensors are, and how they lie there."""
    return [(tensor.data_ptr(), tensor.stride(), tensor.dtype) for tensor in kept]


def sign_after(before: tuple[Any, ...], kept: list[Any], then: list[Place], new: Any) -> Signed | None:
    """What a call depends on that comes after one with the key `before`, with what this one `kept`, and a `new` tensor.

    None if one of them is not as it was `then`, as a hook may have it: what they are is not known from before.
    """
    if is_watched() or places(kept) != then:
        return None
    key: list[Any] = [before]
    address = _read_tensor(new, key)
    return None if address is None else Signed(tuple(key), [*kept, new], [*(place[0] for place in then), address])


def _library_of(first: Any, backend: str) -> tuple[tuple[type, ...], Callable[[Any, list[Any]], int | None]] | None:
    """The classes of arrays that a call on `first` takes, and what reads one of them into a key."""
    kind, torch, cupy = type(first), sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and kind in (classes := _classes(torch)):
        if (backend == "auto" and not first.is_cuda) or is_watched() or torch.autograd.forward_ad._current_level >= 0:
            return None
        read = _read_tensor_to_differentiate if torch.is_grad_enabled() else _read_tensor
        return classes, read
    return ((kind,), _read_cupy) if kind is getattr(cupy, "ndarray", cupy) else None


def _classes(torch: Any) -> tuple[type, ...]:
    """Its arrays, subclasses apart; none of a library whose import has failed half-way."""
    try:
        return torch.Tensor, torch.nn.Parameter
    except AttributeError:
        return ()


def _read_tensor_to_differentiate(tensor: Any, key: list[Any]) -> int | None:
    return None if tensor.requires_grad else _read_tensor(tensor, key)


def _read_tensor(tensor: Any, key: list[Any]) -> int | None:
    address: int = tensor.data_ptr()
    if not address or tensor.is_neg():  # without memory: empty, or zeros that lie nowhere
        return None
    key += tensor.dtype, tensor.device, tensor.shape, tensor.stride(), address % ALIGNED
    return address


def _read_cupy(array: Any, key: list[Any]) -> int:
    address: int = array.data.ptr
    key += array.dtype, array.device.id, array.shape, array.strides, address % ALIGNED
    return address
