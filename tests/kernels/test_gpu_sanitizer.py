"""NVIDIA's compute-sanitizer over every operation on the GPU, and over a planted fault that it has to find."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import gpu_cases
import gpu_cases_lab
import pytest
from paths import HELPERS

pytestmark = pytest.mark.gpu(backend="cupy")

SCRIPT = HELPERS / "gpu_sanitized.py"
# memcheck: calls of the driver that fail are not faults, libraries ask it for functions that it lacks; what fails in
# earnest raises in Python.
TOOLS = {"memcheck": ("--report-api-errors", "no"), "racecheck": ()}
FOUND = 66  # the exit status that asks for it
TIMEOUT = 900  # seconds: a tool may slow torch's and CuPy's own kernels a hundred times


def sanitized(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("compute-sanitizer")
    if program is None:
        pytest.skip("compute-sanitizer is not on PATH; it comes with the CUDA toolkit")
    options = ["--tool", tool, *TOOLS[tool], "--error-exitcode", str(FOUND)]
    command = [program, *options, sys.executable, str(SCRIPT), *arguments]
    # torch's own cache of memory would hide accesses outside an array, as CuPy's would.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_finds_a_planted_fault(tool: str) -> None:
    done = sanitized(tool, tool)
    assert done.returncode == FOUND, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("tool", TOOLS)
def test_no_operation_has_a_fault(tool: str) -> None:
    done = sanitized(tool)
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    for case in gpu_cases_lab.EVERY:
        for height, width in gpu_cases.SIZES:
            assert f"ran {case.name} on {height} x {width}\n" in done.stdout
