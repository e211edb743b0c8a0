"""The command: stages one after the other within a budget, each with its own time-out, all of it told in one page.

A stage that fails or hangs does not stop the next. DIR has at most eight files: what the stages write, ``log.txt`` with
all that they say, and ``summary.txt``, written anew after each of them. No installation, no network, no git, no make.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..measure.machine import ROOT
from ..suites.registry import of
from . import stages, summary
from .processes import GRACE, Log, Running
from .stages import Stage

BUDGET = 560.0  # seconds: what may be killed after ten minutes has said all that it knows by then
LEAST = 8.0  # seconds, with which no stage comes to anything
END = 4.0  # seconds that stay for the end


def main(words: Sequence[str]) -> int:
    """Run the stages, or one of those that are functions here; the number of stages that failed is the exit status."""
    args = _parser().parse_args(words)
    if args.stage:
        return stages.call(args.stage, args.out)
    suites = args.suites.split(",") if args.suites else stages.in_order(of("cuda"))
    groups = stages.groups(args.out.resolve(), suites, args.compiled)
    names = [stage.name for group in groups for stage in group]
    only = args.only.split(",") if args.only else names
    if unknown := set(only) - set(names):
        _parser().error(f"--only: expected stages of {', '.join(names)}, got {', '.join(sorted(unknown))}")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in set(only) - {"bench"}:  # of an earlier run; the benchmark looks after its own
        (args.out / f"{name}.json").unlink(missing_ok=True)
    link()
    return run([[stage for stage in group if stage.name in only] for group in groups], args.out, args.budget)


def run(groups: Sequence[Sequence[Stage]], out: Path, budget: float) -> int:
    """The stages of a group side by side, the groups one after the other: each gets its share of the time left."""
    end = time.monotonic() + budget - GRACE - END
    waiting = [list(group) for group in groups if group]
    outcomes = {stage.name: summary.Outcome("to come") for group in waiting for stage in group}
    page = summary.Page(out, outcomes, budget)
    with terminated(), Log(out / "log.txt", page.head) as log:
        while waiting:
            share = waiting[0][0].seconds / sum(group[0].seconds for group in waiting)
            limit = share * (end - time.monotonic())
            group = waiting.pop(0)
            if limit < LEAST:
                outcomes.update((stage.name, summary.Outcome("left out", note="time was up")) for stage in group)
                continue
            outcomes.update((stage.name, summary.Outcome("running")) for stage in group)
            page.write()
            running = [Running(stage, limit, log, backends(out)) for stage in group]
            for one in ended(running):
                outcomes[one.name] = summary.Outcome(one.outcome, one.seconds, one.status, list(one.tail))
                print(f"=== {one.name}: {one.outcome}, {one.seconds:.0f} s of {limit:.0f}", flush=True)
                page.write()
    print(page.write(), flush=True)
    return sum(not outcome.fine for outcome in outcomes.values())


@contextmanager
def terminated() -> Iterator[None]:
    """Within it SIGTERM ends this process by an exception, so that what it has started is stopped as well."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def ended(running: Sequence[Running]) -> Iterator[Running]:
    """Each of them when it has ended; all are stopped if nobody waits any longer."""
    left = list(running)
    try:
        while left:
            for one in [one for one in left if one.ended()]:
                left.remove(one)
                yield one
            time.sleep(0.05)
    finally:
        for one in left:
            one.stop()


def backends(out: Path) -> list[str]:
    """Those that the smoke has found to run; before it, the first."""
    try:
        found = json.loads((out / "smoke.json").read_text(encoding="utf-8"))["backends"]
        return [name for name in stages.BACKENDS if found[name][0]] or list(stages.BACKENDS[:1])
    except (OSError, ValueError, KeyError):
        return list(stages.BACKENDS[:1])


def link() -> None:
    """Put the packages that lie beside fastcolor/ where an installation has them, if there is none."""
    try:
        import fastcolor.kernels  # noqa: F401
    except ImportError as error:
        if "bare source" not in str(error):
            raise
        for name in ("kernels", "reference"):
            (ROOT / "fastcolor" / name).symlink_to(f"../{name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench gpu-day", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--stage", choices=stages.FUNCTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS", help=f"of it all; {BUDGET:g}")
    parser.add_argument("--only", default="", help="comma-separated stages")
    parser.add_argument("--suites", default="", help="of the benchmark; default: all")
    parser.add_argument("--compiled", action="store_true", help="with what torch must compile, for the main cases")
    return parser
