"""The suites of Lab and the 313 bins: their peers are right, their models count, their goals read their results."""

from __future__ import annotations

import numpy as np
import pytest

from bench import bytes as traffic
from bench.__main__ import main
from bench.cases import Setting
from bench.measure import device, timing
from bench.peers import lab
from bench.publish import goals
from bench.suites import compare, inputs, lab_logits, lab_targets
from bench.suites.registry import SUITES, cases, of
from bench.worker import line, run, selected
from fastcolor import reference

torch = pytest.importorskip("torch")
from bench.peers import lab_torch  # noqa: E402

OF_LAB = ("encode_lab", "encode_soft", "loss_soft", "chroma_lab", "decode_lab")
QUICK = Setting(quick=True, without="torch.compile")  # what is compiled is tried eagerly below
LAM, T = lab_targets.LAM, lab_logits.T


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(device.Cpu, "sizes", lambda self, quick: [(740, 64)])
    monkeypatch.setattr(lab_logits, "SIDE", 8)
    monkeypatch.setattr(device, "QUICK_BUFFER_BYTES", 1 << 16)
    monkeypatch.setattr(timing, "QUICK", timing.Budget(0.001, 1, 1))


@pytest.mark.parametrize("suite", OF_LAB)
def test_every_candidate_that_is_not_compiled_is_right(suite, small):
    results, whole = run([suite], QUICK)
    assert whole
    statuses = {r["candidate"]: r["status"] for r in results}
    assert {name: status for name, status in statuses.items() if status not in ("ok", "skipped", "inexact")} == {}, [
        line(r) for r in results
    ]
    assert statuses["fastcolor"] == "ok"
    inexact = {name for name, status in statuses.items() if status == "inexact"}
    assert all(name.startswith("OpenCV") for name in inexact)
    assert all(r["main"] for r in results)


def test_the_suites_are_the_cpus():
    assert set(OF_LAB) < set(of("cpu"))
    assert not set(OF_LAB) & set(of("cuda"))


def test_the_suites_of_the_cpu_are_refused_on_a_gpu(capsys):
    with pytest.raises(SystemExit):
        main(["chroma_lab", "--device", "cuda"])
    assert "chroma_lab, decode_lab, startup, which are for the CPU" in capsys.readouterr().err


def test_two_threads_leave_slow_peers_out(small):
    (case,) = cases("encode_soft", Setting(threads=2))
    assert [c.name for c in selected(case, Setting(threads=2)).candidates] == ["fastcolor"]


@pytest.mark.parametrize(
    ("model", "read", "write"),
    [
        (traffic.encode(7, label_bytes=2), 21, 70),
        (traffic.encode_soft(7, 5), 21, 7 * (8 + 30)),
        (traffic.decode_upsampled(4, 313, 100), 4 * 313 * 4 + 400, 300),
        (traffic.cross_entropy(7, 313, label_bytes=8, neighbors=5), 7 * (1252 + 60 + 4), 7 * 1252),
        (traffic.annealed_mean(7, 313), 7 * 1252, 56),
    ],
)
def test_bytes_models(model, read, write):
    assert model == (read, write)


def test_a_model_is_the_size_of_the_arrays():
    rgb = np.zeros((5, 9, 3), np.uint8)
    results = lab_targets.fastcolor.encode_soft(rgb, inputs.zhang())
    assert traffic.encode_soft(45, 5) == (rgb.nbytes, sum(array.nbytes for array in results))


