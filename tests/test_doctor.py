"""``fastcolor doctor``: what it says when all is well, and what it says about each thing that can be wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

import fastcolor
from fastcolor import doctor
from fastcolor.cli import main
from fastcolor.doctor import cuda_problems, diagnose


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the base requirements were there, and no optional one."""
    base = {"fastcolor", "numpy", "numba", "pillow", "tqdm"}
    real = metadata.version

    def version(name: str) -> str:
        if name not in base:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for expected in (fastcolor.__version__, "numpy", "numba", "kernel cache", "threads", "encode and decode agree"):
        assert expected in text


def test_json_has_the_same_facts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["works"] is True
    assert report["fastcolor"]["version"] == fastcolor.__version__
    assert report["packages"]["numpy"]["version"] == metadata.version("numpy")
    assert report["backends"]["numba"]["available"] is True
    assert report["threads"]["fastcolor"] == fastcolor.get_num_threads()
    assert report["data"]["bins"].startswith("32 bins")
    assert report["cpu"]["usable"] >= 1


def test_missing_extras_name_the_extra_and_are_no_problem(
    nothing_installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for package, extra in (("torch", "torch"), ("safetensors", "torch"), ("matplotlib", "plot")):
        line = next(line for line in text.splitlines() if line.startswith(f"  {package} "))
        assert "not installed" in line
        assert f"pip install 'fastcolor[{extra}]'" in line
    assert "No problems found" in text


def test_developers_tools_are_not_asked_for() -> None:
    packages = diagnose()["packages"]
    assert {"numpy", "torch", "matplotlib"} <= set(packages)
    assert not {"pytest", "hypothesis", "scikit-learn", "fastcolor"} & set(packages)


def test_a_source_tree_without_metadata(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    monkeypatch.setattr(metadata, "version", missing)
    assert main(["doctor"]) == 0
    assert fastcolor.__version__ in capsys.readouterr().out


def test_a_broken_cpu_path_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("LLVM ERROR: out of memory")

    monkeypatch.setattr(fastcolor._run, "choose", broken)
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "  - the CPU path does not run: RuntimeError: LLVM ERROR: out of memory" in text


def test_wrong_results_are_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    decode = fastcolor.ops.decode
    monkeypatch.setattr(fastcolor.ops, "decode", lambda *args, **options: decode(*args, **options) ^ 128)
    assert main(["doctor"]) == 1
    assert "wrong values" in capsys.readouterr().out


def test_an_unavailable_backend_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status = fastcolor.BackendStatus("cuda", ("cuda",), False, "ImportError: no driver; install one")
    monkeypatch.setattr(doctor, "backends", lambda: {"cuda": status})
    assert main(["doctor"]) == 0
    assert "not available: ImportError: no driver; install one" in capsys.readouterr().out


def test_no_kernel_cache_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fastcolor.kernels._jit.cache_folder", lambda: None)
    assert main(["doctor"]) == 0
    assert "set NUMBA_CACHE_DIR" in capsys.readouterr().out


def test_torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: "2.6.0")
    monkeypatch.setitem(sys.modules, "torch", None)  # what the import system makes of a failure
    assert main(["doctor"]) == 0
    assert "torch is installed but cannot be imported" in capsys.readouterr().out


def test_torch_without_safetensors(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "safetensors":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    pytest.importorskip("torch")
    monkeypatch.setattr(metadata, "version", version)
    assert main(["doctor"]) == 0
    assert "torch without safetensors" in capsys.readouterr().out


def test_devices_of_torch_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = ModuleType("torch")
    torch.cuda = ModuleType("torch.cuda")  # type: ignore[attr-defined]
    torch.cuda.device_count = lambda: 1  # type: ignore[attr-defined]
    torch.cuda.get_device_name = lambda index: f"GPU {index}"  # type: ignore[attr-defined]
    torch.version = ModuleType("torch.version")  # type: ignore[attr-defined]
    torch.version.cuda = "13.0"  # type: ignore[attr-defined]
    torch.get_num_threads = lambda: 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(doctor, "_version", lambda name: "1")
    monkeypatch.setattr(doctor, "_cupy_builds", lambda: ["cupy-cuda12x"])
    report = diagnose()
    assert report["cuda"] == {"torch": "13.0", "devices": ["GPU 0"], "cupy": ["cupy-cuda12x"]}
    assert report["threads"]["torch"] == 7
    assert any("pip install cupy-cuda13x" in problem for problem in report["problems"])


@pytest.mark.parametrize(
    ("builds", "torch_cuda", "expected"),
    [
        ([], None, None),
        ([], "13.0", None),
        (["cupy-cuda12x"], None, None),
        (["cupy-cuda12x"], "12.8", None),
        (["cupy"], "13.0", None),  # built from source: for whatever CUDA was there
        (["cupy-cuda12x"], "13.0", "pip uninstall cupy-cuda12x, then pip install cupy-cuda13x"),
        (
            ["cupy-cuda13x", "cupy-cuda12x"],
            "12.8",
            "pip uninstall cupy-cuda12x cupy-cuda13x, then pip install cupy-cuda12x",
        ),
        (
            ["cupy-cuda13x", "cupy-cuda12x"],
            None,
            "pip uninstall cupy-cuda12x cupy-cuda13x, then pip install cupy-cuda13x",
        ),
        (["cupy", "cupy-cuda12x"], "12.8", "share one folder and break each other"),
    ],
)
def test_mixed_cuda_versions(builds: list[str], torch_cuda: str | None, expected: str | None) -> None:
    problems = cuda_problems(builds, torch_cuda)
    assert len(problems) == (expected is not None)
    assert expected is None or expected in problems[0]


def test_environment_that_matters_is_shown(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastcolor", "doctor", "--json"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["environment"]["OMP_NUM_THREADS"] == "1"
