"""Stage ``smoke``: what the machine is, and every operation at two sizes against the reference on each backend."""

from __future__ import annotations

import json
import time
import traceback
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..measure import device, gpu, machine
from . import stages


def run(out: Path) -> int:
    """Exit status: 0, or 1 if no backend runs or an operation failed."""
    import compare
    import gpu_cases
    import gpu_cases_lab
    from fastcolor.kernels import registry

    import fastcolor

    where, backends = device.place("cuda"), fastcolor.backends()
    found: dict[str, Any] = {"versions": machine.versions(), "gpu": gpu.ask(), "results": []}
    found["backends"] = {name: [status.available, str(status.reason)] for name, status in backends.items()}
    print(json.dumps(found), flush=True)
    machine.write_text(out / "smoke.json", json.dumps(found, indent=1))
    available = [name for name in stages.BACKENDS if backends[name].available]
    for backend, case, size in product(available, gpu_cases_lab.EVERY, gpu_cases.SIZES):
        if not hasattr(registry.load(backend), case.op):
            continue
        gpu_cases.HEIGHT, gpu_cases.WIDTH = size
        inputs, start, outcome = case.inputs(np.random.default_rng(0)), time.perf_counter(), "ok"
        try:
            results = case.call({key: where.put(value) for key, value in inputs.items()}, backend)
            where.cuda.synchronize()
            took = time.perf_counter() - start
            case.check(inputs, results, compare.arithmetic_of(backend))
        except Exception:
            took, outcome = time.perf_counter() - start, traceback.format_exc()
        found["results"].append([backend, case.name, list(size), round(took, 3), outcome])
        print(f"{backend} {case.name} {size}: {took:.2f} s {outcome[-1500:]}", flush=True)
        machine.write_text(out / "smoke.json", json.dumps(found, indent=1))
    return int(not available or any(outcome != "ok" for *_, outcome in found["results"]))
