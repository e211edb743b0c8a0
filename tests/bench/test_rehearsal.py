"""``python -m bench gpu-day`` from end to end, in processes of its own, with a stand-in GPU (helpers/stand_in_gpu).

In this environment, without the stages that are suites of tests, which run here as they are; whole in the environment
that FASTCOLOR_DAY_PYTHON names, and then from a bare copy of the tree, as on a machine that is lent (``make rehearse``
makes one with the versions of such a machine).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cuda_host.build import available
from paths import ROOT

from bench.publish import report, schema

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not available(), reason="g++ is not installed")

PYTHON = os.environ.get("FASTCOLOR_DAY_PYTHON", "")
SUITES_OF_TESTS = ["correctness", "streams"]
STAGES = ["compile", "smoke", *(SUITES_OF_TESTS if PYTHON else []), "memcheck", "racecheck", "sweep", "bench"]
SUITES = "histogram,merge"  # which need no inputs as large as logits


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Where the command runs: this tree, or a copy of it without .git and without an installation."""
    if not PYTHON:
        return ROOT
    copy = tmp_path_factory.mktemp("copy") / "tree"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "runs", "results", "*.egg-info")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    return copy


def start(tree, out, *words, **variables):
    stand_in = tree / "tests/helpers/stand_in_gpu"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))},
        "PYTHONPATH": str(stand_in),
        "PATH": f"{stand_in}{os.pathsep}{os.environ['PATH']}",
        "PYTEST_PLUGINS": "sitecustomize",
        "FASTCOLOR_COMMIT": "0123456789abcdef",
        **variables,
    }
    command = [PYTHON or sys.executable, "-m", "bench", "gpu-day", "--out", str(out), "--suites", SUITES, *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=tree, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def test_every_stage_begins_ends_in_time_and_is_told(tree, tmp_path):
    """With a fault in one operation, which does not keep the others from what they have to do."""
    begun = time.monotonic()
    process = start(tree, tmp_path, "--budget", "900", "--only", ",".join(STAGES), FASTCOLOR_STAND_IN_FAULT="merge_lab")
    said = process.communicate()[0]
    assert process.returncode == 3, said
    assert time.monotonic() - begun < 900
    summary = (tmp_path / "summary.txt").read_text()
    assert said.endswith(summary + "\n")
    assert len(summary.splitlines()) <= 60
    told = {line.split()[0]: line for line in summary.splitlines() if line.split()[0] in STAGES}
    assert list(told) == STAGES
    ended = {name: " ".join(line.split()[1:3]) for name, line in told.items()}
    failed = {"smoke": "status 1", "memcheck": "status 1", "racecheck": "status 1"}
    assert {name: how for name, how in ended.items() if not how.startswith("ok ")} == failed
    assert "6 of 8 right; backends cupy; numba-cuda does not run" in told["smoke"]
    lines = summary.splitlines()
    assert lines[lines.index(told["smoke"]) + 1].endswith("AssertionError: planted")
    for name in SUITES_OF_TESTS if PYTHON else ():
        assert " passed" in told[name]
        assert json.loads((tmp_path / f"{name}.json").read_text())["finished"]
    assert "8 calls; ERROR SUMMARY: 0 errors" in told["memcheck"]
    assert lines[lines.index(told["memcheck"]) + 1].startswith("    WRONG merge_lab on 61 x 83: planted")
    assert "left out: --without torch.compile" in told["bench"]
    assert "commit 0123456789" in summary
    assert "take least at 8 x 16, planar or streamed (us), commit 0123456789; next best:" in summary
    assert "merge              2x256x256 on 40x52" in summary
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"summary.txt", "log.txt", *(f"{name}.json" for name in sorted(STAGES) if name in WRITERS)}
    assert len(files) <= 8
    assert all(name in summary for name in files)
    assert {line.partition("|")[0] for line in (tmp_path / "log.txt").read_text().splitlines()} == {"day", *STAGES}
    assert json.loads((tmp_path / "smoke.json").read_text())["gpu"][0]["name"] == "Stand-In GPU"
    metadata = schema.read(tmp_path / "bench.json")["metadata"]
    assert metadata["left_out"].keys() == {"--without torch.compile"}
    assert metadata["commit"] == "0123456789abcdef"
    if PYTHON:
        assert (tree / "fastcolor/kernels").is_symlink()
    print(summary)


WRITERS = ("smoke", "correctness", "streams", "sweep", "bench")


def test_a_day_that_is_killed_leaves_whole_files(tree, tmp_path):
    """In the middle of the benchmark: what was known is on disk."""
    process = start(tree, tmp_path, "--budget", "900", "--only", "bench")
    part = tmp_path / "bench.part.json"
    try:
        while process.poll() is None and not (part.exists() and json.loads(part.read_text())["results"]):
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    files = sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".part"))
    assert files == ["bench.part.json", "log.txt", "summary.txt"]
    document = schema.read(part)
    assert document["results"]
    assert document["metadata"]["left_out"].keys() > {"merge"}
    assert "**Left out:** " in report.report([document], [Path("bench.part.json")])
    lines = (tmp_path / "summary.txt").read_text().splitlines()
    assert next(line for line in lines if line.startswith("bench ")).split()[1] == "running"
