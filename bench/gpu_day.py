"""The first minutes on a GPU, staged: ``python -m bench.gpu_day --out DIR``.

Each stage is a process with its own time-out that writes to DIR as it goes; one that fails does not stop the next. Runs
from a bare checkout: no installation, no network, no git, no make.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = ("cupy", "numba-cuda")
DEVICE, BACKEND = "cuda", "cupy"  # of the sweep
SWEPT = ((2048, 4096), (1080, 1920), (1024, 1024))
COPIED = 1 << 28  # float32 numbers
SIZES = ((1024, 1024), (1000, 1333), (1080, 1920), (2048, 4096))
SUITES = (
    "decode", "encode", "loss", "histogram", "temporal", "merge", "annealed_mean", "decode_confidence", "confidence",
    "network",
)  # fmt: skip
LOGS = Path("/tmp/gpu_day")
CASE_SECONDS = 0.5  # of the device, for all candidates of a case


def stages(out: Path, scale: float, words: Sequence[str]) -> list[list[tuple[str, list[str], float]]]:
    """Groups of (name, command, seconds): the stages of a group run side by side, the groups one after the other."""
    me = [sys.executable, "-m", "bench.gpu_day", "--out", str(out), "--stage"]
    pytest = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    spread = ["--dist", "worksteal", "-n", "9"] if importlib.util.find_spec("xdist") else []
    agreement = ["tests/kernels", "tests/toolkit"]
    sanitizer = ["compute-sanitizer", "--error-exitcode", "66", "--tool"]
    run = [sys.executable, "tests/helpers/gpu_sanitized.py"]
    return [
        [("smoke", [*me, "smoke"], 75 * scale)],
        [
            ("agreement", [*pytest, *agreement, *spread], 110 * scale),
            (
                "streams",
                [*pytest, "tests/kernels/test_gpu.py", "tests/kernels/test_gpu_only.py", "-k", "not compiled"],
                110 * scale,
            ),
            ("memcheck", [*sanitizer, "memcheck", "--report-api-errors", "no", *run], 110 * scale),
            ("racecheck", [*sanitizer, "racecheck", *run], 110 * scale),
        ],
        [("sweep", [*me, "sweep"], 80 * scale)],
        [("bench", [*me, "bench", *words], 110 * scale)],
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run all stages, or one; print a summary."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_day")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stage", choices=["smoke", "sweep", "bench"])
    parser.add_argument("--scale", type=float, default=1.0, help="of all time-outs")
    parser.add_argument("--only", default="", help="comma-separated stages")
    parser.add_argument("--suites", default=",".join(SUITES), help="of the benchmark")
    parser.add_argument("--sizes", default=",".join(f"{h}x{w}" for h, w in SIZES), help="of its images")
    parser.add_argument("--compiled", action="store_true", help="with what torch must compile, for the main cases")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.stage:
        if args.stage == "bench":
            sizes = [tuple(map(int, size.split("x"))) for size in args.sizes.split(",")]
            bench(args.out, args.suites.split(","), sizes, args.compiled)
        else:
            {"smoke": smoke, "sweep": sweep}[args.stage](args.out)
        return 0
    words = ["--suites", args.suites, "--sizes", args.sizes, *(["--compiled"] if args.compiled else [])]
    _link()
    only = set(filter(None, args.only.split(",")))
    for group in stages(args.out, args.scale, words):
        running = [
            (name, _start(args.out, name, command), time.monotonic(), limit)
            for name, command, limit in group
            if not only or name in only
        ]
        for name, process, start, limit in running:
            _end(args.out, name, process, start, limit)
    return 0


def _link() -> None:
    """The packages that lie beside fastcolor/, where an installation would put them."""
    for name in ("kernels", "reference"):
        if not (ROOT / "fastcolor" / name).exists():
            (ROOT / "fastcolor" / name).symlink_to(f"../{name}")


def _start(out: Path, name: str, command: list[str]) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/helpers")])
    variables = {
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "FASTCOLOR_REQUIRE_GPU": "1",
        "FASTCOLOR_TEST_BACKENDS": "cupy,numba-cuda" if name in ("agreement", "streams") else "cupy",
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "NUMBA_NUM_THREADS": "2",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    if name in ("memcheck", "racecheck"):
        variables["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=log, stderr=log)


def _end(out: Path, name: str, process: subprocess.Popen[bytes], start: float, limit: float) -> None:
    """Wait; interrupted at the limit, so that pytest still prints its summary, and killed a little later."""
    status: Any = None
    try:
        status = process.wait(max(limit - (time.monotonic() - start), 0.1))
    except subprocess.TimeoutExpired:
        process.send_signal(2)
        try:
            status = f"cut off, {process.wait(12)}"
        except subprocess.TimeoutExpired:
            process.kill()
            status = "killed"
    text = (LOGS / f"{name}.log").read_text(errors="replace")
    head = f"=== {name}: status {status}, {time.monotonic() - start:.0f} s"
    with (out / "stages.log").open("a") as log:
        log.write(f"{head}\n{text}\n")
    print(head, flush=True)
    for line in text.splitlines()[-14:]:
        print(f"    {line[:160]}", flush=True)


# --- smoke ------------------------------------------------------------------------------------------------------------


def smoke(out: Path) -> None:
    """Every operation at two sizes against the reference, on each backend; what the machine is."""
    import compare
    import gpu_cases
    import numpy as np
    import torch

    import fastcolor
    from bench.measure import gpu, machine

    found: dict[str, Any] = {"versions": machine.versions(), "backends": {}, "results": []}
    try:
        found["gpu"] = gpu.describe()
    except Exception:
        found["gpu"] = traceback.format_exc()
    for name, status in fastcolor.backends().items():
        found["backends"][name] = [status.available, str(status.reason)]
    print(json.dumps(found), flush=True)
    for backend in BACKENDS:
        if not found["backends"][backend][0]:
            continue
        arithmetic = compare.arithmetic_of(backend)
        for case in gpu_cases.CASES:
            for size in gpu_cases.SIZES:
                gpu_cases.HEIGHT, gpu_cases.WIDTH = size
                inputs = case.inputs(np.random.default_rng(0))
                start = time.perf_counter()
                try:
                    results = case.call({k: torch.from_numpy(v).cuda() for k, v in inputs.items()}, backend)
                    torch.cuda.synchronize()
                    took = time.perf_counter() - start
                    case.check(inputs, results, arithmetic)
                    outcome = "ok"
                except Exception:
                    took, outcome = time.perf_counter() - start, traceback.format_exc()
                found["results"].append([backend, case.name, list(size), round(took, 3), outcome])
                print(f"{backend} {case.name} {size}: {took:.2f} s {outcome[-1500:]}", flush=True)
                _write(out / "smoke.json", found)


# --- sweep ------------------------------------------------------------------------------------------------------------


def sweep(out: Path) -> None:
    """Pixels a thread: planar decode, with confidence, annealed mean, loss, gradient, smoothing."""
    import torch
    from fastcolor.kernels.cupy_cuda import engine as cuda_engine
    from fastcolor.kernels.cupy_cuda import temporal

    import fastcolor
    from bench.measure import device

    clock = device.place(DEVICE).clock()
    bins = fastcolor.ColorBins.default()
    engine = cuda_engine.Engine
    choose, wide = engine.pixels_each, temporal.WIDE
    rows: list[dict[str, Any]] = []
    copied = torch.ones(COPIED, device=DEVICE)
    half = len(copied) // 2
    copy = _median(clock, lambda: copied[half:].copy_(copied[:half]))
    rows.append({"what": "copy", "gb_per_s": 8 * half / copy / 1e9})
    print(rows[-1], flush=True)
    for height, width in SWEPT:
        for dtype in ("float32", "float16", "bfloat16"):
            logits = torch.randn(1, bins.n, height, width, device=DEVICE).to(getattr(torch, dtype))
            luma = torch.rand(1, height, width, device=DEVICE)
            labels = torch.randint(0, bins.n, (1, height, width), device=DEVICE, dtype=torch.uint8)
            calls = _sweep_calls(fastcolor, torch, bins, logits, luma, labels)
            for pixels in (1, 2, 4, 8):
                if pixels * logits.element_size() > 16:
                    continue
                engine.pixels_each = _fixed(pixels)  # type: ignore[method-assign]
                temporal.WIDE = pixels
                for what, call in calls.items():
                    if what == "temporal" and (dtype != "float32" or pixels > 4):
                        continue
                    row = {"what": what, "height": height, "width": width, "dtype": dtype, "pixels": pixels}
                    try:
                        row["us"] = round(1e6 * _median(clock, call), 2)
                    except Exception as error:
                        row["error"] = f"{type(error).__name__}: {error}"[:300]
                    rows.append(row)
                    print(row, flush=True)
                    _write(out / "sweep.json", rows)
            engine.pixels_each, temporal.WIDE = choose, wide  # type: ignore[method-assign]


def _fixed(pixels: int) -> Any:
    def pixels_each(self: Any, like: Any, name: str, instance: Any, most: int, count: int, arrays: Any) -> int:
        return pixels if count % pixels == 0 else 1

    return pixels_each


def _sweep_calls(
    fastcolor: Any, torch: Any, bins: Any, logits: Any, luma: Any, labels: Any
) -> dict[str, Callable[[], Any]]:
    leaf = logits.detach().clone().requires_grad_()
    weights = torch.rand_like(luma)
    upstream = torch.rand(1, 2, *luma.shape[1:], device=DEVICE).to(logits.dtype)
    smoother = fastcolor.TemporalSmoother(bins, ring="uint8", backend=BACKEND)

    def loss() -> Any:
        value = fastcolor.weighted_cross_entropy(leaf, labels, weights)
        return torch.autograd.grad(value, leaf)

    def slope() -> Any:
        return torch.autograd.grad(fastcolor.annealed_mean(leaf, bins, backend=BACKEND), leaf, upstream)

    return {
        "decode": lambda: fastcolor.decode(logits, luma, bins, backend=BACKEND),
        "decode_confidence": lambda: fastcolor.decode(logits, luma, bins, confidence=True, backend=BACKEND),
        "annealed_mean": lambda: fastcolor.annealed_mean(logits, bins, backend=BACKEND),
        "loss": loss,
        "annealed_mean_gradient": slope,
        "temporal": lambda: smoother.step(logits[0], luma[0]),
    }


def _median(clock: Any, call: Callable[[], Any], turns: int = 15) -> float:
    for _ in range(3):
        clock.time(call)
    times = sorted(clock.time(call)[0] for _ in range(turns))
    return float(times[len(times) // 2])


# --- bench ------------------------------------------------------------------------------------------------------------


def bench(out: Path, names: Sequence[str], sizes: Sequence[Any], compiled: bool) -> None:
    """The suites without torch.compile, at sizes that are no powers of two as well; written after each case."""
    from bench import worker
    from bench.cases import Setting
    from bench.measure import device, device_cuda, gpu, machine, timing
    from bench.publish import schema
    from bench.suites import inputs, registry

    device_cuda.SIZES = tuple(sizes)  # type: ignore[assignment]
    timing.GPU = timing.Budget(CASE_SECONDS, 5, 15)  # type: ignore[misc]
    setting = Setting(threads=1, malloc="default", quick=False, device="cuda")
    start = time.perf_counter()
    metadata: dict[str, Any] = {
        "schema": schema.VERSION, "date": machine.now(), "command": "python -m bench.gpu_day",
        "commit": os.environ.get("FASTCOLOR_COMMIT", "unknown"), "dirty": False, "device": "cuda", "quick": False,
        "machine": machine.describe(), "versions": machine.versions(), "environment": machine.environment(),
        "input": inputs.DESCRIPTION, "seconds": 0.0, "gpu": gpu.describe(),
    }  # fmt: skip
    where = device.place("cuda")
    floor = where.floor(setting)
    results: list[dict[str, Any]] = []
    for name in names:
        try:
            for case in registry.cases(name, setting):
                begun = time.perf_counter()
                kept = [c for c in case.candidates if (compiled and case.main) or "torch.compile" not in c.name]
                measured = timing.measure(replace(case, candidates=tuple(kept)), setting, floor)
                print(f"\n{name}: {case.name} ({time.perf_counter() - begun:.1f} s)", flush=True)
                for result in measured:
                    print("  " + worker.line(result), flush=True)
                results += measured
                metadata["seconds"] = round(time.perf_counter() - start, 1)
                _write(out / "bench.json", {"metadata": metadata, "results": results})
                where.forget()
        except Exception:
            print(f"{name}: {traceback.format_exc()}", flush=True)


def _write(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, default=lambda x: None if isinstance(x, float) and math.isnan(x) else str(x))
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
