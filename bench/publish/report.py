"""``bench/report/README.md``, its chart, and the table of the repository's README: from the JSON files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..measure.machine import ROOT, write_text
from . import goals, schema, tables
from .readme import END, START, Document, blocks, commit, made, quoted, with_block
from .tables import number

CHARTS = {"cpu": "speed.png", "cuda": "speed-cuda.png"}
BEFORE = "-before--"  # in the name of a file: an earlier state, that others are compared with

HEAD = """# How fast

Written by `python -m bench report` from the JSON files in `bench/results`; where several runs were put
together by hand, the command of the file says so.

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

HEAD_CUDA = f"""![MP/s of all candidates on a GPU]({CHARTS["cuda"]})

*Method on a GPU.* CUDA events around each call, candidates in turns, medians with 20th and 80th percentile.
Before each timed call a buffer at least four times as large as the L2 is written and read again, for a millisecond or
for twice as long as the host takes to enqueue the call, whichever is longer: the call finds none of its input in the
L2, and the host has enqueued it before the GPU comes to it (until 2026-11-28 it was a millisecond, and too short for
some losses with their backward). *Of copy* is the bytes that any implementation must read and write
(`bench/bytes.py`) over the time, as a share of the speed of copying 1 GiB on the same GPU in the same round robin; *of
read* is what must be read, as a share of the speed of a sum over 1 GiB. Between two events with nothing between them
lie some microseconds, as many as encode or merge takes on a megapixel: shares of copy are quoted at 8 MP, those of
smaller images hold that time as well. *Host time* is what the host takes to enqueue a
call, on an image that the GPU is done with before the next call: wall time of 50 calls in a row without waiting for the
GPU, over 50. *Peak* is what torch and CuPy allocated in one call."""


def write(files: Sequence[Path]) -> list[Path]:
    """Write report, charts and README block; returns what was written."""
    from . import chart

    everything = [schema.read(path) for path in files]
    documents = _current(everything, files)
    folder = ROOT / "bench/report"
    written = []
    for device, name in CHARTS.items():
        if (document := quoted(documents, device)) is not None:
            chart.draw(document, folder / name)
            written.append(folder / name)
    write_text(folder / "README.md", report(everything, files))
    written.append(folder / "README.md")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if START in text and END in text:
        write_text(readme, with_block(text, blocks(documents)))
        written.append(readme)
    return written


def _current(documents: Sequence[Document], files: Sequence[Path]) -> list[Document]:
    return [d for d, path in zip(documents, files, strict=True) if BEFORE not in Path(path).name]


def report(documents: Sequence[Document], files: Sequence[Path]) -> str:
    current = _current(documents, files)
    parts = [HEAD] + ([HEAD_CUDA] if quoted(current, "cuda") else [])
    before = [d for d in documents if d not in current]
    for path, document in zip(files, documents, strict=True):
        if document in current:
            parts += [f"## {Path(path).stem}", *_sections(document, before)]
    return "\n\n".join(parts) + "\n"


def _sections(document: Document, before: Sequence[Document]) -> Iterator[str]:
    results, device = document["results"], document["metadata"]["device"]
    yield _machine(document)
    if left_out := document["metadata"].get("left_out"):
        yield "**Left out:** " + "; ".join(f"{name} ({what})" for name, what in left_out.items()) + "."
    if {goal.suite for goal in goals.of(device)} & {r["suite"] for r in results}:
        yield "### Goals\n\n" + goal_table(results, device)
    if lost := _lost(results, device):
        yield "### Where a peer is faster\n\n" + lost
    yield from tables.cases(results, device)
    yield from tables.host(results)
    yield from _overhead(document, [d for d in before if _comparable(d) == _comparable(document)])
    yield from tables.startup(results)


def _comparable(document: Document) -> tuple[str, str, set[str]]:
    """Device and suites: figures of another device, or of an hour spent otherwise, say nothing beside it."""
    m, suites = document["metadata"], {r["suite"] for r in document["results"]}
    return m["device"], m["gpu"]["name"] if m["device"] == "cuda" else m["machine"]["cpu"], suites


def _overhead(document: Document, before: Sequence[Document]) -> Iterator[str]:
    earlier = {(r["case"], r["candidate"]): r for d in before for r in d["results"] if r["status"] in goals.TIMED}
    for section in tables.overhead(document["results"], earlier):
        yield section
        yield from (f"Before: {made(d)}." for d in before)


def _machine(document: Document) -> str:
    m = document["metadata"]
    host = m["machine"]
    caches = ", ".join(f"{name} {size}" for name, size in host["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    environment = ", ".join(f"`{name}={value}`" for name, value in m["environment"].items()) or "none"
    took = f", {m['seconds']:.0f} s" if m["seconds"] else ""  # of a run that was killed nobody knows
    lines = [
        *([_gpu(m["gpu"])] if m["device"] == "cuda" else []),
        f"- {host['cpus']} CPUs of {host['cpu']}, {', '.join(host['flags'])}; {caches}; {host['memory_gb']} GB; "
        f"{host['system']}, {host['libc']}; transparent huge pages: {host['huge_pages']}; load at the start "
        f"{host['load_at_start']}",
        f"- {versions}",
        f"- Environment: {environment}",
        f"- C{commit(m)[1:]}, {m['date']}{took}: `{m['command']}`"
        + (" (a quick run: functions, not figures)" if m["quick"] else ""),
        f"- Input: {m['input']}",
    ]
    return "\n".join(lines)


def _gpu(gpu: dict[str, Any]) -> str:
    clocks = [
        f"{what} {gpu[f'clock_{key}_mhz']:.0f} MHz (at most {number(gpu.get(f'clock_{key}_max_mhz'))})"
        for key, what in (("sm", "SM"), ("memory", "memory"))
        if f"clock_{key}_mhz" in gpu
    ]
    parts = [
        f"{gpu['name']}, compute capability {gpu['compute_capability']}, {gpu['memory_gb']} GB",
        f"driver {gpu.get('driver', 'unknown')}",
        f"CUDA runtime {gpu['cuda_runtime']}, NVRTC {gpu['nvrtc']}, torch's CUDA {gpu.get('cuda_of_torch', 'unknown')}",
        f"clocks under load: {', '.join(clocks) or 'not readable'}",
    ]
    return f"- {'; '.join(parts)}"


def goal_table(results: goals.Results, device: str = "cpu") -> str:
    """Every goal with its figure: reached, missed, or not measured in this run."""
    rows = []
    for goal in goals.of(device):
        value = goal.value(results)
        outcome = "not measured" if value is None else "reached" if goals.reached(goal, value) else "**missed**"
        figure = "-" if value is None else f"{number(value)} {goal.unit}".strip()
        bound = f"{'<=' if goal.at_most else '>='} {goal.bound:g} {goal.unit}"
        rows.append((goal.suite, goal.text, bound, figure, outcome))
    return tables.table("operation | goal | bound | measured |", "<<>><", rows)


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
