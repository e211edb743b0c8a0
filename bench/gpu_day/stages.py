"""What the stages are: commands, and the seconds that each would have of the whole."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from ..measure import device
from ..measure.machine import ROOT

BACKENDS = tuple(backend for _, backend in device.CUDA_BACKENDS)
FUNCTIONS = ("compile", "smoke", "sweep")  # stages that are functions of this package, run in a process of their own
FIRST = ("decode", "encode", "loss", "histogram", "temporal", "merge")  # suites, should time run out
LAST_CASE = 30.0  # seconds that the benchmark's last case may take, from when no other begins
FOUND = 66  # the exit status of a sanitizer that has found something


class Stage(NamedTuple):
    """`seconds` of the whole; those of the first of a group are the group's. `report`: where pytest counts."""

    name: str
    command: Sequence[str]
    seconds: float
    report: str = ""
    backends: bool = False  # tests of every backend that runs
    plain_memory: bool = False  # from the driver, without torch's cache, which hides accesses outside an array

    def words(self, limit: float) -> list[str]:
        """The command, of which the benchmark must know how long it has."""
        return [word.replace("BUDGET", f"{max(limit - LAST_CASE, limit / 2):.0f}") for word in self.command]

    def variables(self, backends: Sequence[str]) -> dict[str, str]:
        """Of its environment."""
        path = [str(ROOT), str(ROOT / "tests/helpers"), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "2"),
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONUNBUFFERED": "1",
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "FASTCOLOR_REQUIRE_GPU": "1",
            "FASTCOLOR_TEST_BACKENDS": ",".join(backends if self.backends else BACKENDS[:1]),
            **({"FASTCOLOR_TEST_REPORT": self.report} if self.report else {}),
            **({"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"} if self.plain_memory else {}),
        }


def groups(out: Path, suites: Sequence[str], compiled: bool) -> list[list[Stage]]:
    """Stages that run side by side, in the order of the groups: what is right, before what is fast.

    Side by side they share one GPU and many cores; times are taken by one at a time.
    """
    python = [sys.executable, "-m"]
    me = [*python, "bench", "gpu-day", "--out", str(out), "--stage"]
    pytest = [*python, "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    pytest += ["--timeout", "90"] if importlib.util.find_spec("pytest_timeout") else []
    spread = ["--dist", "worksteal", "-n", str(workers())] if importlib.util.find_spec("xdist") else []
    correctness = [f"tests/kernels/test_{name}.py" for name in ("agreement", "laws", "exhaustive")]
    streams = ["tests/kernels/test_gpu.py", "tests/kernels/test_gpu_only.py", "-k", "not compiled"]
    sanitizer, every = ["compute-sanitizer", "--error-exitcode", str(FOUND), "--tool"], "tests/helpers/gpu_sanitized.py"
    memcheck = [*sanitizer, "memcheck", "--report-api-errors", "no", sys.executable, every]
    bench = [*python, "bench", *suites, "--device", "cuda", "--budget", "BUDGET", "--out", str(out / "bench.json")]
    bench += [] if compiled else ["--without", "torch.compile"]
    reports = [str(out / f"{name}.json") for name in ("correctness", "streams")]
    tests = [*pytest, *correctness, "tests/toolkit/test_loss.py", *spread]
    return [
        [Stage("compile", [*me, "compile"], 40)],
        [Stage("smoke", [*me, "smoke"], 50)],
        [
            Stage("correctness", tests, 120, reports[0], backends=True),
            Stage("streams", [*pytest, *streams], 120, reports[1], backends=True),
            Stage("memcheck", memcheck, 120, plain_memory=True),
            Stage("racecheck", [*sanitizer, "racecheck", sys.executable, every], 120, plain_memory=True),
        ],
        [Stage("sweep", [*me, "sweep"], 80)],
        [Stage("bench", bench, 250)],
    ]


def in_order(suites: Sequence[str]) -> list[str]:
    """Suites of the benchmark, those first that tell most."""
    return [*FIRST, *(name for name in suites if name not in FIRST)]


def workers() -> int:
    """Processes for the tests, beside those of the other stages of their group."""
    return max(len(os.sched_getaffinity(0)) - 6, 1)


def call(stage: str, out: Path) -> int:
    """One of :data:`FUNCTIONS`, here and now; its exit status."""
    if stage == "sweep":
        from ..suites import pixels

        pixels.sweep(out)
        return 0
    status: int = import_module(f".{stage}", __package__).run(out)
    return status