def test_colors_at_the_edges_are_those_that_float32_gets_wrong(monkeypatch):
    """The hardest of an eighth of all colors: the grid in float32 fails on some, in float64 on none."""
    bins, colors = inputs.zhang(), lab_targets.arrays.all_colors()[::8]
    monkeypatch.setattr(lab_targets.arrays, "all_colors", lambda: colors)
    rgb = lab_targets._at_the_edges.__wrapped__(1024)[None]
    assert len(np.unique(rgb[0], axis=0)) == 1024
    labels = reference.encode(rgb, bins)[1]
    options = bins, bins.weights(LAM)
    assert (lab.encode_grid(rgb, *options, lab.to_lab)()[1] == labels).all()
    for dtype, most in ((torch.float32, 64), (torch.float64, 0)):
        wrong = int((lab_torch.encode(*options, dtype)(torch.from_numpy(rgb))[1].numpy() != labels).sum())
        assert (0 < wrong <= most) if most else wrong == 0


def test_torch_peers_are_right():
    """Those that the bench compiles, here eagerly."""
    bins, rgb = inputs.zhang(), inputs.photo(48, 64)
    there, options = torch.from_numpy(rgb), (bins, bins.weights(LAM), lab_targets.NEIGHBORS, lab_targets.SIGMA)
    for build in (lab_torch.soft_cdist, lab_torch.soft_window):
        assert lab_targets._soft_check(rgb)([part.numpy() for part in build(*options)(there)]).ok, build.__name__
    assert lab_targets._check(rgb)([part.numpy() for part in lab_torch.encode(*options[:2])(there)]).ok
    x = torch.from_numpy(inputs.lab_logits(2, 8))
    expected = compare.close(reference.annealed_mean(x, bins, temperature=T, axis=1), absolute=lab_logits.CHROMA)
    for build in (lab_torch.mean_conv, lab_torch.mean_einsum, lab_torch.mean_sums):
        assert expected(build(bins, T)(x).numpy()).ok, build.__name__


def test_losses_of_torch_agree():
    x = torch.from_numpy(inputs.lab_logits(2, 8))
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(np.argsort(rng.random((2, 313, 8, 8)), axis=1)[:, :5])
    shares, weights = torch.rand(2, 5, 8, 8), torch.rand(2, 8, 8)
    wanted = reference.weighted_cross_entropy(x, labels, weights, shares=shares / shares.sum(1, keepdim=True))
    shares /= shares.sum(1, keepdim=True)
    dense = torch.zeros_like(x).scatter_(1, labels, shares)
    for loss in (lab_torch.loss_gather, lab_torch.loss_logsumexp):
        assert float(loss(x, labels, weights, shares)) == pytest.approx(wanted, rel=1e-5)
    assert float(lab_torch.loss_dense(x, dense, weights)) == pytest.approx(wanted, rel=1e-5)


def test_goals_of_lab_come_from_their_results():
    """A rate, a time and a ratio to another candidate of ours, of made-up figures."""

    def made(suite, candidate, seconds, ours=False, **more):
        fields = {"case": "c", "main": True, "malloc": "default", "threads": 1, "status": "ok", "check": None}
        return fields | {"suite": suite, "candidate": candidate, "median_s": seconds, "ours": ours, **more}

    results = [
        made("encode_lab", "fastcolor", 0.005, True, mp_per_s=210.0),
        made("encode_lab", "numpy", 0.07),
        made("encode_lab", "fastcolor", 1.0, True, case="all 2^24 colors", main=False, check={"worst": 0.0}),
        made("loss_soft", "fastcolor", 0.012, True),
        made("loss_soft", "fastcolor, hard labels", 0.010, True),
        made("decode_lab", "fastcolor", 0.007, True),
    ]
    values = {(goal.suite, goal.text): goal.value(results) for goal in goals.GOALS if goal.suite in OF_LAB}
    assert values["encode_lab", "MP/s"] == 210
    assert values["encode_lab", "x best peer"] == pytest.approx(14)
    assert values["encode_lab", "wrong labels among all 2^24 colors"] == 0
    assert values["loss_soft", "times that of hard labels"] == pytest.approx(1.2)
    assert values["decode_lab", "a megapixel from 64 x 64 logits"] == 0.007
    assert values["chroma_lab", "share of the read floor"] is None
    assert all(SUITES[suite].module.startswith("lab_") for suite, _ in values)
