"""An environment with the versions of a machine with a GPU, and the rehearsal of its day in it: ``make rehearse``.

``python tests/helpers/day_environment.py`` builds it once, in the user's cache, and runs tests/bench/test_rehearsal.py
with it. torch is the build for CUDA, of which what NVIDIA's libraries would bring is left out, two gigabytes and more:
for those that `import torch` needs there are stubs, made here, whose functions all end the process.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from paths import ROOT

from bench.measure.machine import kept

VERSION = "3.12"
# As on a machine seen on 2026-11-28; what is told without a version was not seen, and does not matter here.
ALONE = ("torch==2.11.0", "cupy-cuda13x==14.2.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85")
WITH_ALL = (
    *("numpy==2.5.2", "numba", "numba-cuda==0.30.4", "cuda-pathfinder", "pytest", "pytest-xdist", "pytest-timeout"),
    *("hypothesis", "pillow", "tqdm", "safetensors==0.8.0", "scipy", "scikit-image", "opencv-python-headless"),
    *("filelock", "typing-extensions", "setuptools<82", "sympy", "networkx", "jinja2", "fsspec", "matplotlib"),
)
NVIDIAS = r"(?:cu|nccl|nv)"  # what the names of their functions begin with


class CannotBuild(RuntimeError):
    """The reason, in one line."""


def main() -> int:
    """Exit status of the rehearsal; 0 where the environment cannot be built, which is told."""
    try:
        python = environment()
    except CannotBuild as reason:
        print(f"rehearse: NOT rehearsed with the versions of a machine with a GPU: {reason}", flush=True)
        return 0
    command = [sys.executable, "-m", "pytest", "-q", "-s", "tests/bench/test_rehearsal.py", "-k", "every_stage"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "FASTCOLOR_DAY_PYTHON": str(python)}).returncode


def environment() -> Path:
    """Its Python."""
    wanted = "\n".join([*ALONE, *WITH_ALL, Path(__file__).read_text(encoding="utf-8")])
    folder = kept("gpu-day") / hashlib.sha256(wanted.encode()).hexdigest()[:16]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _build(Path(temporary) / "made")
            (Path(temporary) / "made").rename(folder)
    return folder / "bin/python"


def pythons() -> Iterator[str]:
    """Programs that may be the Python that is wanted."""
    yield from filter(None, [shutil.which(f"python{VERSION}"), sys.executable])
    for folder in ("~/.pyenv/versions", "~/.local/share/uv/python", "/opt/hostedtoolcache/Python"):
        yield from sorted(glob.glob(f"{os.path.expanduser(folder)}/*{VERSION}*/**/bin/python3", recursive=True))


def _build(folder: Path) -> None:
    code = "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"
    told = ((p, subprocess.run([p, "-c", code], capture_output=True, text=True).stdout.strip()) for p in pythons())
    python = next((program for program, version in told if version == VERSION), None)
    if python is None:
        raise CannotBuild(f"no python{VERSION}")
    if not (shutil.which("gcc") and shutil.which("readelf")):
        raise CannotBuild("no gcc or readelf")
    _run(python, "-m", "venv", str(folder))
    pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-compile"]
    _run(*pip, "--no-deps", *ALONE)
    _run(*pip, *WITH_ALL)
    (packages,) = folder.glob("lib/python*/site-packages")
    _stubs(packages / "torch/lib", {path.name for path in packages.glob("nvidia/*/lib/*")})
    _run(str(folder / "bin/python"), "-c", "import torch, cupy; assert torch.version.cuda; torch.zeros(2).sum()")


def _stubs(torch: Path, there: set[str]) -> None:
    """Libraries with every function of NVIDIA's that torch's own name, and with the versions that they ask for."""
    needed, functions, versions = set[str](), set[str](), dict[str, set[str]]()
    for library in torch.glob("*.so"):
        needed.update(re.findall(rf"NEEDED.*\[(lib{NVIDIAS}\S+)\]", _run("readelf", "-dW", str(library))))
        functions.update(re.findall(rf" UND ({NVIDIAS}\w+)", _run("readelf", "--dyn-syms", "-W", str(library))))
        for block in re.split(r"File: ", _run("readelf", "-VW", str(library)))[1:]:
            versions.setdefault(block.split()[0], set()).update(re.findall(r"Name: (\S+)", block))
    code = "\n".join(f"void {name}(void) {{ __builtin_trap(); }}" for name in sorted(functions))
    with tempfile.TemporaryDirectory() as folder:
        source, script = Path(folder) / "stubs.c", Path(folder) / "versions"
        source.write_text(code)
        for name in needed - there:
            script.write_text("".join(f"{v} {{ global: *; }};\n" for v in versions.get(name, ())))
            options = [f"-Wl,--version-script={script}"] if script.stat().st_size else []
            _run("gcc", "-w", "-shared", "-fPIC", f"-Wl,-soname,{name}", *options, "-o", str(torch / name), str(source))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = next(reversed([line for line in done.stderr.splitlines() if line.strip()]), "")
        raise CannotBuild(f"{' '.join(command[:4])} ...: status {done.returncode}: {last[:200]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
