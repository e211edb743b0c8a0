"""The parts of report and README that a run on a GPU has: shares of the measured copy bandwidth, the host's time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..suites.registry import SUITES
from . import goals
from .report_case import in_order, name, note, number, times, title, untimed

Document = dict[str, Any]

HEAD = """*Method on a GPU.* CUDA events around each call, candidates in turns, medians with 20th and 80th percentile.
Before each timed call a buffer at least four times as large as the L2 is written and read again for about a
millisecond: the call finds none of its input in the L2, and the host has enqueued it before the GPU comes to it. *Of
copy* is the bytes that any implementation must read and write (`bench/bytes.py`) over the time, as a share of the
speed of copying 1 GiB on the same GPU in the same round robin; *of read* is what must be read, as a share of the speed
of a sum over 1 GiB. *Host time* is what the host takes to enqueue a call, on an image that the GPU is done with before
the next call: wall time of 50 calls in a row without waiting for the GPU, over 50. *Peak* is what torch and CuPy
allocated in one call."""


def machine(document: Document) -> str:
    """The first line of a document's description: the GPU."""
    gpu = document["metadata"]["gpu"]
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


def cases(results: goals.Results) -> Iterator[str]:
    """All cases, and the host's time at the end."""
    for suite in SUITES:
        mine = [r for r in results if r["suite"] == suite and not r.get("host")]
        for case in dict.fromkeys(r["case"] for r in mine):
            yield _case([r for r in mine if r["case"] == case])
    if host := [r for r in results if r.get("host")]:
        yield _host(host)


def _case(rows: goals.Results) -> str:
    fastest, mine = in_order(rows)
    text = title(rows[0])
    if fastest:
        text = f"{text[:-1]}; copy {fastest[0]['copy_gb_per_s']:.0f} GB/s, read {fastest[0]['read_gb_per_s']:.0f} GB/s."
    lines = [
        text,
        "",
        "| candidate | MP/s | median us | p20..p80 us | GB/s | of copy | of read | we are | first call s | peak MB | |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    return "\n".join([*lines, *(_row(r, mine) for r in fastest), *untimed(rows, 9)])


def _row(r: dict[str, Any], mine: dict[str, Any] | None) -> str:
    peak = r.get("peak_bytes")
    cells = [
        name(r),
        number(r["mp_per_s"]),
        number(1e6 * r["median_s"]),
        f"{number(1e6 * r['p20_s'])}..{number(1e6 * r['p80_s'])}",
        number(r["gb_per_s"]),
        f"{r['copy_floor_share']:.2f}",
        f"{r['read_floor_share']:.2f}",
        times(r["median_s"] / mine["median_s"]) if mine else "-",
        number(r["first_call_s"]),
        "-" if peak is None else number(peak / 1e6),
        note(r),
    ]
    return "| " + " | ".join(cells) + " |"


def _host(rows: goals.Results) -> str:
    lines = ["### Host time of a call", ""]
    lines += ["| candidate | operation | median us | p20..p80 us | |", "|---|---|---:|---|---|"]
    for suite in dict.fromkeys(r["suite"] for r in rows):
        mine = [r for r in rows if r["suite"] == suite]
        for r in in_order(mine)[0]:
            spread = f"{number(1e6 * r['p20_s'])}..{number(1e6 * r['p80_s'])}"
            lines.append(f"| {name(r)} | {suite} | {number(1e6 * r['median_s'])} | {spread} | {note(r)} |")
        lines += untimed(mine, 3)
    return "\n".join(lines)


def block(document: Document) -> str:
    """The README's table: one row an operation, its main case."""
    results = document["results"]
    lines = [
        "| operation on a GPU | input | us | of copy bandwidth | x torch.compile | best peer, us | faster | host us |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for suite in SUITES:
        rows = goals.select(results, suite)
        mine, peer = goals.ours(rows), goals.best_peer(rows)
        if mine is None or peer is None:
            continue
        compiled = next((r for r in rows if r["candidate"].startswith("torch.compile") and r["status"] == "ok"), None)
        host = goals.ours([r for r in results if r["suite"] == suite and r.get("host")])
        cells = [
            f"{suite} ({SUITES[suite].text})",
            f"{mine['shape']} {mine['dtype']}",
            number(1e6 * mine["median_s"]),
            f"{mine['copy_floor_share']:.2f}",
            times(goals.ratio(rows, compiled)),
            f"{peer['candidate']}, {number(1e6 * peer['median_s'])}",
            times(goals.ratio(rows, peer)),
            number(1e6 * host["median_s"]) if host else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", caption(document)])


def caption(document: Document) -> str:
    """Device, commit, date and the command that makes the figures."""
    m = document["metadata"]
    return (
        f"{m['gpu']['name']}, driver {m['gpu'].get('driver', 'unknown')}, CUDA {m['gpu']['cuda_runtime']}; medians of "
        f"CUDA events, L2 flushed; commit {m['commit'][:10]}{' with changes' if m['dirty'] else ''}, {m['date']}; "
        f"`{m['command']}`, then `python -m bench report`. Other sizes, types and layouts, and what a peer wins: "
        "[bench/report](bench/report/README.md)."
    )
