"""What ran where, as JSON (FASTCOLOR_TEST_REPORT=path): device, driver, versions, commit, all that did not pass.

Written every few seconds, so that a run that is cut off leaves what it had.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from fastcolor.files.atomic import atomic_path

SCHEMA = 1
PACKAGES = (
    "fastcolor", "numpy", "torch", "triton", "cupy-cuda13x", "cupy-cuda12x", "numba", "numba-cuda", "llvmlite",
    "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "hypothesis", "pytest",
)  # fmt: skip
SECONDS_BETWEEN_WRITES = 10.0
DESELECTED = "fastcolor_deselected"


class WorkerReport:
    """In a worker of pytest-xdist: tells the process that writes the report what that does not hear of."""

    def __init__(self, workeroutput: dict[str, Any]) -> None:
        self.workeroutput = workeroutput

    def pytest_deselected(self, items: list[Any]) -> None:
        self.workeroutput[DESELECTED] = self.workeroutput.get(DESELECTED, 0) + len(items)


class Report:
    """A pytest plugin that counts outcomes and writes them with where they came from.

    `absent`: backends that were asked for, and why they do not run here.
    """

    def __init__(self, path: Path, backends: list[str], absent: dict[str, str]) -> None:
        self.path, self.backends = path, backends
        self.outcomes: Counter[str] = Counter()
        self.failed: list[str] = []
        self.not_run: list[tuple[str, str]] = [(f"backend {name}", why) for name, why in absent.items()]
        self._started = self._written = time.monotonic()
        self._where = {"device": device(), "versions": versions(), "commit": commit()}

    def pytest_deselected(self, items: list[Any]) -> None:
        self.outcomes["deselected"] += len(items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist, each of which has deselected the same, has ended."""
        self.outcomes["deselected"] = max(
            self.outcomes["deselected"], getattr(node, "workeroutput", {}).get(DESELECTED, 0)
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.outcomes["skipped"] += 1
            self.not_run.append((report.nodeid, reason_of(report.longrepr)))
        elif report.failed:
            self.outcomes["failed"] += 1
            self.failed.append(f"{report.nodeid} ({report.when})")
        elif report.when == "call":
            self.outcomes["passed"] += 1
        if time.monotonic() - self._written > SECONDS_BETWEEN_WRITES:
            self.write(None)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        self.write(int(session.exitstatus))

    def write(self, exit_status: int | None) -> None:
        """`exit_status` None: the run is not over."""
        self._written = time.monotonic()
        content = {
            "schema": SCHEMA,
            "finished": exit_status is not None,
            "exit_status": exit_status,
            "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "seconds": round(time.monotonic() - self._started, 1),
            **self._where,
            "backends": self.backends,
            "hypothesis_profile": os.environ.get("FASTCOLOR_HYPOTHESIS_PROFILE", "dev"),
            "outcomes": dict(self.outcomes),
            "failed": self.failed,
            "not_run": [{"test": test, "why": why} for test, why in self.not_run],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")


def reason_of(longrepr: Any) -> str:
    """pytest gives a skip as (file, line, "Skipped: why")."""
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")


def device() -> dict[str, Any]:
    """Name, compute capability, memory and driver of the current GPU; only what can be found out."""
    found: dict[str, Any] = {"driver": driver()}
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        found |= {
            "name": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "count": torch.cuda.device_count(),
            "torch_cuda": torch.version.cuda,
        }
    return found


def driver() -> str | None:
    """Release of NVIDIA's driver, ``"580.159.04"``; None without one."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split("\n")[0].strip() or None


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """HEAD, with "-dirty" if tracked files differ from it; FASTCOLOR_COMMIT where the tree is a copy without git."""
    if given := os.environ.get("FASTCOLOR_COMMIT"):
        return given
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
