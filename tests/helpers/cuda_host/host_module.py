"""CUDA C++ text compiled by g++ and run on the CPU, with the face of cupy.RawModule.

A launch checks what a GPU would not tell, or would tell by garbage: number, kind and size of the arguments, limits of
the launch, alignment of each access, threads that wait for each other in vain.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .build import variables_of_functions
from .translate import ANCHOR, compiled

MAX_THREADS, MAX_SHARED = 1024, 48 << 10
MAX_BLOCK = (1024, 1024, 64)
MAX_GRID = (2**31 - 1, 65535, 65535)
MODES = {"fibers": 0, "serial": 1, "threads": 0}
KINDS = {"p": "a pointer as int or np.uint64", "i": "an integer", "f": "a floating-point number", "s": "a structure"}
ALIGNMENT = 64


class LaunchError(RuntimeError):
    """A launch that a GPU would refuse, or during which a thread did what CUDA forbids."""


class HostModule:
    """A module of kernels; `get_function(name)(grid, block, args, shared_mem=0)` runs one.

    Parameters
    ----------
    code : str
        CUDA C++ without includes.
    options : tuple of str
        Those of NVRTC; ``-std=`` and ``-D`` count.
    name_expressions : tuple of str
        Kernels, such as ``fc::scale<float, 4>``.
    backend : str
        Accepted as CuPy has it, without effect.
    mode : {"fibers", "serial", "threads"}
        How the threads of a block run: each until it must wait; without waiting; at the same time.
    order : int
        Threads and blocks as numbered (0), in reverse (-1), or shuffled by this seed.
    trace : bool
        Record each access to global memory, for :mod:`cuda_host.traffic`.
    sanitize : str, optional
        ``"address,undefined"``, or ``"thread"``, which implies mode threads; by default what the environment variable
        ``FASTCOLOR_HOST_SANITIZE`` says.
    """

    def __init__(
        self,
        code: str,
        options: Sequence[str] = (),
        name_expressions: Sequence[str] = (),
        backend: str = "nvrtc",
        *,
        mode: str = "fibers",
        order: int = 0,
        sanitize: str | None = None,
        trace: bool = False,
    ) -> None:
        self.mode, self.order = mode, order
        library, running = compiled(
            code, options, name_expressions, threads=mode == "threads", sanitize=sanitize, trace=trace
        )
        self.runtime = runtime(running)
        self._library = ctypes.CDLL(str(library))
        self._names = tuple(name_expressions)
        self.shared = _regions(self._library, library)

    def get_function(self, name: str) -> Function:
        """The kernel of a name expression."""
        if name not in self._names:
            raise LaunchError(f"{name}: expected one of the name expressions {list(self._names)}")
        return Function(self, name, self._names.index(name))


class Function:
    """One kernel: its parameters as the compiler sees them, and its launch."""

    def __init__(self, module: HostModule, name: str, number: int) -> None:
        library = module._library
        count = ctypes.c_int.in_dll(library, f"fc_host_count_{number}").value
        sizes = ctypes.POINTER(ctypes.c_uint).in_dll(library, f"fc_host_sizes_{number}")
        self.kinds = (ctypes.c_char_p.in_dll(library, f"fc_host_kinds_{number}").value or b"").decode()
        self.sizes = tuple(sizes[index] for index in range(count))
        self.name, self._module = name, module
        # Of all kernels in the library: known where it holds one, as those of the engine do.
        alone = len(module._names) == 1
        self._static_shared = sum(region.bytes for region in module.shared) if alone else 0
        self._call = getattr(library, f"fc_host_call_{number}")

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        stream: object = None,
    ) -> None:
        """Run all threads of the launch, whatever the stream; LaunchError if one is not as CUDA wants it."""
        grid, block = _three(grid), _three(block)
        self._check_limits(grid, block, shared_mem)
        arguments, _keep = self._pack(args)
        error = ctypes.create_string_buffer(600)
        failed = self._module.runtime.fc_host_launch(
            self._call,
            arguments,
            len(args),
            (ctypes.c_uint * 3)(*grid),
            (ctypes.c_uint * 3)(*block),
            shared_mem,
            self._module.shared,
            len(self._module.shared),
            MODES[self._module.mode],
            self._module.order,
            error,
            len(error),
        )
        if failed:
            raise LaunchError(f"{self.name}: {error.value.decode()}")

    def _check_limits(self, grid: tuple[int, ...], block: tuple[int, ...], shared_mem: int) -> None:
        threads = block[0] * block[1] * block[2]
        for what, sizes, limits in (("grid", grid, MAX_GRID), ("block", block, MAX_BLOCK)):
            for axis, size, limit in zip("xyz", sizes, limits, strict=True):
                if not 1 <= size <= limit:
                    raise LaunchError(f"{self.name}: {what}.{axis}: expected 1..{limit}, got {size}")
        if threads > MAX_THREADS:
            raise LaunchError(f"{self.name}: block: expected at most {MAX_THREADS} threads, got {threads}")
        left = MAX_SHARED - self._static_shared
        if not 0 <= shared_mem <= left:
            raise LaunchError(f"{self.name}: shared_mem: expected 0..{left} bytes, got {shared_mem}")

    def _pack(self, args: Sequence[Any]) -> tuple[Any, Any]:
        """Copies of the arguments, and the array of pointers to them."""
        if len(args) != len(self.sizes):
            raise LaunchError(f"{self.name}: args: expected {len(self.sizes)}, got {len(args)}")
        offsets, total = [], 0
        for index, (argument, size, kind) in enumerate(zip(args, self.sizes, self.kinds, strict=True)):
            given, given_size = _kind(argument)
            if given not in ("ip" if kind == "p" else kind) or given_size != size:
                raise LaunchError(
                    f"{self.name}: args[{index}]: expected {KINDS[kind]} of {size} bytes, got {argument!r:.80} "
                    f"({type(argument).__name__}, {given_size} bytes)"
                )
            offsets.append(total)
            total += -(-size // ALIGNMENT) * ALIGNMENT
        memory = np.empty(total + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        for argument, offset, size in zip(args, offsets, self.sizes, strict=True):
            raw = argument.to_bytes(size, "little") if isinstance(argument, int) else argument.tobytes()
            memory[start + offset : start + offset + size] = np.frombuffer(raw, np.uint8)
        first = memory.ctypes.data + start
        return (ctypes.c_void_p * (len(args) + 1))(*(first + offset for offset in (*offsets, total))), memory


class _Region(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("bytes", ctypes.c_uint))


def _regions(library: ctypes.CDLL, path: Path) -> Any:
    """Where the static shared memory of a module lies."""
    anchor = ctypes.addressof(ctypes.c_char.in_dll(library, ANCHOR))
    found = [_Region(anchor + offset, size) for offset, size in variables_of_functions(path, ANCHOR)]
    return (_Region * len(found))(*found)


def _three(sizes: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = (*(int(size) for size in sizes), 1, 1, 1)[:3]
    return x, y, z


def _kind(argument: Any) -> tuple[str, int]:
    if isinstance(argument, np.ndarray) and argument.size == 1 and argument.dtype.names:
        return "s", argument.nbytes
    if isinstance(argument, np.void):
        return "s", argument.nbytes
    if isinstance(argument, np.floating):
        return "f", argument.nbytes
    if isinstance(argument, int):
        return "p", ctypes.sizeof(ctypes.c_void_p)
    if isinstance(argument, np.integer | np.bool_):
        return "i", argument.nbytes
    return "?", 0


@cache
def runtime(path: Path) -> ctypes.CDLL:
    """What runs the threads, loaded."""
    library = ctypes.CDLL(str(path))
    library.fc_host_launch.argtypes = [
        *(ctypes.c_void_p,) * 2,
        ctypes.c_int,
        *(ctypes.c_void_p,) * 2,
        ctypes.c_uint,
        ctypes.POINTER(_Region),
        *(ctypes.c_int,) * 3,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    return library
