"""Run under compute-sanitizer by test_gpu_sanitizer: every operation, or one planted fault that the tool must find.

Memory comes straight from the driver here: a pool would hide accesses just outside an array.
"""

from __future__ import annotations

import itertools
import sys

import compare
import cupy
import gpu_cases
import gpu_cases_lab
import numpy as np
import torch

FAULTS = {
    "memcheck": "if (threadIdx.x == 31) out[n] = 1;",
    "racecheck": "__shared__ int s[64]; s[threadIdx.x] = threadIdx.x; out[threadIdx.x] = s[63 - threadIdx.x];",
}
BACKEND = "cupy"


def run_every_case() -> int:
    """Exit status: 0, or 1 if an answer was wrong, which keeps no other operation from the tool."""
    wrong = 0
    rng, arithmetic = np.random.default_rng(0), compare.arithmetic_of(BACKEND)
    for case, size in itertools.product(gpu_cases_lab.EVERY, gpu_cases.SIZES):
        gpu_cases.HEIGHT, gpu_cases.WIDTH = height, width = size
        inputs = case.inputs(rng)
        put = (lambda array: torch.from_numpy(array).cuda()) if case.torch_only else cupy.asarray
        results = case.call({name: put(array) for name, array in inputs.items()}, BACKEND)
        try:
            case.check(inputs, results, arithmetic)
        except AssertionError as error:
            wrong += 1
            print(f"WRONG {case.name} on {height} x {width}: {str(error).strip()[:500]}", flush=True)
        print(f"ran {case.name} on {height} x {width}", flush=True)
    return int(wrong > 0)


def run_fault(tool: str) -> None:
    code = f'extern "C" __global__ void planted(int *out, int n) {{ {FAULTS[tool]} }}'
    out = cupy.zeros(64, dtype="int32")
    cupy.RawKernel(code, "planted")((1,), (64,), (out, np.int32(64)))
    cupy.cuda.Device().synchronize()


if __name__ == "__main__":
    cupy.cuda.set_allocator(None)
    if len(sys.argv) > 1:
        run_fault(sys.argv[1])
    else:
        sys.exit(run_every_case())
