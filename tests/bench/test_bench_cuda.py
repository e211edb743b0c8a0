"""``python -m bench --device cuda`` without a GPU: its suites, clocks, report and errors, with stand-ins for libraries.

NumPy stands in for CuPy, tensors on the CPU for those on a GPU, events that read the wall clock for CUDA events. What
only a GPU can show is its figures.
"""

from __future__ import annotations

import copy
import doctest
import importlib
import json
import pkgutil
import sys
import types

import numpy as np
import pytest

import bench
from bench import bytes as traffic
from bench import runner
from bench.__main__ import main
from bench.cases import Candidate, Case, Setting
from bench.measure import clocks, device, gpu, timing
from bench.measure.floor import DeviceFloor
from bench.peers.cupy import Fused
from bench.peers.registry import Peers
from bench.publish import goals, readme, report, schema
from bench.suites import compare, inputs
from bench.suites import video as suite_video
from bench.suites.registry import SUITES, cases, of
from bench.worker import line
from bench.worker import run as run_worker
from fastcolor import reference

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from tests.bench.stand_ins import FAKE_CUDA, MADE_UP, SMALL, installed  # noqa: E402

QUICK = Setting(quick=True, device="cuda")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny tensors are no work for several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def place(monkeypatch):
    return installed(monkeypatch)


@pytest.fixture(scope="module")
def measured():
    """Results of two suites, to be copied."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        installed(monkeypatch)
        return run_worker(["encode", "decode"], QUICK)[0]


@pytest.mark.parametrize("suite", of("cuda"))
def test_every_candidate_of_every_suite_is_right(suite, place):
    results, whole = run_worker([suite], QUICK)
    assert whole
    assert {r["status"] for r in results} == {"ok"}, [line(r) for r in results if r["status"] != "ok"]
    names = {r["candidate"] for r in results if r["main"] or suite == "overhead"}
    assert "fastcolor" in " ".join(names)
    if suite == "overhead":
        assert all(r["host"] for r in results)
        assert {r["candidate"] for r in results if r["case"] == "decode"} == {
            "fastcolor, torch tensors",
            "fastcolor, CuPy arrays",
        }
    elif suite != "network":
        assert any(name.startswith("CuPy") for name in names)
        assert any(name.startswith("torch.compile") for name in names)
        assert {bool(r.get("host")) for r in results} == {False, True}
    for r in results:
        assert r["peak_bytes"] == 250
        assert (r["copy_floor_share"] is None) == bool(r.get("host"))
        assert line(r).startswith(r["candidate"])
    schema.validate({"metadata": a_metadata(), "results": results})


def test_decode_covers_sizes_types_and_layouts(place):
    made = [(c.dtype, c.layout, c.pixels, c.host) for c in cases("decode", QUICK)]
    for dtype in ("float32", "float16", "bfloat16"):
        for layout in ("planar", "channels-last"):
            for height, width in SMALL:
                assert (dtype, layout, height * width, False) in made
    assert sum(host for *_, host in made) == 1
    mains = [c for c in cases("decode", QUICK) if c.main]
    assert [(c.dtype, c.layout, c.pixels) for c in mains] == [("float32", "planar", 40 * 52)]


def test_the_peer_in_cupy_smooths_every_stream_but_that_of_8_megapixels(place, monkeypatch):
    """Its ring of 21 frames in float32 would take 22.5 GB there; the one large stream is left to rings of bytes."""
    peer = "CuPy, fused steps, float32 ring"
    *small, large = (height * width for height, width in device.CUDA_SIZES)
    assert max(small) < suite_video.MANY <= large
    monkeypatch.setattr(suite_video, "MANY", 40 * 52)  # so that the larger of the tiny sizes is the large one
    names = {case.name: {c.name for c in case.candidates} for case in cases("temporal", QUICK)}
    assert [name for name, of_case in names.items() if peer not in of_case] == ["stream, 40x52"]
    assert names["stream, 24x37"] - names["stream, 40x52"] == {
        "fastcolor, float16 ring",
        "fastcolor, float32 ring",
        "torch eager, float32 ring",
        "torch.compile, float32 ring",
        peer,
    }


def test_all_colors_run_on_the_device(place):
    names = [c.name for c in cases("encode", Setting(device="cuda"))]
    assert names[-1] == "all 2^24 colors"


def a_case(rgb, *extra, **options):
    """A histogram with the right answer on the stand-in's arrays, and whatever else is to be tried."""
    right = reference.histogram(rgb, 17)
    where = device.place("cuda")
    mine = Candidate("fastcolor", lambda: lambda: where.put(right), ours=True)
    return Case(
        suite="histogram",
        name="tiny",
        shape="33x61x3",
        dtype="uint8",
        layout="channels-last",
        pixels=33 * 61,
        traffic=traffic.histogram(33 * 61, 17),
        check=compare.equal(right),
        candidates=(mine, *extra),
        main=True,
        **options,
    )


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (33, 61, 3), dtype=np.uint8)


