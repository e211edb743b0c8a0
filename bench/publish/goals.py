"""The speed goals of each device, and whether the figures of a run reach them: every ratio from the same run.

On the CPU they are about one thread.

Two kinds of ratio. "best peer" is the fastest peer of the run whose answer is as good as ours. Some goals were set
when the strongest formulation known was a weaker one, without loops over the planes and without blocks; they are also
held against that one, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Results = Sequence[dict[str, Any]]
TIMED = ("ok", "inexact")


class Goal(NamedTuple):
    """What is to be reached, and how the figure comes out of the results: None if the run lacks it."""

    suite: str
    text: str
    value: Callable[[Results], float | None]
    bound: float
    at_most: bool = False  # the figure must not exceed the bound
    unit: str = "x"


def select(results: Results, suite: str, malloc: str = "default", threads: int = 1, case: str = "") -> Results:
    """The timed results of a suite's main case, or of the named case."""
    return [
        r
        for r in results
        if r["suite"] == suite
        and (r["case"] == case if case else r["main"])
        and (r["malloc"], r["threads"]) == (malloc, threads)
        and r["status"] in TIMED
    ]


def ours(rows: Results) -> dict[str, Any] | None:
    """The candidate of ours that is quoted: the first."""
    return next((r for r in rows if r["ours"]), None)


def best_peer(rows: Results) -> dict[str, Any] | None:
    """The fastest peer whose answer lies within the tolerance."""
    peers = [r for r in rows if not r["ours"] and r["status"] == "ok"]
    return min(peers, key=lambda r: r["median_s"], default=None)


def ratio(rows: Results, peer: dict[str, Any] | None) -> float | None:
    """How many times our median goes into the peer's."""
    mine = ours(rows)
    return None if mine is None or peer is None else peer["median_s"] / mine["median_s"]


def _against(suite: str, names: Sequence[str] = (), malloc: str = "default") -> Callable[[Results], float | None]:
    """Against the fastest of the peers with these names; without names, the best peer."""

    def value(results: Results) -> float | None:
        rows = select(results, suite, malloc)
        named = [r for r in rows if r["candidate"] in names]
        return ratio(rows, min(named, key=lambda r: r["median_s"], default=None) if names else best_peer(rows))

    return value


def _floor(suite: str, which: str = "read") -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        mine = ours(select(results, suite))
        return None if mine is None else mine[f"{which}_floor_share"]

    return value


