"""Stage ``smoke``: what the machine is, and every operation at two sizes against the reference on each backend."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..measure import device, gpu, machine, timing
from . import stages


def run(out: Path) -> int:
    """Exit status: 0, or 1 if no backend runs or an operation failed.

    Where a case costs the device's context, all later calls of this process would fail: a fresh one goes on from what
    `smoke.json` has, which is no other day's.
    """
    import compare
    import gpu_cases
    import gpu_cases_lab
    from fastcolor.kernels import registry

    import fastcolor

    where, backends = device.place("cuda"), fastcolor.backends()
    found: dict[str, Any] = {"versions": machine.versions(), "gpu": gpu.ask(), "results": _results(out / "smoke.json")}
    found["backends"] = {name: [status.available, str(status.reason)] for name, status in backends.items()}
    available = [name for name in stages.BACKENDS if backends[name].available]
    every = [
        (backend, case, size)
        for backend, case, size in product(available, gpu_cases_lab.EVERY, gpu_cases.SIZES)
        if hasattr(registry.load(backend), case.op)
    ]
    found["meant"] = len(every)
    print(json.dumps(found), flush=True)
    machine.write_text(out / "smoke.json", json.dumps(found, indent=1))
    for backend, case, size in every[len(found["results"]) :]:
        gpu_cases.HEIGHT, gpu_cases.WIDTH = size
        inputs, start, outcome = case.inputs(np.random.default_rng(0)), time.perf_counter(), "ok"
        try:
            results = case.call({key: where.put(value) for key, value in inputs.items()}, backend)
            where.cuda.synchronize()
            took = time.perf_counter() - start
            case.check(inputs, results, compare.arithmetic_of(backend))
        except Exception:
            took, outcome = time.perf_counter() - start, traceback.format_exc()
        if lost := outcome != "ok" and timing.lost(where):
            outcome += f"context lost after {case.name}: {outcome.strip().splitlines()[-1]}"
        found["results"].append([backend, case.name, list(size), round(took, 3), outcome])
        print(f"{backend} {case.name} {size}: {took:.2f} s {outcome[-1500:]}", flush=True)
        machine.write_text(out / "smoke.json", json.dumps(found, indent=1))
        if lost:
            return _go_on()
    return int(not available or any(outcome != "ok" for *_, outcome in found["results"]))


def _results(path: Path) -> list[list[Any]]:
    """Those of the process that this one goes on for."""
    if not path.exists():
        return []
    results: list[list[Any]] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return results


def _go_on() -> int:
    """The same command in place of this process, so that who waits for it and its time-out need not know."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
