"""``python -m bench gpu-day --out DIR``: the first minutes on a GPU, in stages.

Each stage is a process with its own time-out and its own log in DIR; one that fails does not stop the next. Runs from a
bare checkout: no installation, no network, no git, no make.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from .measure import device, gpu, machine
from .measure.machine import ROOT
from .suites import pixels
from .suites.registry import of

BACKENDS = tuple(backend for _, backend in device.CUDA_BACKENDS)
GRACE = 12  # seconds between the two signals
FIRST = ("decode", "encode", "loss", "histogram", "temporal", "merge")  # suites, should time run out
OUTCOMES = {124: "cut off", 127: "not there", 137: "killed", -9: "killed"}  # of coreutils' timeout
Stage = tuple[str, list[str], float]


def stages(out: Path, scale: float, suites: Sequence[str], compiled: bool) -> list[list[Stage]]:
    """Groups of (name, command, seconds): the stages of a group run side by side, the groups one after the other."""
    python = [sys.executable, "-m"]
    me = [*python, "bench", "gpu-day", "--out", str(out), "--stage"]
    pytest = [*python, "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    spread = ["--dist", "worksteal", "-n", "9"] if importlib.util.find_spec("xdist") else []
    agreement = [f"tests/kernels/test_{name}.py" for name in ("agreement", "laws", "exhaustive")]
    streams = ["tests/kernels/test_gpu.py", "tests/kernels/test_gpu_only.py", "-k", "not compiled"]
    sanitizer, run = ["compute-sanitizer", "--error-exitcode", "66", "--tool"], "tests/helpers/gpu_sanitized.py"
    memcheck = [*sanitizer, "memcheck", "--report-api-errors", "no", sys.executable, run]
    budget = ["--budget", str(85 * scale), *([] if compiled else ["--without", "torch.compile"])]
    bench = [*python, "bench", *suites, "--device", "cuda", *budget, "--out", str(out / "bench.json")]
    return [
        [("smoke", [*me, "smoke"], 75 * scale)],
        [
            ("agreement", [*pytest, *agreement, "tests/toolkit/test_loss.py", *spread], 110 * scale),
            ("streams", [*pytest, *streams], 110 * scale),
            ("memcheck", memcheck, 110 * scale),
            ("racecheck", [*sanitizer, "racecheck", sys.executable, run], 110 * scale),
        ],
        [("sweep", [*me, "sweep"], 80 * scale)],
        [("bench", bench, 110 * scale)],
    ]


def main(words: Sequence[str]) -> int:
    """Run the stages, or one of those that are functions here; the number of stages that failed is the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench gpu-day", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stage", choices=["smoke", "sweep"], help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, default=1.0, help="of all time-outs")
    parser.add_argument("--only", default="", help="comma-separated stages")
    parser.add_argument("--suites", default="", help="of the benchmark; default: all")
    parser.add_argument("--compiled", action="store_true", help="with what torch must compile, for the main cases")
    args = parser.parse_args(words)
    if args.stage == "smoke":
        return smoke(args.out)
    if args.stage == "sweep":
        pixels.sweep(args.out)
        return 0
    suites = args.suites.split(",") if args.suites else [*FIRST, *(s for s in of("cuda") if s not in FIRST)]
    groups = stages(args.out.resolve(), args.scale, suites, args.compiled)
    names = [name for group in groups for name, _, _ in group]
    only = args.only.split(",") if args.only else names
    if unknown := set(only) - set(names):
        parser.error(f"--only: expected stages of {', '.join(names)}, got {', '.join(sorted(unknown))}")
    args.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    _link()
    for group in groups:
        wanted = [stage for stage in group if stage[0] in only]
        started = [(name, _start(args.out, name, command, limit)) for name, command, limit in wanted]
        for name, process in started:
            failed += (status := process.wait()) != 0
            print(f"=== {name}: {OUTCOMES.get(status, f'status {status}')}", flush=True)
            for line in (args.out / f"{name}.log").read_text(errors="replace").splitlines()[-14:]:
                print(f"    {line[:160]}", flush=True)
    return failed


def _link() -> None:
    """Put the packages that lie beside fastcolor/ where an installation has them, if there is none."""
    try:
        import fastcolor.kernels  # noqa: F401
    except ImportError:
        for name in ("kernels", "reference"):
            (ROOT / "fastcolor" / name).symlink_to(f"../{name}")


def _start(out: Path, name: str, command: list[str], limit: float) -> subprocess.Popen[bytes]:
    """Interrupted at the limit, so that pytest still prints its summary, and killed a little later."""
    variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "2") | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/helpers")]),
        "PYTHONUNBUFFERED": "1",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "FASTCOLOR_REQUIRE_GPU": "1",
        "FASTCOLOR_TEST_BACKENDS": ",".join(BACKENDS) if name in ("agreement", "streams") else "cupy",
    }
    if name in ("memcheck", "racecheck"):
        variables["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
    command = ["timeout", "--signal=INT", f"--kill-after={GRACE}", f"{limit:g}", *command]
    with (out / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=log, stderr=log)


def smoke(out: Path) -> int:
    """Every operation at two sizes against the reference, on each backend that runs; what the machine is.

    The exit status is 1 if no backend runs, or an operation failed.
    """
    import compare
    import gpu_cases
    import gpu_cases_lab

    import fastcolor

    where, backends = device.place("cuda"), fastcolor.backends()
    found: dict[str, Any] = {"versions": machine.versions(), "gpu": gpu.ask(), "results": []}
    found["backends"] = {name: [status.available, str(status.reason)] for name, status in backends.items()}
    print(json.dumps(found), flush=True)
    machine.write_text(out / "smoke.json", json.dumps(found, indent=1))
    available = [name for name in BACKENDS if backends[name].available]
    for backend, case, size in product(available, gpu_cases_lab.EVERY, gpu_cases.SIZES):
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
