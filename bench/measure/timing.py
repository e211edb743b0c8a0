"""A against B in one process: round robin over all candidates of a case, median and spread, first call apart.

Nothing is timed before its answer has been compared with the reference. What fails is reported as WRONG, without a
time; a known approximation is timed and flagged with the share of values that it gets wrong.
"""

from __future__ import annotations

import gc
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import fastcolor

from ..cases import Candidate, Case, Run, Setting
from . import device
from .clocks import Clock, WallClock


class DeviceLostError(RuntimeError):
    """Every later call of this process fails as well, as after an access outside of memory.

    `results` are those of the case that were known by then.
    """

    def __init__(self, results: list[dict[str, Any]]) -> None:
        super().__init__("the device answers this process no more")
        self.results = results


LOST = DeviceLostError.__name__  # in what a file says is left of a suite that has cost the device


def lost(where: Any) -> bool:
    """Whether the device answers no more, of which no call but the next one tells."""
    try:
        where.trim()
    except Exception:
        return True
    return False


@dataclass
class Runner:
    """A function in the round robin, and what its calls took."""

    name: str
    run: Run
    estimate: float  # seconds, of the last warm-up call
    seconds: list[float] = field(default_factory=list)
    result: Any = None
    clock: Clock = field(default_factory=WallClock)

    def call(self) -> None:
        seconds, self.result = self.clock.time(self.run)
        self.seconds.append(seconds)

    def turn(self, burst: int) -> None:
        """One call off the clock, then `burst` on it.

        The first call finds the caches, and on virtual machines the memory that was just handed back to the system,
        in the state that another candidate left: that is nobody's steady state.
        """
        self.result = None
        self.run()
        for _ in range(burst):
            self.result = None  # the last answer's memory is free again, as it is for a caller who is done with it
            self.call()


class Budget(NamedTuple):
    """How long a case may take, `seconds` in all, and the turns of each candidate within it."""

    seconds: float
    least: int
    most: int


QUICK = Budget(0.4, 2, 3)
FULL = {1: Budget(2.5, 4, 12), 2: Budget(1.5, 3, 6)}  # two threads are reported, not gated
HOST = Budget(5.0, 4, 80)  # on the CPU: for each of them 50 calls a time, of microseconds
GPU = Budget(0.5, 5, 15)  # of the device's own seconds, flushing comes on top; of its host's, 50 calls a time
NO_RATES = dict.fromkeys(("mp_per_s", "read_floor_share", "copy_floor_share"))
BURST, SLOW = 3, 0.1  # timed calls a turn, and the seconds from which on one is enough


def budget(case: Case, setting: Setting) -> Budget:
    """What a case may take under `setting`."""
    if setting.quick:
        return QUICK
    if device.place(setting.device).gpu:
        return GPU
    return HOST if case.host else FULL.get(setting.threads, FULL[2])


def plan(estimates: Sequence[float], limit: Budget) -> list[tuple[int, int]]:
    """Turns, and timed calls in each: an equal share of the time for each candidate, within `least` and `most`.

    >>> plan([0.001, 0.5], Budget(2.0, 4, 12))
    [(12, 3), (4, 1)]
    """
    share = limit.seconds / max(len(estimates), 1)
    bursts = [1 if seconds > SLOW else BURST for seconds in estimates]
    turns = [math.floor(share / ((b + 1) * max(s, 1e-9))) for s, b in zip(estimates, bursts, strict=True)]
    return [(min(limit.most, max(limit.least, t)), b) for t, b in zip(turns, bursts, strict=True)]


def takes_part(round_number: int, turns: int, rounds: int) -> bool:
    """True in `turns` of `rounds` rounds, spread evenly, so that slow and fast candidates see the same machine.

    >>> [takes_part(k, 2, 6) for k in range(6)]
    [False, False, True, False, False, True]
    """
    return (round_number + 1) * turns // rounds > round_number * turns // rounds


