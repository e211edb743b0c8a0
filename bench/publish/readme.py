"""The tables of the repository's README: one row an operation, its main case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..suites.registry import SUITES
from . import goals, tables
from .tables import number, times

START, END = "<!-- bench:start -->", "<!-- bench:end -->"
Document = dict[str, Any]


def quoted(documents: Sequence[Document], device: str) -> Document | None:
    """The document of a device that README and chart quote: the largest one that is no quick run."""
    fitting = [d for d in documents if d["metadata"]["device"] == device]
    return max(fitting, key=lambda d: (not d["metadata"]["quick"], len(d["results"])), default=None)


def with_block(text: str, table: str) -> str:
    """`text` with what stands between the markers replaced."""
    return re.sub(f"{START}.*?{END}", lambda _: f"{START}\n{table}\n{END}", text, flags=re.DOTALL)


def blocks(documents: Sequence[Document]) -> str:
    """The README's tables: of the CPU, and of the GPU where a run on one is committed."""
    makers = {"cpu": block, "cuda": block_cuda}
    chosen = {device: quoted(documents, device) for device in makers}
    return "\n\n".join(makers[device](document) for device, document in chosen.items() if document is not None)


def _compared(results: goals.Results) -> Iterator[tuple[str, goals.Results, dict[str, Any], dict[str, Any]]]:
    """Suite, results of its main case, ours, and the best peer's."""
    for suite in SUITES:
        rows = goals.select(results, suite)
        mine, peer = goals.ours(rows), goals.best_peer(rows)
        if mine is not None and peer is not None and mine["mp_per_s"] is not None and peer["mp_per_s"]:
            yield suite, rows, mine, peer


def block(document: Document) -> str:
    """The CPU's table: one row an operation, one thread."""
    rows, results = [], document["results"]
    for suite, main, mine, peer in _compared(results):
        tuned = goals.select(results, suite, "tuned")
        two = goals.ours(goals.select(results, suite, threads=2))
        rows.append(
            (
                f"{suite} ({SUITES[suite].text})",
                number(mine["mp_per_s"]),
                f"{mine['read_floor_share']:.2f}",
                f"{peer['candidate']}, {number(peer['mp_per_s'])}",
                times(goals.ratio(main, peer)),
                times(goals.ratio(tuned, goals.best_peer(tuned))),
                number(two["mp_per_s"]) if two else "-",
            )
        )
    head = "operation | MP/s | of the read floor | best peer, MP/s | faster | malloc tuned | MP/s, 2 threads"
    host = document["metadata"]["machine"]
    caption = (
        f"{host['cpus']} CPUs of {host['cpu']} ({', '.join(host['flags'])}), cpu, 1 thread unless said otherwise; "
        f"medians; {made(document)}, then `python -m bench report`. All candidates, spreads and what a peer wins: "
        "[bench/report](bench/report/README.md)."
    )
    return f"{tables.table(head, '<>><>>>', rows)}\n\n{caption}"


def block_cuda(document: Document) -> str:
    """The GPU's table: one row an operation, its main case."""
    rows, results = [], document["results"]
    for suite, main, mine, peer in _compared(results):
        compiled = next((r for r in main if r["candidate"].startswith("torch.compile") and r["status"] == "ok"), None)
        host = goals.ours([r for r in results if r["suite"] == suite and r.get("host")])
        rows.append(
            (
                f"{suite} ({SUITES[suite].text})",
                f"{mine['shape']} {mine['dtype']}",
                number(1e6 * mine["median_s"]),
                f"{mine['copy_floor_share']:.2f}",
                times(goals.ratio(main, compiled)),
                f"{peer['candidate']}, {number(1e6 * peer['median_s'])}",
                times(goals.ratio(main, peer)),
                number(1e6 * host["median_s"]) if host else "-",
            )
        )
    head = "operation on a GPU | input | us | of copy bandwidth | x torch.compile | best peer, us | faster | host us"
    gpu = document["metadata"]["gpu"]
    caption = (
        f"{gpu['name']}, driver {gpu.get('driver', 'unknown')}, CUDA {gpu['cuda_runtime']}; medians of CUDA events, L2 "
        f"flushed; {made(document)}, then `python -m bench report`. Other sizes, types and layouts, and what a peer "
        "wins: [bench/report](bench/report/README.md)."
    )
    return f"{tables.table(head, '<<>>><>>', rows)}\n\n{caption}"


def made(document: Document) -> str:
    """Commit, date, and the command that makes the figures."""
    m = document["metadata"]
    return f"{commit(m)}, {m['date']}; `{m['command']}`"


def commit(m: dict[str, Any]) -> str:
    return f"commit {m['commit'][:10]}{' with changes' if m['dirty'] else ''}"
