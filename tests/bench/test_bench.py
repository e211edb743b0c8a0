"""The bench itself: models, comparators, schedule, goals, and that the README says what the committed JSON says."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from paths import ROOT

import fastcolor
from bench import bytes as traffic
from bench import runner, worker
from bench.__main__ import main
from bench.cases import Candidate, Case, Setting
from bench.measure import device, timing
from bench.measure.floor import Floor
from bench.peers import other
from bench.peers.arrays import Arrays, blocked, by_rows
from bench.peers.color import both
from bench.publish import goals, readme, report, schema
from bench.suites import compare
from fastcolor import reference

QUICK = Setting(quick=True)
NUMPY = Arrays(np)


@pytest.fixture(scope="module")
def floor():
    return Floor(threads=1, size=1 << 16)


@pytest.fixture
def photo():
    """Odd sizes, every gray, and the corners of the RGB cube, where cells have their edges."""
    rgb = np.random.default_rng(0).integers(0, 256, (33, 61, 3), dtype=np.uint8)
    rgb[:8, :32] = np.arange(256, dtype=np.uint8).reshape(8, 32, 1)
    rgb[8, :8] = [[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    return rgb


def a_case(rgb, *extra):
    """A tiny histogram with the right answer, and whatever else is to be tried."""
    candidates = (Candidate("fastcolor", lambda: lambda: fastcolor.histogram(rgb, 17), ours=True), *extra)
    expected = reference.histogram(rgb, 17)
    return Case(
        suite="histogram",
        name="tiny",
        shape="33x61x3",
        dtype="uint8",
        layout="channels-last",
        pixels=rgb.shape[0] * rgb.shape[1],
        traffic=traffic.histogram(rgb.shape[0] * rgb.shape[1], 17),
        check=compare.equal(expected),
        candidates=candidates,
        main=True,
    )


@pytest.mark.parametrize(
    ("model", "read", "write"),
    [
        (traffic.encode(7), 7 * 3, 7 * 9),
        (traffic.encode(7, label_bytes=8), 7 * 3, 7 * 16),
        (traffic.decode(7, 32), 7 * 132, 7 * 3),
        (traffic.decode(7, 32, logit_bytes=2, luma_bytes=1), 7 * 65, 7 * 3),
        (traffic.decode(7, 32, confidence=True), 7 * 132, 7 * 11),
        (traffic.annealed_mean(7, 32, logit_bytes=2), 7 * 64, 7 * 4),
        (traffic.confidence(7, 32), 7 * 128, 7 * 8),
        (traffic.temporal(7, 32, ring_bytes=4), 7 * (3 * 128 + 4), 7 * (2 * 128 + 3)),
        (traffic.histogram(7, 17), 7 * 3, 8 * 289),
        (traffic.merge(700, 7, luma_bytes=1), 700 + 56, 2100),
        (traffic.merge(100, 4), 432, 300),
        (traffic.decode(1, 32), 132, 3),
        (traffic.annealed_mean(1, 32), 128, 8),
        (traffic.temporal(1, 32, ring_bytes=1), 292, 163),
        (traffic.histogram(100, 2), 300, 32),
        (traffic.cross_entropy(1, 32), 133, 128),
        (traffic.cross_entropy(7, 32, label_bytes=8), 7 * 140, 7 * 128),
    ],
)
def test_bytes_models(model, read, write):
    assert model == (read, write)


def test_a_model_is_the_size_of_the_arrays():
    rgb = np.zeros((5, 9, 3), np.uint8)
    results = fastcolor.encode(rgb, fastcolor.ColorBins.default())
    assert traffic.encode(45) == (rgb.nbytes, sum(array.nbytes for array in results))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_floor_counts_every_byte_that_it_moves(threads):
    """Of 2 MiB a copy reads one half and writes the other; two threads share what is large enough."""
    floor, summed = Floor(threads, size=2 << 20), []
    floor._sum = lambda part: summed.append(part.nbytes)
    runs = {name: run for name, (run, _) in floor.runs(hot_bytes=4096).items()}
    assert [runs["read"](), sum(summed), len(summed)] == [2 << 20, 2 << 20, threads]
    summed.clear()
    assert [runs["hot"](), summed] == [4096, [4096]]
    floor.buffer[:] = np.arange(floor.buffer.size)
    assert runs["copy"]() == 2 << 20
    np.testing.assert_array_equal(floor.buffer, np.tile(np.arange(1 << 18), 2))


def test_schedule_spreads_samples_evenly():
    assert timing.plan([1e-4, 10.0], timing.Budget(1.0, 4, 12)) == [(12, 3), (4, 1)]
    for samples in (1, 5, 7, 31):
        rounds = [k for k in range(31) if timing.takes_part(k, samples, 31)]
        assert len(rounds) == samples
        assert max(np.diff([-1, *rounds])) <= -(-31 // samples)


def test_interleaving_calls_each_as_often_as_planned():
    order = []
    runners = [timing.Runner(name, lambda name=name: order.append(name), 1.0) for name in "ab"]
    timing.interleave(runners, timing.Budget(1.0, 3, 9))
    assert "".join(order) == "aabb" + "bbaa" + "aabb"
    assert [len(runner.seconds) for runner in runners] == [3, 3]


def test_wrong_answers_get_no_time(photo, floor):
    right = reference.histogram(photo, 17)
    off_by_one = right.copy()
    off_by_one[8, 8] += 1
    case = a_case(
        photo,
        Candidate("planted", lambda: lambda: off_by_one),
        Candidate("transposed", lambda: lambda: right.T),
        Candidate("known approximation", lambda: lambda: off_by_one, inexact="planted"),
        Candidate("wrong shape", lambda: lambda: right[:-1]),
        Candidate("raises", lambda: lambda: 1 / 0),
        Candidate("absent", lambda: lambda: right, needs=("no_such_module",)),
    )
    results = {r["candidate"]: r for r in timing.measure(case, QUICK, floor)}
    statuses = {name: r["status"] for name, r in results.items()}
    assert statuses == {
        "fastcolor": "ok",
        "planted": "wrong",
        "transposed": "wrong",
        "known approximation": "inexact",
        "wrong shape": "wrong",
        "raises": "error",
        "absent": "skipped",
    }
    assert {name for name, r in results.items() if "median_s" in r} == {"fastcolor", "known approximation"}
    assert "WRONG" in worker.line(results["planted"])
    assert "no_such_module" in worker.line(results["absent"])
    assert "ZeroDivisionError" in results["raises"]["note"]
    assert results["known approximation"]["check"]["mismatch"] == pytest.approx(1 / 289)


def test_a_crop_is_scaled(photo, floor):
    case = a_case(photo, Candidate("crop", lambda: lambda: reference.histogram(photo, 17), share=0.25))
    result = timing.measure(case, QUICK, floor)[1]
    assert result["mp_per_s"] == pytest.approx(case.pixels / result["median_s"] / 1e6)
    assert result["share"] == 0.25


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        (lambda a: a, True),
        (lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, a + 1, a).astype(np.uint8), True),
        (lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, a + 2, a).astype(np.uint8), False),
        (lambda a: a + np.uint8(1), False),
        (lambda a: np.roll(a, 1, axis=0), False),
        (lambda a: a[:-1], False),
        (lambda a: a.astype(np.int64), False),
    ],
)
def test_image_comparator(change, ok):
    expected = np.random.default_rng(0).integers(0, 200, (40, 50, 3), dtype=np.uint8)
    assert compare.image(expected)(change(expected)).ok is ok


def test_close_comparator_treats_infinities_and_nan():
    check = compare.close([1.0, np.inf, 2.0], relative=1e-3)
    assert check(np.array([1.0005, np.inf, 2.0])).ok
    for wrong in ([1.01, np.inf, 2.0], [1.0, 5.0, 2.0], [np.nan, np.inf, 2.0], [1.0, np.inf]):
        assert not check(np.array(wrong)).ok


def test_every_reports_the_first_failure():
    check = compare.every([compare.equal([1], compare.part(0)), compare.close([2.0], 0.1, pick=compare.part(1))])
    assert check(([1], [2.05])).ok
    assert check(([1], [2.5])).worst == pytest.approx(0.5)


def test_numpy_peers_are_exact(photo):
    bins = fastcolor.ColorBins.default()
    luma, labels, weights = reference.encode(photo, bins)
    whole = NUMPY.encode(bins, bins.weights())
    dictionary = other.encode_dictionary(photo, bins, bins.weights())
    for y, label, weight in (whole(photo), by_rows(whole)(photo), dictionary()):
        assert (label == labels).all()
        np.testing.assert_allclose(y, luma, atol=3e-7)
        np.testing.assert_allclose(weight, weights, rtol=1e-6)
    for cells in (10, 17, 65):
        assert (NUMPY.histogram(cells)(photo) == reference.histogram(photo, cells)).all()


def test_numpy_peers_decode_and_merge():
    rng = np.random.default_rng(1)
    bins = fastcolor.ColorBins.default()
    x, y = rng.normal(0, 3, (bins.n, 33, 61)).astype(np.float32), rng.random((33, 61), dtype=np.float32)
    rgb, top, ratio = blocked(both(NUMPY.decode(bins, 0.38), NUMPY.confidence), outputs=3)(x, y)
    assert compare.image(reference.decode(x, y, bins))(rgb).ok
    wanted = reference.confidence(x, axis=0)
    np.testing.assert_allclose(top, wanted[0], atol=1e-6)
    np.testing.assert_allclose(ratio, wanted[1], rtol=1e-4)
    chroma = rng.uniform(-0.3, 0.3, (2, 7, 5)).astype(np.float32)
    for luma in (y, reference.to_uint8(y)):
        assert compare.image(reference.merge(chroma, luma))(NUMPY.merge(chroma.shape, luma.shape)(chroma, luma)).ok


def test_torch_peers_are_exact(photo):
    torch = pytest.importorskip("torch")
    from bench.peers import torch as p

    bins = fastcolor.ColorBins.default()
    rgb = torch.from_numpy(photo)
    assert (p.encode(bins, bins.weights())(rgb)[1].numpy() == reference.encode(photo, bins)[1]).all()
    assert (p.histogram(65)(rgb).numpy() == reference.histogram(photo, 65)).all()
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 3, (bins.n, 33, 61)).astype(np.float32), rng.random((33, 61), dtype=np.float32)
    expected = compare.image(reference.decode(x, y, bins))
    for build in (p.decode_softmax, p.decode_blocked, p.decode_sums, p.decode_planes):
        assert expected(build(bins, 0.38)(p.tensor(x), p.tensor(y))).ok, build.__name__
    for build in (p.confidence_topk, p.confidence_planes):
        np.testing.assert_allclose(build(p.tensor(x))[1].numpy(), reference.confidence(x)[1], rtol=1e-4)
    chroma = rng.uniform(-0.3, 0.3, (2, 7, 5)).astype(np.float32)
    expected = compare.image(reference.merge(chroma, y))
    assert expected(p.merge(p.tensor(chroma), p.tensor(y))).ok
    assert expected(p.merge_rows(chroma.shape, y.shape)(p.tensor(chroma), p.tensor(y))).ok


@pytest.fixture
def document(photo, floor):
    """What a run writes, with made-up times: ours 1 ms, an exact peer 12 ms, an inexact one 3 ms."""
    case = a_case(
        photo,
        Candidate("numpy", lambda: lambda: NUMPY.histogram(17)(photo)),
        Candidate("OpenCV calcHist", lambda: lambda: np.zeros((17, 17), np.int64), inexact="planted"),
        Candidate("absent", lambda: lambda: None, needs=("no_such_module",)),
    )
    results = timing.measure(case, QUICK, floor)
    for result, milliseconds in zip(results, (1, 12, 3), strict=False):
        factor = result["median_s"] / (milliseconds / 1e3)
        result |= {key: result[key] / factor for key in ("median_s", "p20_s", "p80_s")}
        result |= {"mp_per_s": result["mp_per_s"] * factor}
    metadata = runner._metadata(True, "cpu", ["histogram", "--quick"])
    return json.loads(json.dumps({"metadata": metadata, "results": results}))


def test_goals_use_the_best_exact_peer(document):
    rows = goals.select(document["results"], "histogram")
    assert goals.best_peer(rows)["candidate"] == "numpy"
    assert goals.ratio(rows, goals.best_peer(rows)) == pytest.approx(12)
    table = report.goal_table(document["results"])
    assert "| histogram | x best exact peer | >= 10 x | 12.0 x | reached |" in table
    assert "| histogram | x OpenCV (inexact) | >= 5 x | 3 x | **missed** |" in table
    assert "| decode | x best peer | >= 11 x | - | not measured |" in table


def test_document_goes_through_a_file_into_the_report(document, tmp_path):
    path = tmp_path / "histogram--here--cpu.json"
    schema.write(path, document)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    again = schema.read(path)
    text = report.report([again], [path])
    assert "SKIPPED: not installed: no_such_module" in text
    assert "inexact" in text
    table = readme.block(again)
    assert "| 12.0 x |" in table
    assert "`python -m bench histogram --quick`" in table
    text = f"before\n{readme.START}\nold\n{readme.END}\nafter"
    assert readme.with_block(text, table) == f"before\n{readme.START}\n{table}\n{readme.END}\nafter"


def test_chart_is_small(document, tmp_path):
    pytest.importorskip("matplotlib")
    from bench.publish import chart

    chart.draw(document, tmp_path / "speed.png")
    data = (tmp_path / "speed.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(data) < 300_000


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda d: d["metadata"].pop("commit"), "metadata.commit: missing"),
        (lambda d: d["metadata"].update(schema=99), "metadata.schema"),
        (lambda d: d["results"][0].pop("median_s"), r"results\[0\].median_s: missing"),
        (lambda d: d["results"][0].update(pixels="many"), r"results\[0\].pixels: expected"),
        (lambda d: d["results"][0].update(status="fine"), r"results\[0\].status"),
        (lambda d: d["results"][0].update(status="wrong"), "a result that is wrong has no time"),
        (lambda d: d.update(extra=1), "document: expected"),
    ],
)
def test_schema_names_what_is_wrong(document, damage, where, tmp_path):
    broken = copy.deepcopy(document)
    damage(broken)
    with pytest.raises(ValueError, match=where):
        schema.write(tmp_path / "broken.json", broken)
    assert not list(tmp_path.iterdir())


def test_worker_adds_valid_results(photo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(worker, "set_threads", lambda threads: None)
    monkeypatch.setattr(device, "QUICK_BUFFER_BYTES", 1 << 16)
    monkeypatch.setattr(worker.registry, "cases", lambda name, setting: iter([a_case(photo)]))
    path, metadata = tmp_path / "r.json", runner._metadata(True, "cpu", [])
    schema.write(path, {"metadata": metadata, "results": []})
    words = ["histogram", "--threads", "1", "--malloc", "default", "--quick", "--out", str(path)]
    assert worker.main(words) == 0
    assert [r["status"] for r in schema.read(path)["results"]] == ["ok"]
    assert worker.main(words) == 0
    assert len(schema.read(path)["results"]) == 2
    assert "MP/s" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["nope"], ["--threads", "0"], ["--malloc", "other"], ["--device", "tpu"]])
def test_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "expected" in (error := capsys.readouterr().err) or "invalid choice" in error


def committed():
    return sorted((ROOT / "bench/results").glob("*.json"))


@pytest.mark.skipif(not committed(), reason="no results are committed")
def test_readme_and_report_say_what_the_json_says():
    documents = [schema.read(path) for path in committed()]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.with_block(text, readme.blocks(documents)) == text, "run `python -m bench report`"
    written = (ROOT / "bench/report/README.md").read_text(encoding="utf-8")
    assert report.report(documents, committed()) == written, "run `python -m bench report`"
