"""What a stranger needs to know to repeat the numbers: machine, versions, environment, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("numpy", "numba", "llvmlite", "torch", "triton", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda", "scipy"),
    *("scikit-learn", "scikit-image", "opencv-python-headless", "pillow"),
)
# Settings that change what is measured: threads, allocator, CPU dispatch of the BLAS and compiler libraries, CUDA.
ENVIRONMENT = re.compile(
    r"^(OMP|OPENBLAS|MKL|NVPL|BLIS|KMP|GOMP|MALLOC|NUMBA|NPY|ATEN|TORCHINDUCTOR|DNNL|ONEDNN|CUPY|TRITON|PYTORCH)_"
    r"|^CUDA_(DEVICE|LAUNCH|MODULE|VISIBLE|AUTO)_|^(GLIBC_TUNABLES|LD_PRELOAD)$"
)
FLAGS = ("avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd")
# What the bench itself writes does not make a commit's figures those of another state.
_OUTPUTS = (":!bench/results", ":!bench/report", ":!README.md")


def describe() -> dict[str, Any]:
    """CPU model, flags, caches, cores, memory, system."""
    info = _first_processor()
    flags = set(info.get("flags", info.get("Features", "")).split())
    return {
        "cpu": info.get("model name", platform.processor() or platform.machine()),
        "architecture": platform.machine(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "caches": _caches(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "huge_pages": _text("/sys/kernel/mm/transparent_hugepage/enabled"),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str]:
    """Python and every package that is measured."""
    found = {"python": platform.python_version()}
    for name in ("fastcolor", *PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment() -> dict[str, str]:
    """The variables that matter, as this process was started."""
    return {name: value for name, value in sorted(os.environ.items()) if ENVIRONMENT.search(name)}


def commit() -> tuple[str, bool]:
    """``git rev-parse HEAD``, and whether tracked files other than the bench's own outputs differ from it.

    Of a tree without git, and of another checkout that is measured, FASTCOLOR_COMMIT tells it.
    """
    if told := os.environ.get("FASTCOLOR_COMMIT"):
        return told, False
    try:
        head = _git("rev-parse", "HEAD")
        dirty = bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".", *_OUTPUTS))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True
    return head, dirty


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def slug(described: dict[str, Any]) -> str:
    """A name for file names: ``intel-xeon-processor-2cpu``.

    >>> slug({"cpu": "Intel(R) Xeon(R) Processor", "cpus": 2})
    'intel-xeon-processor-2cpu'
    """
    words = re.sub(r"\((R|TM|r|tm)\)", "", described["cpu"])
    return plain(f"{words} {described['cpus']}cpu")


def plain(text: str) -> str:
    """Lower case, everything but letters and digits a dash.

    >>> plain("NVIDIA H100 80GB HBM3")
    'nvidia-h100-80gb-hbm3'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def kept(what: str) -> Path:
    """Where figures are kept by the hash of all that they depend on, for every checkout: in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastcolor" / what


def write_text(path: str | Path, text: str) -> None:
    """Write a file whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _first_processor() -> dict[str, str]:
    block = _text("/proc/cpuinfo").split("\n\n")[0]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block.splitlines())}


def _caches() -> dict[str, str]:
    folder = Path("/sys/devices/system/cpu/cpu0/cache")
    found = {}
    for index in sorted(folder.glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(_text(index / "type"), "")
        found[f"L{_text(index / 'level')}{kind}"] = _text(index / "size")
    return found


def _memory_gb() -> float | None:
    match = re.search(r"MemTotal:\s+(\d+) kB", _text("/proc/meminfo"))
    return round(int(match[1]) / 1e6, 1) if match else None


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
