"""``summary.txt``: the day on one page, from the stages' outcomes and from what they wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..measure.machine import commit, now, write_text
from ..publish import goals, schema
from ..publish.tables import number
from ..suites.registry import SUITES

LINES, WIDTH = 60, 150
FAILURES = 4  # lines of each stage, as long as there is place


class Outcome(NamedTuple):
    """How a stage ended, and the last lines that it said."""

    word: str
    seconds: float = 0.0
    status: int | None = None
    tail: Sequence[str] = ()
    note: str = ""

    @property
    def fine(self) -> bool:
        return self.status == 0


class Page:
    """What is known of the stages so far."""

    def __init__(self, out: Path, outcomes: dict[str, Outcome], budget: float) -> None:
        self._out, self._outcomes = out, outcomes
        head, dirty = commit()
        self.head = f"gpu-day of {now()}, commit {head[:10]}{' with changes' * dirty}, budget {budget:.0f} s"

    def write(self) -> str:
        """The page, which is on disk by then. The day goes on if it cannot be made."""
        try:
            text = self._text()
        except Exception as error:
            lines = [f"{name} {one.word} {one.seconds:.0f} s" for name, one in self._outcomes.items()]
            text = "\n".join([self.head, *lines, f"no more can be told: {type(error).__name__}: {error}\n"])
        write_text(self._out / "summary.txt", text)
        return text

    def _text(self) -> str:
        each = list(self._outcomes.items())
        counts = {name: COUNTS[name](self._out, one) if name in COUNTS else ([], "") for name, one in each}
        figures = [*_told(_best, self._out / "sweep.json"), *_told(_main_cases, newest(self._out))]
        place = LINES - 3 - len(figures) - len(self._outcomes)
        lines = [self.head, _told(_machine, self._out / "smoke.json")[0]]
        for name, one in each:
            failures, count = counts[name]
            if not one.fine and not failures:
                failures = [line for line in one.tail if line.strip()][-2:]
            lines.append(f"{name:12} {one.word:10} {one.seconds:5.0f} s  {count or one.note}")
            shown = failures[: min(FAILURES, max(place, 0))]
            place -= len(shown)
            lines += [f"    {line}" for line in shown]
        files = sorted(path for path in self._out.iterdir() if path.is_file() and path.name != "summary.txt")
        sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e3:.0f} kB" for path in files)
        lines += [*figures, f"files: summary.txt, {sizes}"]
        return "\n".join(line[:WIDTH] for line in lines) + "\n"


def newest(out: Path) -> Path:
    """The benchmark's file, finished or not."""
    paths = [path for path in (out / "bench.json", schema.part(out / "bench.json")) if path.exists()]
    return max(paths, key=lambda path: path.stat().st_mtime, default=out / "bench.json")


