"""Python in a process of its own that a sanitizer watches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .build import COMPILER, HERE

# libstdc++ comes along, or the sanitizer would look for what throws before it is loaded.
PRELOADED = {
    "address,undefined": ("libasan.so", "libubsan.so", "libstdc++.so"),
    "thread": ("libtsan.so", "libstdc++.so"),
}
# ThreadSanitizer needs its part of the address space, which randomised addresses sometimes take.
_FIXED_ADDRESSES = ("setarch", "-R")
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:handle_segv=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66",
    "PYTHONMALLOC": "malloc",
    "OPENBLAS_NUM_THREADS": "1",
}


def run(sanitizer: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """``python ARGUMENTS`` with HostModule building for `sanitizer`."""
    libraries = [_library(name) for name in PRELOADED[sanitizer]]
    environment = {
        **os.environ,
        **OPTIONS,
        "LD_PRELOAD": " ".join(libraries),
        "FASTCOLOR_HOST_SANITIZE": sanitizer,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(
        [*_FIXED_ADDRESSES, sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _library(name: str) -> str:
    found = subprocess.run([COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = Path(found.stdout.strip())
    if not path.is_absolute():
        raise FileNotFoundError(f"{name}: expected beside {COMPILER}, found none; install the sanitizers of g++")
    return str(path)
