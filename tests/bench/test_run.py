"""A run that is cut off, short of time or of another checkout; what the report says of it, and of an earlier one."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
import types
from dataclasses import replace

import numpy as np
import pytest
from paths import ROOT

import bench.__main__
from bench import runner, worker
from bench.bytes import Traffic
from bench.cases import Candidate, Case, Setting
from bench.measure import clocks, device, machine, timing
from bench.publish import readme, report, schema, tables
from bench.suites import compare, registry, sizes
from tests.bench.stand_ins import MADE_UP, installed

QUICK = Setting(quick=True)


def shorten(patch):
    patch.setattr(device, "QUICK_BUFFER_BYTES", 1 << 12)
    patch.setattr(timing, "QUICK", timing.Budget(0.001, 1, 1))
    patch.setattr(clocks, "CALLS", 2)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    shorten(monkeypatch)
    monkeypatch.setattr(worker, "set_threads", lambda threads: None)


def a_case(suite, name, *names):
    candidates = [Candidate(n, lambda: lambda: np.ones(3), ours=n == "fastcolor") for n in ("fastcolor", *names)]
    traffic = Traffic(8, 8)
    return Case(suite, name, "3", "float64", "planar", 3, traffic, compare.equal(np.ones(3)), tuple(candidates))


def start(path, suites=("encode", "decode"), device="cpu"):
    metadata = runner._metadata(True, device, ["--quick"])
    metadata["left_out"] = {QUICK.of(suite): "all of it" for suite in suites}
    schema.write(path, {"metadata": metadata, "results": []})


def work(path, *words):
    return worker.main(
        ["encode", "decode", "--threads", "1", "--malloc", "default", "--quick", "--out", str(path), *words]
    )


def test_the_file_is_whole_after_each_case(tmp_path, monkeypatch):
    seen, path = [], tmp_path / "r.json"

    def cases(name, setting):
        for k in range(2):
            yield a_case(name, f"case {k}")
            document = schema.read(path)  # as another process finds it
            seen.append((len(document["results"]), dict(document["metadata"]["left_out"])))

    monkeypatch.setattr(registry, "cases", cases)
    start(path)
    assert work(path) == 0
    first, second = QUICK.of("encode"), QUICK.of("decode")
    assert first == "encode, 1 thread, malloc default"
    assert seen == [
        (1, {first: "what follows 'case 0'", second: "all of it"}),
        (2, {first: "what follows 'case 1'", second: "all of it"}),
        (3, {second: "what follows 'case 0'"}),
        (4, {second: "what follows 'case 1'"}),
    ]
    assert schema.read(path)["metadata"]["left_out"] == {}
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_a_suite_that_fails_is_named_and_does_not_end_the_others(tmp_path, monkeypatch, capsys):
    def cases(name, setting):
        yield a_case(name, "first")
        if name == "encode":
            raise MemoryError("planted")

    monkeypatch.setattr(registry, "cases", cases)
    path = tmp_path / "r.json"
    start(path)
    assert work(path) == 1
    document = schema.read(path)
    assert document["metadata"]["left_out"] == {QUICK.of("encode"): "what follows 'first': MemoryError"}
    assert [r["suite"] for r in document["results"]] == ["encode", "decode"]
    assert "planted" in capsys.readouterr().err
    said = report.report([document], [path])
    assert "**Left out:** encode, 1 thread, malloc default (what follows 'first': MemoryError)." in said


def test_a_budget_begins_no_case_after_its_end(tmp_path, monkeypatch):
    now, made = [0.0], []
    monkeypatch.setattr(worker, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))

    def cases(name, setting):
        for k in range(2):
            made.append((name, k))
            yield a_case(name, f"case {k}", "torch.compile", "numpy")
            now[0] += 60

    monkeypatch.setattr(registry, "cases", cases)
    path = tmp_path / "r.json"
    start(path)
    assert work(path, "--budget", "100") == 0
    document = schema.read(path)
    assert document["metadata"]["left_out"] == {QUICK.of("decode"): "all of it"}
    assert made == [("encode", 0), ("encode", 1)]
    assert [(r["suite"], r["case"]) for r in document["results"] if r["ours"]] == [
        ("encode", "case 0"),
        ("encode", "case 1"),
    ]
    assert {r["candidate"] for r in document["results"]} == {"fastcolor", "numpy"}  # no main case: nothing is compiled


class Sticky:
    """A device that answers no more after its first error."""

    gone = False

    def __init__(self, names):
        self.suites = names

    def trim(self):
        if self.gone:
            raise RuntimeError("illegal access, again")

    def cases(self, name, setting):
        self.trim()
        yield a_case(name, f"{name} {setting.shape}", "numpy")
        if (name, setting.shape[0]) == self.suites:
            case = a_case(name, "culprit", "numpy")
            illegal = Candidate("illegal", self.access)
            yield replace(case, candidates=(Candidate("absent", lambda: 0, needs=("no_such",)), illegal))

    def access(self):
        self.gone = True
        raise RuntimeError("illegal access")


def test_a_suite_that_costs_the_device_ends_its_worker_and_no_other_suite(tmp_path, monkeypatch):
    """The next worker, on a device that answers, does what is left of the others and nothing twice."""
    where, device_of, workers = installed(monkeypatch), Sticky(("loss", 16)), []
    monkeypatch.setattr(where, "trim", device_of.trim)
    monkeypatch.setattr(registry, "cases", device_of.cases)

    def process(command, **options):
        device_of.gone = False
        workers.append(command[3 : command.index("--threads")])
        return types.SimpleNamespace(returncode=worker.main(command[3:]))

    path, setting = tmp_path / "r.json", Setting(quick=True, device="cuda")
    monkeypatch.setattr(runner, "subprocess", types.SimpleNamespace(run=process))
    document = a_gpu_document(setting, "merge", "loss", "encode")
    schema.write(path, document)
    assert runner._worker(["merge", "loss", "encode"], setting, path, sys.executable) == 1
    assert workers == [["merge", "loss", "encode"], ["merge", "encode"]]
    document = schema.read(path)
    assert document["metadata"]["left_out"] == {
        "loss": "16x16: what follows 'loss (16, 16)': DeviceLostError; 24x37: all of it"
    }
    every = [(r["case"], r["candidate"]) for r in document["results"]]
    assert len(every) == len(set(every))
    assert {case for case, _ in every} == {
        *(f"{name} {shape}" for name in ("merge", "encode") for shape in ((40, 52), (16, 16), (24, 37))),
        *(f"loss {shape}" for shape in ((40, 52), (16, 16))),
        "culprit",
    }
    notes = [r["note"] for r in document["results"] if r["case"] == "culprit"]
    assert notes == ["not installed: no_such", "RuntimeError: illegal access"]


def a_gpu_document(setting, *suites):
    metadata = runner._metadata(True, setting.device, [])
    return {"metadata": metadata | {"gpu": MADE_UP, "left_out": dict.fromkeys(suites, "all of it")}, "results": []}


@pytest.mark.parametrize(("words", "budget"), [([], 20.0), (["--since", "983"], 3.0), (["--since", "900"], 1e-3)])
def test_a_worker_s_budget_begins_before_its_imports(words, budget, tmp_path, monkeypatch):
    settings = []
    monkeypatch.setattr(worker, "time", types.SimpleNamespace(time=lambda: 1000.0))
    monkeypatch.setattr(worker, "run", lambda suites, setting, *_: settings.append(setting) or ([], True))
    start(tmp_path / "r.json")
    assert work(tmp_path / "r.json", "--budget", "20", *words) == 0
    assert settings[0].budget == budget


def test_without_leaves_candidates_out():
    case = a_case("encode", "main", "torch.compile", "torch.compile, hand-fused", "numpy")
    chosen = worker.selected(case, Setting(without="torch.compile"))
    assert [c.name for c in chosen.candidates] == ["fastcolor", "numpy"]
    assert [c.name for c in worker.selected(case, Setting()).candidates] == [c.name for c in case.candidates]


def test_options_reach_every_worker(tmp_path, monkeypatch):
    asked = []
    run = lambda command, **options: asked.append((command, options)) or DONE  # noqa: E731
    monkeypatch.setattr(runner, "subprocess", types.SimpleNamespace(run=run))
    out = tmp_path / "r.json"
    words = ["encode", "--threads", "1,2", "--malloc", "tuned", "--without", "torch", "--budget", "50", "--out"]
    assert bench.__main__.main([*words, str(out)]) == 1  # as the planted worker ended
    assert [command[command.index("--threads") + 1] for command, _ in asked] == ["1", "2"]
    for command, options in asked:
        assert command[:3] == [sys.executable, "-m", "bench.worker"]
        assert command[command.index("--without") + 1] == "torch"
        assert 0 < float(command[command.index("--budget") + 1]) <= 50
        assert 0 <= time.time() - float(command[command.index("--since") + 1]) < 60
        assert options["cwd"] == ROOT
        assert options["env"]["MALLOC_MMAP_MAX_"] == "0"
    assert set(schema.read(out)["metadata"]["left_out"]) == {
        "--without torch",
        *(f"encode, {n}, malloc tuned" for n in ("1 thread", "2 threads")),
    }


DONE = types.SimpleNamespace(returncode=3)


def test_another_python_measures_its_own_fastcolor(tmp_path, monkeypatch):
    """Its worker starts in a folder that has bench and nothing else of this tree."""
    (tmp_path / "other/fastcolor").mkdir(parents=True)
    (tmp_path / "other/fastcolor/__init__.py").write_text("")
    code = "import bench, fastcolor, os; print(fastcolor.__file__); print(os.path.realpath(bench.__file__))"
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.path.insert(1, {str(tmp_path / "other")!r}); {code}"\n'
    )
    python.chmod(0o755)
    with runner._place(str(python)) as folder:
        assert [p.name for p in folder.iterdir()] == ["bench"]
        found = subprocess.run([python], cwd=folder, capture_output=True, text=True, check=True).stdout.split()
    assert found == [str(tmp_path / "other/fastcolor/__init__.py"), str((ROOT / "bench/__init__.py").resolve())]
    with runner._place(sys.executable) as folder:
        assert folder == ROOT


@pytest.mark.parametrize("results", [0, 1, 3, 5])
def test_a_file_that_is_cut_anywhere_can_be_reported(results, tmp_path, monkeypatch):
    """Report, tables and chart of what there is, and what is missing; a writer that dies leaves what was there."""
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text(f"{readme.START}\n{readme.END}")
    path, cut = tmp_path / "r.json", []

    def cases(name, setting):
        for k in range(3):
            if len(cut) == results:
                raise KeyboardInterrupt
            cut.append(name)
            yield replace(a_case(name, f"case {k}", "numpy"), main=k == 0)

    monkeypatch.setattr(registry, "cases", cases)
    start(path)
    with pytest.raises(KeyboardInterrupt):
        work(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine.os, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            schema.write(path, {**schema.read(path), "results": []})
    assert len(schema.read(path)["results"]) == 2 * results
    report.write([path])
    text = (tmp_path / "bench/report/README.md").read_text()
    left = "what follows 'case 1'"
    encode = ["all of it", "what follows 'case 0'", "", ""][min(results, 3)]
    assert (f"encode, 1 thread, malloc default ({encode})" in text) == bool(encode)
    assert f"decode, 1 thread, malloc default ({'all of it' if results < 4 else left}" in text


def test_the_report_of_a_named_file_is_printed(tmp_path, monkeypatch, capsys):
    """The pages of the repository are of all runs that it keeps."""
    monkeypatch.setattr(report, "write", lambda files: pytest.fail("a page was written"))
    path = tmp_path / "r.part.json"
    start(path)
    assert bench.__main__.main(["report", str(path)]) == 0
    assert capsys.readouterr().out == report.report([schema.read(path)], [path])


@pytest.mark.parametrize(
    ("kept", "said"),
    [(None, "No such file"), (1, "Expecting property name"), ("[]", "document: expected an object")],
)
def test_a_file_that_cannot_be_read_is_named(kept, said, tmp_path, capsys):
    path = tmp_path / "r.json"
    if kept is not None:
        start(path)
        path.write_text(kept if isinstance(kept, str) else path.read_text()[:kept])
    assert bench.__main__.main(["report", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: error: {path}: ")
    assert said in line


def test_an_older_run_stays_until_there_is_one_that_lacks_no_more(tmp_path, monkeypatch, capsys):
    place = tmp_path / "r.json"

    def run(left, commit):
        def worker(suites, setting, path, python):
            document = schema.read(path)
            assert path.name == "r.part.json"
            assert not place.exists() or schema.read(place)["metadata"]["commit"] != commit
            document["metadata"]["left_out"] = left
            schema.write(path, document)
            return 0

        monkeypatch.setenv("FASTCOLOR_COMMIT", commit)
        monkeypatch.setattr(runner, "_worker", worker)
        return runner.run(["encode"], [QUICK], place)[0].name, schema.read(place)["metadata"]["commit"]

    assert run({"encode": "all of it"}, "first") == ("r.json", "first")
    assert run({}, "second") == ("r.json", "second")
    assert run({"encode": "what follows"}, "third") == ("r.part.json", "second")
    assert "r.json stays as it is: it has encode, of which something is left out now" in capsys.readouterr().out
    assert run({}, "fourth") == ("r.json", "fourth")


def test_what_a_run_short_of_time_does_not_compile_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_worker", lambda *_: 0)
    for setting, said in (
        (replace(QUICK, budget=9.0), "torch.compile"),
        (replace(QUICK, without="a b"), "--without a b"),
    ):
        path, _ = runner.run(["encode"], [setting], tmp_path / f"{said}.json")
        assert said in schema.read(path)["metadata"]["left_out"]


def test_on_a_gpu_the_main_size_of_every_suite_comes_first(tmp_path, monkeypatch):
    """A run that is cut off has the figures that are quoted; what it lacks is told size by size."""
    installed(monkeypatch)
    now, made = [0.0], []
    monkeypatch.setattr(worker, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))

    def cases(name, setting):
        for size in sizes.sizes(setting, name):
            made.append((name, size.height))
            yield a_case(name, size.name)
            now[0] += 1

    monkeypatch.setattr(registry, "cases", cases)
    seen = []
    setting = Setting(quick=True, device="cuda", budget=4.5)
    worker.run(["merge", "loss"], setting, lambda results, name, left: seen.append((name, left)))
    assert made == [("merge", 40), ("loss", 40), ("merge", 16), ("loss", 16), ("merge", 24)]
    assert seen[-1] == ("merge", "")
    assert dict(seen)["loss"] == "24x37: all of it"
    assert seen[0][1] == "40x52: what follows 'merge, 40x52'; 16x16: all of it; 24x37: all of it"


@pytest.mark.parametrize("suite", ["encode", "network", "overhead", "temporal"])
def test_all_passes_together_make_every_case_once(suite, monkeypatch):
    installed(monkeypatch)
    setting = Setting(device="cuda")
    parts = [registry.cases(suite, replace(setting, shape=shape)) for shape in sizes.passes(setting)]
    names = [[case.name for case in part] for part in parts]
    assert sorted(itertools.chain(*names)) == sorted(case.name for case in registry.cases(suite, setting))
    assert len(names[0]) == {"overhead": 0, "network": 2}.get(suite, 1)


def test_a_first_result_that_fails_leaves_a_file_that_says_so(tmp_path, monkeypatch, capsys):
    def measure(quick):
        assert list(schema.read(schema.part(out))["metadata"]["left_out"]) == ["startup"]  # there from the start
        raise subprocess.CalledProcessError(1, "python", stderr="no compiler")

    out = tmp_path / "r.json"
    monkeypatch.setattr(runner.startup, "measure", measure)
    assert bench.__main__.main(["startup", "--quick", "--out", str(out)]) == 1
    assert schema.read(out)["metadata"]["left_out"] == {"startup": "all of it: CalledProcessError"}
    assert "no compiler" in capsys.readouterr().err
    monkeypatch.setattr(runner.startup, "measure", lambda quick: [])
    assert bench.__main__.main(["startup", "--quick", "--out", str(out)]) == 0
    assert schema.read(out)["metadata"]["left_out"] == {}


def test_another_python_has_no_startup_and_no_place_in_the_file(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(runner, "run", lambda *given: asked.append(given) or ("r.json", True))
    assert bench.__main__.main(["--python", "there/bin/python", "--out", "x"]) == 0
    suites, _, _, command, python = asked[0]
    assert suites == [name for name in registry.of("cpu") if name != "startup"]
    assert command == ["--python", "OTHER"]
    assert python == os.path.abspath("there/bin/python")
    bench.__main__.main(["encode", "--python=there/bin/python"])
    assert asked[1][3] == ["encode", "--python=OTHER"]
    with pytest.raises(SystemExit):
        bench.__main__.main(["startup", "--python", "python3"])
    assert "--python: expected no startup" in capsys.readouterr().err


def test_a_gpu_s_host_is_timed_within_the_gpu_s_budget(monkeypatch):
    host = replace(a_case("encode", "tiny"), host=True)
    assert timing.budget(host, Setting()) is timing.HOST
    monkeypatch.setattr(device, "place", lambda name: types.SimpleNamespace(gpu=name == "cuda"))
    assert timing.budget(host, Setting(device="cuda")) is timing.GPU


def test_the_commit_can_be_told(monkeypatch):
    monkeypatch.setenv("FASTCOLOR_COMMIT", "cafe")
    assert machine.commit() == ("cafe", False)


# --- overhead ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        return worker.run(["overhead"], QUICK)[0]


def test_overhead_covers_every_operation_for_both_kinds_of_array(measured):
    """But soft encode, which has no figure of before to stand beside."""
    assert {r["status"] for r in measured} == {"ok"}, [worker.line(r) for r in measured]
    kinds = {}
    for r in measured:
        kinds.setdefault(r["case"], []).append(r["candidate"].removeprefix("fastcolor, "))
    every, one = ["NumPy arrays", "torch tensors", "CUDA host code, launch stubbed"], ["torch tensors"]
    assert kinds == {
        "encode": every,
        "histogram": every,
        "decode": every,
        "decode with confidence": every,
        "annealed_mean": every,
        "confidence": every,
        "merge": every,
        "TemporalSmoother.step": every,
        "weighted_cross_entropy": one,
        "weighted_cross_entropy, backward": every[1:],
    }
    assert all(r["host"] and r["mp_per_s"] is None for r in measured)
    assert worker.line(measured[0]).endswith("us of the host")


def test_overhead_is_measured_once():
    assert list(registry.cases("overhead", Setting(threads=2))) == []
    assert list(registry.cases("overhead", Setting(malloc="tuned"))) == []


def test_overhead_checks_answers_before_it_times_them(monkeypatch):
    import fastcolor

    right = fastcolor.annealed_mean
    monkeypatch.setattr(fastcolor, "annealed_mean", lambda *a, **k: right(*a, **k) + 1e-3)
    found = {r["case"]: r for r in worker.run(["overhead"], QUICK)[0]}
    assert found["annealed_mean"]["status"] == "wrong"
    assert "median_s" not in found["annealed_mean"]
    assert found["decode"]["status"] == "ok"


def a_document(measured, microseconds, commit):
    results = json.loads(json.dumps(measured))
    for r in results:
        r |= dict.fromkeys(("median_s", "p20_s", "p80_s"), microseconds * 1e-6)
    return {"metadata": runner._metadata(True, "cpu", ["overhead"]) | {"commit": commit}, "results": results}


def test_overhead_before_and_after_stand_side_by_side(measured, tmp_path):
    after, before = a_document(measured, 20, "new" * 10), a_document(measured, 50, "old" * 10)
    del before["results"][-1]  # an operation that the older checkout lacks
    files = [tmp_path / name for name in ("overhead--here--cpu.json", "overhead-before--here--cpu.json")]
    for path, document in zip(files, (after, before), strict=True):
        schema.write(path, document)
    text = report.report([schema.read(path) for path in files], files)
    assert "| candidate | operation | us | p20..p80 us | before, us | faster | |" in text
    assert "| fastcolor, NumPy arrays | decode | 20.0 | 20.0..20.0 | 50.0 | 2.5 x |  |" in text
    lacking = "fastcolor, CUDA host code, launch stubbed | weighted_cross_entropy, backward"
    assert f"| {lacking} | 20.0 | 20.0..20.0 | - | - |  |" in text
    assert "Before: commit oldoldoldo" in text
    assert "## overhead-before" not in text
    before["metadata"]["machine"] |= {"cpu": "another"}  # whose microseconds say nothing beside these
    assert "faster" not in report.report([after, before], files).partition("### overhead")[2]
    after["results"][1] |= {"status": "error", "note": "no memory"}
    assert f"| fastcolor, torch tensors | {after['results'][1]['case']} | | | ERROR: no memory |" in report.report(
        [after], files[:1]
    )
    after["results"][1] |= {"status": "ok", "note": ""}
    alone = report.report([after], files[:1])
    assert "| candidate | operation | us | p20..p80 us | |" in alone
    assert "Before" not in alone
    assert list(tables.cases(after["results"], "cpu")) == []
