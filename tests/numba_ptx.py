"""Run by test_numba_cuda: compile every Numba CUDA kernel for a GPU that is not there, and print what the PTX contains.

One JSON object: {"missing": reason}, or {"kernel and dtypes": {instruction: how often}}.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numba.cuda.dispatcher
from fastcolor.kernels import _numba_cuda_decode, _numba_cuda_encode, _numba_cuda_temporal
from numba import cuda, types
from numba.cuda.cudadrv import nvvm

CAPABILITY = (9, 0)
LOGITS = {"float32": types.float32, "float16": types.float16, "bfloat16": types.uint16}
SIZE, REAL, FLAG = types.int64, types.float32, types.boolean
REALS, BYTES = types.float32[::1], types.uint8[::1]


@cuda.jit
def spoiled(x):
    x[0] = x[0] * 0.1  # a float64 literal


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Name, kernel, and the types of its arguments, as the host code passes them."""
    yield "spoiled", spoiled, (REALS,)
    for name, dtype in LOGITS.items():
        k, logits = _numba_cuda_decode.kernels(name == "bfloat16"), dtype[::1]
        image = (logits, SIZE, SIZE, SIZE)
        yield f"annealed {name}", k.annealed, (*image, REAL, REALS, logits, SIZE)
        yield f"top {name}", k.top, (*image, REALS, REALS)
        for luma in (types.uint8, types.float32):
            yield (
                f"decode {name}, luma {luma}",
                k.decode,
                (*(*image, REAL, REALS, luma[::1], REAL, BYTES, SIZE, REALS, REALS),),
            )
        step = _numba_cuda_temporal.step_kernel(name == "bfloat16")
        for ring in (types.float32, types.float16, types.uint8):
            yield (
                f"step {name}, ring {ring}",
                step,
                (
                    *(*image, BYTES, REAL, BYTES, REALS, REALS, REAL, REALS, ring[::1], types.UniTuple(REAL, 3)),
                    *(SIZE, SIZE, types.Tuple((REAL, REAL, FLAG, FLAG))),
                ),
            )
    yield "normalise", _numba_cuda_temporal.normalise, (REALS, SIZE, SIZE, REAL, REALS)
    image, results = (SIZE, SIZE, SIZE, BYTES, REALS), (REALS, BYTES, REALS)
    for label in (types.uint8, types.int32, types.int64):
        yield f"encode uint8, {label}", _numba_cuda_encode.encode_uint8, (BYTES, *image, REALS, label[::1], REALS)
    for rgb in (types.float32, types.float64):
        yield f"encode {rgb}", _numba_cuda_encode.encode_float, (rgb[::1], *image, *results)


def instructions(kernel: Any, signature: tuple[Any, ...]) -> Counter[str]:
    ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=CAPABILITY)
    counted = Counter(re.findall(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.:]*)\s", ptx, flags=re.MULTILINE))
    counted["local memory"] = ptx.count(".local")
    return counted


def main() -> None:
    # Device functions are compiled for the current GPU.
    numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=CAPABILITY)
    try:
        nvvm.NVVM()
    except Exception as error:
        print(json.dumps({"missing": " ".join(str(error).split())}))
        return
    print(json.dumps({name: instructions(kernel, signature) for name, kernel, signature in kernels()}))


if __name__ == "__main__":
    main()
