"""How a CUDA kernel is found and launched: compiled once for each device and instance, on the caller's stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..common import device_arrays, recording
from .source import OPTIONS, source

_LIMIT_32 = 1 << 31
_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "fc::f16",
    "bfloat16": "fc::bf16",
    "uint16": "fc::bf16",
    "uint8": "fc::u8",
}
_LABELS = {"uint8": "fc::u8", "uint16": "fc::u16", "int16": "fc::u16", "int32": "int", "int64": "long long"}


class Engine:
    """Launches instances of the kernels in ``*.cu``.

    Parameters
    ----------
    raw_module : callable
        ``raw_module(code=, options=, name_expressions=)`` has the face of ``cupy.RawModule``.
    context : callable
        ``context(array)`` is a context manager that makes the device and the current stream of `array` those of the
        launch.
    stream : callable
        ``stream(array)`` is that stream, read now, as CuPy takes it where a kernel is called; None unless the device is
        the current one.
    hold : callable
        ``hold(value)`` is a scalar or structure that many launches take, so that it need not be read anew each time.
    """

    def __init__(
        self,
        raw_module: Callable[..., Any],
        context: Callable[[Any], AbstractContextManager[object]],
        stream: Callable[[Any], Any] = lambda _: 0,
        hold: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        self._raw_module, self.context, self.stream, self.hold = raw_module, context, stream, hold
        self._functions: dict[tuple[int, str, str], Any] = {}

    def __deepcopy__(self, _: Any) -> Engine:
        """Itself: what it has compiled serves a copy of a film as well."""
        return self

    def function(self, like: Any, name: str, expression: str) -> Any:
        """The compiled instance `expression` of ``<name>.cu`` for the device of `like`, which must be current.

        Raises
        ------
        RuntimeError
            If it would have to be compiled while a CUDA graph is being captured.
        """
        key = (device_arrays.device_index(like), name, expression)
        if key not in self._functions:
            if device_arrays.is_capturing(like):
                raise RuntimeError(
                    f"{name}: expected its kernel to be compiled before a CUDA graph is captured, got its first use "
                    "within a capture; call the operation once with such arrays before"
                )
            module = self._raw_module(code=source(name), options=OPTIONS, name_expressions=(expression,))
            self._functions[key] = module.get_function(expression)
        return self._functions[key]

    def pixels_each(
        self, like: Any, name: str, instance: Callable[[int], str], most: int, count: int, arrays: Iterable[Any]
    ) -> int:
        """Pixels a thread: `most` where so many, of planes of `count`, lie at multiples of 16 bytes everywhere, else 1.

        ``instance(pixels)`` is the expression for so many. Where nothing but an address is in the way, the other
        instance is compiled as well: a CUDA graph made by torch.compile copies such an array to memory of its own,
        which is aligned, and looks for the kernel while it captures.
        """
        if count % most:
            return 1
        if not any(int(device_arrays.pointer(array)) % 16 for array in arrays):  # None is 0
            return most
        if not device_arrays.is_capturing(like):
            self.function(like, name, instance(most))
        return 1

    def launch(
        self, like: Any, name: str, expression: str, blocks: int, threads: int, args: tuple[Any, ...], shared: int = 0
    ) -> None:
        """Run ``expression<<<blocks, threads, shared>>>(*args)``, within ``self.context(like)``.

        Arguments: arrays, or None, where pointers go; NumPy scalars of the exact types; structures as NumPy arrays of
        size one; functions without arguments that give either of the last two, or what :attr:`hold` made of them, for
        what changes at each launch.
        """
        function, values = self.function(like, name, expression), tuple(map(as_argument, args))
        function((blocks,), (threads,), values, shared_mem=shared)
        if (record := recording.current()) is not None:
            record.engine = self
            of_device = getattr(function, "kernel", function)  # CuPy looks for it at each call
            record.launches.append(recording.Launch(of_device, blocks, threads, args, values, shared))


def is_value(argument: Any) -> bool:
    """Whether a kernel takes an argument as it is: a scalar of NumPy, or a structure."""
    return isinstance(argument, np.generic) or (isinstance(argument, np.ndarray) and argument.dtype.names is not None)


def as_argument(argument: Any) -> Any:
    """An argument of :meth:`Engine.launch` as CuPy takes it.

    Examples
    --------
    >>> as_argument(np.float32(2)), as_argument(None), as_argument(lambda: np.int32(3))
    (np.float32(2.0), np.uint64(0), np.int32(3))
    """
    if is_value(argument):
        return argument
    return argument() if callable(argument) else device_arrays.pointer(argument)


def scalar_type(array: Any) -> str:
    """The C++ type of the elements; uint16 of NumPy holds the bits of bfloat16.

    Examples
    --------
    >>> import numpy as np
    >>> scalar_type(np.zeros(1, np.float16))
    'fc::f16'
    """
    return _TYPES[device_arrays.dtype_name(array)]


def label_type(array: Any) -> str:
    """The C++ type of labels: a negative one of int16 is as large as no bin."""
    return _LABELS[device_arrays.dtype_name(array)]


def index_type(elements: int) -> str:
    """The narrowest index that counts `elements`.

    Examples
    --------
    >>> index_type(1 << 31), index_type(1 << 30)
    ('fc::u64', 'fc::u32')
    """
    return "fc::u32" if elements < _LIMIT_32 else "fc::u64"


def index_value(index: str, value: int) -> Any:
    """`value` as an argument of type `index`."""
    return np.uint32(value) if index == "fc::u32" else np.uint64(value)
