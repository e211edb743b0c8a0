"""A wheel is built from a copy of the source tree, installed in a fresh environment, and used from somewhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from once import made_once
from paths import ROOT

BUILD = "import setuptools.build_meta as backend, sys; print(getattr(backend, sys.argv[1])(sys.argv[2]))"
SOURCES = ("fastcolor", "reference", "kernels", "bench", "tests", "docs")
NOT_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.nbi", "*.nbc", "results", ".*")


def run(command: list[Any], cwd: Path, **environment: str) -> str:
    # PYTHONPATH could show the source tree to the environment that must do without it.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, in which both are built without isolation (and so without a network)."""

    def make(at: Path) -> None:
        tree = at / "tree"
        tree.mkdir()
        for folder in SOURCES:
            if (ROOT / folder).is_dir():
                shutil.copytree(ROOT / folder, tree / folder, ignore=NOT_SOURCES)
        for path in ROOT.iterdir():
            if path.is_file() and not path.name.startswith("."):
                shutil.copy2(path, tree)
        for kind in ("wheel", "sdist"):
            run([sys.executable, "-c", BUILD, f"build_{kind}", at / kind], cwd=tree)

    return made_once(tmp_path_factory, "tree", make)


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    (built,) = (tree / "wheel").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that holds the wheel and sees the dependencies installed here.

    The running environment's site-packages is added as a plain path: its own .pth files, and with them an editable
    install of the source tree, are not processed.
    """

    def make(folder: Path) -> None:
        home = folder / "venv"
        run([sys.executable, "-m", "venv", "--without-pip", home], cwd=folder)
        interpreter = interpreter_of(home)
        site = Path(run([interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], cwd=home))
        run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", interpreter, "install", "--quiet",
             "--no-deps", "--no-index", wheel], cwd=home,
        )  # fmt: skip
        (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")

    return interpreter_of(made_once(tmp_path_factory, "environment", make) / "venv")


def interpreter_of(home: Path) -> Path:
    return next(path for path in (home / "bin" / "python", home / "Scripts" / "python.exe") if path.exists())


def test_the_wheel_is_pure_python(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def expected() -> dict[str, str]:
    """Name in the wheel and name in the checkout of every module, CUDA source, weight, set of bins and sample."""
    patterns = {
        "fastcolor": ("**/*.py", "py.typed", "data/*.npz", "data/models/*/*", "data/samples/*"),
        "reference": ("**/*.py",),
        "kernels": ("**/*.py", "**/*.cu", "**/*.cuh", "**/*.json"),
    }
    found = {}
    for folder, wanted in patterns.items():
        package = "fastcolor" if folder == "fastcolor" else f"fastcolor/{folder}"
        for path in (path for pattern in wanted for path in (ROOT / folder).glob(pattern) if path.is_file()):
            inside = path.relative_to(ROOT / folder).as_posix()
            found[f"{package}/{inside}"] = f"{folder}/{inside}"
    kinds = {".py", ".typed", ".cu", ".cuh", ".npz", ".safetensors", ".json", ".jpg"}
    assert {Path(name).suffix for name in found} >= kinds
    return found


def test_the_wheel_holds_what_it_must(names: list[str]) -> None:
    assert not set(expected()) - set(names)
    for licence in ("LICENSE", "NOTICE"):
        assert any(name.endswith(f"dist-info/licenses/{licence}") for name in names), licence


def test_the_sdist_holds_what_it_must(tree: Path) -> None:
    """And what is needed to build the wheel of it."""
    (built,) = (tree / "sdist").glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not {*expected().values(), "pyproject.toml", "README.md", "LICENSE", "NOTICE"} - names
    assert not [name for name in names if name.startswith(("tests/", "bench/")) or "__pycache__" in name]


def test_the_wheel_holds_nothing_else(names: list[str]) -> None:
    roots = {name.split("/")[0] for name in names}
    assert len(roots) == 2, roots
    assert "fastcolor" in roots
    assert not [name for name in names if "test" in name.lower() or "bench" in name or "__pycache__" in name]


def test_the_installed_wheel_is_what_is_imported(python: Path, tmp_path: Path) -> None:
    code = "import fastcolor, fastcolor.reference, fastcolor.kernels as k; print(fastcolor.__file__); print(k.__file__)"
    for line in run([python, "-c", code], cwd=tmp_path).splitlines():
        assert Path(line).is_relative_to(python.parents[1])
        assert not Path(line).is_relative_to(ROOT)


def test_the_installed_wheel_works(python: Path, tmp_path: Path) -> None:
    code = (
        "import fastcolor, numpy as np\n"
        "bins = fastcolor.ColorBins.default()\n"
        "photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)\n"
        "luma, labels, weights = fastcolor.encode(photo, bins)\n"
        "assert (labels == fastcolor.reference.encode(photo, bins)[1]).all()\n"
        "one_hot = np.where(np.arange(bins.n)[:, None, None] == labels, np.float32(0), np.float32(-np.inf))\n"
        "print(fastcolor.decode(one_hot, luma, bins).shape)\n"
    )
    assert run([python, "-c", code], cwd=tmp_path) == "(40, 50, 3)"


def test_the_installed_wheel_has_the_text_of_its_cuda_kernels(python: Path, tmp_path: Path) -> None:
    code = (
        "from fastcolor.kernels.cupy_cuda.source import source\n"
        "text = source('decode')\n"
        "assert '__global__' in text and '#include' not in text\n"
        "print(text.count('namespace fc') > 2)\n"
    )
    assert run([python, "-c", code], cwd=tmp_path) == "True"


def test_the_installed_command_works(python: Path, tmp_path: Path) -> None:
    command = python.with_name("fastcolor.exe" if os.name == "nt" else "fastcolor")
    version = run([command, "--version"], cwd=tmp_path)
    assert version.startswith("fastcolor ")
    assert run([python, "-m", "fastcolor", "--version"], cwd=tmp_path) == version
    photos = ROOT / "fastcolor" / "data" / "samples"
    run([command, "fit", photos, "-o", "bins.npz", "--n", "16"], cwd=tmp_path)
    code = "import fastcolor; print(fastcolor.ColorBins.load('bins.npz').n)"
    assert run([python, "-c", code], cwd=tmp_path) == "16"
    assert "numba" in run([command, "doctor"], cwd=tmp_path)
