"""One process of the bench: the given suites at one thread count, under the allocator its environment sets.

``python -m bench.worker`` is started by :mod:`bench.runner`, which sets the environment before any library loads.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastcolor

from .cases import Case, Setting
from .measure import device, timing
from .suites import registry


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print a line for each result, write all results to ``--out`` as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker")
    parser.add_argument("suites", nargs="+", choices=[name for name in registry.SUITES if name != "startup"])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--malloc", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    setting = Setting(args.threads, args.malloc, args.quick, args.device)
    set_threads(setting.threads)
    args.out.write_text(json.dumps(run(args.suites, setting)))
    return 0


def set_threads(threads: int) -> None:
    """The same number for every library; the environment has set those of OpenBLAS and OpenMP."""
    fastcolor.set_num_threads(threads)
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(threads)
    if importlib.util.find_spec("cv2") is not None:
        import cv2

        cv2.setNumThreads(threads)


def run(names: Sequence[str], setting: Setting) -> list[dict[str, Any]]:
    """Results of all cases of all named suites."""
    where = device.place(setting.device)
    floor = where.floor(setting)
    results = []
    for name in names:
        for case in registry.cases(name, setting):
            start = time.perf_counter()
            measured = timing.measure(selected(case, setting), setting, floor)
            took = time.perf_counter() - start
            print(f"\n{case.suite}: {case.name}, {case.shape} {case.dtype}  ({took:.1f} s)", flush=True)
            for result in measured:
                print("  " + line(result), flush=True)
            results += measured
            where.forget()
    return results


def selected(case: Case, setting: Setting) -> Case:
    """The case with the candidates that `setting` has time for.

    Slow ones run once, at one thread under the default allocator. Compiling takes most of a quick run: only its main
    cases keep what torch must compile.
    """
    first = (setting.threads, setting.malloc) == (1, "default")
    light = setting.quick and not case.main
    chosen = [c for c in case.candidates if (first or not c.slow) and not (light and "torch.compile" in c.name)]
    return replace(case, candidates=tuple(chosen))


def line(result: dict[str, Any]) -> str:
    """One result for the terminal."""
    name = f"{result['candidate']:38}"
    if result["status"] in ("skipped", "error"):
        return f"{name} {result['status']}: {result['note']}"
    if result["status"] == "wrong":
        check = result["check"]
        return f"{name} WRONG: {check['mismatch']:.3%} outside {check['tolerance']}, at worst {check['worst']:g}"
    if result.get("host"):
        return f"{name} {1e6 * result['median_s']:8.1f} us of the host"
    text = f"{name} {result['mp_per_s']:8.1f} MP/s {1e3 * result['median_s']:9.3f} ms"
    spread = f"[{1e3 * result['p20_s']:.3f}, {1e3 * result['p80_s']:.3f}]"
    text += (
        f" {spread:>20} {result['read_floor_share']:6.1%} of the read floor, {result['copy_floor_share']:.1%} of copy"
    )
    if result["status"] == "inexact":
        text += f"  inexact: {result['check']['mismatch']:.3%}"
    return text


if __name__ == "__main__":
    sys.exit(main())
