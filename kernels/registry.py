"""The one table of backends: what each can take, and whether it runs here. Tests and bench walk over it.

A backend counts as available when a probe has *run* on it, not when it is installed; success and failure are both
remembered, with the reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from .common import cuda_probe


@dataclass(frozen=True, eq=False)
class Backend:
    """One way to run the operations.

    Attributes
    ----------
    name : str
        What users pass as ``backend=``.
    module : str
        Module with functions of the same names and argument orders as the reference.
    devices : tuple of str
        Devices whose arrays it takes: "cpu", "cuda".
    probe : callable
        Imports what it needs and runs something; raises with the reason if it cannot.
    hint : str
        The next step for someone who lacks it; empty if the probe's errors say it.
    """

    name: str
    module: str
    devices: tuple[str, ...]
    probe: Callable[[], object]
    hint: str

    def __post_init__(self) -> None:
        if unknown := set(self.devices) - {"cpu", "cuda"}:
            raise ValueError(f"devices: expected 'cpu' and 'cuda', got {sorted(unknown)}")


def _probe_of(module: str) -> Callable[[], object]:
    """The probe of a module that is imported when it is called."""
    return lambda: importlib.import_module(f"{__package__}.{module}").probe()


_NUMBA_CUDA_HINT = "it needs an NVIDIA driver, and pip install 'numba-cuda[cu13]' (or [cu12]) for the compiler"
_ROWS = (
    Backend("numba", f"{__package__}.numba_cpu.ops", ("cpu",), _probe_of("numba_cpu.jit"), "pip install 'numba>=0.61'"),
    Backend("cupy", f"{__package__}.cupy_cuda.ops", ("cuda",), cuda_probe.probe_cupy, ""),
    Backend("numba-cuda", f"{__package__}.numba_cuda.ops", ("cuda",), _probe_of("numba_cuda.device"), _NUMBA_CUDA_HINT),
)
BACKENDS: dict[str, Backend] = {backend.name: backend for backend in _ROWS}


@cache
def unavailable_because(name: str) -> BaseException | None:
    """None if the backend runs here, else the exception that its probe raised.

    Raises
    ------
    RuntimeError
        If a GPU would have to be tried while a CUDA graph is being captured; this is not remembered.
    """
    if "cuda" in BACKENDS[name].devices:
        cuda_probe.check_no_capture(name)
    try:
        BACKENDS[name].probe()
        load(name)
    except Exception as error:
        return error
    return None


@cache
def load(name: str) -> ModuleType:
    """Import the module of a backend."""
    return importlib.import_module(BACKENDS[name].module)
