"""The whole run: a worker process for each allocator setting and thread count, one JSON file."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .measure import gpu, machine
from .publish import schema
from .suites import inputs, startup

# "tuned" keeps freed memory in the process: no page faults on big temporaries, which is half of some ratios.
MALLOC = {
    "default": {},
    "tuned": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4000000000"},
}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class DeviceMissingError(RuntimeError):
    """The device that was asked for is not there, or cannot be used."""


def run(
    suites: Sequence[str],
    *,
    threads: Sequence[int],
    mallocs: Sequence[str],
    quick: bool,
    device: str,
    out: Path | None,
    command: Sequence[str],
) -> tuple[Path, bool]:
    """Measure and write; returns the file, and whether all of fastcolor's answers were right.

    Raises
    ------
    DeviceMissingError
        Before anything is measured or written.
    """
    start = time.perf_counter()
    described = machine.describe()
    metadata = _metadata(described, quick, device, command)
    if device == "cuda":
        metadata["gpu"], reason = gpu.ask()
        if reason:
            raise DeviceMissingError(f"--device cuda: {reason}")
    results: list[dict[str, Any]] = []
    if "startup" in suites:
        results += startup.measure(quick)
    in_workers = [name for name in suites if name != "startup"]
    for malloc in mallocs if in_workers else ():
        for count in threads:
            setting = f"{count} thread{'s' * (count > 1)}, malloc {malloc}"
            print(f"\n=== {setting if device == 'cpu' else metadata['gpu']['name']} ===", flush=True)
            results += _worker(in_workers, count, malloc, quick, device)
    metadata["seconds"] = round(time.perf_counter() - start, 1)
    path = out or default_path(suites, metadata, quick)
    schema.write(path, {"metadata": metadata, "results": results})
    return path, not any(result["ours"] and result["status"] in ("wrong", "error") for result in results)


def default_path(suites: Sequence[str], metadata: dict[str, Any], quick: bool) -> Path:
    """``bench/results/<suites>--<machine>--<device>.json``; quick runs stay out of the way of real ones."""
    from .suites.registry import of

    device = metadata["device"]
    names = "all" if set(suites) == set(of(device)) else "+".join(suites)
    which = machine.slug(metadata["machine"]) if device == "cpu" else machine.plain(metadata["gpu"]["name"])
    folder = machine.ROOT / ("runs" if quick else "bench/results")
    return folder / f"{'quick-' if quick else ''}{names}--{which}--{device}.json"


def _metadata(described: dict[str, Any], quick: bool, device: str, command: Sequence[str]) -> dict[str, Any]:
    commit, dirty = machine.commit()
    return {
        "schema": schema.VERSION,
        "date": machine.now(),
        "command": "python -m bench" + "".join(f" {shlex.quote(word)}" for word in command),
        "commit": commit,
        "dirty": dirty,
        "device": device,
        "quick": quick,
        "machine": described,
        "versions": machine.versions(),
        "environment": machine.environment(),
        "input": inputs.DESCRIPTION,
        "seconds": 0.0,
    }


def _worker(suites: Sequence[str], threads: int, malloc: str, quick: bool, device: str) -> list[dict[str, Any]]:
    variables = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(threads)) | MALLOC[malloc]
    variables["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no pool of compilers that could disturb the clock
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed: its peers are skipped", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        command = [sys.executable, "-m", "bench.worker", *suites, "--threads", str(threads), "--malloc", malloc]
        command += ["--device", device, "--out", str(out), *(["--quick"] if quick else [])]
        subprocess.run(command, cwd=machine.ROOT, env=variables, check=True)
        results: list[dict[str, Any]] = json.loads(out.read_text())
    return results
