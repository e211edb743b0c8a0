"""``bench/report/README.md``, its chart, and the table of the repository's README: from the JSON files alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..measure.machine import ROOT
from ..suites.registry import SUITES
from . import goals, report_case, report_cuda, schema
from .report_case import number, times

CHARTS = {"cpu": "speed.png", "cuda": "speed-cuda.png"}
START, END = "<!-- bench:start -->", "<!-- bench:end -->"
Document = dict[str, Any]


def write(files: Sequence[Path]) -> list[Path]:
    """Write report, charts and README block; returns what was written."""
    from . import chart

    documents = [schema.read(path) for path in files]
    folder = ROOT / "bench/report"
    written = []
    for device, name in CHARTS.items():
        if (document := quoted(documents, device)) is not None:
            chart.draw(document, folder / name)
            written.append(folder / name)
    schema.write_text(folder / "README.md", report(documents, files))
    written.append(folder / "README.md")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if START in text and END in text:
        schema.write_text(readme, with_block(text, blocks(documents)))
        written.append(readme)
    return written


def quoted(documents: Sequence[Document], device: str) -> Document | None:
    """The document of a device that README and chart quote: the largest that is no quick run."""
    fitting = [d for d in documents if d["metadata"]["device"] == device]
    return max(fitting, key=lambda d: (not d["metadata"]["quick"], len(d["results"])), default=None)


def with_block(text: str, table: str) -> str:
    """`text` with what stands between the markers replaced."""
    return re.sub(f"{START}.*?{END}", lambda _: f"{START}\n{table}\n{END}", text, flags=re.DOTALL)


def blocks(documents: Sequence[Document]) -> str:
    """The README's tables: of the CPU, and of the GPU where a run on one is committed."""
    makers = {"cpu": block, "cuda": report_cuda.block}
    chosen = {device: quoted(documents, device) for device in makers}
    return "\n\n".join(makers[device](document) for device, document in chosen.items() if document is not None)


