"""Tables of the report: the candidates of a case, the host's time, imports; one writer for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..suites.registry import SUITES
from . import goals

Result = dict[str, Any]
Before = dict[tuple[str, str], Result]  # by case and candidate


def table(head: str, align: str, rows: Iterable[Sequence[str] | str]) -> str:
    """Titles separated by bars, ``<`` or ``>`` for each column, and rows of cells or ready lines."""
    lines = [f"| {head} |", "|" + "".join({"<": "---|", ">": "---:|"}[side] for side in align)]
    return "\n".join([*lines, *(row if isinstance(row, str) else f"| {' | '.join(row)} |" for row in rows)])


def cases(results: goals.Results, device: str) -> Iterator[str]:
    """All cases of all suites but those that have tables of their own."""
    for suite in SUITES:
        mine = [r for r in results if r["suite"] == suite and suite != "startup" and not r.get("host")]
        for case in dict.fromkeys(r["case"] for r in mine):
            rows = [r for r in mine if r["case"] == case]
            yield _settings(rows) if device == "cpu" else _on_gpu(rows)


def _title(first: Result) -> str:
    """The heading of a case, its input, and what it must move."""
    text = f"### {first['suite']}: {first['case']}\n\n{first['shape']} {first['dtype']}, {first['layout']}, "
    text += f"{first['pixels'] / 1e6:.2f} MP; must read {first['read_bytes'] / 1e6:.1f} MB "
    return text + f"and write {first['write_bytes'] / 1e6:.1f} MB"


def _settings(rows: goals.Results) -> str:
    """A case on the CPU: one table a setting."""
    parts = [_title(rows[0]) + "."]
    for malloc, threads in dict.fromkeys((r["malloc"], r["threads"]) for r in rows):
        setting = [r for r in rows if (r["malloc"], r["threads"]) == (malloc, threads)]
        text = f"{threads} thread{'s' * (threads > 1)}, malloc {malloc}"
        if r := next(iter(in_order(setting)[0]), None):
            text += f"; read {r['read_gb_per_s']:.1f} GB/s (a buffer of the input's size: {r['hot_read_gb_per_s']:.1f})"
            text += f", copy {r['copy_gb_per_s']:.1f} GB/s:"
        parts += [text, _candidates(setting, "ms", 1e3, ("read floor", "copy floor"))]
    return "\n\n".join(parts)


def _on_gpu(rows: goals.Results) -> str:
    text = _title(rows[0])
    if r := next(iter(in_order(rows)[0]), None):
        text += f"; copy {r['copy_gb_per_s']:.0f} GB/s, read {r['read_gb_per_s']:.0f} GB/s"
    return f"{text}.\n\n{_candidates(rows, 'us', 1e6, ('copy', 'read'))}"


def _candidates(rows: goals.Results, unit: str, scale: float, floors: tuple[str, str]) -> str:
    """The fastest first; shares of two floors, named by their first words."""
    fastest, mine = in_order(rows)
    head = f"candidate | MP/s | median {unit} | p20..p80 {unit} | GB/s | of {floors[0]} | of {floors[1]} | we are "
    cells = [
        (
            _name(r),
            number(r["mp_per_s"]),
            number(scale * r["median_s"]),
            _spread(r, scale),
            number(r["gb_per_s"]),
            *(f"{r[floor.split()[0] + '_floor_share']:.2f}" for floor in floors),
            times(r["median_s"] / mine["median_s"]) if mine else "-",
            number(r["first_call_s"]),
            "-" if r.get("peak_bytes") is None else number(r["peak_bytes"] / 1e6),
            _note(r),
        )
        for r in fastest
    ]
    return table(f"{head}| first call s | peak MB |", "<>><>>>>>><", [*cells, *_untimed(rows, 9)])


def host(results: goals.Results) -> Iterator[str]:
    """What enqueueing a call costs, in the suites that a GPU's own time is measured in."""
    rows: list[Sequence[str] | str] = []
    of_gpu = [r for r in results if r.get("host") and r["suite"] != "overhead"]
    for suite in dict.fromkeys(r["suite"] for r in of_gpu):
        mine = [r for r in of_gpu if r["suite"] == suite]
        rows += [(_name(r), suite, _us(r), _spread(r, 1e6), _note(r)) for r in in_order(mine)[0]]
        rows += _untimed(mine, 2, suite)
    if rows:
        yield f"### Host time of a call\n\n{table('candidate | operation | median us | p20..p80 us |', '<<><<', rows)}"


def overhead(results: goals.Results, before: Before) -> Iterator[str]:
    """Host time of each public operation; beside it what it was in an earlier run, where there is one."""
    rows: list[Sequence[str] | str] = []
    for r in results:
        if r["suite"] != "overhead":
            continue
        if r["status"] not in goals.TIMED:
            rows += _untimed([r], 4 if before else 2, r["case"])
            continue
        then = before.get((r["case"], r["candidate"]))
        ratio = then["median_s"] / r["median_s"] if then else None
        earlier = ((_us(then) if then else "-"), times(ratio)) if before else ()
        rows.append((r["candidate"], r["case"], _us(r), _spread(r, 1e6), *earlier, _note(r)))
    if rows:
        more, align = (" before, us | faster |", "<<><>><") if before else ("", "<<><<")
        shown = table(f"candidate | operation | us | p20..p80 us |{more}", align, rows)
        yield f"### overhead\n\nHost time of a call, 16 x 16 pixels.\n\n{shown}"


def startup(results: goals.Results) -> Iterator[str]:
    rows = [
        (r["case"], r["candidate"], number(r["median_s"]), _spread(r, 1), r["note"])
        if r["status"] in goals.TIMED
        else (r["case"], r["candidate"], "-", "-", f"{r['status']}: {r['note']}")
        for r in results
        if r["suite"] == "startup"
    ]
    if rows:
        shown = table("what | who | median s | p20..p80 s |", "<<><<", rows)
        yield f"### startup\n\nFresh processes, seconds of their own clock.\n\n{shown}"


def in_order(rows: goals.Results) -> tuple[list[Result], Result | None]:
    """What was timed, the fastest first, and the candidate of ours that the others are compared with."""
    timed = [r for r in rows if r["status"] in goals.TIMED]
    return sorted(timed, key=lambda r: r["median_s"]), goals.ours(timed)


def _untimed(rows: goals.Results, empty: int, *operation: str) -> list[str]:
    """A line for each candidate without a time, with the reason behind its operation, if told, and `empty` columns."""
    lines = []
    for r in rows:
        if r["status"] not in goals.TIMED:
            why = r["note"] or f"{r['check']['mismatch']:.3%} outside {r['check']['tolerance']}"
            lines.append(f"| {' | '.join([r['candidate'], *operation])} |{' |' * empty} {r['status'].upper()}: {why} |")
    return lines


def _name(r: Result) -> str:
    return f"**{r['candidate']}**" if r["ours"] else r["candidate"]


def _note(r: Result) -> str:
    """What must be known of a time."""
    if r["share"] < 1:
        return f"scaled from {r['share']:.3g} of the pixels"
    return f"inexact ({r['check']['mismatch']:.2%} wrong): {r['note']}" if r["status"] == "inexact" else ""


def _us(r: Result) -> str:
    return number(1e6 * r["median_s"])


def _spread(r: Result, scale: float) -> str:
    return f"{number(scale * r['p20_s'])}..{number(scale * r['p80_s'])}"


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
