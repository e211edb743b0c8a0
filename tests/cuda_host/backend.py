"""The CUDA operations on the CPU: what ``kernels/cupy_cuda.py`` is for a GPU, with HostModule in place of CuPy."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial

from fastcolor.kernels import (
    _cuda_decode,
    _cuda_encode,
    _cuda_gradient,
    _cuda_loss,
    _cuda_merge,
    _cuda_smoother,
    _registry,
)
from fastcolor.kernels._cuda_engine import Engine

from .build import CompileError, available
from .host_module import HostModule

ENGINE = Engine(HostModule, nullcontext)

encode = partial(_cuda_encode.encode, ENGINE)
histogram = partial(_cuda_encode.histogram, ENGINE)
annealed_mean = partial(_cuda_decode.annealed_mean, ENGINE)
confidence = partial(_cuda_decode.confidence, ENGINE)
decode = partial(_cuda_decode.decode, ENGINE)
merge = partial(_cuda_merge.merge, ENGINE)
annealed_mean_gradient = partial(_cuda_gradient.annealed_mean_gradient, ENGINE)
weighted_cross_entropy = partial(_cuda_loss.weighted_cross_entropy, ENGINE)
scale_unless_one = partial(_cuda_loss.scale_unless_one, ENGINE)
TemporalSmoother = partial(_cuda_smoother.TemporalSmoother, ENGINE)


def _probe() -> None:
    HostModule(code="__global__ void probe() {}", name_expressions=("probe",)).get_function("probe")((1,), (1,), ())


def register() -> None:
    """Put the backend "cuda-host" into the table; with FASTCOLOR_REQUIRE_TOOLS=1 a missing compiler is an error."""
    if os.environ.get("FASTCOLOR_REQUIRE_TOOLS") == "1" and not available():
        raise CompileError("FASTCOLOR_REQUIRE_TOOLS=1, but g++ is not installed")
    _registry.BACKENDS["cuda-host"] = _registry.Backend(
        name="cuda-host",
        module=__name__,
        devices=("cpu",),
        probe=_probe,
        hint="install g++ 12 or newer, or name a compiler in CXX",
    )
