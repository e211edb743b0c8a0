"""``python -m bench gpu-day`` rehearsed without a GPU: stages, time-outs and files, with stand-ins."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from cuda_host.build import available
from paths import ROOT

from bench import gpu_day, runner, worker
from bench.__main__ import main
from bench.measure import device, gpu
from bench.publish import report, schema
from bench.suites import pixels

torch = pytest.importorskip("torch")
from tests.bench.stand_ins import MADE_UP, installed  # noqa: E402

needs_host = pytest.mark.skipif(not available(), reason="g++ is not installed")


@pytest.fixture
def place(monkeypatch):
    monkeypatch.setattr(gpu, "ask", lambda: (MADE_UP, ""))
    return installed(monkeypatch)


def test_a_stage_that_fails_or_hangs_does_not_stop_the_next(tmp_path, monkeypatch, capsys):
    def python(code):
        return [sys.executable, "-c", code]

    stubborn = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    monkeypatch.setattr(gpu_day, "GRACE", 1)
    monkeypatch.setattr(
        gpu_day,
        "stages",
        lambda *_: [
            [("absent", ["no-such-program"], 20), ("fails", python("print('before'); 1 / 0"), 20)],
            [
                ("hangs", python("import time; print('begun', flush=True); time.sleep(60)"), 1.5),
                ("deaf", python(stubborn), 1.5),
            ],
            [("last", python("import os; print('backends', os.environ['FASTCOLOR_TEST_BACKENDS'])"), 20)],
        ],
    )
    assert main(["gpu-day", "--out", str(tmp_path)]) == 4
    said = capsys.readouterr().out
    for outcome in ("absent: not there", "fails: status 1", "hangs: cut off", "deaf: killed", "last: status 0"):
        assert f"=== {outcome}" in said
    assert "ZeroDivisionError" in (tmp_path / "fails.log").read_text()
    assert "begun" in (tmp_path / "hangs.log").read_text()
    assert (tmp_path / "last.log").read_text() == "backends cupy\n"
    assert main(["gpu-day", "--out", str(tmp_path), "--only", "last"]) == 0
    with pytest.raises(SystemExit):
        main(["gpu-day", "--out", str(tmp_path), "--only", "last,lost"])
    assert "expected stages of absent, fails, hangs, deaf, last, got lost" in capsys.readouterr().err


def test_every_stage_names_what_is_there():
    groups = gpu_day.stages(Path("/out"), 2.0, ["decode"], compiled=False)
    by_name = {name: (command, limit) for group in groups for name, command, limit in group}
    assert list(by_name) == ["smoke", "agreement", "streams", "memcheck", "racecheck", "sweep", "bench"]
    for command, limit in by_name.values():
        assert limit >= 150
        assert all((ROOT / word).is_file() for word in command if word.startswith("tests/"))
    command, limit = by_name["bench"]
    assert 0 < float(command[command.index("--budget") + 1]) < limit
    assert command[-2:] == ["--out", "/out/bench.json"]
    compiled = gpu_day.stages(Path("/out"), 1.0, [], compiled=True)[-1][0][1]
    assert "torch.compile" in command
    assert "torch.compile" not in compiled


@needs_host
def test_smoke_finds_what_is_wrong(place, tmp_path, monkeypatch):
    import gpu_cases
    import gpu_cases_lab

    chosen = [case for case in gpu_cases_lab.EVERY if case.op in ("encode", "confidence")]
    monkeypatch.setattr(gpu_day, "BACKENDS", ("cuda-host",))
    broken = dataclasses.replace(chosen[-1], check=lambda *_: 1 / 0)
    monkeypatch.setattr(gpu_cases_lab, "EVERY", [*chosen[:-1], broken])
    monkeypatch.setattr(gpu_cases, "HEIGHT", gpu_cases.HEIGHT)  # put back afterwards
    monkeypatch.setattr(gpu_cases, "WIDTH", gpu_cases.WIDTH)
    assert gpu_day.main(["--out", str(tmp_path), "--stage", "smoke"]) == 1
    found = json.loads((tmp_path / "smoke.json").read_text())
    assert found["gpu"] == [MADE_UP, ""]
    outcomes = {(name, outcome.strip().splitlines()[-1]) for _, name, _, _, outcome in found["results"]}
    assert (chosen[0].name, "ok") in outcomes
    assert (chosen[-1].name, "ZeroDivisionError: division by zero") in outcomes
    assert len(found["results"]) == 2 * len(chosen)
    monkeypatch.setattr(gpu_cases_lab, "EVERY", chosen)
    assert gpu_day.main(["--out", str(tmp_path), "--stage", "smoke"]) == 0
    monkeypatch.setattr(gpu_day, "BACKENDS", ())
    assert gpu_day.main(["--out", str(tmp_path), "--stage", "smoke"]) == 1
    assert json.loads((tmp_path / "smoke.json").read_text())["results"] == []


@needs_host
def test_sweep_times_every_number_of_pixels(place, tmp_path, monkeypatch):
    from fastcolor.kernels.cupy_cuda import engine, tile

    before, used = json.dumps(tile.WIDTHS), set()
    real = engine.Engine.launch
    monkeypatch.setattr(pixels, "BACKEND", "cuda-host")
    monkeypatch.setattr(pixels, "SWEPT", ((8, 16),))
    monkeypatch.setattr(pixels, "TYPES", ("float32",))
    monkeypatch.setattr(pixels, "PLANAR", (("planar", 1), ("planar", 4)))
    monkeypatch.setattr(device, "BUFFER_BYTES", 1 << 12)
    monkeypatch.setattr(engine.Engine, "launch", lambda self, *a, **k: used.add(a[1:3]) or real(self, *a, **k))
    gpu_day.main(["--out", str(tmp_path), "--stage", "sweep"])
    copy, *rows = json.loads((tmp_path / "sweep.json").read_text())
    assert copy["gb_per_s"] > 0
    assert not [row for row in rows if "error" in row]
    swept = {(row["what"], row["kind"], row["pixels"]) for row in rows}
    names = (*pixels.ALSO_STREAMED, "loss", "annealed_mean_gradient", "temporal")
    assert swept == {(name, "planar", count) for name in names for count in (1, 4)} | {
        (name, "streamed", 4) for name in pixels.ALSO_STREAMED
    }
    assert len({expression for name, expression in used if name == "decode"}) >= 12
    assert json.dumps(tile.WIDTHS) == before
    assert set(pixels.fastest(rows)) == set(tile.WIDTHS)


def test_the_bench_of_the_day_is_an_ordinary_run(place, tmp_path, monkeypatch):
    """Its command, with a worker in this process; half of the suites fit into the budget."""
    now = [0.0]
    clock = types.SimpleNamespace(perf_counter=lambda: now.__setitem__(0, now[0] + 1) or now[0])
    monkeypatch.setattr(worker, "time", clock)
    monkeypatch.setattr(device, "BUFFER_BYTES", 1 << 12)
    monkeypatch.setattr(worker, "set_threads", lambda threads: None)
    monkeypatch.setenv("FASTCOLOR_COMMIT", "0123456789abcdef")

    def run(command, **options):
        assert command[1:3] == ["-m", "bench.worker"]
        return subprocess.CompletedProcess(command, worker.main(command[3:]))

    monkeypatch.setattr(runner, "subprocess", types.SimpleNamespace(run=run))
    command = gpu_day.stages(tmp_path, 0.1, ["confidence", "histogram"], compiled=False)[-1][0][1]
    assert main(command[3:]) == 0
    document = schema.read(tmp_path / "bench.json")
    names = {r["candidate"] for r in document["results"]}
    assert names
    assert not [name for name in names if "torch.compile" in name]
    assert document["metadata"]["commit"] == "0123456789abcdef"
    assert "histogram" in document["metadata"]["left_out"]
    assert "**Not finished.** Left out: " in report.report([document], [tmp_path / "bench.json"])


def test_a_bare_checkout_is_linked(tmp_path):
    """No installation, and the packages beside fastcolor/: the first thing that the day does is to link them."""
    for name in ("bench", "fastcolor", "kernels", "reference"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "data", "results"))
    packages = Path(torch.__file__).parents[1]
    code = (
        f"import sys; sys.path[:] = ['.', *sys.path, {str(packages)!r}]\n"
        "from bench import gpu_day; gpu_day.stages = lambda *_: []\n"
        "from bench.__main__ import main; status = main(['gpu-day', '--out', 'out'])\n"
        "import fastcolor.kernels; print(fastcolor.kernels.__path__[0]); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fastcolor/kernels").is_symlink()