def block(document: Document) -> str:
    """The CPU's table: one row an operation, one thread."""
    results = document["results"]
    lines = [
        "| operation | MP/s | of the read floor | best peer, MP/s | faster | malloc tuned | MP/s, 2 threads |",
        "|---|---:|---:|---|---:|---:|---:|",
    ]
    for suite in SUITES:
        rows = goals.select(results, suite)
        mine, peer = goals.ours(rows), goals.best_peer(rows)
        if mine is None or peer is None or mine["mp_per_s"] is None or not peer["mp_per_s"]:
            continue
        tuned = goals.select(results, suite, "tuned")
        two = goals.ours(goals.select(results, suite, threads=2))
        cells = [
            f"{suite} ({SUITES[suite].text})",
            number(mine["mp_per_s"]),
            f"{mine['read_floor_share']:.2f}",
            f"{peer['candidate']}, {number(peer['mp_per_s'])}",
            times(goals.ratio(rows, peer)),
            times(goals.ratio(tuned, goals.best_peer(tuned))),
            number(two["mp_per_s"]) if two else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", caption(document)])


def caption(document: Document) -> str:
    """Device, commit, date and the command that makes the figures."""
    m = document["metadata"]
    host = m["machine"]
    return (
        f"{host['cpus']} CPUs of {host['cpu']} ({', '.join(host['flags'])}), {m['device']}, 1 thread unless said "
        f"otherwise; medians; commit {m['commit'][:10]}{' with changes' if m['dirty'] else ''}, {m['date']}; "
        f"`{m['command']}`, then `python -m bench report`. All candidates, spreads and what a peer wins: "
        "[bench/report](bench/report/README.md)."
    )


def report(documents: Sequence[Document], files: Sequence[Path]) -> str:
    """The whole report."""
    parts = [HEAD] + ([HEAD_CUDA] if quoted(documents, "cuda") else [])
    for path, document in zip(files, documents, strict=True):
        parts += [f"## {Path(path).stem}", *_sections(document)]
    return "\n\n".join(parts) + "\n"


HEAD = """# How fast

Written by `python -m bench report` from the JSON files in `bench/results`; nothing here is typed by hand.

![MP/s of all candidates](speed.png)

*Method.* All candidates of a case take turns in one process, each turn one call off the clock and up to three on it;
figures are medians with the 20th and 80th percentile.
Every answer is compared with `fastcolor.reference` before the clock starts: a wrong one gets no time, a known
approximation is marked *inexact* with the share of values it gets wrong, and does not count as best peer. torch runs
under `inference_mode`, compiled with static shapes; *hand-fused* is written for the compiler, one expression a pixel.
The clock holds the call of the operation and the allocation of its output, not the making of inputs and tables, nor
compilation. *tuned* is `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4000000000`: no page faults on big temporaries.
The *read floor* is the bytes that any implementation must read (`bench/bytes.py`) over the speed of a sequential read
of 1 GiB in the same round robin; above 1.00 the input came out of a cache. The *copy floor* is the bytes read and
written over the speed of a copy. *Peak* is what the process grew by in one call. *First call* includes compilation
where the compile caches do not have it already."""

HEAD_CUDA = f"![MP/s of all candidates on a GPU]({CHARTS['cuda']})\n\n{report_cuda.HEAD}"


def _sections(document: Document) -> Iterator[str]:
    results, device = document["results"], document["metadata"]["device"]
    yield _machine(document)
    yield "### Goals\n\n" + goal_table(results, device)
    if lost := _lost(results, device):
        yield "### Where a peer is faster\n\n" + lost
    if device == "cuda":
        yield from report_cuda.cases(results)
        return
    for suite in SUITES:
        for case in dict.fromkeys(r["case"] for r in results if r["suite"] == suite and suite != "startup"):
            yield report_case.case([r for r in results if (r["suite"], r["case"]) == (suite, case)])
    if startup := [r for r in results if r["suite"] == "startup"]:
        yield report_case.startup(startup)


def _machine(document: Document) -> str:
    m = document["metadata"]
    host = m["machine"]
    caches = ", ".join(f"{name} {size}" for name, size in host["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    environment = ", ".join(f"`{name}={value}`" for name, value in m["environment"].items()) or "none"
    gpu = [report_cuda.machine(document)] if m["device"] == "cuda" else []
    return "\n".join(
        [
            *gpu,
            f"- {host['cpus']} CPUs of {host['cpu']}, {', '.join(host['flags'])}; {caches}; {host['memory_gb']} GB; "
            f"{host['system']}, {host['libc']}; transparent huge pages: {host['huge_pages']}; load at the start "
            f"{host['load_at_start']}",
            f"- {versions}",
            f"- Environment: {environment}",
            f"- Commit {m['commit'][:10]}{' with changes' if m['dirty'] else ''}, {m['date']}, {m['seconds']:.0f} s: "
            f"`{m['command']}`" + (" (a quick run: functions, not figures)" if m["quick"] else ""),
            f"- Input: {m['input']}",
        ]
    )


def goal_table(results: goals.Results, device: str = "cpu") -> str:
    """Every goal with its figure: reached, missed, or not measured in this run."""
    lines = ["| operation | goal | bound | measured | |", "|---|---|---:|---:|---|"]
    for goal in goals.of(device):
        value = goal.value(results)
        sign = "<=" if goal.at_most else ">="
        outcome = "not measured" if value is None else "reached" if goals.reached(goal, value) else "**missed**"
        figure = "-" if value is None else f"{number(value)} {goal.unit}".strip()
        lines.append(f"| {goal.suite} | {goal.text} | {sign} {goal.bound:g} {goal.unit} | {figure} | {outcome} |")
    return "\n".join(lines)


def _lost(results: goals.Results, device: str) -> str:
    """Every case and setting in which the best equally good peer beats us."""
    lines = []
    for key in dict.fromkeys((r["suite"], r["case"], r["malloc"], r["threads"]) for r in results):
        suite, case, malloc, threads = key
        rows = goals.select(results, suite, malloc, threads, case)
        peer = goals.best_peer(rows)
        factor = goals.ratio(rows, peer)
        if peer is not None and factor is not None and factor < 1 and case != "import":
            setting = f", malloc {malloc}, {threads} thread{'s' * (threads > 1)}" if device == "cpu" else ""
            where = f"{suite}, {case}{setting}"
            lines.append(f"- {where}: {peer['candidate']} is {1 / factor:.2f} times as fast")
    return "\n".join(lines)
