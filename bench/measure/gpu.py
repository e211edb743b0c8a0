"""The GPU that ``--device cuda`` measures: what is missing where it cannot run, and what a stranger needs to know.

``python -m bench.measure.gpu`` prints the description as JSON, or one line that says what is missing; the runner asks
in a process of its own, so that the one that waits for the workers takes no memory of the device.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

from .machine import ROOT

# JSON names, and what the driver's tool calls them.
_SMI = {
    "driver": "driver_version",
    "clock_sm_mhz": "clocks.sm",
    "clock_memory_mhz": "clocks.mem",
    "clock_sm_max_mhz": "clocks.max.sm",
    "clock_memory_max_mhz": "clocks.max.mem",
    "power_limit_w": "power.limit",
    "temperature_c": "temperature.gpu",
}


def missing() -> str:
    """What keeps the CUDA suites from running here, and what to do about it; empty if nothing does."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed; pip install torch (on Linux it brings CUDA)"
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA; install a CUDA build of torch"
    if not torch.cuda.is_available():
        return (
            f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no CUDA device; `nvidia-smi` must list one, "
            "its driver must be new enough for that CUDA, and CUDA_VISIBLE_DEVICES must not hide it"
        )
    import fastcolor

    status = fastcolor.backends()["cupy"]
    return "" if status.available else f"fastcolor's backend cupy does not run: {status.reason}"


def describe() -> dict[str, Any]:
    """Device, memory, driver, CUDA versions; clocks under load, as far as they can be read."""
    import cupy
    import torch

    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    described = {
        "name": found.name,
        "compute_capability": f"{found.major}.{found.minor}",
        "memory_gb": round(found.total_memory / 1e9, 1),
        "multiprocessors": found.multi_processor_count,
        "l2_mb": round(getattr(found, "L2_cache_size", 0) / 2**20, 1),
        "cuda_of_driver": _version(cupy.cuda.runtime.driverGetVersion()),
        "cuda_runtime": _version(cupy.cuda.runtime.runtimeGetVersion()),
        "cuda_of_torch": torch.version.cuda,
        "nvrtc": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
    }
    _load()
    return described | _smi(str(getattr(found, "uuid", "")))


def _load() -> None:
    """Enqueue about a second of work and do not wait for it: an idle device lowers its clocks."""
    import torch

    buffer = torch.zeros(1 << 28, device="cuda")
    for _ in range(1000):
        buffer.add_(1)


def _version(number: int) -> str:
    """CUDA's own way to write a version: 13010 is 13.1."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _smi(uuid: str) -> dict[str, Any]:
    """What the driver's tool says of the device; nothing where the tool is absent or refuses."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_SMI.values())}", "--format=csv,noheader,nounits"]
    command += ["-i", uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"] if uuid else []
    try:
        return smi_fields(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout)
    except (OSError, subprocess.SubprocessError):
        return {}


def smi_fields(text: str) -> dict[str, Any]:
    """The first line of ``nvidia-smi --query-gpu``, named; fields that the device does not tell are left out."""
    words = [word.strip() for word in text.strip().partition("\n")[0].split(",")]
    named = zip(_SMI, words, strict=False)
    told = {name: word for name, word in named if word and (name == "driver" or word.replace(".", "", 1).isdigit())}
    return {name: word if name == "driver" else float(word) for name, word in told.items()}


def ask() -> tuple[dict[str, Any], str]:
    """The description, and what is missing, of which one is empty; from a process of its own."""
    done = subprocess.run([sys.executable, "-m", __name__], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout), ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return {}, lines[-1] if lines else f"python -m {__name__} ended with status {done.returncode}"


def main() -> int:
    """Exit status: 0 with a description, 2 where something is missing."""
    reason = missing()
    print(" ".join(reason.split()) if reason else json.dumps(describe()))  # one line, which is what the caller reads
    return 2 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
