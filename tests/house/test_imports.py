"""`import fastcolor` loads nothing heavy, and what is lazy is still there when asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

HEAVY = (
    "torch", "cupy", "numba", "llvmlite", "matplotlib", "av", "PIL", "tensorboard", "scipy", "skimage", "cv2",
    "sklearn", "safetensors", "tqdm", "tifffile", "imagecodecs", "pillow_heif",
)  # fmt: skip


def run_python(code: str, cwd: Path, **environment: str) -> str:
    """Standard output of `code` in a fresh interpreter, run elsewhere than in the source tree."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["fastcolor", "fastcolor.reference", "fastcolor.commands.main", "fastcolor.ops"])
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
    assert set(run_python(code, tmp_path).split()) <= {
        "numba",
        "llvmlite",
        "scipy",
    }  # numba looks whether SciPy is there


def test_a_checkout_that_is_not_installed_says_so(tmp_path: Path) -> None:
    """Its folders reference and kernels are modules of fastcolor once it is installed, and not before."""
    shutil.copytree(ROOT / "fastcolor", tmp_path / "fastcolor")
    code = (
        "import sys\n"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)]\n"
        "try: import fastcolor\n"
        "except ImportError as error: print(error, error.__cause__, error.__suppress_context__)"
    )
    said = run_python(code, tmp_path)
    assert said.startswith("fastcolor: expected an installed package, got the bare source folder ")
    assert "run `pip install -e .`" in said
    assert said.endswith("None True"), "one error, not two"


def test_a_missing_numpy_is_not_called_a_missing_installation(sealed: dict[str, str], tmp_path: Path) -> None:
    code = "import sys; sys.modules['numpy'] = None\ntry: import fastcolor\nexcept ImportError as error: print(error)"
    assert "numpy" in run_python(code, tmp_path, **sealed)


def test_every_public_name_is_there_and_listed(tmp_path: Path) -> None:
    code = "import fastcolor; [getattr(fastcolor, name) for name in fastcolor.__all__]; print(len(dir(fastcolor)))"
    assert int(run_python(code, tmp_path)) > 10


def test_an_unknown_name_is_an_attribute_error(tmp_path: Path) -> None:
    code = "import fastcolor\ntry: fastcolor.decoed\nexcept AttributeError as error: print(error)"
    assert run_python(code, tmp_path) == "module 'fastcolor' has no attribute 'decoed'"


# --- where compiled kernels are kept ----------------------------------------------------------------------------------

ENCODE = "import fastcolor, numpy as np; fastcolor.encode(np.zeros((1, 3), np.float32), fastcolor.ColorBins.default());"
FOLDER = "from fastcolor.kernels.cache import cache_folder; print(cache_folder())"
NOWHERE = os.path.join(os.devnull, "x")  # cannot be made, not even by root


@pytest.fixture
def sealed(tmp_path: Path) -> dict[str, str]:
    """The environment of an installed copy of a user for whose compiled kernels no folder can be made."""
    package, ignored = tmp_path / "lib" / "fastcolor", shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fastcolor", package, ignore=ignored)
    for folder in ("reference", "kernels"):
        shutil.copytree(ROOT / folder, package / folder, ignore=ignored)
    names = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")
    return {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"} | dict.fromkeys(names, NOWHERE)


@pytest.mark.promise("Newcomers", "nothing compiled lies in the package's folder, so that an uninstalled one is gone")
def test_a_package_stays_as_it_was_installed_and_kernels_lie_in_the_users_cache(
    sealed: dict[str, str], tmp_path: Path
) -> None:
    """And a second process finds them there: nothing is compiled again."""
    cache, installed = tmp_path / "cache", set((tmp_path / "lib").rglob("*"))
    environment = sealed | {"XDG_CACHE_HOME": str(cache)}
    assert Path(run_python(ENCODE + FOLDER, tmp_path, **environment)).is_relative_to(cache / "fastcolor")
    assert set((tmp_path / "lib").rglob("*")) == installed
    compiled = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    assert compiled
    run_python(ENCODE, tmp_path, **environment)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")} == compiled


def test_another_checkout_of_the_same_sources_finds_what_one_has_compiled(
    sealed: dict[str, str], tmp_path: Path
) -> None:
    cache, other = tmp_path / "cache", tmp_path / "elsewhere"
    environment = sealed | {"XDG_CACHE_HOME": str(cache)}
    run_python(ENCODE, tmp_path, **environment)
    compiled = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    assert compiled
    shutil.copytree(tmp_path / "lib", other)
    for path in other.rglob("*.py"):
        os.utime(path)
    run_python(ENCODE, tmp_path, **environment | {"PYTHONPATH": str(other)})
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")} == compiled


def test_without_a_home_kernels_are_kept_in_a_private_temporary_folder(sealed: dict[str, str], tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    folder = Path(run_python(FOLDER, tmp_path, **sealed, TMPDIR=str(temporary)))
    assert folder.parent == temporary
    assert os.name == "nt" or folder.stat().st_mode & 0o077 == 0
