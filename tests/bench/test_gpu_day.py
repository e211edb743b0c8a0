"""``python -m bench gpu-day``: stages, time-outs, budget and files; from end to end it is in test_rehearsal."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cuda_host.build import available
from paths import ROOT

from bench.__main__ import main
from bench.gpu_day import compile as compiling
from bench.gpu_day import main as day
from bench.gpu_day import processes, smoke, stages, summary
from bench.gpu_day.stages import Stage
from bench.measure import device, gpu
from bench.suites import pixels

torch = pytest.importorskip("torch")
import gpu_cases  # noqa: E402
import gpu_cases_lab  # noqa: E402

from tests.bench.stand_ins import MADE_UP, installed  # noqa: E402

needs_host = pytest.mark.skipif(not available(), reason="g++ is not installed")
DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


@pytest.fixture
def place(monkeypatch):
    monkeypatch.setattr(gpu, "ask", lambda: (MADE_UP, ""))
    return installed(monkeypatch)


def python(name, code, seconds=1.0):
    return Stage(name, [sys.executable, "-c", code], seconds)


def test_a_stage_that_fails_or_hangs_does_not_stop_the_next(tmp_path, monkeypatch, capsys):
    slow = "import time; print('begun', flush=True); time.sleep(60)"
    groups = [
        [Stage("absent", ["no-such-program"], 1.0), python("fails", "print('before'); 1 / 0")],
        [python("hangs", slow, 0.01), python("deaf", DEAF)],
        [python("last", "import os; print('backends', os.environ['FASTCOLOR_TEST_BACKENDS'])")],
    ]
    monkeypatch.setattr(day, "GRACE", 1)
    monkeypatch.setattr(processes, "GRACE", 1)
    monkeypatch.setattr(day, "LEAST", 0.1)
    monkeypatch.setattr(stages, "groups", lambda *_: groups)
    assert main(["gpu-day", "--out", str(tmp_path), "--budget", "150"]) == 4
    said = capsys.readouterr().out
    for outcome in ("absent: not there", "fails: status 1", "hangs: cut off", "deaf: killed", "last: ok"):
        assert f"=== {outcome}" in said
    log = (tmp_path / "log.txt").read_text()
    assert "fails| ZeroDivisionError" in log
    assert "hangs| begun\n" in log
    assert "deaf| deaf\n" in log
    assert "last| backends cupy\n" in log
    lines = (tmp_path / "summary.txt").read_text().splitlines()
    assert said.endswith("\n".join(lines) + "\n\n")
    assert lines[lines.index(next(line for line in lines if line.startswith("fails "))) + 2].strip().startswith("Zero")
    assert {path.name for path in tmp_path.iterdir()} == {"log.txt", "summary.txt"}
    assert main(["gpu-day", "--out", str(tmp_path), "--only", "last"]) == 0
    both = (tmp_path / "log.txt").read_text()
    assert both.startswith(log)
    assert both[len(log) :].startswith("day| gpu-day of ")
    with pytest.raises(SystemExit):
        main(["gpu-day", "--out", str(tmp_path), "--only", "last,lost"])
    assert "expected stages of absent, fails, hangs, deaf, last, got lost" in capsys.readouterr().err


def test_the_budget_is_held_and_the_last_stages_are_shortened_or_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(day, "END", 0)
    monkeypatch.setattr(day, "GRACE", 0)
    monkeypatch.setattr(day, "LEAST", 0.9)
    hang = "import time; time.sleep(60)"
    quick = [python("quick", "", 3.0), python("beside", "", 3.0)]
    groups = [quick, [python("hangs", hang, 0.5)], [python("none", hang, 0.1)]]
    begun = time.monotonic()
    assert day.run(groups, tmp_path, 4.0) == 2
    assert 3 < time.monotonic() - begun < 12  # the second has what the first left over
    lines = {line.split()[0]: line.split() for line in (tmp_path / "summary.txt").read_text().splitlines()}
    assert lines["quick"][1] == lines["beside"][1] == "ok"
    assert lines["hangs"][1:3] == ["cut", "off"]
    assert lines["none"][1:3] == ["left", "out"]


def test_a_day_that_is_terminated_stops_its_stages(tmp_path):
    """Which would hold the GPU until their own limits."""
    pid = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
    before = signal.getsignal(signal.SIGTERM)

    def terminate():
        if wait_for(lambda: pid.exists() and pid.read_text()):
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    thread.start()
    with pytest.raises(SystemExit) as ended:
        day.run([[python("hangs", code)]], tmp_path, 60.0)
    thread.join()
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert wait_for(lambda: not Path("/proc", pid.read_text()).exists())


def wait_for(happened, seconds=10.0):
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.02)
    return happened()


def test_a_stage_that_says_too_much_leaves_room_in_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "MOST_BYTES", 1000)
    assert day.run([[python("says", "for k in range(5000): print(k)")]], tmp_path, 60.0) == 0
    head, said = (tmp_path / "log.txt").read_text().split("\n", 1)
    assert head.startswith("day| gpu-day of ")
    lines = said.splitlines()
    assert lines[:2] == ["says| 0", "says| 1"]
    assert lines[-1] == "says| (the rest is left out)"
    assert 900 < len(said) < 1000 + len("says| (the rest is left out)\n")


def test_what_a_stage_said_last_does_not_grow_when_it_has_ended(tmp_path, monkeypatch):
    """A process that it has left running may still speak while the page is made."""
    started, told = [], []
    real = summary.Page.__init__
    monkeypatch.setattr(summary.Page, "__init__", lambda page, *words: told.append(words[1]) or real(page, *words))
    make = lambda *words: started.append(processes.Running(*words)) or started[-1]  # noqa: E731
    monkeypatch.setattr(day, "Running", make)
    assert day.run([[python("says", "print('last')")]], tmp_path, 60.0) == 0
    started[0].tail.append("later")
    assert told[0]["says"].tail == ["last"]


def test_every_stage_names_what_is_there():
    groups = stages.groups(Path("/out"), ["decode"], compiled=False)
    by_name = {stage.name: stage for group in groups for stage in group}
    assert list(by_name) == ["compile", "smoke", "correctness", "streams", "memcheck", "racecheck", "sweep", "bench"]
    assert sum(group[0].seconds for group in groups) <= day.BUDGET - processes.GRACE - day.END
    for stage in by_name.values():
        assert all((ROOT / word).is_file() for word in stage.command if word.startswith("tests/"))
    bench = by_name["bench"]
    assert bench.words(100.0)[bench.command.index("--budget") + 1] == "70"
    assert bench.words(20.0)[bench.command.index("--budget") + 1] == "10"
    assert "torch.compile" in bench.command
    assert "torch.compile" not in stages.groups(Path("/out"), [], compiled=True)[-1][0].command
    correctness = by_name["correctness"].variables(["cupy", "numba-cuda"])
    assert correctness["FASTCOLOR_TEST_BACKENDS"] == "cupy,numba-cuda"
    assert correctness["FASTCOLOR_TEST_REPORT"] == "/out/correctness.json"
    assert by_name["memcheck"].variables(["cupy"])["PYTORCH_NO_CUDA_MEMORY_CACHING"] == "1"


def test_the_page_has_at_most_sixty_lines(tmp_path):
    """Of failures as many as there is place for."""
    shutil.copy(ROOT / "bench/results/gpu-day/sweep.json", tmp_path)
    shutil.copy(ROOT / "bench/results/all--nvidia-h200--cuda.json", tmp_path / "bench.json")
    failed = {"outcomes": {"passed": 3, "failed": 50}, "failed": [f"test_{k}" for k in range(50)], "finished": False}
    names = [stage.name for group in stages.groups(tmp_path, [], False) for stage in group]
    for name in ("correctness", "streams"):
        (tmp_path / f"{name}.json").write_text(json.dumps(failed))
    (tmp_path / "smoke.json").write_text('{"gpu": ')  # half of a file
    outcomes = {name: summary.Outcome("status 1", 9.0, 1, [f"{'x' * 400} {k}" for k in range(50)]) for name in names}
    lines = summary.Page(tmp_path, outcomes, 560.0).write().splitlines()
    assert 40 < len(lines) <= summary.LINES
    assert max(map(len, lines)) <= summary.WIDTH
    assert sum("50 failed, 3 passed; not finished" in line for line in lines) == 2
    assert any(line.startswith("sweep ") and "174 timed, 0 errors; copy 4228 GB/s" in line for line in lines)
    assert lines[1].startswith("smoke.json: JSONDecodeError")
    assert any(line.startswith("    decode ") and "float16 2 (142); 4 (150)" in line for line in lines)
    rows = [{**row, "kind": "streamed"} for row in json.loads((tmp_path / "sweep.json").read_text())]
    (tmp_path / "sweep.json").write_text(json.dumps(rows))
    assert "commit unknown; next best:" in "\n".join(lines)
    rows[0]["commit"] = "0123456789abcdef"
    (tmp_path / "sweep.json").write_text(json.dumps(rows))
    assert "(us), commit 0123456789; next best:" in summary.Page(tmp_path, outcomes, 560.0).write()
    assert "float16 2s (142); 4s (150)" in summary.Page(tmp_path, outcomes, 560.0).write()


def test_a_page_that_cannot_be_made_does_not_end_the_day(tmp_path):
    (tmp_path / "sweep.json").write_text('[{"us": null}, 3]')
    (tmp_path / "smoke.json").write_text("[]")
    outcomes = {"smoke": summary.Outcome("ok", 1.0, 0)}
    assert "smoke        ok" in summary.Page(tmp_path, outcomes, 1.0).write()
    (tmp_path / "bench.json").write_text('{"results": 3, "metadata": []}')
    assert "ok" in summary.Page(tmp_path, outcomes, 1.0).write()


@needs_host
def test_smoke_without_a_backend_fails(place, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "BACKENDS", ())
    assert smoke.run(tmp_path) == 1
    found = json.loads((tmp_path / "smoke.json").read_text())
    assert found["gpu"] == [MADE_UP, ""]
    assert found["results"] == []
    assert day.backends(tmp_path) == []
    monkeypatch.setattr(stages, "BACKENDS", ("cupy", "numba-cuda"))
    (tmp_path / "smoke.json").write_text('{"backends": {"cupy": [true, ""], "numba-cuda": [false, "no"]}}')
    assert day.backends(tmp_path) == ["cupy"]


def made_up_cases(monkeypatch, **calls):
    """In place of every operation; each gives what its function gives."""
    made = []
    for name, call in calls.items():
        case = gpu_cases.Case(name, "encode", lambda rng: {}, lambda arrays, backend, call=call: call(), never_wrong)
        made.append(case)
    monkeypatch.setattr(gpu_cases_lab, "EVERY", tuple(made))
    for name in ("HEIGHT", "WIDTH"):
        monkeypatch.setattr(gpu_cases, name, getattr(gpu_cases, name))
    monkeypatch.setattr(gpu_cases, "SIZES", ((2, 3), (4, 8)))


def never_wrong(*_):
    pass


def test_a_case_that_costs_the_device_s_context_leaves_the_others_to_a_fresh_process(place, tmp_path, monkeypatch):
    gone, asked = [], []

    def call(name):
        asked.append((name, gpu_cases.HEIGHT))
        gone.extend([name] if asked[-1] == ("second", 2) else [])
        trim()

    def trim():
        if gone:
            raise RuntimeError("illegal access")

    def afresh():
        gone.clear()
        return smoke.run(tmp_path)

    made_up_cases(monkeypatch, **{name: lambda name=name: call(name) for name in ("first", "second", "third")})
    monkeypatch.setattr(place, "trim", trim)
    monkeypatch.setattr(smoke, "_go_on", afresh)
    monkeypatch.setattr(stages, "BACKENDS", ("numba",))
    assert smoke.run(tmp_path) == 1
    assert asked == [(name, height) for name in ("first", "second", "third") for height in (2, 4)]
    results = json.loads((tmp_path / "smoke.json").read_text())["results"]
    assert [tuple(result[1:3]) for result in results if result[-1] == "ok"] == [
        (name, [height, 3 if height == 2 else 8]) for name, height in asked if (name, height) != ("second", 2)
    ]
    said = summary.COUNTS["smoke"](tmp_path, summary.Outcome("status 1", status=1))
    assert said[0] == ["numba second [2, 3]: context lost after second: RuntimeError: illegal access"]
    assert said[1].startswith("5 of 6 right; ")
    found = json.loads((tmp_path / "smoke.json").read_text())
    (tmp_path / "smoke.json").write_text(json.dumps({**found, "results": results[:2]}))  # of a stage that is cut off
    assert summary.COUNTS["smoke"](tmp_path, summary.Outcome("cut off"))[1].startswith("2 of 6 right; ")


def test_a_fresh_process_has_the_same_command(monkeypatch):
    started = []
    monkeypatch.setattr(smoke.os, "execv", lambda *words: started.append(words))
    monkeypatch.setattr(smoke.sys, "orig_argv", ["python", "-m", "bench", "gpu-day"])
    smoke._go_on()
    assert started == [(sys.executable, [sys.executable, "-m", "bench", "gpu-day"])]


def test_a_wrong_value_keeps_no_other_operation_from_the_sanitizer(monkeypatch, capsys):
    class Cupy(types.ModuleType):
        asarray = staticmethod(lambda array: array)

    def refused(*_):
        raise AssertionError("planted\nat length")

    monkeypatch.setitem(sys.modules, "cupy", Cupy("cupy"))
    monkeypatch.delitem(sys.modules, "gpu_sanitized", raising=False)
    made_up_cases(monkeypatch, first=tuple, second=tuple)
    gpu_sanitized = importlib.import_module("gpu_sanitized")
    monkeypatch.delitem(sys.modules, "gpu_sanitized")
    first, second = gpu_cases_lab.EVERY
    assert gpu_sanitized.run_every_case() == 0
    assert "WRONG" not in capsys.readouterr().out
    monkeypatch.setattr(gpu_cases_lab, "EVERY", (replace(first, check=refused), second))
    assert gpu_sanitized.run_every_case() == 1
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("ran ")] == [
        f"ran {name} on {size}" for name in ("first", "second") for size in ("2 x 3", "4 x 8")
    ]
    told = summary.COUNTS["memcheck"](Path(), summary.Outcome("status 1", status=1, tail=[*said, "ERROR SUMMARY: 0"]))
    assert told == (
        ["WRONG first on 2 x 3: planted", "WRONG first on 4 x 8: planted", "ERROR SUMMARY: 0"],
        "4 calls; ERROR SUMMARY: 0",
    )


def test_all_that_the_rules_and_the_sweep_look_at_is_compiled_first():
    from bench.sass.instances import instances

    wanted = set(compiling.wanted())
    assert wanted > {(i.launch.source, i.launch.expression) for i in instances()}
    assert {"decode", "loss", "gradient", "temporal"} <= {source for source, _ in wanted}


def test_a_kernel_that_does_not_compile_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compiling, "BACKEND", "no such backend")
    monkeypatch.setattr(compiling, "wanted", lambda: [("merge", "fc::merge<float>")])
    monkeypatch.setattr(compiling, "ProcessPoolExecutor", lambda count, context: ThreadPoolExecutor(count))
    assert compiling.run(tmp_path) == 1
    said = capsys.readouterr().out
    assert "KeyError" in said
    assert "FAILED fc::merge<float>\n1 instances by 1 processes, listed in" in said


def test_what_is_still_to_be_compiled_is_left_when_time_is_up(tmp_path, monkeypatch):
    """By processes, of which a pool forgets what it was told to cancel when it is asked twice."""
    asked = []

    def interrupted(futures):
        asked.extend(futures)
        raise KeyboardInterrupt

    monkeypatch.setattr(compiling, "build", time.sleep)  # which another process finds
    monkeypatch.setattr(compiling, "as_completed", interrupted)
    monkeypatch.setattr(compiling, "wanted", lambda: [0.1 + k / 1000 for k in range(60)])
    monkeypatch.setattr(compiling.os, "sched_getaffinity", lambda _: {0, 1})
    with pytest.raises(KeyboardInterrupt):
        compiling.run(tmp_path)
    assert sum(future.cancelled() for future in asked) > 40


def test_what_does_not_compile_is_told_before_time_is_up(tmp_path, monkeypatch, capsys):
    def interrupted(futures):
        yield futures[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(compiling, "build", lambda instance: (instance, 0.1, "planted"))
    monkeypatch.setattr(compiling, "as_completed", interrupted)
    monkeypatch.setattr(compiling, "wanted", lambda: [("merge", "fc::merge<float>")])
    monkeypatch.setattr(compiling, "ProcessPoolExecutor", lambda count, context: ThreadPoolExecutor(count))
    with pytest.raises(KeyboardInterrupt):
        compiling.run(tmp_path)
    assert capsys.readouterr().out.endswith("planted\nFAILED fc::merge<float>\n")


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
    assert main(["gpu-day", "--out", str(tmp_path), "--stage", "sweep"]) == 0
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


def test_a_bare_checkout_is_linked(tmp_path):
    """No installation, and the packages beside fastcolor/: the first thing that the day does is to link them."""
    for name in ("bench", "fastcolor", "kernels", "reference"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "data", "results"))
    packages = Path(torch.__file__).parents[1]
    code = (
        f"import sys; sys.path[:] = ['.', *sys.path, {str(packages)!r}]\n"
        "from bench.gpu_day import stages; stages.groups = lambda *_: []\n"
        "from bench.__main__ import main; status = main(['gpu-day', '--out', 'out'])\n"
        "import fastcolor.kernels; print(fastcolor.kernels.__path__[0]); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fastcolor/kernels").is_symlink()
