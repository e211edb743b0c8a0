"""What a call on a GPU comes to, kept by its signature: results allocated, addresses and stream read, kernels launched.

The first call of a signature goes the slow way, through checks, views and choices of a kernel, while its launches are
written down (``kernels.common.recording``). Where each array of theirs is an argument, a result, scratch memory or a
kept table, the same call can be made again without thought: that is a :class:`Plan`. Its key (:func:`sign`) holds all
that the slow way depends on, and whatever is not known there has no plan.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..kernels import registry
from ..kernels.common import cuda_tables, device_arrays, recording
from .kinds import is_watched

LIMIT = 512
_PLAIN = frozenset({float, int, bool, str, type(None)})
_NUMBERS = (int, float, np.generic)
_ALIGNED = 16  # bytes: what the choice of a kernel looks at; all new memory lies at multiples of it
Function = TypeVar("Function", bound=Callable[..., Any])


class Signed(NamedTuple):
    """A call as a key, and the arrays in it with their addresses."""

    key: tuple[Any, ...]
    arrays: list[Any]
    addresses: list[int]


def sign(name: Any, args: tuple[Any, ...], options: dict[str, Any], backend: str = "auto") -> Signed | None:
    """What a call depends on; None where it has no plan.

    That is where the first argument lies on the CPU, unless a backend is named; where torch traces, transforms, or
    differentiates; for subclasses of arrays, lazily negated tensors, bins without a key, and any value that is none of
    an array, a number, a text or bins.
    """
    first = args[0]
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(first, torch.Tensor):
        if (backend == "auto" and not first.is_cuda) or is_watched() or torch.autograd.forward_ad._current_level >= 0:
            return None
        classes: tuple[type, ...] = torch.Tensor, torch.nn.Parameter
        read: Callable[[Any, list[Any]], int | None] = partial(_read_tensor, torch.is_grad_enabled())
    elif cupy is not None and type(first) is cupy.ndarray:
        classes, read = (cupy.ndarray,), _read_cupy
    else:
        return None
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


def _read_tensor(differentiates: bool, tensor: Any, key: list[Any]) -> int | None:
    if tensor.is_neg() or (differentiates and tensor.requires_grad):
        return None
    address: int = tensor.data_ptr()
    key += tensor.dtype, tensor.device, tensor.shape, tensor.stride(), address % _ALIGNED
    return address


def _read_cupy(array: Any, key: list[Any]) -> int:
    address: int = array.data.ptr
    key += array.dtype, array.device.id, array.shape, array.strides, address % _ALIGNED
    return address


class _Launch(NamedTuple):
    """A launch whose pointers are told by numbers of arrays, and what changes by functions."""

    function: Any
    grid: tuple[int]
    block: tuple[int]
    args: list[Any]
    pointers: list[tuple[int, int]]
    changing: list[tuple[int, Callable[[], Any]]]
    shared: int


class Plan(NamedTuple):
    """A call that only has to be made.

    Attributes
    ----------
    engine : Engine
    make : list of callable
        Each gives an array: results, then scratch memory. Arrays are counted from the arguments through these.
    returned : list of int
        Numbers of arrays.
    single : bool
        Whether the call gives an array, not a tuple of them.
    launches : list
    kept : list of array
        Read by the launches at fixed addresses.
    afterwards : list of callable
    """

    engine: Any
    make: list[Callable[[], Any]]
    returned: list[int]
    single: bool
    launches: list[_Launch]
    kept: list[Any]
    afterwards: list[Callable[[], None]]

    def run(self, arrays: list[Any], addresses: list[int]) -> tuple[Any] | None:
        """The result, alone in a tuple; None where the slow way must be taken.

        That is where another device is current, and where a CUDA graph that is being captured would read a kept table:
        it has to be told so.
        """
        like = arrays[0]
        stream = self.engine.stream(like)
        if stream is None or (self.kept and device_arrays.is_capturing(like)):
            return None
        for make in self.make:
            array = make()
            arrays.append(array)
            addresses.append(device_arrays.address(array))
        for function, grid, block, template, pointers, changing, shared in self.launches:
            args = template.copy()
            for place, number in pointers:
                args[place] = addresses[number]
            for place, value in changing:
                args[place] = value()
            function(grid, block, args, shared_mem=shared, stream=stream)
        for count in self.afterwards:
            count()
        return (arrays[self.returned[0]] if self.single else tuple([arrays[number] for number in self.returned]),)


def plan(signed: Signed, record: recording.Recording, result: Any) -> Plan | None:
    """The plan of a call that gave `result`; None if some array of its launches is unknown, or not told from another.

    A copy that the slow way made is such an array. An array that a launch neither reads nor writes is no result of it.
    """
    single = not isinstance(result, tuple)
    results: tuple[Any, ...] = (result,) if single else result
    given = {id(array) for array in signed.arrays}
    new = [array for array in (*results, *record.scratch) if id(array) not in given]
    arrays = [*signed.arrays, *new]
    addresses = [*signed.addresses, *map(device_arrays.address, new)]
    numbers = {
        address: k for k, (array, address) in enumerate(zip(arrays, addresses, strict=True)) if 0 not in array.shape
    }
    launches = [_numbered(launch, numbers, set(map(device_arrays.address, record.kept))) for launch in record.launches]
    zeroed = set(map(device_arrays.address, record.zeroed))
    make = [_maker(array, address in zeroed) for array, address in zip(new, addresses[len(given) :], strict=True)]
    places = {id(array): k for k, array in enumerate(arrays)}
    returned = [places[id(array)] for array in results]
    known = not any(part is None for part in (*launches, *make))
    if not known or len(numbers) != sum(0 not in array.shape for array in arrays):
        return None
    used = {number for launch in launches for _, number in launch.pointers}
    if not launches or not all(k in used or 0 in arrays[k].shape for k in returned):
        return None
    return Plan(record.engine, make, returned, single, launches, record.kept, record.afterwards)


def _numbered(launch: recording.Launch, numbers: dict[int, int], kept: set[int]) -> _Launch | None:
    values, pointers, changing = list(launch.values), [], []
    for place, (argument, value) in enumerate(zip(launch.args, values, strict=True)):
        if callable(argument):
            changing.append((place, argument))
        elif argument is not None and argument is not value and int(value) not in kept:
            if int(value) not in numbers:
                return None
            pointers.append((place, numbers[int(value)]))
    return _Launch(launch.function, (launch.blocks,), (launch.threads,), values, pointers, changing, launch.shared)


def _maker(array: Any, zero: bool) -> Callable[[], Any] | None:
    """What makes an array such as this one; None if that is not what its library makes unasked."""
    of, shape = device_arrays.library(array), tuple(array.shape)
    if device_arrays.address(array) % _ALIGNED:
        return None
    if not device_arrays.is_torch(array):
        return partial(of.zeros if zero else of.empty, shape, dtype=array.dtype) if array.flags.c_contiguous else None
    if type(array) is not of.Tensor or array.requires_grad or not _is_dense(shape, array.stride()):
        return None
    where = {"dtype": array.dtype, "device": array.device}
    return partial(of.zeros, shape, **where) if zero else partial(of.empty_strided, shape, array.stride(), **where)


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the elements fill memory without a gap.

    Examples
    --------
    >>> _is_dense((2, 3), (1, 2)), _is_dense((2, 3), (4, 1))
    (True, False)
    """
    reach = 1
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1):
        if stride != reach:
            return False
        reach *= size
    return True


