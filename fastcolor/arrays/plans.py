"""What a call on a GPU comes to, kept by its signature: results allocated, addresses and stream read, kernels launched.

The first call of a signature goes the slow way, through checks, views and choices of a kernel, while its launches are
written down (``kernels.common.recording``). Where each array of theirs is an argument, a result, scratch memory or a
kept table, the same call can be made again without thought: that is a :class:`Plan`. Its key, the signature, holds all
that the slow way depends on.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from threading import Lock
from typing import Any, NamedTuple, TypeVar
from weakref import WeakSet

import numpy as np

from ..kernels.common import cuda_tables, device_arrays, recording
from .signature import ALIGNED, Signed, sign

LIMIT = 512
Function = TypeVar("Function", bound=Callable[..., Any])


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
    locate : callable
        The address of an array.
    make : list of callable
        Each gives an array: results, then scratch memory. Arrays are counted from the arguments through these.
    returned : list of int
        Numbers of arrays.
    single : bool
        Whether the call gives an array, not a tuple of them.
    launches : list
    kept : list
        Who owns what the launches read at fixed addresses.
    afterwards : list of callable
    """

    engine: Any
    locate: Callable[[Any], int]
    make: list[Callable[[], Any]]
    returned: list[int]
    single: bool
    launches: list[_Launch]
    kept: list[Any]
    afterwards: list[Callable[[], None]]

    def run(self, arrays: list[Any], addresses: list[int]) -> tuple[Any] | None:
        """The result, alone in a tuple; None where the slow way must be taken.

        That is where another device is current, and where a CUDA graph that is being captured would count frames.
        """
        like = arrays[0]
        stream = self.engine.stream(like)
        if stream is None:
            return None
        if self.kept and device_arrays.is_capturing(like):
            if self.afterwards:
                return None
            cuda_tables.captured(self.kept)
        for make in self.make:
            array = make()
            arrays.append(array)
            addresses.append(self.locate(array))
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


class _Unknown(Exception):
    """An array of a launch is none of those that a plan can name."""


def _plan(signed: Signed, record: recording.Recording, result: Any) -> Plan:
    """The plan of a call that gave `result`.

    Raises
    ------
    _Unknown
        If its launches take an array that is neither argument, result, scratch nor kept, as a copy is; if two arrays
        lie at one address; or if something that is no launch may have read an argument's value or written the result.
    """
    results = result if isinstance(result, tuple) else (result,)
    given = {id(array) for array in signed.arrays}
    new = [array for array in (*results, *record.scratch) if id(array) not in given]
    arrays = [*signed.arrays, *new]
    filled = [(device_arrays.address(array), k) for k, array in enumerate(arrays) if 0 not in array.shape]
    numbers, kept = dict(filled), set(map(device_arrays.address, record.kept))
    launches = [_numbered(launch, numbers, kept, record.engine.hold) for launch in record.launches]
    used = {number for launch in launches for _, number in launch.pointers}
    returned = [next(k for k, array in enumerate(arrays) if array is one) for one in results]
    # One number that no launch reads may have been a flag: its value is in no key.
    read = {k for k, array in enumerate(signed.arrays) if math.prod(array.shape) == 1}
    written = {k for k in returned if 0 not in arrays[k].shape}
    if len(numbers) < len(filled) or not used or not used.issuperset(read | written):
        raise _Unknown
    zeroed = set(map(device_arrays.address, record.zeroed))
    make = [_maker(array, device_arrays.address(array) in zeroed) for array in new]
    locate = type(arrays[0]).data_ptr if all(map(device_arrays.is_torch, arrays)) else device_arrays.address
    single = results is not result
    return Plan(record.engine, locate, make, returned, single, launches, record.owners, record.afterwards)


def _numbered(launch: recording.Launch, numbers: dict[int, int], kept: set[int], hold: Callable[[Any], Any]) -> _Launch:
    values, pointers, changing = list(launch.values), [], []
    for place, (argument, value) in enumerate(zip(launch.args, values, strict=True)):
        if callable(argument):
            changing.append((place, argument))
        elif argument is None or argument is value or int(value) in kept:
            values[place] = hold(value)
        elif int(value) in numbers:
            pointers.append((place, numbers[int(value)]))
        else:
            raise _Unknown
    return _Launch(launch.function, (launch.blocks,), (launch.threads,), values, pointers, changing, launch.shared)


def _maker(array: Any, zero: bool) -> Callable[[], Any]:
    """What makes an array such as this one, if its library does so unasked: aligned, without gaps, without gradient."""
    of, shape = device_arrays.library(array), tuple(array.shape)
    if device_arrays.address(array) % ALIGNED:
        raise _Unknown
    if not device_arrays.is_torch(array):
        if not array.flags.c_contiguous:
            raise _Unknown
        return partial(of.zeros if zero else of.empty, shape, dtype=array.dtype)
    if type(array) is not of.Tensor or array.requires_grad or not _is_dense(shape, array.stride()):
        raise _Unknown
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


_EVERY: WeakSet[Plans] = WeakSet()


class Plans:
    """The latest `limit` plans by key."""

    def __init__(self, limit: int) -> None:
        self._limit, self._plans, self._lock = limit, OrderedDict[tuple[Any, ...], Plan](), Lock()
        _EVERY.add(self)

    def __len__(self) -> int:
        return len(self._plans)

    def clear(self) -> None:
        with self._lock:
            dropped, self._plans = self._plans, OrderedDict()
        del dropped  # outside of the lock: the last owner of a table waits for who reads it

    def call(
        self, name: Any, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], backend: str
    ) -> Any:
        """``function(*args, **options)``, by its plan if there is one; `name` is that of no other function."""
        signed = sign(name, args, options, backend)
        return function(*args, **options) if signed is None else self.signed(signed, function, *args, **options)

    def signed(self, signed: Signed, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """The same of a call that has its signature."""
        if recording.current() is not None:  # the launches are those of a call around this one
            return function(*args, **options)
        if (plan := self._plans.get(signed.key)) is not None:
            with suppress(KeyError):  # another thread has just dropped it
                self._plans.move_to_end(signed.key)
            done = plan.run(*signed[1:])
            return function(*args, **options) if done is None else done[0]
        with recording.opened() as record:
            result = function(*args, **options)
            if record.launches and not device_arrays.is_capturing(args[0]):
                with suppress(_Unknown):
                    self._keep(signed.key, _plan(signed, record, result))
        return result

    def _keep(self, key: tuple[Any, ...], new: Plan) -> None:
        with self._lock:
            self._plans[key] = new
            dropped = self._plans.popitem(last=False) if len(self._plans) > self._limit else None
        del dropped  # as in clear()


PLANS = Plans(LIMIT)


def clear() -> None:
    """Forget all plans, as whoever changes how kernels are chosen must."""
    for plans in list(_EVERY):
        plans.clear()


def planned(function: Function) -> Function:
    """`function`, a public operation whose first argument is an array, by its plan where it has one."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if not args or type(args[0]) is np.ndarray:
            return function(*args, **options)
        return PLANS.call(function, function, args, options, options.get("backend", "auto"))

    return call  # type: ignore[return-value]
