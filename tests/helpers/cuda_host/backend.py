"""The CUDA operations on the CPU: what ``kernels/cupy_cuda/ops.py`` is for a GPU, with HostModule in place of CuPy."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial

from fastcolor.kernels import registry
from fastcolor.kernels.cupy_cuda import decode as cuda_decode
from fastcolor.kernels.cupy_cuda import encode as cuda_encode
from fastcolor.kernels.cupy_cuda import encode_soft as cuda_encode_soft
from fastcolor.kernels.cupy_cuda import gradient, loss, temporal
from fastcolor.kernels.cupy_cuda import merge as cuda_merge
from fastcolor.kernels.cupy_cuda.engine import Engine

from .build import CompileError, available
from .host_module import HostModule

ENGINE = Engine(HostModule, nullcontext)

encode = partial(cuda_encode.encode, ENGINE)
encode_soft = partial(cuda_encode_soft.encode_soft, ENGINE)
histogram = partial(cuda_encode.histogram, ENGINE)
annealed_mean = partial(cuda_decode.annealed_mean, ENGINE)
confidence = partial(cuda_decode.confidence, ENGINE)
decode = partial(cuda_decode.decode, ENGINE)
merge = partial(cuda_merge.merge, ENGINE)
annealed_mean_gradient = partial(gradient.annealed_mean_gradient, ENGINE)
weighted_cross_entropy = partial(loss.weighted_cross_entropy, ENGINE)
loss_forward = partial(loss.loss_forward, ENGINE)
loss_backward = partial(loss.loss_backward, ENGINE)
TemporalSmoother = partial(temporal.TemporalSmoother, ENGINE)


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
