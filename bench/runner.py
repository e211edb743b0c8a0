"""The whole run: a worker process for each allocator setting and thread count, one JSON file.

A file is there from the start, and whole at any moment; ``left_out`` in its metadata says what it lacks. Until the run
is over its name ends in ``.part.json``; then it takes its place, unless what lies there lacks less.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from .cases import MALLOC, Setting
from .measure import gpu, machine, timing
from .publish import schema
from .suites import inputs, startup
from .suites.registry import of

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class DeviceMissingError(RuntimeError):
    """The device that was asked for is not there, or cannot be used."""


def run(
    suites: Sequence[str],
    settings: Sequence[Setting],
    out: Path | None = None,
    command: Sequence[str] = (),
    python: str = sys.executable,
) -> tuple[Path, bool]:
    """Measure and write; returns the file, and whether every answer of fastcolor was right and no suite failed.

    The file is that which was asked for, or the part, see :func:`settled`.

    Each of the settings has a worker of its own; device, size and budget are those of the first, for all.

    Raises
    ------
    DeviceMissingError
        Before anything is measured or written.
    """
    start = time.perf_counter()
    first = settings[0]
    metadata = _metadata(first.quick, first.device, command)
    if first.device == "cuda":
        metadata["gpu"], reason = gpu.ask()
        if reason:
            raise DeviceMissingError(f"--device cuda: {reason}")
    in_workers = [name for name in suites if name != "startup"]
    asked = ["startup"] if "startup" in suites else []
    asked += [setting.of(name) for setting in settings for name in in_workers]
    document: dict[str, Any] = {"metadata": metadata | {"left_out": dict.fromkeys(asked, "all of it")}, "results": []}
    if first.without:
        document["metadata"]["left_out"][f"--without {first.without}"] = "every candidate that is called so"
    elif first.budget:
        document["metadata"]["left_out"]["torch.compile"] = "of cases that are not the main ones, for want of time"
    place = out or default_path(suites, metadata, first.quick)
    path = schema.part(place)
    schema.write(path, document)
    failed = 0
    if "startup" in suites:
        failed += _startup(document, first.quick)
        schema.write(path, document)
    for setting in settings if in_workers else ():
        print(f"\n=== {setting if first.device == 'cpu' else metadata['gpu']['name']} ===", flush=True)
        left = first.budget - (time.perf_counter() - start)
        if not first.budget or left > 0:
            failed += _worker(in_workers, replace(setting, budget=max(left, 0.0)), path, python)
    document = schema.read(path)
    document["metadata"]["seconds"] = round(time.perf_counter() - start, 1)
    schema.write(path, document)
    bad = [result for result in document["results"] if result["ours"] and result["status"] in ("wrong", "error")]
    return settled(path, place), not (bad or failed)


def settled(path: Path, place: Path) -> Path:
    """Put a finished run in its place and return that; a run that lacks what an older one there has stays at `path`."""
    if place.exists() and (lost := _lacks(path) - _lacks(place)):
        print(
            f"{place} stays as it is: it has {', '.join(sorted(lost))}, of which something is left out now", flush=True
        )
        return path
    return path.replace(place)


def _lacks(path: Path) -> set[str]:
    """What a file was asked for and lacks."""
    return set(schema.read(path)["metadata"].get("left_out", {}))


def _startup(document: dict[str, Any], quick: bool) -> int:
    """Add the suite of fresh processes to the document; 1 if one of them failed, say for want of a compiler."""
    try:
        document["results"] += startup.measure(quick)
    except subprocess.CalledProcessError as error:
        print(error.stderr, file=sys.stderr)
        document["metadata"]["left_out"]["startup"] = "all of it: CalledProcessError"
        return 1
    del document["metadata"]["left_out"]["startup"]
    return 0


def default_path(suites: Sequence[str], metadata: dict[str, Any], quick: bool) -> Path:
    """``bench/results/<suites>--<machine>--<device>.json``; quick runs stay out of the way of real ones."""
    device = metadata["device"]
    names = "all" if set(suites) == set(of(device)) else "+".join(suites)
    which = machine.slug(metadata["machine"]) if device == "cpu" else machine.plain(metadata["gpu"]["name"])
    folder = machine.ROOT / ("runs" if quick else "bench/results")
    return folder / f"{'quick-' if quick else ''}{names}--{which}--{device}.json"


def _metadata(quick: bool, device: str, command: Sequence[str]) -> dict[str, Any]:
    commit, dirty = machine.commit()
    return {
        "schema": schema.VERSION,
        "date": machine.now(),
        "command": "python -m bench" + "".join(f" {shlex.quote(word)}" for word in command),
        "commit": commit,
        "dirty": dirty,
        "device": device,
        "quick": quick,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "environment": machine.environment(),
        "input": inputs.DESCRIPTION,
        "seconds": 0.0,
    }


def _worker(suites: Sequence[str], setting: Setting, path: Path, python: str) -> int:
    """Add the suites under one setting to the file; the exit status of the first worker that failed, or 0.

    A suite that costs the device ends its worker: another one goes on, with what is left of the other suites.
    """
    start, failed, left, remaining = time.perf_counter(), 0, list(suites), setting.budget
    while left and (remaining > 0 or not setting.budget):
        status = _process(left, replace(setting, budget=max(remaining, 0.0)), path, python)
        failed = failed or status
        states = schema.read(path)["metadata"].get("left_out", {})
        to_come = {name: states[setting.of(name)] for name in left if setting.of(name) in states}
        if not any(timing.LOST in state for state in to_come.values()):
            break
        left = [name for name, state in to_come.items() if timing.LOST not in state]
        remaining = setting.budget - (time.perf_counter() - start)
    return failed


def _process(suites: Sequence[str], setting: Setting, path: Path, python: str) -> int:
    variables = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(setting.threads)) | MALLOC[setting.malloc]
    variables["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no pool of compilers that could disturb the clock
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed: its peers are skipped", flush=True)
    command = [python, "-m", "bench.worker", *suites, "--threads", str(setting.threads), "--malloc", setting.malloc]
    command += ["--device", setting.device, "--out", str(path.resolve()), *(["--quick"] if setting.quick else [])]
    command += ["--without", setting.without, "--budget", str(setting.budget), "--since", str(time.time())]
    with _place(python) as folder:
        return subprocess.run(command, cwd=folder, env=variables).returncode


@contextmanager
def _place(python: str) -> Iterator[Path]:
    """Where a worker starts, and so what it imports: this tree; of another Python nothing of it but bench."""
    if python == sys.executable:
        yield machine.ROOT
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench").symlink_to(machine.ROOT / "bench")
        yield Path(folder)
