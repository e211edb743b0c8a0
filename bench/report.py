"""``bench/report/README.md``, its chart, and the table of the repository's README: from the JSON files alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import goals, schema
from .machine import ROOT
from .suites import SUITES

START, END = "<!-- bench:start -->", "<!-- bench:end -->"
Document = dict[str, Any]


def write(files: Sequence[Path]) -> list[Path]:
    """Write report, chart and README block; returns what was written."""
    from . import chart

    documents = [schema.read(path) for path in files]
    folder = ROOT / "bench/report"
    chart.draw(quoted(documents), folder / "speed.png")
    schema.write_text(folder / "README.md", report(documents, files))
    written = [folder / "speed.png", folder / "README.md"]
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if START in text and END in text:
        schema.write_text(readme, with_block(text, block(quoted(documents))))
        written.append(readme)
    return written


def quoted(documents: Sequence[Document]) -> Document:
    """The document that README and chart quote: the largest that is no quick run."""
    return max(documents, key=lambda d: (not d["metadata"]["quick"], len(d["results"])))


def with_block(text: str, table: str) -> str:
    """`text` with what stands between the markers replaced."""
    return re.sub(f"{START}.*?{END}", lambda _: f"{START}\n{table}\n{END}", text, flags=re.DOTALL)


def block(document: Document) -> str:
    """The README's table: one row an operation, one thread."""
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
    parts = [HEAD]
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


def _sections(document: Document) -> Iterator[str]:
    results = document["results"]
    yield _machine(document)
    yield "### Goals\n\n" + goal_table(results)
    if lost := _lost(results):
        yield "### Where a peer is faster\n\n" + lost
    for suite in SUITES:
        for case in dict.fromkeys(r["case"] for r in results if r["suite"] == suite and suite != "startup"):
            yield _case([r for r in results if (r["suite"], r["case"]) == (suite, case)])
    if startup := [r for r in results if r["suite"] == "startup"]:
        yield _startup(startup)


def _machine(document: Document) -> str:
    m = document["metadata"]
    host = m["machine"]
    caches = ", ".join(f"{name} {size}" for name, size in host["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    environment = ", ".join(f"`{name}={value}`" for name, value in m["environment"].items()) or "none"
    return "\n".join(
        [
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


def goal_table(results: goals.Results) -> str:
    """Every goal with its figure: reached, missed, or not measured in this run."""
    lines = ["| operation | goal | bound | measured | |", "|---|---|---:|---:|---|"]
    for goal in goals.GOALS:
        value = goal.value(results)
        sign = "<=" if goal.at_most else ">="
        outcome = "not measured" if value is None else "reached" if goals.reached(goal, value) else "**missed**"
        figure = "-" if value is None else f"{number(value)} {goal.unit}".strip()
        lines.append(f"| {goal.suite} | {goal.text} | {sign} {goal.bound:g} {goal.unit} | {figure} | {outcome} |")
    return "\n".join(lines)


def _lost(results: goals.Results) -> str:
    """Every case and setting in which the best equally good peer beats us."""
    lines = []
    for key in dict.fromkeys((r["suite"], r["case"], r["malloc"], r["threads"]) for r in results):
        suite, case, malloc, threads = key
        rows = goals.select(results, suite, malloc, threads, case)
        peer = goals.best_peer(rows)
        factor = goals.ratio(rows, peer)
        if peer is not None and factor is not None and factor < 1 and case != "import":
            where = f"{suite}, {case}, malloc {malloc}, {threads} thread{'s' * (threads > 1)}"
            lines.append(f"- {where}: {peer['candidate']} is {1 / factor:.2f} times as fast")
    return "\n".join(lines)


def _case(rows: goals.Results) -> str:
    """All candidates of a case; one table a setting."""
    first = rows[0]
    title = f"### {first['suite']}: {first['case']}\n\n{first['shape']} {first['dtype']}, {first['layout']}, "
    title += f"{first['pixels'] / 1e6:.2f} MP; must read {first['read_bytes'] / 1e6:.1f} MB "
    title += f"and write {first['write_bytes'] / 1e6:.1f} MB."
    parts = [title]
    for malloc, threads in dict.fromkeys((r["malloc"], r["threads"]) for r in rows):
        setting = [r for r in rows if (r["malloc"], r["threads"]) == (malloc, threads)]
        parts.append(_setting(setting, malloc, threads))
    return "\n\n".join(parts)


def _setting(rows: goals.Results, malloc: str, threads: int) -> str:
    timed = sorted((r for r in rows if r["status"] in goals.TIMED), key=lambda r: r["median_s"])
    mine = goals.ours([r for r in rows if r["status"] in goals.TIMED])
    lines = [f"{threads} thread{'s' * (threads > 1)}, malloc {malloc}"]
    if timed:
        r = timed[0]
        lines[0] += (
            f"; read {r['read_gb_per_s']:.1f} GB/s (a buffer of the input's size: {r['hot_read_gb_per_s']:.1f}), "
        )
        lines[0] += f"copy {r['copy_gb_per_s']:.1f} GB/s:"
    lines += [
        "",
        "| candidate | MP/s | median ms | p20..p80 ms | GB/s | of read floor | of copy floor | we are "
        "| first call s | peak MB | |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += [_row(r, mine) for r in timed]
    for r in rows:
        if r["status"] not in goals.TIMED:
            why = r["note"] or f"{r['check']['mismatch']:.3%} outside {r['check']['tolerance']}"
            lines.append(f"| {r['candidate']} |" + " |" * 9 + f" {r['status'].upper()}: {why} |")
    return "\n".join(lines)


def _row(r: dict[str, Any], mine: dict[str, Any] | None) -> str:
    peak = r.get("peak_bytes")
    note = f"inexact ({r['check']['mismatch']:.2%} wrong): {r['note']}" if r["status"] == "inexact" else ""
    if r["share"] < 1:
        note = f"scaled from {r['share']:.3g} of the pixels"
    cells = [
        f"**{r['candidate']}**" if r["ours"] else r["candidate"],
        number(r["mp_per_s"]),
        number(1e3 * r["median_s"]),
        f"{number(1e3 * r['p20_s'])}..{number(1e3 * r['p80_s'])}",
        number(r["gb_per_s"]),
        f"{r['read_floor_share']:.2f}",
        f"{r['copy_floor_share']:.2f}",
        times(r["median_s"] / mine["median_s"]) if mine else "-",
        number(r["first_call_s"]),
        "-" if peak is None else number(peak / 1e6),
        note,
    ]
    return "| " + " | ".join(cells) + " |"


def _startup(rows: goals.Results) -> str:
    lines = ["### startup", "", "Fresh processes, seconds of their own clock.", ""]
    lines += ["| what | who | median s | p20..p80 s | |", "|---|---|---:|---|---|"]
    for r in rows:
        if r["status"] in goals.TIMED:
            spread = f"{number(r['p20_s'])}..{number(r['p80_s'])}"
            lines.append(f"| {r['case']} | {r['candidate']} | {number(r['median_s'])} | {spread} | {r['note']} |")
        else:
            lines.append(f"| {r['case']} | {r['candidate']} | - | - | {r['status']}: {r['note']} |")
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Three significant digits, and never an exponent.

    >>> number(1234.5), number(12.345), number(0.012345), number(0.0)
    ('1234', '12.3', '0.0123', '0')
    """
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def times(value: float | None) -> str:
    """A ratio.

    >>> times(12.34), times(None)
    ('12.3 x', '-')
    """
    return "-" if value is None else f"{number(value)} x"
