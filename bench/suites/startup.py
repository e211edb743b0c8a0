"""Suite ``startup``: imports and first results, each in fresh processes, with warm and with empty compile caches."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from ..bytes import Traffic
from ..cases import Candidate, Case, Setting, Verdict
from ..measure.machine import ROOT
from ..measure.timing import NO_RATES, blank, quantiles

# Each program prints seconds of its own clock; an interpreter's start is the same for all and not counted.
_IMPORT = "import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"

_INPUTS = """
import time
import numpy as np
{before}
x = np.random.default_rng(0).standard_normal((32, 256, 256), dtype=np.float32)
y = np.full((256, 256), 0.5, np.float32)
t = time.perf_counter()
"""

_DECODE = """
import fastcolor
bins = fastcolor.ColorBins.default()
fastcolor.{call}
print(time.perf_counter() - t)
"""

_COMPILE = """
import torch
colors = torch.linspace(-0.3, 0.3, 64).reshape(32, 2)
def decode(x, y):
    u, v = torch.einsum("nhw,nc->chw", torch.softmax(x / 0.38, 0), colors)
    rgb = torch.stack([y + v / 0.877, y - 0.395 * u - 0.581 * v, y + u / 0.492], -1)
    return (rgb * 255 + 0.5).clamp(0, 255).to(torch.uint8)
with torch.inference_mode():
    torch.compile(decode, dynamic=False)(torch.from_numpy(x), torch.from_numpy(y))
print(time.perf_counter() - t)
"""

_TORCH = "import torch\ntorch.ones(8).add(1)"
_CALLS = {
    "decode": "decode(x, y, bins)",
    "encode": "encode((x[:3] * 40 + 128).clip(0, 255).astype('uint8').transpose(1, 2, 0), bins)",
}


def measure(quick: bool) -> list[dict[str, Any]]:
    """All results of the suite; `quick` takes 2 samples of each instead of 4, and leaves torch.compile out."""
    runs = 2 if quick else 4
    has_torch = importlib.util.find_spec("torch") is not None
    results = [_result("import", "fastcolor", _times(_IMPORT.format(module="fastcolor"), runs))]
    torch = _times(_IMPORT.format(module="torch"), runs) if has_torch else []
    results.append(_result("import", "torch", torch, "" if has_torch else "not installed: torch"))
    for name, call in _CALLS.items():
        program = _DECODE.format(call=call)
        results += _first_results(f"first {name}", _INPUTS.format(before="") + program, runs, "import included")
        if has_torch:
            after = _INPUTS.format(before=_TORCH) + program
            results += _first_results(f"first {name}, torch imported before", after, runs, "beyond importing torch")
    if has_torch and not quick:
        program = _INPUTS.format(before=_TORCH) + _COMPILE
        results += _first_results("first decode, torch imported before", program, 2, "torch.compile", "torch.compile")
    return results


def _first_results(case: str, program: str, runs: int, note: str, name: str = "fastcolor") -> Iterator[dict[str, Any]]:
    """Cold first, which also fills the cache that the warm runs find."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"NUMBA_CACHE_DIR": "numba", "TORCHINDUCTOR_CACHE_DIR": "inductor"}
        environment = {variable: os.path.join(folder, place) for variable, place in places.items()}
        cold = _times(program, 1, environment)
        warm = _times(program, runs, environment)
    yield _result(f"{case}, warm cache", name, warm, note)
    yield _result(f"{case}, cold cache", name, cold, note)


def _times(program: str, runs: int, environment: dict[str, str] | None = None) -> list[float]:
    options: Any = {"cwd": ROOT, "env": os.environ | (environment or {}), "capture_output": True, "text": True}
    outputs = [subprocess.run([sys.executable, "-c", program], check=True, **options).stdout for _ in range(runs)]
    return [float(output.split()[-1]) for output in outputs]


def _result(name: str, candidate: str, seconds: list[float], note: str = "") -> dict[str, Any]:
    """A result without answer, pixels and rates; skipped without seconds."""
    shape, main = ("", True) if name == "import" else ("256x256", False)
    case = Case("startup", name, shape, "", "", 0, Traffic(0, 0), lambda _: Verdict(True, 0.0, 0.0, ""), (), main=main)
    result = blank(case, Candidate(candidate, lambda: lambda: None, ours=candidate == "fastcolor"), Setting())
    result["note"] = note
    if not seconds:
        return result | {"status": "skipped"}
    return result | quantiles(seconds) | {"runs": len(seconds)} | NO_RATES
