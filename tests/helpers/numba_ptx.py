"""Run by test_numba_cuda: compile what the Numba CUDA backend launches for a GPU that is not there, and print the PTX.

One JSON object: {"missing": reason}, or {"kernel, dtypes of its arrays": {instruction: how often}}.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numba.cuda.dispatcher
import numpy as np
import strategies as make
from fastcolor.kernels.numba_cuda import ops
from numba import cuda, typeof
from numba.cuda.cudadrv import nvvm

from fastcolor import reference

CAPABILITY, SHAPE = (9, 0), (4, 6)
FLOATS = ("float32", "float16", "uint16")  # the last are the bits of bfloat16

launched: dict[str, tuple[Any, tuple[Any, ...]]] = {}


@cuda.jit
def spoiled(x):
    x[0] = x[0] * 0.1  # a float64 literal


def remember(kernel: Any, stream: Any, *args: Any) -> None:
    """In the place of a launch: the kernel, and the types of its arguments as the host code passes them."""
    flat = [arg.reshape(-1) if isinstance(arg, np.ndarray) else arg for arg in args]
    dtypes = [str(arg.dtype) for arg in flat if isinstance(arg, np.ndarray)]
    launched[f"{kernel.py_func.__name__} {' '.join(dtypes)}"] = kernel, tuple(map(typeof, flat))


def call_everything() -> None:
    """Every type of RGB, labels, logits and luma, not all of their combinations: each is a kernel to compile."""
    module: Any = ops
    module.launch, module.on_device = remember, lambda like: nullcontext()
    bins, lab = make.make_bins(np.random.default_rng(0), 32, 17), reference.bins_of_centers(reference.zhang_centers())
    for dtype, labels in (("uint8", "uint8"), ("uint8", "int64"), ("float32", "uint8"), ("float64", "int32")):
        ops.encode(np.zeros((*SHAPE, 3), dtype), bins, label_dtype=labels)
    for dtype, labels in (("uint8", "int16"), ("float32", "uint16")):
        ops.encode(np.zeros((*SHAPE, 3), dtype), lab, label_dtype=labels)
    for dtype, luma in zip(FLOATS, ("uint8", "float32", "uint8"), strict=True):
        logits = np.zeros((32, *SHAPE), dtype)
        ops.annealed_mean(logits, bins)
        ops.decode(logits, np.zeros(SHAPE, luma), bins)
    remember(spoiled, None, np.zeros(1, np.float32))


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
    call_everything()
    print(json.dumps({name: instructions(*launch) for name, launch in launched.items()}))


if __name__ == "__main__":
    main()