def test_wrong_answers_get_no_time(place, rgb):
    wrong = place.put(reference.histogram(rgb, 17) + 1)

    class OutOfMemoryError(RuntimeError):
        pass

    def hungry():
        raise OutOfMemoryError("CUDA out of memory\nof 80 GB")

    extra = (
        Candidate("planted", lambda: lambda: wrong),
        Candidate("approximation", lambda: lambda: wrong, inexact="planted"),
        Candidate("raises", lambda: lambda: 1 / 0),
        Candidate("hungry", lambda: hungry),
        Candidate("absent", lambda: lambda: wrong, needs=("no_such_module",)),
    )
    results = {r["candidate"]: r for r in timing.measure(a_case(rgb, *extra), QUICK, place.floor(QUICK))}
    assert {name: r["status"] for name, r in results.items()} == {
        "fastcolor": "ok",
        "planted": "wrong",
        "approximation": "inexact",
        "raises": "error",
        "hungry": "skipped",
        "absent": "skipped",
    }
    assert {name for name, r in results.items() if "median_s" in r} == {"fastcolor", "approximation"}
    assert results["hungry"]["note"] == "OutOfMemoryError: CUDA out of memory"


class Ticks:
    """A clock on which every call takes as long as it says."""

    def __init__(self, seconds):
        self.seconds = seconds

    def time(self, run):
        return self.seconds, run()

    def fitted(self, run):
        return self


def test_speeds_are_bytes_over_the_time_of_one_call(place, rgb, monkeypatch):
    """2013 pixels, of which 6039 bytes are read and 2312 are written, in 2 us; the floor takes 2 us as well."""
    monkeypatch.setattr(place, "clock", lambda: Ticks(2e-6))
    floor = types.SimpleNamespace(
        runs=lambda hot: {"read": (lambda: 6000, 1e-6), "copy": (lambda: 8000, 1e-6), "hot": (lambda: hot, 1e-6)}
    )
    (result,) = timing.measure(a_case(rgb), QUICK, floor)
    expected = {
        "median_s": 2e-6,
        "mp_per_s": 2013 / 2,
        "gb_per_s": (6039 + 2312) / 2e3,
        "read_gb_per_s": 3.0,
        "copy_gb_per_s": 4.0,
        "hot_read_gb_per_s": 6039 / 2e3,
        "read_floor_share": 6039 / 6000,
        "copy_floor_share": (6039 + 2312) / 8000,
    }
    assert {key: result[key] for key in expected} == pytest.approx(expected)
    told = " ".join(line(result).split())
    assert told == "fastcolor 1006.5 MP/s 0.002 ms [0.002, 0.002] 100.7% of the read floor, 104.4% of copy"


