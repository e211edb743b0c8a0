"""What runs here and what does not, with the next step for each: as plain data."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from ..arrays.dispatch import BackendStatus, backends
from ..network.pretrained import bundled_models
from .check import check_gpu, check_path, named
from .cuda import cuda_problems, cuda_report, version_problems

_DEVELOPER_EXTRAS = {"bench", "test"}  # nobody who colorizes misses them
# What the kernels gain from: 16 lanes in one or two registers, fused multiply-add, half precision in hardware.
_CPU_FEATURES = ("avx2", "fma", "f16c", "avx512f", "avx512bf16", "neon", "fullfp16", "bf16")
_ENVIRONMENT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT", "CUDA_VISIBLE_DEVICES")
Report = dict[str, Any]


def diagnose() -> Report:
    """Everything worth knowing for a bug report, as JSON-able data; ``works`` says whether the CPU path does.

    Examples
    --------
    >>> report = diagnose()
    >>> report["works"], sorted(report)[:3]
    (True, ['backends', 'check', 'cpu'])
    """
    from .. import __version__

    works, check = check_path("the CPU path")
    packages = _packages()
    torch, torch_error = _torch()
    cuda = cuda_report(torch)
    cache = _kernel_cache()
    statuses = backends()
    on_gpu = {s.name: check_gpu(s.name, torch) for s in statuses.values() if s.available and "cuda" in s.devices}
    return {
        "works": works,
        "check": check,
        "gpu_check": {name: text for name, (_, text) in on_gpu.items()},
        "fastcolor": {"version": __version__, "folder": str(Path(__file__).parents[1])},
        "python": {"version": platform.python_version(), "executable": sys.executable, "platform": platform.platform()},
        "packages": packages,
        "cpu": _cpu(),
        "threads": _threads(torch),
        "environment": {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        "kernel_cache": cache,
        "backends": {
            name: {"devices": list(status.devices), "available": status.available, "reason": status.reason}
            for name, status in statuses.items()
        },
        "cuda": cuda,
        "data": _data(),
        "problems": [
            *([] if works else [check]),
            *(text for right, text in on_gpu.values() if not right),
            *_cache_problems(cache),
            *_torch_problems(torch, torch_error, packages),
            *cuda_problems(cuda["cupy"], cuda["torch"]),
            *version_problems(cuda),
            *_gpu_problems(statuses, cuda["cupy"]),
        ],
    }


def _packages() -> dict[str, dict[str, str | None]]:
    """Version of each requirement of fastcolor, and the extra that brings it."""
    packages: dict[str, dict[str, str | None]] = {}
    for requirement in _requirements():
        match = re.match(r"([\w.-]+)\s*([^;\[]*)", requirement)
        extra = re.search(r"extra == ['\"](.+?)['\"]", requirement)
        name = match[1] if match else requirement
        if name != "fastcolor" and (extra is None or extra[1] not in _DEVELOPER_EXTRAS) and name not in packages:
            needs = f"{name}{match[2].strip()}" if match else None
            packages[name] = {"version": _version(name), "needs": needs, "extra": extra and extra[1]}
    return packages


def _requirements() -> list[str]:
    try:
        return metadata.requires("fastcolor") or []
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return []


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> dict[str, Any]:
    try:
        from llvmlite import binding

        has, llvm_name = binding.get_host_cpu_features(), binding.get_host_cpu_name()
    except Exception as error:  # the check of the CPU path says what follows from it
        has, llvm_name = {}, named(error)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": _cpu_model(),
        "llvm_name": llvm_name,
        "features": [name for name in _CPU_FEATURES if has.get(name)],
        "cores": os.cpu_count(),
        "usable": usable,
    }


def _cpu_model() -> str:
    try:
        match = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1] if match else platform.processor() or platform.machine()


def _threads(torch: Any) -> dict[str, int]:
    from ..kernels.numba_cpu.threads import get_num_threads

    return {"fastcolor": get_num_threads()} | ({} if torch is None else {"torch": torch.get_num_threads()})


def _torch() -> tuple[Any, str]:
    """The module, or None, and why it cannot be imported although it is installed."""
    if _version("torch") is None:
        return None, ""
    try:
        import torch
    except Exception as error:
        return None, named(error)
    return torch, ""


def _gpu_problems(statuses: dict[str, BackendStatus], cupy: list[str]) -> list[str]:
    """GPU backends that somebody has installed, and that do not run: no driver, no GPU, ..."""
    installed = {"cupy": cupy, "numba-cuda": _version("numba-cuda")}
    return [f"{s.name} is installed, but {s.reason}" for s in statuses.values() if installed.get(s.name) and s.reason]


def _torch_problems(torch: Any, error: str, packages: dict[str, dict[str, str | None]]) -> list[str]:
    if error:
        return [f"torch is installed but cannot be imported ({error}); install it again"]
    if torch and packages.get("safetensors", {"version": ""})["version"] is None:
        return ["torch without safetensors cannot load a network; pip install 'fastcolor[torch]'"]
    return []


def _kernel_cache() -> dict[str, str | None]:
    try:
        from ..kernels.cache import cache_folder

        folder, reason = cache_folder(), None
    except Exception as error:
        folder, reason = None, named(error)
    return {"folder": None if folder is None else str(folder), "reason": reason}


def _cache_problems(cache: dict[str, str | None]) -> list[str]:
    if cache["folder"] is not None:
        return []
    return ["no folder for compiled kernels can be written, so each process compiles them anew; set NUMBA_CACHE_DIR"]


def _data() -> dict[str, str]:
    from ..bins import ColorBins

    try:
        bins = ColorBins.default()
        described = f"{bins.n} bins of {bins.cells} x {bins.cells} cells"
    except (OSError, ValueError) as error:
        described = f"damaged: {error}"
    return {"bins": described, "models": ", ".join(bundled_models()) or "none"}