def interleave(runners: Sequence[Runner], limit: Budget) -> None:
    """Round robin, each as often as :func:`plan` says; who goes first changes from round to round."""
    plans = dict(zip(map(id, runners), plan([runner.estimate for runner in runners], limit), strict=True))
    rounds = max(turns for turns, _ in plans.values())
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for k in range(rounds):
            first = k % len(runners)
            for runner in (*runners[first:], *runners[:first]):
                turns, burst = plans[id(runner)]
                if takes_part(k, turns, rounds):
                    runner.turn(burst)
    finally:
        if collecting:
            gc.enable()


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 20th and 80th percentile.

    >>> quantiles([3.0, 1.0, 2.0])
    {'median_s': 2.0, 'p20_s': 1.4, 'p80_s': 2.6}
    """
    p20, median, p80 = np.percentile(seconds, [20, 50, 80])
    return {"median_s": float(median), "p20_s": round(float(p20), 12), "p80_s": round(float(p80), 12)}


def measure(case: Case, setting: Setting, floor: Any) -> list[dict[str, Any]]:
    """Check and time every candidate of a case; one result, as the schema of the JSON has it, for each.

    Raises
    ------
    DeviceLostError
        After a candidate that has cost the device.
    """
    where = device.place(setting.device)
    results, runners = [], []
    for candidate in case.candidates:
        result, runner = _prepare(case, candidate, setting)
        results.append(result)
        runners.append(runner)
        if result["status"] == "error" and lost(where):
            raise DeviceLostError([r for r, ready in zip(results, runners, strict=True) if ready is None])
    ready = [runner for runner in runners if runner is not None]
    moves = {} if case.host else floor.runs(case.traffic.read)
    speeds = {key: (Runner(key, run, most, clock=where.clock()), run()) for key, (run, most) in moves.items()}
    if ready:
        interleave([*ready, *(runner for runner, _ in speeds.values())], budget(case, setting))
    bandwidth = {key: size / float(np.median(runner.seconds)) for key, (runner, size) in speeds.items() if ready}
    for result, runner in zip(results, runners, strict=True):
        if runner is not None:
            result |= _figures(case, result["share"], runner, bandwidth)
            if setting.malloc == "default":  # the tuned one keeps what is freed: the peak says nothing there
                result["peak_bytes"] = where.peak_of(runner.run)
    return results


def _prepare(case: Case, candidate: Candidate, setting: Setting) -> tuple[dict[str, Any], Runner | None]:
    """Set up, warm up and check; the runner is None where there is nothing to time."""
    result = blank(case, candidate, setting)
    if missing := [name for name in candidate.needs if importlib.util.find_spec(name) is None]:
        return result | {"status": "skipped", "note": f"not installed: {', '.join(missing)}"}, None
    if candidate.backend != "auto" and (reason := fastcolor.backends()[candidate.backend].reason):
        return result | {"status": "skipped", "note": reason}, None
    where = device.place(setting.device)
    where.trim()
    try:
        run = candidate.make()
        runner = Runner(candidate.name, run, 0.0, clock=where.clock())
        for _ in range(max(case.calls, 2)):
            runner.call()
        verdict = (candidate.check or case.check)(where.host(runner.result))
    except Exception as error:  # a peer that fails must not end the run: it is reported with its reason
        status = "skipped" if type(error).__name__ == "OutOfMemoryError" else "error"  # torch's and CuPy's, on a GPU
        first = next(iter(str(error).splitlines()), "")
        return result | {"status": status, "note": f"{type(error).__name__}: {first[:200]}"}, None
    status = "ok" if verdict.ok else "inexact" if candidate.inexact else "wrong"
    result |= {"check": vars(verdict), "first_call_s": runner.seconds[0], "status": status}
    if status == "wrong":
        return result, None
    if status == "inexact":
        result["note"] = candidate.inexact
    runner.clock = where.enqueue_clock() if case.host else where.clock().fitted(run)
    runner.estimate, runner.seconds, runner.result = min(runner.seconds[1:]), [], None
    return result, runner


def blank(case: Case, candidate: Candidate, setting: Setting) -> dict[str, Any]:
    """A result without a time."""
    fields = {name: getattr(case, name) for name in ("suite", "main", "shape", "dtype", "layout", "pixels")}
    return fields | {
        "case": case.name,
        "candidate": candidate.name,
        "ours": candidate.ours,
        "status": "ok",
        "note": "",
        "threads": setting.threads,
        "malloc": setting.malloc,
        "share": candidate.share,
        "read_bytes": case.traffic.read,
        "write_bytes": case.traffic.write,
        "check": None,
        "first_call_s": None,
        **({"host": True} if case.host else {}),
    }


def _figures(case: Case, share: float, runner: Runner, bandwidth: dict[str, float]) -> dict[str, Any]:
    """Times of the whole case (a crop's are scaled up), rates, and shares of the two floors; host time has no rates."""
    times = {key: value / share for key, value in quantiles(runner.seconds).items()} | {"runs": len(runner.seconds)}
    if case.host:
        return times | NO_RATES
    seconds = times["median_s"]
    moved = case.traffic.read + case.traffic.write
    return times | {
        "mp_per_s": case.pixels / seconds / 1e6,
        "gb_per_s": moved / seconds / 1e9,
        "read_gb_per_s": bandwidth["read"] / 1e9,
        "copy_gb_per_s": bandwidth["copy"] / 1e9,
        **({"hot_read_gb_per_s": bandwidth["hot"] / 1e9} if "hot" in bandwidth else {}),
        "read_floor_share": case.traffic.read / bandwidth["read"] / seconds,
        "copy_floor_share": moved / bandwidth["copy"] / seconds,
    }
