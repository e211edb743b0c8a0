"""Tables of the report: the candidates of a case in each setting of the CPU, and what all tables share."""

from __future__ import annotations

from typing import Any

from . import goals


def title(first: dict[str, Any]) -> str:
    """The heading of a case, its input, and what it must move."""
    text = f"### {first['suite']}: {first['case']}\n\n{first['shape']} {first['dtype']}, {first['layout']}, "
    text += f"{first['pixels'] / 1e6:.2f} MP; must read {first['read_bytes'] / 1e6:.1f} MB "
    return text + f"and write {first['write_bytes'] / 1e6:.1f} MB."


def case(rows: goals.Results) -> str:
    """All candidates of a case; one table a setting."""
    parts = [title(rows[0])]
    for malloc, threads in dict.fromkeys((r["malloc"], r["threads"]) for r in rows):
        setting = [r for r in rows if (r["malloc"], r["threads"]) == (malloc, threads)]
        parts.append(_setting(setting, malloc, threads))
    return "\n\n".join(parts)


def _setting(rows: goals.Results, malloc: str, threads: int) -> str:
    fastest, mine = in_order(rows)
    lines = [f"{threads} thread{'s' * (threads > 1)}, malloc {malloc}"]
    if fastest:
        r = fastest[0]
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
    lines += [_row(r, mine) for r in fastest]
    return "\n".join([*lines, *untimed(rows, 9)])


def in_order(rows: goals.Results) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """What was timed, the fastest first, and the candidate of ours that the others are compared with."""
    timed = [r for r in rows if r["status"] in goals.TIMED]
    return sorted(timed, key=lambda r: r["median_s"]), goals.ours(timed)


def untimed(rows: goals.Results, empty: int) -> list[str]:
    """A line for each candidate without a time, with the reason behind `empty` columns."""
    lines = []
    for r in rows:
        if r["status"] not in goals.TIMED:
            why = r["note"] or f"{r['check']['mismatch']:.3%} outside {r['check']['tolerance']}"
            lines.append(f"| {r['candidate']} |" + " |" * empty + f" {r['status'].upper()}: {why} |")
    return lines


def name(r: dict[str, Any]) -> str:
    """Ours in bold."""
    return f"**{r['candidate']}**" if r["ours"] else r["candidate"]


def note(r: dict[str, Any]) -> str:
    """What must be known of a time."""
    if r["share"] < 1:
        return f"scaled from {r['share']:.3g} of the pixels"
    return f"inexact ({r['check']['mismatch']:.2%} wrong): {r['note']}" if r["status"] == "inexact" else ""


def _row(r: dict[str, Any], mine: dict[str, Any] | None) -> str:
    peak = r.get("peak_bytes")
    cells = [
        name(r),
        number(r["mp_per_s"]),
        number(1e3 * r["median_s"]),
        f"{number(1e3 * r['p20_s'])}..{number(1e3 * r['p80_s'])}",
        number(r["gb_per_s"]),
        f"{r['read_floor_share']:.2f}",
        f"{r['copy_floor_share']:.2f}",
        times(r["median_s"] / mine["median_s"]) if mine else "-",
        number(r["first_call_s"]),
        "-" if peak is None else number(peak / 1e6),
        note(r),
    ]
    return "| " + " | ".join(cells) + " |"


def startup(rows: goals.Results) -> str:
    """Imports and first results."""
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