class Plans:
    """The latest `limit` plans by key."""

    def __init__(self, limit: int) -> None:
        self._limit, self._plans, self._lock = limit, OrderedDict[tuple[Any, ...], Plan](), Lock()

    def __len__(self) -> int:
        return len(self._plans)

    def clear(self) -> None:
        with self._lock:
            self._plans.clear()

    def call(
        self, name: Any, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], backend: str
    ) -> Any:
        """``function(*args, **options)``, by its plan if there is one; `name` is that of no other function."""
        signed = sign(name, args, options, backend)
        if signed is None:
            return function(*args, **options)
        plan_of_call = self._plans.get(signed.key)
        if plan_of_call is not None:
            with suppress(KeyError):  # another thread has just dropped it
                self._plans.move_to_end(signed.key)
            done = plan_of_call.run(*signed[1:])
            if done is not None:
                return done[0]
        with recording.opened() as record:
            result = function(*args, **options)
            made = plan(signed, record, result)
        if made is not None:
            self._keep(signed.key, made)
        return result

    def _keep(self, key: tuple[Any, ...], new: Plan) -> None:
        with self._lock:
            self._plans[key] = new
            dropped = self._plans.popitem(last=False)[1] if len(self._plans) > self._limit else None
        for table in dropped.kept if dropped else ():
            cuda_tables.synchronize(table)  # whatever reads it is done before its memory is used again


_PLANS = Plans(LIMIT)
clear = _PLANS.clear


def planned(function: Function) -> Function:
    """`function`, a public operation whose first argument is an array, by its plan where it has one."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if not args or type(args[0]) is np.ndarray:
            return function(*args, **options)
        return _PLANS.call(function, function, args, options, options.get("backend", "auto"))

    return call  # type: ignore[return-value]
