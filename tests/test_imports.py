"""`import fastcolor` loads nothing heavy, and what is lazy is still there when asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch", "cupy", "numba", "llvmlite", "matplotlib", "av", "PIL", "tensorboard", "scipy", "skimage", "cv2",
    "sklearn", "safetensors", "tqdm",
)  # fmt: skip


def run_python(code: str, cwd: Path, **environment: str) -> str:
    """Standard output of `code` in a fresh interpreter, run elsewhere than in the source tree."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["fastcolor", "fastcolor.reference", "fastcolor.cli", "fastcolor.ops"])
def test_importing_loads_nothing_heavy(module: str, tmp_path: Path) -> None:
    loaded = run_python(f"import {module}, sys; print(*[m for m in {HEAVY} if m in sys.modules])", tmp_path)
    assert loaded == ""


def test_numpy_only_work_stays_without_torch(tmp_path: Path) -> None:
    """Operations on NumPy arrays load Numba, and neither torch nor the rest."""
    code = (
        "import fastcolor, numpy as np, sys\n"
        "bins = fastcolor.ColorBins.default()\n"
        "fastcolor.decode(np.zeros((bins.n, 2, 2), np.float32), np.zeros((2, 2), np.float32), bins)\n"
        f"print(*[m for m in {HEAVY} if m in sys.modules])"
    )
    assert set(run_python(code, tmp_path).split()) <= {"numba", "llvmlite", "scipy"}  # numba looks whether SciPy is there


def test_every_public_name_is_there_and_listed(tmp_path: Path) -> None:
    code = "import fastcolor; [getattr(fastcolor, name) for name in fastcolor.__all__]; print(len(dir(fastcolor)))"
    assert int(run_python(code, tmp_path)) > 10


def test_an_unknown_name_is_an_attribute_error(tmp_path: Path) -> None:
    code = "import fastcolor\ntry: fastcolor.decoed\nexcept AttributeError as error: print(error)"
    assert run_python(code, tmp_path) == "module 'fastcolor' has no attribute 'decoed'"


def test_a_read_only_home_and_package_still_work(tmp_path: Path) -> None:
    """The compile cache finds another folder, or does without."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    code = "import fastcolor, numpy as np; print(fastcolor.confidence(np.zeros((4, 2, 2), np.float32))[0][0, 0])"
    out = run_python(code, tmp_path, HOME=str(closed), XDG_CACHE_HOME=str(closed), NUMBA_CACHE_DIR=str(closed / "x"))
    assert out == "0.25"