def _told(tell: Callable[[Any], list[str]], path: Path) -> list[str]:
    """What there is to tell of a file; one line where it is not there yet, or is not what was expected."""
    try:
        return tell(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return [f"{path.name}: not there"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return [f"{path.name}: {type(error).__name__}: {error}"]


# --- counts of a stage, and what failed -------------------------------------------------------------------------------

Count = tuple[list[str], str]


def _of_compile(out: Path, one: Outcome) -> Count:
    return [line for line in one.tail if line.startswith("FAILED ")], next(reversed(one.tail), "")


def _of_smoke(out: Path, one: Outcome) -> Count:
    def tell(found: Any) -> list[str]:
        wrong = [row for row in found["results"] if row[-1] != "ok"]
        right = len(found["results"]) - len(wrong)
        names = [name for name, (runs, _) in found["backends"].items() if runs]
        absent = [f"{name} does not run" for name in found["backends"] if name not in names]
        count = f"{right} of {found['meant']} right; backends {', '.join(names)}; {'; '.join(absent)}"
        return [count, *(f"{row[0]} {row[1]} {row[2]}: {row[-1].strip().splitlines()[-1]}" for row in wrong)]

    count, *failures = _told(tell, out / "smoke.json")
    return failures, count


def _of_tests(name: str) -> Callable[[Path, Outcome], Count]:
    def tell(found: Any) -> list[str]:
        counts = ", ".join(f"{count} {what}" for what, count in sorted(found["outcomes"].items()))
        return [f"{counts}{'' if found['finished'] else '; not finished'}", *found["failed"]]

    def count(out: Path, one: Outcome) -> Count:
        told, *failures = _told(tell, out / f"{name}.json")
        return failures, told

    return count


def _of_sanitizer(out: Path, one: Outcome) -> Count:
    ran = sum(line.startswith("ran ") for line in one.tail)
    found = [line.lstrip("= ") for line in one.tail if re.search(r"SUMMARY|Invalid|hazard|Error|WRONG", line)]
    return ([] if one.fine else found), f"{ran} calls; {found[-1] if found else 'no summary'}"


def _of_sweep(out: Path, one: Outcome) -> Count:
    def tell(rows: Any) -> list[str]:
        wrong = [f"{row['what']} {row['dtype']} {row['pixels']}: {row['error']}" for row in rows if "error" in row]
        copy = next((f"copy {number(row['gb_per_s'])} GB/s" for row in rows if "gb_per_s" in row), "")
        return [f"{len(rows) - 1 - len(wrong)} timed, {len(wrong)} errors; {copy}", *wrong]

    count, *failures = _told(tell, out / "sweep.json")
    return failures, count


def _of_bench(out: Path, one: Outcome) -> Count:
    def tell(document: Any) -> list[str]:
        results, left = document["results"], document["metadata"].get("left_out", {})
        states = [r["status"] for r in results]
        wrong = [
            f"{r['suite']}, {r['case']}: {r['candidate']} {r['status']} {r['note']}"
            for r in results
            if r["ours"] and r["status"] in ("wrong", "error")
        ]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return [f"{counts}; left out: {', '.join(left) or 'nothing'}", *wrong]

    count, *failures = _told(tell, newest(out))
    return failures, count


COUNTS: dict[str, Callable[[Path, Outcome], Count]] = {
    "compile": _of_compile,
    "smoke": _of_smoke,
    **{name: _of_tests(name) for name in ("correctness", "streams")},
    **dict.fromkeys(("memcheck", "racecheck"), _of_sanitizer),
    "sweep": _of_sweep,
    "bench": _of_bench,
}


# --- figures ----------------------------------------------------------------------------------------------------------


def _machine(found: Any) -> list[str]:
    described, reason = found["gpu"]
    versions = [
        f"{name} {found['versions'][name]}" for name in ("python", "numpy", "torch") if name in found["versions"]
    ]
    if reason:
        return [reason]
    return [f"{described['name']}, driver {described.get('driver', 'unknown')}, {', '.join(versions)}"]


def _best(rows: Any) -> list[str]:
    """The sweep at its largest size: of each operation and type the pixels a thread that take least."""
    timed = [row for row in rows if "us" in row]
    height, width = max({(row["height"], row["width"]) for row in timed}, key=lambda size: size[0] * size[1])
    of = rows[0].get("commit", "unknown")[:10]  # an earlier day's, if this one has no sweep
    lines = [f"pixels a thread that take least at {height} x {width}, planar or streamed (us), commit {of}; next best:"]
    largest = [row for row in timed if (row["height"], row["width"]) == (height, width)]
    for what in dict.fromkeys(row["what"] for row in largest):
        cells = []
        for dtype in dict.fromkeys(row["dtype"] for row in largest):
            mine = [row for row in largest if (row["what"], row["dtype"]) == (what, dtype)]
            best = sorted(mine, key=lambda row: row["us"])[:2]
            shown = [f"{row['pixels']}{row.get('kind', '')[:1]} ({number(row['us'])})" for row in best]
            cells += [f"{dtype} {'; '.join(shown)}"] if shown else []
        lines.append(f"    {what:24} {', '.join(cells)}")
    return lines


def _main_cases(document: Any) -> list[str]:
    """Of each suite's main case: microseconds, share of copy, how it stands to its best peer, and the host's time."""
    results = document["results"]
    lines = [f"main cases: us, share of copy, x best peer, host us, commit {document['metadata']['commit'][:10]}"]
    for suite in SUITES:
        rows = goals.select(results, suite)
        mine, peer = goals.ours(rows), goals.best_peer(rows)
        if mine is None or mine.get("copy_floor_share") is None:
            continue
        host = goals.ours([r for r in results if r["suite"] == suite and r.get("host") and r["status"] in goals.TIMED])
        against = f"{number(goals.ratio(rows, peer))} x {peer['candidate']}" if peer else "-"
        enqueued = number(1e6 * host["median_s"]) if host else "-"
        cells = f"{number(1e6 * mine['median_s']):>8} {mine['copy_floor_share']:5.2f}  {against}, host {enqueued}"
        lines.append(f"    {suite:18} {mine['shape']:18} {cells}")
    return lines