def _mismatches(suite: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        for r in results:
            if (r["suite"], r["case"]) == (suite, "all 2^24 colors") and r["ours"] and r["check"]:
                return float(r["check"]["worst"])
        return None

    return value


def _of_ours(suite: str, key: str) -> Callable[[Results], float | None]:
    """A figure of the candidate that is quoted."""

    def value(results: Results) -> float | None:
        mine = ours(select(results, suite))
        return None if mine is None else float(mine[key])

    return value


def _over(suite: str, other: str) -> Callable[[Results], float | None]:
    """How many times the median of another candidate goes into ours."""

    def value(results: Results) -> float | None:
        factor = _against(suite, (other,))(results)
        return None if factor is None else 1 / factor

    return value


def _seconds(case: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        mine = ours(select(results, "startup", case=case))
        return None if mine is None else mine["median_s"]

    return value


_NUMPY = ("numpy", "numpy, blocked")
_COMPILED = ("torch.compile",)
_SUMS = ("torch.compile, weighted sums",)
_WARM = "first decode, torch imported before, warm cache"
_STEPS = ("torch.compile, float32 ring",)
_GRIDS = ("numpy, float64", "scikit-image rgb2lab")
_DENSE = ("F.cross_entropy, dense targets",)
_ZHANG = ("torch softmax + 1x1 convolution",)
_OPENCV = ("OpenCV resize + cvtColor",)

GOALS = (
    Goal("encode", "x torch.compile", _against("encode", _COMPILED), 2.7),
    Goal("encode", "x exact numpy", _against("encode", _NUMPY), 6),
    Goal("encode", "wrong labels among all 2^24 colors", _mismatches("encode"), 0, at_most=True, unit=""),
    Goal("decode", "x best peer", _against("decode"), 11),
    Goal("decode", "x best peer, malloc tuned", _against("decode", malloc="tuned"), 4),
    Goal("decode", "x torch.compile of weighted sums", _against("decode", _SUMS), 11),
    Goal("decode", "the same, malloc tuned", _against("decode", _SUMS, "tuned"), 4),
    Goal("decode", "share of the read floor", _floor("decode"), 0.55, unit=""),
    Goal("decode_confidence", "x torch topk", _against("decode_confidence", ("torch softmax + topk",)), 25),
    Goal("temporal", "x best peer", _against("temporal"), 4),
    Goal("temporal", "x best peer, malloc tuned", _against("temporal", malloc="tuned"), 2.3),
    Goal("temporal", "x torch.compile of the recursion", _against("temporal", _STEPS), 4),
    Goal("temporal", "the same, malloc tuned", _against("temporal", _STEPS, "tuned"), 2.3),
    Goal("histogram", "x OpenCV (inexact)", _against("histogram", ("OpenCV calcHist",)), 5),
    Goal("histogram", "x best exact peer", _against("histogram"), 10),
    Goal("histogram", "x numpy on the whole image", _against("histogram", ("numpy",)), 10),
    Goal("merge", "x best peer", _against("merge"), 12),
    Goal("merge", "x best peer, malloc tuned", _against("merge", malloc="tuned"), 4.5),
    Goal("merge", "x torch.compile of the plain formula", _against("merge", _COMPILED), 12),
    Goal("merge", "the same, malloc tuned", _against("merge", _COMPILED, "tuned"), 4.5),
    Goal("encode_lab", "MP/s", _of_ours("encode_lab", "mp_per_s"), 200, unit=""),
    Goal("encode_lab", "x best peer", _against("encode_lab"), 12),
    Goal("encode_lab", "x grids in float64 on the whole image", _against("encode_lab", _GRIDS), 12),
    Goal("encode_lab", "wrong labels among all 2^24 colors", _mismatches("encode_lab"), 0, at_most=True, unit=""),
    Goal("encode_soft", "MP/s", _of_ours("encode_soft", "mp_per_s"), 50, unit=""),
    Goal("encode_soft", "x best peer", _against("encode_soft"), 20),
    Goal("loss_soft", "times that of hard labels", _over("loss_soft", "fastcolor, hard labels"), 1.2, at_most=True),
    Goal("loss_soft", "x best peer", _against("loss_soft"), 4),
    Goal("loss_soft", "x best peer, malloc tuned", _against("loss_soft", malloc="tuned"), 4),
    Goal("loss_soft", "x F.cross_entropy with dense targets", _against("loss_soft", _DENSE), 4),
    Goal("chroma_lab", "share of the read floor", _floor("chroma_lab"), 0.5, unit=""),
    Goal("chroma_lab", "x softmax and 1x1 convolution (Zhang et al.)", _against("chroma_lab", _ZHANG), 7),
    Goal("decode_lab", "a megapixel from 64 x 64 logits", _of_ours("decode_lab", "median_s"), 8e-3, True, "s"),
    Goal("decode_lab", "x OpenCV (inexact)", _against("decode_lab", _OPENCV), 2),
    Goal("startup", "import fastcolor", _seconds("import"), 0.3, at_most=True, unit="s"),
    Goal("startup", "first decode, warm cache, beyond importing torch", _seconds(_WARM), 0.7, at_most=True, unit="s"),
)

CUDA_GOALS = (
    Goal("encode", "share of the measured copy bandwidth", _floor("encode", "copy"), 0.8, unit=""),
    Goal("encode", "x torch.compile", _against("encode", _COMPILED), 5),
    Goal("encode", "wrong labels among all 2^24 colors", _mismatches("encode"), 0, at_most=True, unit=""),
    Goal("decode", "share of the measured copy bandwidth", _floor("decode", "copy"), 0.8, unit=""),
    Goal("decode", "x torch.compile", _against("decode", _COMPILED), 5),
)


def of(device: str) -> tuple[Goal, ...]:
    return GOALS if device == "cpu" else CUDA_GOALS


def reached(goal: Goal, value: float) -> bool:
    return value <= goal.bound if goal.at_most else value >= goal.bound
