"""Measure what docs/dropin.md says in figures: OMP_NUM_THREADS=1 python docs/make_dropin_page.py. A few minutes.

The other projects' part is their arithmetic as tests/dropin/ restates it. Times are CPU time of one thread, which
bears other work beside it, the two ways in turns, medians. Needs what the tests need.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/helpers")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from compare_loss import dense_targets  # noqa: E402

import fastcolor  # noqa: E402
from bench.measure import machine  # noqa: E402
from bench.peers.arrays import all_colors  # noqa: E402
from bench.publish.tables import number  # noqa: E402
from bench.publish.tables import times as factor  # noqa: E402
from bench.suites import inputs as photographs  # noqa: E402
from tests.dropin import caffe, ct2, inputs, lab_codes, pytorch529, test_losses, time0o  # noqa: E402
from tests.dropin.page import PAGE, program  # noqa: E402

BATCH, SIDE = 8, 256  # photographs, and their pixels a side
TURNS = 7


class Step(NamedTuple):
    """One thing that both ways do."""

    project: str
    what: str
    theirs: Callable[[], object]
    ours: Callable[[], object]


def main() -> None:
    torch.set_num_threads(1)
    fastcolor.set_num_threads(1)
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("labels", labels()), ("numbers", numbers()), ("times", times())):
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        text = re.sub(f"{start}.*?{end}", lambda _: f"{start}\n{table}\n{end}", text, flags=re.DOTALL)  # noqa: B023
    PAGE.write_text(text, encoding="utf-8")


def _table(head: str, align: str, rows: list[tuple[str, ...]]) -> str:
    return "\n".join([f"| {head} |", f"|{align}|", *(f"| {' | '.join(row)} |" for row in rows)])


# --- labels -----------------------------------------------------------------------------------------------------------


def labels() -> str:
    """Wrong labels of every Lab code, among all colors."""
    totals: dict[str, int] = {}
    for colors in np.split(all_colors().reshape(-1, 3), 256):
        for name, count in lab_codes.wrong(colors):
            totals[name] = totals.get(name, 0) + count
    rows = [(name, f"{count:,}", f"{100 * count / 2**24:.2g} %") for name, count in totals.items()]
    return _table("conversion, then the grid of ten | wrong labels of 2^24 | share", "---|---:|---:", rows)


# --- numbers ----------------------------------------------------------------------------------------------------------


def numbers() -> str:
    """How far the page's functions are from the restatements, on the inputs of tests/dropin."""
    return _table(
        "| soft targets | gradient, relative | value, relative | chroma, ab",
        "---|---:|---:|---:|---:",
        list(_numbers()),
    )


def _numbers() -> Iterator[tuple[str, ...]]:
    page, photos, points, prior = program(), inputs.photos(), inputs.centers(), inputs.prior()
    size, x = (inputs.TARGETS, inputs.TARGETS), inputs.logits()
    centers = torch.from_numpy(points.astype(np.float64))
    chroma = page.time0o_chroma(x) - time0o.mean_chroma(x.double(), centers)
    of_caffe = fastcolor.annealed_mean(x, page.bins, temperature=1 / caffe.SCALE) - caffe.mean_chroma(
        x.double(), points
    )
    for name, module, target, given, decoded in (
        ("richzhang/colorization", caffe, caffe.targets(photos, points, prior), photos, of_caffe),
        ("Time0o", time0o, time0o.targets(photos, size, points, prior), photos, chroma),
        ("CT2", ct2, ct2.targets(inputs.few(), points, prior), inputs.few(), chroma),  # whose mean is Time0o's
    ):
        ours = getattr(page, f"{module.__name__.rpartition('.')[2]}_targets")(given)
        loss = getattr(page, f"{module.__name__.rpartition('.')[2]}_loss")
        yield name, *_soft_numbers(module, loss, target, ours), _of(decoded)
    x = inputs.logits(529)
    theirs, ours = test_losses.leaves(x)
    labels = pytorch529.labels(pytorch529.chroma(photos))
    their_loss, our_loss = pytorch529.loss(theirs, labels), page.pytorch_loss(ours, *page.pytorch_targets(photos))
    values = _relative(our_loss, their_loss)
    gradient = _relative(test_losses.gradient(our_loss, ours), test_losses.gradient(their_loss, theirs))
    decoded = page.pytorch_chroma(x) - 110 * pytorch529.mean_chroma(x.double())
    yield "colorization-pytorch", "hard labels: equal", gradient, values, _of(decoded)


def _soft_numbers(module: object, loss: Callable, target: tuple, ours: list) -> tuple[str, str, str]:
    """Targets, gradient and printed value; of the pixels whose k-th neighbor float32 can tell."""
    labels, shares, weights = ours
    n = target[0].shape[1]
    away = np.abs(dense_targets(n, labels.numpy(), shares.numpy()) - target[0].numpy())
    sure = ~inputs.undecided(inputs.few(), labels.shape[1])
    x, y = test_losses.leaves(inputs.logits())
    theirs = module.loss(caffe.Rebalance.apply(x, target[1]), target[0])  # type: ignore[attr-defined]
    trained = loss(y, labels, shares, weights)
    printed = loss(y, labels, shares, torch.ones_like(weights))
    if module is not caffe:  # a divergence
        printed = printed - caffe.entropy(shares) / (len(y) if module is time0o else weights.numel())
    gradient = _relative(test_losses.gradient(trained, y), test_losses.gradient(theirs, x))
    return f"{np.moveaxis(away, 1, -1)[sure].max():.1e}", gradient, _relative(printed, theirs)


