"""What a machine has for CUDA: builds and versions that must go together, the driver, the GPUs; and what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from ..kernels.common.cuda_probe import compiler_mix
from .check import named

Report = dict[str, Any]


def cuda_report(torch: Any) -> Report:
    """Versions and devices as torch (the module, or None) and CuPy tell them; what nobody can tell is None.

    Examples
    --------
    >>> sorted(cuda_report(None))
    ['cupy', 'cupy_cuda', 'devices', 'driver', 'nvrtc', 'torch']
    """
    builds = cupy_builds()
    report: Report = {
        "torch": None if torch is None else torch.version.cuda,
        "cupy": builds,
        "cupy_cuda": None,
        "nvrtc": None,
        "driver": None,
        "devices": [] if torch is None else _torch_devices(torch),
    }
    if builds:
        report |= _cupy_versions()
        report["devices"] = report["devices"] or _cupy_devices()
    return report


def cuda_problems(cupy_builds: Iterable[str], torch_cuda: str | None) -> list[str]:
    """Builds of CuPy that get in each other's way or need another CUDA than torch, each with the fix.

    Parameters
    ----------
    cupy_builds : iterable of str
        Installed distributions: "cupy", "cupy-cuda12x", ...
    torch_cuda : str or None
        ``torch.version.cuda``.

    Examples
    --------
    >>> cuda_problems(["cupy-cuda12x"], "13.0")
    ['cupy-cuda12x beside torch for CUDA 13.0; pip uninstall cupy-cuda12x, then pip install cupy-cuda13x']
    """
    builds = sorted(cupy_builds)
    wanted = f"cupy-cuda{torch_cuda.partition('.')[0]}x" if torch_cuda else None
    if len(builds) > 1:
        keep = wanted or builds[-1]
        return [
            f"{' and '.join(builds)} share one folder and break each other; "
            f"pip uninstall {' '.join(builds)}, then pip install {keep}"
        ]
    return [
        f"{build} beside torch for CUDA {torch_cuda}; pip uninstall {build}, then pip install {wanted}"
        for build in builds
        if wanted and build.startswith("cupy-cuda") and build != wanted
    ]


def version_problems(report: Report) -> list[str]:
    """Of :func:`cuda_report`: a compiler of another CUDA than CuPy was built for.

    Examples
    --------
    >>> len(version_problems({"cupy_cuda": "12.9", "nvrtc": "13.0"}))
    1
    """
    if not report["cupy_cuda"] or not report["nvrtc"]:
        return []
    mix = compiler_mix(_major(report["cupy_cuda"]), _major(report["nvrtc"]))
    return [mix] if mix else []


def cupy_builds() -> list[str]:
    """The installed distributions that bring the module ``cupy``; more than one is a fault."""
    names = {(dist.metadata["Name"] or "").lower() for dist in metadata.distributions()}
    return sorted(name for name in names if re.fullmatch(r"cupy(-cuda\w+|-rocm.*)?", name))


def _cupy_versions() -> Report:
    try:
        import cupy
    except Exception as error:
        return {"cupy_error": named(error)}
    runtime = cupy.cuda.runtime
    driver = _told(runtime.driverGetVersion)
    compiler = _told(cupy.cuda.nvrtc.getVersion)
    return {
        "cupy_cuda": _version(_told(runtime.runtimeGetVersion)),
        "nvrtc": compiler and "{}.{}".format(*compiler),
        "driver": _version(driver or None),  # 0 where there is none
    }


def _torch_devices(torch: Any) -> list[str]:
    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [_device(p.name, p.total_memory, p.major, p.minor) for p in found]


def _cupy_devices() -> list[str]:
    try:
        from cupy.cuda import runtime

        found = [runtime.getDeviceProperties(k) for k in range(runtime.getDeviceCount())]
    except Exception:  # the probe of the backend says what
        return []
    return [_device(p["name"].decode(), p["totalGlobalMem"], p["major"], p["minor"]) for p in found]


def _device(name: str, memory: int, major: int, minor: int) -> str:
    return f"{name}, {memory / 1e9:.0f} GB, compute capability {major}.{minor}"


def _told(ask: Any) -> Any:
    """What a library answers, or None: the probe of the backend has the reason."""
    try:
        return ask()
    except Exception:
        return None


def _version(number: int | None) -> str | None:
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def _major(version: str) -> int:
    return int(version.partition(".")[0])