def test_a_crop_and_a_spread_are_those_of_the_whole_case(place, rgb):
    """Half of the pixels in 1, 2 and 3 us: the whole takes twice as long."""
    half = timing.Runner("half", lambda: None, 0.0, seconds=[3e-6, 1e-6, 2e-6])
    figures = timing._figures(a_case(rgb), 0.5, half, {"read": 1e9, "copy": 2e9})
    assert figures == pytest.approx(
        {
            "median_s": 4e-6,
            "p20_s": 2.8e-6,
            "p80_s": 5.2e-6,
            "runs": 3,
            "mp_per_s": 2013 / 4,
            "gb_per_s": (6039 + 2312) / 4e3,
            "read_gb_per_s": 1.0,
            "copy_gb_per_s": 2.0,
            "read_floor_share": 6039e-9 / 4e-6,
            "copy_floor_share": (6039 + 2312) / 2 * 1e-9 / 4e-6,
        }
    )


def test_host_time_has_no_rates(place, rgb, monkeypatch):
    """What a GPU does meanwhile is not in it; it is told in microseconds."""
    monkeypatch.setattr(place, "clock", lambda: Ticks(2e-6))
    monkeypatch.setattr(place, "enqueue_clock", lambda: Ticks(7e-6))
    (result,) = timing.measure(a_case(rgb, host=True), QUICK, place.floor(QUICK))
    assert result["median_s"] == pytest.approx(7e-6)
    assert {result[key] for key in ("mp_per_s", "read_floor_share", "copy_floor_share")} == {None}
    assert line(result).split(maxsplit=1)[1] == "7.0 us of the host"


def test_a_backend_that_does_not_run_is_skipped_with_its_reason(place, rgb, monkeypatch):
    status = types.SimpleNamespace(reason="no driver; install one")
    monkeypatch.setattr(timing.fastcolor, "backends", lambda: {"second": status})
    case = a_case(rgb, Candidate("second", lambda: lambda: None, ours=True, backend="second"))
    result = timing.measure(case, QUICK, place.floor(QUICK))[1]
    assert (result["status"], result["note"]) == ("skipped", "no driver; install one")


def test_event_clock_flushes_off_the_clock():
    now, order = [0.0], []

    class Event:
        def record(self):
            self.at = now[0]

        def synchronize(self):
            pass

        def elapsed_time(self, end):
            return end.at - self.at

    def flush():
        order.append("flush")
        now[0] += 0.3  # milliseconds

    def run():
        order.append("run")
        now[0] += 2.0
        return "answer"

    clock = clocks.EventClock(Event, flush)
    assert clock.flushes == 4  # of 0.3 ms each: more than the millisecond that the host may take
    order.clear()
    seconds, answer = clock.time(run)
    assert seconds == pytest.approx(2e-3)
    assert answer == "answer"
    assert order == ["flush"] * 4 + ["run"]


def test_the_lead_is_longer_than_the_host_takes(monkeypatch):
    """The device's clock stands still here but for flushing; the host's runs on while it enqueues."""
    device_ms, host, flushed = [0.0], [0.0], []

    class Event:
        def record(self):
            self.at = device_ms[0]

        def synchronize(self):
            pass

        def elapsed_time(self, end):
            return end.at - self.at

    def flush():
        flushed.append(host[0])
        device_ms[0] += 0.25

    def call():
        host[0] += 2.1e-3

    monkeypatch.setattr(clocks.time, "perf_counter", lambda: host[0])
    clock = clocks.EventClock(Event, flush)
    assert clock.flushes == 4
    fitted = clock.fitted(call)
    assert fitted.flushes == 17  # of 0.25 ms: twice the host's 2.1 ms
    flushed.clear()
    fitted.time(call)
    assert len(flushed) == 17
    assert clock.fitted(lambda: None).flushes == clock.flushes == 4
    assert clock.fitted(lambda: host.__setitem__(0, host[0] + 1)).flushes == clocks.MOST_FLUSHES


