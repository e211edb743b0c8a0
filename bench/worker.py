"""One process of the bench: the given suites at one thread count, under the allocator its environment sets.

``python -m bench.worker`` is started by :mod:`bench.runner`, which sets the environment before any library loads. Its
results are added to a file that is there already, after each case: a run that is killed leaves what it had.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fastcolor

from .cases import Case, Setting
from .measure import device, machine, timing
from .publish import schema
from .suites import registry, sizes

Results = list[dict[str, Any]]
Left = dict[device.Shape | None, str]  # of a suite, size by size
ALL = "all of it"  # what of a suite is still to come before it begins


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 if a suite failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker")
    parser.add_argument("suites", nargs="+", choices=[name for name in registry.SUITES if name != "startup"])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--malloc", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--without", default="")
    parser.add_argument("--budget", type=float, default=0.0)
    parser.add_argument("--since", type=float, help="when the budget began, before all imports; default: now")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    if args.budget and args.since:
        args.budget = max(args.budget - (time.time() - args.since), 1e-3)  # 0 would be no end
    setting = Setting(args.threads, args.malloc, args.quick, args.device, args.without, args.budget)
    set_threads(setting.threads)
    document = schema.read(args.out)
    document["metadata"]["versions"] = machine.versions()  # of the environment that is measured
    before, left_out = list(document["results"]), dict(document["metadata"].get("left_out", {}))

    def keep(results: Results, suite: str, state: str) -> None:
        """Add to the file, and say there what of `suite` is still to come; nothing where `state` is empty."""
        label, to_come = setting.of(suite), document["metadata"].setdefault("left_out", {})
        document["results"] = before + results
        to_come[label] = state
        if not state:
            del to_come[label]
        schema.write(args.out, document)

    return int(not run(args.suites, setting, keep, left_out)[1])


def set_threads(threads: int) -> None:
    """The same number for every library; the environment has set those of OpenBLAS and OpenMP."""
    fastcolor.set_num_threads(threads)
    for name, setter in (("torch", "set_num_threads"), ("cv2", "setNumThreads")):
        if importlib.util.find_spec(name) is not None:
            getattr(importlib.import_module(name), setter)(threads)


def run(
    names: Sequence[str],
    setting: Setting,
    keep: Callable[[Results, str, str], None] = lambda *_: None,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Results, bool]:
    """Results of all cases of all named suites, and whether every suite came to its end, in time or not.

    ``keep(results, suite, state)`` is called with all of them after each case, and at the end of a suite. A suite that
    costs the device is the last. `left_out` is what an earlier worker has left of each of them; what it began stays.
    """
    where, start = device.place(setting.device), time.perf_counter()
    floor, passes = where.floor(setting), sizes.passes(setting)
    results: Results = []
    left = {name: _left(passes, left_out.get(setting.of(name), ALL)) for name in names}
    whole = True

    def late() -> bool:
        return bool(setting.budget) and time.perf_counter() - start > setting.budget

    for shape, name in product(passes, names):
        if left[name].get(shape) != ALL:
            continue
        if late():  # before its first case is made, which takes seconds for large images
            return results, whole
        try:
            for case in registry.cases(name, replace(setting, shape=shape)):
                if late():
                    return results, whole
                results += _measured(case, setting, floor)
                left[name][shape] = f"what follows {case.name!r}"
                keep(results, name, _in_words(left[name]))
                where.forget()
            del left[name][shape]
        except Exception as error:  # one suite that fails, for want of memory for instance, does not end the others
            traceback.print_exc()
            whole, lost = False, timing.lost(where)
            results += error.results if isinstance(error, timing.DeviceLostError) else []
            left[name][shape] += f": {timing.LOST if lost else type(error).__name__}"
            if lost:
                keep(results, name, _in_words(left[name]))
                return results, whole
        keep(results, name, _in_words(left[name]))
    return results, whole


def _in_words(left: Left) -> str:
    """What of a suite is still to come, size by size."""
    return "; ".join(f"{_size(shape)}{state}" for shape, state in left.items())


def _left(passes: Sequence[device.Shape | None], words: str) -> Left:
    """The inverse of `_in_words`, but that of a size that was begun it does not tell after which case."""
    if words == ALL:
        return dict.fromkeys(passes, ALL)
    told = [shape for shape in passes if _size(shape) in words]
    return {shape: ALL if f"{_size(shape)}{ALL}" in words else "part of it" for shape in told}


def _size(shape: device.Shape | None) -> str:
    return "" if shape is None else f"{shape[0]}x{shape[1]}: "


def _measured(case: Case, setting: Setting, floor: Any) -> Results:
    start = time.perf_counter()
    measured = timing.measure(selected(case, setting), setting, floor)
    took = time.perf_counter() - start
    print(f"\n{case.suite}: {case.name}, {case.shape} {case.dtype}  ({took:.1f} s)", flush=True)
    for result in measured:
        print("  " + line(result), flush=True)
    return measured


def selected(case: Case, setting: Setting) -> Case:
    """The case with the candidates that `setting` asks for and has time for.

    Slow ones run once, at one thread under the default allocator. Compiling takes most of a run that is short of time:
    only its main cases keep what torch must compile.
    """
    unwanted = [setting.without] if setting.without else []
    if (setting.quick or setting.budget) and not case.main:
        unwanted.append("torch.compile")
    chosen = [c for c in case.candidates if setting.plain or not c.slow]
    chosen = [c for c in chosen if not any(word in c.name for word in unwanted)]
    return replace(case, candidates=tuple(chosen))


def line(result: dict[str, Any]) -> str:
    name = f"{result['candidate']:38}"
    if result["status"] in ("skipped", "error"):
        return f"{name} {result['status']}: {result['note']}"
    if result["status"] == "wrong":
        check = result["check"]
        return f"{name} WRONG: {check['mismatch']:.3%} outside {check['tolerance']}, at worst {check['worst']:g}"
    if result.get("host"):
        return f"{name} {1e6 * result['median_s']:8.1f} us of the host"
    spread = f"[{1e3 * result['p20_s']:.3f}, {1e3 * result['p80_s']:.3f}]"
    text = f"{name} {result['mp_per_s']:8.1f} MP/s {1e3 * result['median_s']:9.3f} ms {spread:>20} "
    text += f"{result['read_floor_share']:6.1%} of the read floor, {result['copy_floor_share']:.1%} of copy"
    return text + (f"  inexact: {result['check']['mismatch']:.3%}" if result["status"] == "inexact" else "")


if __name__ == "__main__":
    sys.exit(main())
