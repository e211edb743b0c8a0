"""Python in a process of its own that a sanitizer watches."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .build import COMPILER, HERE

# libstdc++ comes along, or the sanitizer would look for what throws before it is loaded.
PRELOADED = {
    "address,undefined": ("libasan.so", "libubsan.so", "libstdc++.so"),
    "thread": ("libtsan.so", "libstdc++.so"),
}
ATTEMPTS = 10
# ThreadSanitizer where the addresses of a process leave no room for its own memory; what it finds is worded otherwise.
NOT_STARTED = ("unexpected memory mapping", "ThreadSanitizer failed to allocate")
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
        "FASTCOLOR_HOST_SANITIZE": sanitizer,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }
    command = [*_fixed_addresses(), "env", f"LD_PRELOAD={' '.join(libraries)}", sys.executable, *arguments]
    for _ in range(ATTEMPTS):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
        if not any(message in done.stderr for message in NOT_STARTED):
            break
    return done


@functools.cache
def _fixed_addresses() -> tuple[str, ...]:
    """ThreadSanitizer wants a part of the address space that random addresses sometimes take; a container may forbid
    to fix them, and then another attempt helps.
    """
    fixed = ("setarch", "-R")
    if shutil.which(fixed[0]) is None:
        return ()
    tried = subprocess.run([*fixed, sys.executable, "-c", ""], capture_output=True, check=False)
    return fixed if tried.returncode == 0 else ()


def _library(name: str) -> str:
    found = subprocess.run([COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = Path(found.stdout.strip())
    if not path.is_absolute():
        raise FileNotFoundError(f"{name}: expected beside {COMPILER}, found none; install the sanitizers of g++")
    return str(path)
