"""The CUDA operations on the CPU: what ``kernels/cupy_cuda/ops.py`` is for a GPU, with HostModule in place of CuPy."""

from __future__ import annotations

import os
from contextlib import nullcontext

from fastcolor.kernels import registry
from fastcolor.kernels.cupy_cuda.engine import Engine
from fastcolor.kernels.cupy_cuda.operations import operations

from .build import CompileError, available
from .host_module import HostModule

ENGINE = Engine(HostModule, nullcontext)
globals().update(operations(ENGINE))


def _probe() -> None:
    HostModule(code="__global__ void probe() {}", name_expressions=("probe",)).get_function("probe")((1,), (1,), ())


def register() -> None:
    """Put the backend "cuda-host" into the table; with FASTCOLOR_REQUIRE_TOOLS=1 a missing compiler is an error."""
    if os.environ.get("FASTCOLOR_REQUIRE_TOOLS") == "1" and not available():
        raise CompileError("FASTCOLOR_REQUIRE_TOOLS=1, but g++ is not installed")
    registry.BACKENDS["cuda-host"] = registry.Backend(
        name="cuda-host",
        module=__name__,
        devices=("cpu",),
        probe=_probe,
        hint="install g++ 12 or newer, or name a compiler in CXX",
    )
