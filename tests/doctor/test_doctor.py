"""``fastcolor doctor``: what it says when all is well, and what it says about each thing that can be wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import fastcolor
from fastcolor.commands.main import main
from fastcolor.doctor import advice
from fastcolor.doctor import cuda as doctor_cuda
from fastcolor.doctor.advice import cuda_problems, diagnose


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

    monkeypatch.setattr(fastcolor.arrays.run, "choose", broken)
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
    monkeypatch.setattr(advice, "backends", lambda: {"cuda": status})
    assert main(["doctor"]) == 0
    assert "not available: ImportError: no driver; install one" in capsys.readouterr().out


def test_no_kernel_cache_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fastcolor.kernels.cache.cache_folder", lambda: None)
    assert main(["doctor"]) == 0
    assert "set NUMBA_CACHE_DIR" in capsys.readouterr().out


def test_torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(advice, "_version", lambda name: "2.6.0")
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


def fake_torch(monkeypatch: pytest.MonkeyPatch, cuda: str) -> None:
    """A torch that sees one GPU."""
    card = SimpleNamespace(name="NVIDIA H100 80GB HBM3", total_memory=85_000_000_000, major=9, minor=0)
    torch = ModuleType("torch")
    torch.cuda = SimpleNamespace(device_count=lambda: 1, get_device_properties=lambda index: card)  # type: ignore[attr-defined]
    torch.version = SimpleNamespace(cuda=cuda)  # type: ignore[attr-defined]
    torch.get_num_threads = lambda: 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(advice, "_version", lambda name: "1")


def fake_cupy(monkeypatch: pytest.MonkeyPatch, build: str, *, runtime: int, driver: int, compiler: int) -> None:
    """A CuPy that is installed, and that sees one GPU if there is a driver."""
    card = {"name": b"NVIDIA L4", "totalGlobalMem": 24_000_000_000, "major": 8, "minor": 9}
    api = SimpleNamespace(
        runtimeGetVersion=lambda: runtime,
        driverGetVersion=lambda: driver,
        getDeviceCount=lambda: int(driver > 0),
        getDeviceProperties=lambda index: card,
    )
    cupy = ModuleType("cupy")
    cupy.cuda = ModuleType("cupy.cuda")  # type: ignore[attr-defined]
    cupy.cuda.runtime = api  # type: ignore[attr-defined]
    cupy.cuda.nvrtc = SimpleNamespace(getVersion=lambda: (compiler, 0))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cupy.cuda)  # type: ignore[attr-defined]
    monkeypatch.setattr(doctor_cuda, "cupy_builds", lambda: [build])


def test_a_gpu_and_two_cudas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake_torch(monkeypatch, "13.0")
    fake_cupy(monkeypatch, "cupy-cuda12x", runtime=12090, driver=13000, compiler=13)
    report = diagnose()
    assert report["cuda"] == {
        "torch": "13.0",
        "cupy": ["cupy-cuda12x"],
        "cupy_cuda": "12.9",
        "nvrtc": "13.0",
        "driver": "13.0",
        "devices": ["NVIDIA H100 80GB HBM3, 85 GB, compute capability 9.0"],
    }
    assert report["threads"]["torch"] == 7
    beside = "cupy-cuda12x beside torch for CUDA 13.0; pip uninstall cupy-cuda12x, then pip install cupy-cuda13x"
    loaded = "CuPy for CUDA 12 has loaded NVRTC of CUDA 13, which another package brought; pip uninstall cupy-cuda12x"
    assert beside in report["problems"]
    assert any(problem.startswith(loaded) for problem in report["problems"])
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for line in (
        "  device             NVIDIA H100 80GB HBM3, 85 GB",
        "CUDA 12.9, compiler (NVRTC) 13.0",
        "for CUDA 13.0",
    ):
        assert line in text


def test_a_gpu_without_torch(monkeypatch: pytest.MonkeyPatch, nothing_installed: None) -> None:
    fake_cupy(monkeypatch, "cupy-cuda13x", runtime=13000, driver=13000, compiler=13)
    cuda = diagnose()["cuda"]
    assert cuda["devices"] == ["NVIDIA L4, 24 GB, compute capability 8.9"]
    assert cuda["torch"] is None


def test_cupy_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of the backend is a problem once somebody has installed it."""
    fake_cupy(monkeypatch, "cupy-cuda13x", runtime=13000, driver=0, compiler=13)
    reason = "RuntimeError: there is no NVIDIA driver; install one"
    monkeypatch.setattr(advice, "backends", lambda: {"cupy": fastcolor.BackendStatus("cupy", ("cuda",), False, reason)})
    report = diagnose()
    assert report["cuda"]["driver"] is None
    assert f"cupy is installed, but {reason}" in report["problems"]


def test_a_gpu_that_works_and_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check of the CPU path, on arrays of a GPU: here a CuPy of NumPy arrays, and backends of the CPU."""
    fake_cupy(monkeypatch, "cupy-cuda13x", runtime=13000, driver=13000, compiler=13)
    cupy = sys.modules["cupy"]
    cupy.asarray = cupy.asnumpy = np.asarray  # type: ignore[attr-defined]
    monkeypatch.setattr(advice, "_torch", lambda: (None, ""))
    on_gpu = fastcolor.BackendStatus("numba", ("cpu", "cuda"), True, "")
    monkeypatch.setattr(advice, "backends", lambda: {"numba": on_gpu})
    assert main(["doctor"]) == 0
    assert "  numba              encode and decode agree with the reference" in capsys.readouterr().out
    cupy.asnumpy = lambda array: np.zeros_like(array)  # type: ignore[attr-defined]
    report = diagnose()
    assert report["works"]
    assert any("the GPU path of numba gives" in problem for problem in report["problems"])


def test_cupy_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_cuda, "cupy_builds", lambda: ["cupy-cuda13x"])
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert diagnose()["cuda"]["cupy_error"].startswith("ModuleNotFoundError")


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
