"""The picture of the report: a panel a suite, a bar a candidate, megapixels per second on a log axis."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..suites.registry import SUITES
from . import goals

OURS, PEER, INEXACT, TUNED = "#c8501e", "#6b7a8f", "#c3cad3", "#1d1d1d"
COLUMNS = 3


def draw(document: dict[str, Any], path: Path) -> None:
    """Write the chart as PNG, whole or not at all."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    results = document["results"]
    panels = {suite: rows for suite in SUITES if suite != "startup" and (rows := goals.select(results, suite))}
    lines = max(math.ceil(len(panels) / COLUMNS), 1)
    figure, axes = plt.subplots(lines, COLUMNS, figsize=(15, 0.6 + 3.1 * lines), squeeze=False, layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (suite, rows) in zip(axes.flat, panels.items(), strict=False):
        _panel(axis, suite, rows, goals.select(results, suite, "tuned"))
    handles = [
        Patch(color=OURS, label="fastcolor"),
        Patch(color=PEER, label="peer"),
        Patch(color=INEXACT, label="inexact peer"),
        Line2D([], [], color=TUNED, marker="|", markersize=11, markeredgewidth=2, ls="", label="with tuned malloc"),
    ]
    m = document["metadata"]
    where = f"1 thread, {m['machine']['cpu']}" if m["device"] == "cpu" else m["gpu"]["name"]
    title = f"{where}, commit {m['commit'][:10]}, {m['date']}"
    figure.legend(handles=handles, loc="outside upper center", ncols=4, title=title, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part.png")
    figure.savefig(temporary, dpi=85, metadata={"Software": None})
    plt.close(figure)
    temporary.replace(path)


def _panel(axis: Any, suite: str, rows: goals.Results, tuned: goals.Results) -> None:
    from matplotlib.ticker import NullFormatter

    ordered = sorted(rows, key=lambda r: -r["median_s"])  # the fastest on top
    speeds = [r["mp_per_s"] for r in ordered]
    colors = [OURS if r["ours"] else INEXACT if r["status"] == "inexact" else PEER for r in ordered]
    axis.barh(range(len(ordered)), speeds, color=colors, height=0.72)
    other = {r["candidate"]: r["mp_per_s"] for r in tuned}
    for k, r in enumerate(ordered):
        right = max(r["mp_per_s"], other.get(r["candidate"], 0.0))
        if r["candidate"] in other:
            axis.plot(other[r["candidate"]], k, marker="|", color=TUNED, markersize=11, markeredgewidth=2)
        axis.text(right * 1.12, k, f"{r['mp_per_s']:.3g}", va="center", fontsize=8)
    axis.set_yticks(range(len(ordered)), [r["candidate"] for r in ordered], fontsize=8)
    axis.set_xscale("log")
    axis.set_xlim(min(speeds) / 2, max([*speeds, *other.values()]) * 4)
    axis.set_xlabel("megapixels per second", fontsize=8)
    axis.set_title(f"{suite} ({ordered[0]['case']})", fontsize=10)
    axis.tick_params(axis="x", labelsize=8)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.spines[["top", "right"]].set_visible(False)
