"""The tests' own rules: what must run fails where it cannot, nothing is left out unseen, a report says what ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import report
import strategies as make
from paths import HELPERS, ROOT


def run_pytest(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest without a GPU, whatever the machine has."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("FASTCOLOR_")}
    return subprocess.run(
        command, cwd=ROOT, env={**inherited, "CUDA_VISIBLE_DEVICES": "", **environment}, capture_output=True,
        text=True, timeout=200, check=False,
    )  # fmt: skip


def test_a_backend_that_does_not_run_here_is_an_error() -> None:
    done = run_pytest("tests/helpers/test_strategies.py", FASTCOLOR_TEST_BACKENDS="cupy")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "FASTCOLOR_TEST_BACKENDS: cupy does not run here: " in done.stderr


def test_where_a_gpu_is_required_the_others_are_tested_and_the_run_fails(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    asked = {"FASTCOLOR_TEST_BACKENDS": "numba,cupy", "FASTCOLOR_TEST_REPORT": str(path)}
    words = ["tests/kernels/test_laws.py", "-k", "gray_level"]
    assert run_pytest(*words, **asked).returncode == pytest.ExitCode.USAGE_ERROR
    done = run_pytest(*words, FASTCOLOR_REQUIRE_GPU="1", **asked)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 passed" in done.stdout
    assert "NOT TESTED, so this run has failed: FASTCOLOR_TEST_BACKENDS: cupy does not run here: " in done.stdout
    content = json.loads(path.read_text())
    assert (content["backends"], content["exit_status"]) == (["numba"], 1)
    assert [test["test"] for test in content["not_run"]] == ["backend cupy"]


def test_without_a_compiler_the_cuda_sources_are_skipped_or_an_error() -> None:
    absent = {"CXX": os.path.join(os.devnull, "g++")}
    done = run_pytest("tests/kernels/test_cuda_host.py", "-rs", **absent)
    assert done.returncode == pytest.ExitCode.OK
    assert "g++ is not installed" in done.stdout
    assert "passed" not in done.stdout
    done = run_pytest("tests/kernels/test_cuda_host.py", FASTCOLOR_REQUIRE_TOOLS="1", **absent)
    assert done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "FASTCOLOR_REQUIRE_TOOLS=1, but g++ is not installed" in done.stdout + done.stderr


def test_an_unknown_backend_is_an_error() -> None:
    done = run_pytest("tests/helpers/test_strategies.py", FASTCOLOR_TEST_BACKENDS="opencl")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "expected some of ['numba', 'cupy', 'numba-cuda', 'cuda-host'], got 'opencl'" in done.stderr


def test_tests_that_need_a_gpu_fail_without_one_if_it_is_required(tmp_path: Path) -> None:
    skipped, failed = tmp_path / "skipped.json", tmp_path / "failed.json"
    words = ["tests/kernels/test_gpu_only.py", "-k", "two_gpus"]
    assert run_pytest(*words, FASTCOLOR_TEST_REPORT=str(skipped)).returncode == pytest.ExitCode.OK
    done = run_pytest(*words, FASTCOLOR_TEST_REPORT=str(failed), FASTCOLOR_REQUIRE_GPU="1")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    content = json.loads(skipped.read_text())
    assert [test["why"] for test in content["not_run"]] == ["torch sees no CUDA device"]
    assert (content["finished"], content["exit_status"], content["outcomes"]["skipped"]) == (True, 0, 1)
    content = json.loads(failed.read_text())
    assert content["outcomes"]["failed"] == 1
    assert content["failed"] == ["tests/kernels/test_gpu_only.py::test_arrays_of_two_gpus_are_refused (setup)"]


def test_a_report_says_where_the_tests_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOLOR_COMMIT", "c0ffee")
    path = tmp_path / "new" / "report.json"
    one = report.Report(path, ["numba"], {"cupy": "no driver"})
    one.write(None)
    content: dict[str, Any] = json.loads(path.read_text())
    assert content["finished"] is False
    assert content["not_run"] == [{"test": "backend cupy", "why": "no driver"}]
    assert content["commit"] == "c0ffee"
    assert {"driver"} <= set(content["device"])
    assert {"python", "numpy", "torch", "pytest"} <= set(content["versions"])


def test_a_report_counts_once_what_each_worker_has_left_out(tmp_path: Path) -> None:
    one, outputs = report.Report(tmp_path / "report.json", ["numba"], {}), [{}, {}]
    for output in outputs:
        worker = report.WorkerReport(output)
        worker.pytest_deselected([1, 2])
        worker.pytest_deselected([3])
    for output in outputs:
        one.pytest_testnodedown(SimpleNamespace(workeroutput=output))
    one.pytest_testnodedown(SimpleNamespace())  # it died
    assert one.outcomes["deselected"] == 3


def test_what_workers_share_is_made_once(tmp_path: Path) -> None:
    """By the one that comes first; the others wait until it has done. What was begun and not ended is made again."""
    begun = tmp_path / "folder-run"
    begun.mkdir()
    (begun / "half").touch()
    code = (
        "import sys, time, pathlib, types, once\n"
        "base = pathlib.Path(sys.argv[1], 'worker')\n"
        "def make(folder):\n"
        "    assert not list(folder.iterdir())\n"
        "    time.sleep(0.2)\n"
        "    (folder / 'whole').touch()\n"
        "    print('made')\n"
        "factory = types.SimpleNamespace(getbasetemp=lambda: base)\n"
        "assert (once.made_once(factory, 'folder', make) / 'whole').exists()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(HELPERS), "PYTEST_XDIST_TESTRUNUID": "run"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert "".join(sorted(one.communicate(timeout=60)[0] for one in both)) == "made\n"
    assert [one.returncode for one in both] == [0, 0]


def test_operations_that_a_backend_lacks_are_named_and_deselected(backend: str) -> None:
    """A backend with every operation loses no test; where one is missing the header says so."""
    from tests.conftest import backends_for, lacking

    class Item:
        def __init__(self, *ops: str) -> None:
            self.ops = ops

        def iter_markers(self, name: str) -> list[Any]:
            return [pytest.mark.ops(*self.ops).mark] if name == "ops" else []

    absent = lacking(backend)
    assert backends_for(Item("encode"), [backend]) == ([] if "encode" in absent else [backend])
    with pytest.raises(pytest.UsageError, match="ops: expected some of"):
        backends_for(Item("encoed"), [backend])
    for op in absent:
        assert backends_for(Item(op), [backend]) == []


def test_arrays_lie_where_the_backend_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastcolor.kernels import registry

    from tests.conftest import rows_of

    class Item:
        def get_closest_marker(self, name: str) -> Any:
            return pytest.mark.arrays(
                "dtype", lambda kind: ["bfloat16"] if make.has_bfloat16(kind) else ["float32"]
            ).mark

    for name, devices in (("here", ("cpu",)), ("there", ("cuda",))):
        one = registry.Backend(name, "nowhere", devices, lambda: None, hint="")
        monkeypatch.setitem(registry.BACKENDS, name, one)
    assert list(rows_of(Item(), ["here", "there"])) == [
        ("here", "numpy", "float32"),
        ("here", "torch", "bfloat16"),
        ("there", "torch-cuda", "bfloat16"),
        ("there", "cupy", "float32"),
    ]