def test_enqueue_clock_is_the_time_of_one_call_and_waits_only_before_and_after(monkeypatch):
    now, order = [0.0], []
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: now[0])

    def wait():
        order.append("wait")
        now[0] += 1.0

    def call():
        order.append("call")
        now[0] += 3e-6
        return len(order)

    seconds, answer = clocks.EnqueueClock(wait).time(call)
    assert order == ["wait"] + ["call"] * clocks.CALLS + ["wait"]
    assert answer == 1 + clocks.CALLS
    assert seconds == pytest.approx(3e-6)


class Operands(TorchDispatchMode):
    """Remembers what torch is asked for, with the bytes of the tensors that it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        sizes = [arg.nbytes for arg in args if isinstance(arg, torch.Tensor)]
        self.seen.append((function.overloadpacket.__name__, sizes))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("name", "function", "buffers"), [("read", "sum", 1), ("copy", "copy_", 2)])
def test_the_floor_counts_every_byte_that_it_moves(name, function, buffers):
    """A copy reads one buffer and writes another: half of it would make every share of copy twice as good."""
    run, _ = DeviceFloor("cpu", 1 << 12).runs(hot_bytes=1)[name]
    with Operands() as operands:
        moved = run()
    assert operands.seen == [(function, [1 << 12] * buffers)]
    assert moved == buffers << 12


@pytest.mark.parametrize("pool", [0, 1000])
def test_peak_memory_is_what_both_libraries_took(pool, monkeypatch):
    """torch's count goes from 100 to 350 at its highest, CuPy's pool from nothing to `pool`."""
    held = [0]
    mine = types.SimpleNamespace(total_bytes=lambda: held[0], free_all_blocks=lambda: None)
    xp = types.SimpleNamespace(get_default_memory_pool=lambda: mine)
    assert device.Cuda("cpu", xp, FAKE_CUDA).peak_of(lambda: held.__setitem__(0, pool)) == 250 + pool


def test_flush_is_larger_than_the_l2(place, monkeypatch):
    sizes = []
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda size, **options: sizes.append(size) or real(size, **options))
    for l2, flush, wanted in ((1 << 10, 1 << 8, 1 << 12), (1 << 10, 1 << 14, 1 << 14)):
        cuda = types.SimpleNamespace(**vars(FAKE_CUDA))
        cuda.get_device_properties = lambda index, l2=l2: types.SimpleNamespace(L2_cache_size=l2)
        device.Cuda("cpu", np, cuda, flush=flush).clock()
        assert 4 * sizes.pop() == wanted


def test_fusing_is_left_to_the_module():
    def function(x):
        return x

    assert Fused(np).fuse(function) is function
    assert Fused(types.SimpleNamespace(fuse=lambda f: ("fused", f))).fuse(function) == ("fused", function)


def test_cupy_peers_take_odd_sizes_and_other_types():
    rng = np.random.default_rng(1)
    bins = inputs.bins()
    x, y = rng.normal(0, 3, (bins.n, 33, 61)).astype(np.float16), rng.random((33, 61), dtype=np.float32)
    expected = compare.image(reference.decode(x, y, bins))
    assert expected(Fused(np).decode(bins, 0.38)(x, y)).ok
    assert expected(Fused(np).decode(bins, 0.38, -1)(np.moveaxis(x, 0, -1), y)).ok
    assert expected(Fused(np).decode_planes(bins, 0.38)(x, y)).ok
    chroma = rng.uniform(-0.3, 0.3, (2, 7, 5)).astype(np.float32)
    for luma in (y, reference.to_uint8(y)):
        assert compare.image(reference.merge(chroma, luma))(Fused(np).merge(chroma.shape, luma.shape)(chroma, luma)).ok


def test_rounding_to_bfloat16_is_that_of_torch():
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    values[:2] = [1.00390625, 1.01171875]  # ties, to even below and above
    for dtype in ("bfloat16", "float16", "float32"):
        wanted = torch.from_numpy(values).to(getattr(torch, dtype)).float().numpy()
        assert (inputs.rounded(values, dtype) == wanted).all()


def test_answers_of_every_kind_come_to_the_host(place):
    on_gpu = types.SimpleNamespace(get=lambda: np.arange(3))  # as a CuPy array has it
    tensor = torch.tensor([1.5], dtype=torch.bfloat16, requires_grad=True)
    there = place.host((tensor, [on_gpu, np.ones(2)]))
    assert there[0].tolist() == [1.5]
    assert there[1][0].tolist() == [0, 1, 2]
    assert there[1][1].tolist() == [1, 1]


def test_second_backends_and_cupy_arrays_compete_on_the_gpu_alone(place):
    array = place.put(np.zeros((2, 2), np.float32))
    place.ours = (("fastcolor", "numba"), ("fastcolor, other", "other"))
    make = Peers(QUICK, array)
    assert [c.name for c in make.ours(lambda backend: None)] == ["fastcolor"]
    assert [c.backend for c in make.ours(lambda backend: None, second=True)] == ["numba", "other"]
    assert [c.name for c in make.ours_on_cupy(lambda backend: None)] == ["fastcolor, CuPy arrays"]
    assert Peers(Setting(), np.zeros((2, 2))).ours_on_cupy(lambda backend: None) == []


def a_metadata():
    metadata = runner._metadata(True, "cuda", ["--device", "cuda", "--quick"])
    return metadata | {"gpu": MADE_UP}


@pytest.fixture
def document(measured):
    """What a run on a GPU writes, with made-up times: ours 100 us at 85 % of copy; peers 200, 300, ... us.

    Host time is 5 us for ours, 10, 15, ... us for the others.
    """
    results = copy.deepcopy(measured)
    for suite in ("encode", "decode"):
        for k, r in enumerate(r for r in results if r["suite"] == suite and r["main"]):
            r |= dict.fromkeys(("median_s", "p20_s", "p80_s"), 1e-4 * (k + 1))
            r |= {"copy_floor_share": 0.85 / (k + 1), "mp_per_s": 1000 / (k + 1)}
            r |= {"gb_per_s": 600 / (k + 1), "read_floor_share": 0.75 / (k + 1), "first_call_s": 0.5, "peak_bytes": 7e6}
        for k, r in enumerate(r for r in results if r["suite"] == suite and r.get("host")):
            r |= dict.fromkeys(("median_s", "p20_s", "p80_s"), 5e-6 * (k + 1))
    return json.loads(json.dumps({"metadata": a_metadata(), "results": results}))


def test_goals_of_the_gpu(document):
    results = document["results"]
    for r in results:
        if r["candidate"] == "torch.compile" and r["main"]:
            r["median_s"] = 4.2e-4 if r["suite"] == "encode" else 7e-4
    table = report.goal_table(results, "cuda")
    assert "| decode | share of the measured copy bandwidth | >= 0.8  | 0.85 | reached |" in table
    assert "| decode | x torch.compile | >= 5 x | 7 x | reached |" in table
    assert "| encode | x torch.compile | >= 5 x | 4.2 x | **missed** |" in table
    assert "not measured" in table  # all 2^24 colors, which a quick run leaves out
    assert {goal.suite for goal in goals.of("cuda")} == {"encode", "decode"}
    assert goals.of("cpu") is goals.GOALS


def test_report_renders_a_document_of_a_gpu(document, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    path = tmp_path / "all--made-up--cuda.json"
    schema.write(path, document)
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text(f"before\n{readme.START}\nold\n{readme.END}\nafter", encoding="utf-8")
    written = report.write([path])
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "bench/report/speed-cuda.png",
        "bench/report/README.md",
        "README.md",
    ]
    text = (tmp_path / "bench/report/README.md").read_text(encoding="utf-8")
    for part in (
        "- Made-Up GPU 1, compute capability 0.0, 1.5 GB; driver 1.2.3; CUDA runtime 0.1, NVRTC 0.2",
        "clocks under load: SM 1000 MHz (at most 2000)",
        "### decode: planar float32, 40x52",
        "### decode: channels-last bfloat16, 24x37",
        "| **fastcolor** | 1000 | 100 | 100..100 | 600 | 0.85 | 0.75 | 1 x | 0.5 | 7 |  |",
        "| torch.compile | 250 | 400 | 400..400 | 150 | 0.21 | 0.19 | 4 x | 0.5 | 7 |  |",
        "### Host time of a call",
        "| **fastcolor, CuPy arrays** | decode | 10.0 | 10.0..10.0 |  |",
        "*Method on a GPU.*",
    ):
        assert part in text
    assert "host, " not in text.split("### Host time of a call")[0].split("### encode")[1]
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.startswith("before\n")
    assert (
        "| decode (logits and luma to RGB) | 32x40x52 float32 | 100 | 0.85 | 4 x | torch eager, 300 | 3 x | 5 |" in page
    )
    assert "Made-Up GPU 1, driver 1.2.3, CUDA 0.1" in page


def test_a_document_of_a_gpu_leaves_the_table_of_the_cpu_alone(document):
    cpu = copy.deepcopy(document)
    cpu["metadata"] |= {"device": "cpu"}
    del cpu["metadata"]["gpu"]
    for r in cpu["results"]:
        r |= {"hot_read_gb_per_s": 1.0, "read_gb_per_s": 1.0, "copy_gb_per_s": 1.0, "gb_per_s": 1.0}
        r.pop("host", None)
    assert readme.quoted([cpu, document], "cpu") is cpu
    assert readme.quoted([cpu, document], "cuda") is document
    assert readme.quoted([cpu], "cuda") is None
    small = {"metadata": cpu["metadata"], "results": cpu["results"][:1]}
    unfinished = {"metadata": cpu["metadata"] | {"left_out": {"decode": "all of it"}}, "results": cpu["results"]}
    assert readme.quoted([small, unfinished], "cpu") is unfinished  # a whole run of one suite is no table of them all
    assert readme.blocks([cpu]) == readme.block(cpu)
    assert readme.blocks([document, cpu]).startswith(readme.block(cpu) + "\n\n")


def test_schema_wants_the_gpu(document, tmp_path):
    for damage in (lambda m: m.pop("gpu"), lambda m: m["gpu"].pop("nvrtc")):
        broken = copy.deepcopy(document)
        damage(broken["metadata"])
        with pytest.raises(ValueError, match=r"metadata\.gpu"):
            schema.write(tmp_path / "broken.json", broken)


def test_a_run_asks_for_the_gpu_first(document, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "ask", lambda: (MADE_UP, ""))
    asked = []
    monkeypatch.setattr(runner, "_worker", lambda *words: asked.append(words) or 0)
    out = tmp_path / "made-up.json"
    assert main(["--device", "cuda", "--quick", "--out", str(out)]) == 0
    assert asked == [(of("cuda"), QUICK, schema.part(out), sys.executable)]
    metadata = schema.read(out)["metadata"]
    assert metadata["left_out"] == dict.fromkeys(of("cuda"), "all of it")
    assert metadata["gpu"] == MADE_UP
    assert metadata["command"] == "python -m bench --device cuda --quick"
    path = runner.default_path(of("cuda"), metadata, quick=False)
    assert path.name == "all--made-up-gpu-1--cuda.json"


def test_without_a_gpu_there_is_one_clear_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "ask", lambda: ({}, "torch sees no CUDA device; `nvidia-smi` must list one"))
    monkeypatch.setattr(runner, "_worker", lambda *words: pytest.fail("a worker was started"))
    assert main(["--device", "cuda", "--out", str(tmp_path / "x.json")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("bench: error: --device cuda: torch sees no CUDA device")
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_named_with_its_remedy(monkeypatch, capsys):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA; install" in gpu.missing()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "sees no CUDA device; `nvidia-smi`" in gpu.missing()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    status = types.SimpleNamespace(available=False, reason="ImportError: no cupy\n; pip install it")
    monkeypatch.setattr("fastcolor.backends", lambda: {"cupy": status})
    assert gpu.main() == 2
    assert capsys.readouterr().out == "fastcolor's backend cupy does not run: ImportError: no cupy ; pip install it\n"
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: None)
    assert gpu.missing().startswith("torch is not installed; pip install torch")


def test_description_of_the_device(monkeypatch):
    found = types.SimpleNamespace(
        name="Made-Up GPU 1",
        major=9,
        minor=0,
        total_memory=80_000_000_000,
        multi_processor_count=132,
        L2_cache_size=50 << 20,
        uuid="0123",
    )
    cuda = types.SimpleNamespace(
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
        runtime=types.SimpleNamespace(driverGetVersion=lambda: 13010, runtimeGetVersion=lambda: 13000),
    )
    asked = []

    def run(command, **options):
        asked.append(command)
        return types.SimpleNamespace(stdout="1.2.3, 1000, 2000, 1980, 2619, 700.00, 31")

    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: found)
    monkeypatch.setattr(gpu, "_load", lambda: None)
    monkeypatch.setattr(gpu.subprocess, "run", run)
    described = gpu.describe()
    assert described["compute_capability"] == "9.0"
    assert described["memory_gb"] == 80.0
    assert (described["cuda_of_driver"], described["cuda_runtime"], described["nvrtc"]) == ("13.1", "13.0", "13.0")
    assert (described["driver"], described["clock_memory_max_mhz"]) == ("1.2.3", 2619.0)
    assert asked[0][-2:] == ["-i", "GPU-0123"]
    schema.validate({"metadata": a_metadata() | {"gpu": json.loads(json.dumps(described))}, "results": []})

    def absent(command, **options):
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(gpu.subprocess, "run", absent)
    assert "driver" not in gpu.describe()


def test_a_report_without_matplotlib_says_what_to_install(monkeypatch, capsys):
    def fail(files):
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    monkeypatch.setattr(report, "write", fail)
    assert main(["report"]) == 1
    assert "the chart needs matplotlib; pip install 'fastcolor[bench]'" in capsys.readouterr().err


def test_fields_of_the_driver_tool_that_it_does_not_tell_are_left_out():
    assert gpu.smi_fields("1.2.3, 100, [N/A], 200, 300, [Not Supported], 31\n") == {
        "driver": "1.2.3",
        "clock_sm_mhz": 100.0,
        "clock_sm_max_mhz": 200.0,
        "clock_memory_max_mhz": 300.0,
        "temperature_c": 31.0,
    }
    assert gpu.smi_fields("") == {}


@pytest.mark.parametrize("words", [["startup"], ["--threads", "1"], ["--malloc", "tuned"]])
def test_what_is_for_the_cpu_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--device", "cuda", *words])
    assert stop.value.code == 2
    assert "which are for the CPU" in capsys.readouterr().err
    assert of("cpu") == list(SUITES)


WITH_EXAMPLES = [f"bench.{name}" for name in ("measure.timing", "publish.tables", "sass.listing", "sass.rules")]


@pytest.mark.parametrize(
    "name", sorted({*WITH_EXAMPLES, *(info.name for info in pkgutil.walk_packages(bench.__path__, "bench."))})
)
def test_examples_of_the_bench_run(name):
    if name != "bench.__main__":
        result = doctest.testmod(importlib.import_module(name), extraglobs={"np": np})
        assert result.failed == 0
        assert result.attempted or name not in WITH_EXAMPLES
