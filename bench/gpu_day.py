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
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from .cases import Setting
from .measure import device
from .measure.machine import ROOT, write_text
from .suites.registry import of

BACKENDS = ("cupy", "numba-cuda")
PIXELS, WIDEST = (1, 2, 4, 8), {"float32": 4, "float16": 8, "bfloat16": 8}  # a thread
SWEPT = ((2048, 4096), (1080, 1920), (1024, 1024))
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
    streams = ["tests/kernels/test_gpu.py", "tests/kernels/test_gpu_only.py", "-k", "not compiled"]
    sanitizer, run = ["compute-sanitizer", "--error-exitcode", "66", "--tool"], "tests/helpers/gpu_sanitized.py"
    memcheck = [*sanitizer, "memcheck", "--report-api-errors", "no", sys.executable, run]
    budget = ["--budget", str(85 * scale), *([] if compiled else ["--without", "torch.compile"])]
    bench = [*python, "bench", *suites, "--device", "cuda", *budget, "--out", str(out / "bench.json")]
    return [
        [("smoke", [*me, "smoke"], 75 * scale)],
        [
            ("agreement", [*pytest, "tests/kernels", "tests/toolkit", *spread], 110 * scale),
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
    if args.stage:
        {"smoke": smoke, "sweep": sweep}[args.stage](args.out)
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    _link()
    failed = 0
    suites = args.suites.split(",") if args.suites else [*FIRST, *(s for s in of("cuda") if s not in FIRST)]
    for group in stages(args.out.resolve(), args.scale, suites, args.compiled):
        wanted = [stage for stage in group if not args.only or stage[0] in args.only.split(",")]
        started = [(name, _start(args.out, name, command, limit)) for name, command, limit in wanted]
        failed += sum([_end(args.out, name, process) for name, process in started])
    return failed


def _link() -> None:
    """The packages that lie beside fastcolor/, where an installation would put them; nothing where there is one."""
    try:
        import fastcolor.kernels  # noqa: F401
    except ImportError:
        for name in ("kernels", "reference"):
            if not (ROOT / "fastcolor" / name).exists():
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


def _end(out: Path, name: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait, and print the end of the log. True if the stage failed."""
    status = process.wait()
    print(f"=== {name}: {OUTCOMES.get(status, f'status {status}')}", flush=True)
    for line in (out / f"{name}.log").read_text(errors="replace").splitlines()[-14:]:
        print(f"    {line[:160]}", flush=True)
    return status != 0


def smoke(out: Path) -> None:
    """Every operation at two sizes against the reference, on each backend that runs; what the machine is."""
    import compare
    import gpu_cases
    import numpy as np

    import fastcolor

    from .measure import gpu, machine

    found: dict[str, Any] = {"versions": machine.versions(), "results": []}
    found["gpu"], found["missing"] = gpu.ask()
    found["backends"] = {name: [s.available, str(s.reason)] for name, s in fastcolor.backends().items()}
    print(json.dumps(found), flush=True)
    where = device.place("cuda")
    available = [name for name in BACKENDS if found["backends"][name][0]]
    for backend, case, size in product(available, gpu_cases.CASES, gpu_cases.SIZES):
        gpu_cases.HEIGHT, gpu_cases.WIDTH = size
        inputs, start, outcome = case.inputs(np.random.default_rng(0)), time.perf_counter(), "ok"
        try:
            results = case.call({key: where.put(value) for key, value in inputs.items()}, backend)
            where.cuda.synchronize()
            took = round(time.perf_counter() - start, 3)
            case.check(inputs, results, compare.arithmetic_of(backend))
        except Exception:
            took, outcome = round(time.perf_counter() - start, 3), traceback.format_exc()
        found["results"].append([backend, case.name, list(size), took, outcome])
        print(f"{backend} {case.name} {size}: {took:.2f} s {outcome[-1500:]}", flush=True)
        write_text(out / "smoke.json", json.dumps(found, indent=1))


def sweep(out: Path) -> None:
    """Pixels a thread, for every operation that may choose them: microseconds of each."""
    from fastcolor.kernels.cupy_cuda import engine, temporal

    where = device.place("cuda")
    clock, choose, wide = where.clock(), engine.Engine.pixels_each, temporal.WIDE
    copy = where.floor(Setting(device="cuda")).runs(0)["copy"][0]
    rows: list[dict[str, Any]] = [{"what": "copy", "gb_per_s": copy() / _median(clock, copy) / 1e9}]
    for (height, width), (dtype, most) in product(SWEPT, WIDEST.items()):
        calls = dict(_swept(where, height, width, dtype))
        for pixels, what in product(PIXELS, calls):
            if pixels > most:
                continue
            engine.Engine.pixels_each = lambda *a, p=pixels: p if a[5] % p == 0 else 1  # type: ignore
            temporal.WIDE = pixels
            row: dict[str, Any] = {"what": what, "height": height, "width": width, "dtype": dtype, "pixels": pixels}
            try:
                row["us"] = round(1e6 * _median(clock, calls[what]), 2)
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:300]
            finally:
                engine.Engine.pixels_each, temporal.WIDE = choose, wide  # type: ignore[method-assign]
            rows.append(row)
            print(row, flush=True)
            write_text(out / "sweep.json", json.dumps(rows, indent=1))


def _median(clock: Any, call: Callable[[], Any]) -> float:
    return sorted(clock.time(call)[0] for _ in range(18))[9]  # the first ones, which compile, are the slowest


def _swept(where: Any, height: int, width: int, dtype: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is timed, on random logits."""
    import torch

    import fastcolor

    on, backend, bins = {"device": where.torch_device}, BACKENDS[0], fastcolor.ColorBins.default()
    x = torch.randn(1, bins.n, height, width, **on).to(getattr(torch, dtype))
    y, weights = torch.rand(2, 1, height, width, **on)
    labels = torch.randint(0, bins.n, (1, height, width), dtype=torch.uint8, **on)
    above = torch.rand(1, 2, height, width, **on).to(x.dtype)
    leaf = x.clone().requires_grad_()
    yield "decode", lambda: fastcolor.decode(x, y, bins, backend=backend)
    yield "decode_confidence", lambda: fastcolor.decode(x, y, bins, confidence=True, backend=backend)
    yield "annealed_mean", lambda: fastcolor.annealed_mean(x, bins, backend=backend)
    yield "loss", lambda: torch.autograd.grad(fastcolor.weighted_cross_entropy(leaf, labels, weights), leaf)
    mean = lambda: fastcolor.annealed_mean(leaf, bins, backend=backend)  # noqa: E731
    yield "annealed_mean_gradient", lambda: torch.autograd.grad(mean(), leaf, above)
    if dtype == "float32":
        smoother = fastcolor.TemporalSmoother(bins, ring="uint8", backend=backend)
        yield "temporal", lambda: smoother.step(x[0], y[0])