def _relative(ours: object, theirs: object) -> str:
    """Largest difference, relative to their largest value."""
    a, b = (np.asarray(v.detach() if isinstance(v, torch.Tensor) else v, dtype=np.float64) for v in (ours, theirs))
    return f"{np.abs(a - b).max() / np.abs(b).max():.1e}"


def _of(chroma: torch.Tensor) -> str:
    return f"{float(chroma.abs().max()):.1e}"


# --- times ------------------------------------------------------------------------------------------------------------


def times() -> str:
    """Milliseconds of both ways, and where they were measured."""
    rows = []
    for step in _steps():
        theirs, ours = _in_turns(step.theirs, step.ours)
        rows.append((step.project, step.what, number(1e3 * theirs), number(1e3 * ours), factor(theirs / ours)))
        print(rows[-1], flush=True)
    table = _table("project | step | theirs, ms | ours, ms | faster", "---|---|---:|---:|---:", rows)
    host = machine.describe()
    return (
        f"{table}\n\n{machine.now()[:10]}, one thread of {host['cpus']} CPUs of {host['cpu']}, load at the start "
        f"{host['load_at_start']}; torch {torch.__version__.partition('+')[0]}."
    )


def _in_turns(*runs: Callable[[], object]) -> list[float]:
    """Median seconds of CPU time of each, after a call off the clock."""
    seconds: list[list[float]] = [[] for _ in runs]
    for turn in range(TURNS + 1):
        for run, taken in zip(runs, seconds, strict=True):
            start = time.process_time()
            run()
            if turn:
                taken.append(time.process_time() - start)
    return [float(np.median(taken)) for taken in seconds]


def _steps() -> Iterator[Step]:
    page, points, prior = program(), inputs.centers(), inputs.prior()
    photos = np.repeat(photographs.photo(SIDE, SIDE)[None], BATCH, axis=0)
    few, quarter = photos[:, ::4, ::4], (SIDE // 4, SIDE // 4)
    x = torch.randn(BATCH, 313, *quarter, generator=torch.Generator().manual_seed(0))
    wide = torch.randn(BATCH, 529, *quarter, generator=torch.Generator().manual_seed(0))
    centers = torch.from_numpy(points.astype(np.float32))
    targets = f"targets of {BATCH} x {SIDE} x {SIDE}, at {quarter[0]} x {quarter[1]}"
    loss, chroma = "loss and gradient, 8 x 313 x 64 x 64", "chroma, 8 x 313 x 64 x 64"

    dense = tuple(part.float() for part in caffe.targets(photos, points, prior))
    ours = page.caffe_targets(photos)
    yield Step("Caffe", targets, lambda: caffe.targets(photos, points, prior), lambda: page.caffe_targets(photos))
    yield Step("Caffe", loss, _trained(x, caffe.loss, *dense), _ours(x, page.caffe_loss, ours))
    scale = 1 / caffe.SCALE
    yield Step(
        "Caffe",
        chroma,
        lambda: caffe.mean_chroma(x, points),
        lambda: fastcolor.annealed_mean(x, page.bins, temperature=scale),
    )

    soft = page.time0o_targets(photos)
    of_time0o = time0o.targets(photos, quarter, points, prior, torch.float32)
    yield Step(
        "Time0o",
        targets,
        lambda: time0o.targets(photos, quarter, points, prior, torch.float32),
        lambda: page.time0o_targets(photos),
    )
    yield Step("Time0o", loss, _trained(x, time0o.loss, *of_time0o), _ours(x, page.time0o_loss, soft))
    yield Step("Time0o", chroma, lambda: time0o.mean_chroma(x, centers), lambda: page.time0o_chroma(x))

    one = photos[:1]
    yield Step(
        "CT2",
        f"targets of one picture, each of {SIDE} x {SIDE} pixels",
        lambda: ct2.targets(one, points, prior, torch.float32),
        lambda: page.ct2_targets(one),
    )
    yield Step("CT2", loss, _trained(x, ct2.loss, *of_time0o), _ours(x, page.ct2_loss, page.ct2_targets(few)))

    yield Step(
        "colorization-pytorch",
        targets,
        lambda: pytorch529.labels(pytorch529.chroma(photos)),
        lambda: page.pytorch_targets(photos),
    )
    hard = pytorch529.labels(pytorch529.chroma(photos))
    yield Step(
        "colorization-pytorch",
        "loss and gradient, 8 x 529 x 64 x 64",
        _gradient(wide, lambda y: pytorch529.loss(y, hard)),
        _ours(wide, page.pytorch_loss, page.pytorch_targets(photos)),
    )
    yield Step(
        "colorization-pytorch",
        "chroma, 8 x 529 x 64 x 64",
        lambda: pytorch529.mean_chroma(wide),
        lambda: page.pytorch_chroma(wide),
    )


def _gradient(x: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], object]:
    leaf = x.clone().requires_grad_()
    return lambda: torch.autograd.grad(loss(leaf), leaf)


def _trained(x: torch.Tensor, loss: Callable, target: torch.Tensor, weights: torch.Tensor) -> Callable[[], object]:
    return _gradient(x, lambda y: loss(caffe.Rebalance.apply(y, weights), target))


def _ours(x: torch.Tensor, loss: Callable, target: list) -> Callable[[], object]:
    return _gradient(x, lambda y: loss(y, *target))


if __name__ == "__main__":
    main()
