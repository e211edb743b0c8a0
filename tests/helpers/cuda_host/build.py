"""Shared libraries from C++ text: built by g++ once, kept in the user's cache by the hash of all that went in."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from once import locked

from bench.measure.machine import kept

HERE = Path(__file__).parent
COMPILER = os.environ.get("CXX", "g++")
SANITIZERS = {
    "": (),
    "address,undefined": (
        "-O0",  # what runs is small: to compile takes longer
        "-fsanitize=address,undefined,float-cast-overflow",
        "-fno-sanitize=vptr",
        "-fno-sanitize-recover=all",
    ),
    "thread": ("-fsanitize=thread",),
}


class CompileError(RuntimeError):
    """g++ refused the text; the message opens with its first complaints."""


def available() -> bool:
    """Whether the compiler can be run."""
    return shutil.which(COMPILER) is not None


def cache_folder() -> Path:
    folder = kept("cuda-host")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="fastcolor-cuda-host-"))


@functools.cache
def _cache() -> Path:
    return cache_folder()


@functools.cache
def compiler_version() -> str:
    if not available():
        raise CompileError(f"{COMPILER}: not found; install g++ (12 or newer), or name another compiler in CXX")
    return _run(COMPILER, "-v").stderr


@functools.cache
def _machine() -> tuple[str, ...]:
    """fmaf and conversions of halves as instructions, where the processor has them."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return ()
    return ("-march=x86-64-v3",) if {"avx2", "fma", "f16c", "bmi2"} <= flags else ()


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """A tool, which no sanitizer of this process shall watch."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def build(text: str, flags: tuple[str, ...] = (), libraries: tuple[str, ...] = ()) -> Path:
    """The shared library of a C++ text, built unless the cache holds it."""
    command = [COMPILER, "-x", "c++", "-fPIC", "-shared", "-O1", "-g1", "-fno-strict-aliasing"]
    command += [*_machine(), *flags]
    headers = [header.read_text() for header in sorted(HERE.glob("*.h"))]
    key = hashlib.sha256()
    for part in (compiler_version(), *command, *libraries, *headers, text):
        key.update(part.encode() + b"\0")
    library = _cache() / f"{key.hexdigest()[:32]}.so"
    if library.exists():
        return library
    with locked(library):
        if not library.exists():
            # Headers count by what they say, not by where they lie: another checkout finds what this one has built.
            _build([*command, f"-I{HERE}"], text, libraries, library)
    return library


def _build(command: list[str], text: str, libraries: tuple[str, ...], library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=_cache(), prefix="build-") as folder:
        source, built = Path(folder) / "kernel.cu", Path(folder) / "kernel.so"
        source.write_text(text)
        done = _run(*command, "-o", str(built), str(source), "-x", "none", *libraries)
        if done.returncode:
            raise CompileError(_complaints(done.stderr.replace(f"{folder}/", "")))
        os.replace(built, library)


def variables_of_functions(library: Path, anchor: str) -> list[tuple[int, int]]:
    """Where static variables of functions (the kernels' shared memory) lie, counted from `anchor`, and their sizes."""
    table = _run("objdump", "-t", str(library)).stdout
    rows = [(line[:16], line[24:].split()) for line in table.splitlines() if line[:1] in "0123456789abcdef"]
    objects = {fields[-1]: (int(address, 16), fields) for address, fields in rows if len(fields) >= 3}
    first = objects[anchor][0]
    return [
        (address - first, int(fields[1], 16))
        for name, (address, fields) in objects.items()
        if name.startswith("_ZZ") and fields[0] in (".bss", ".data")
    ]


def _complaints(log: str) -> str:
    lines = log.splitlines()
    first = next((number for number, line in enumerate(lines) if ": error:" in line or ": undefined" in line), 0)
    return "g++ refused the CUDA text:\n" + "\n".join(lines[first : first + 20])
