"""Draw docs/training.png from docs/training-everyday.csv, the logs of the runs that made the default network."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent
# A panel: its title, what its loss is, and the runs in it with their colors and labels.
PANELS = (
    (
        "From ImageNet weights",
        "cross entropy, λ = 0.75",
        (
            ("h200", "tab:gray", "5.4 minutes of an H200"),
            ("ten-minutes", "tab:red", "10 minutes of busy CPU cores, clean clone"),
        ),
    ),
    (
        "The last runs",
        "the same + 8 x distance",
        (("last-160", "tab:blue", "160 pixels, 68 minutes"), ("last-192", "tab:orange", "192 pixels, 34 minutes")),
    ),
)


def main() -> None:
    """Training and validation loss over the crops seen, a panel a kind of loss."""
    with open(FOLDER / "training-everyday.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    figure, panels = plt.subplots(1, len(PANELS), figsize=(9, 3.6), constrained_layout=True)
    for axis, (title, unit, runs) in zip(panels, PANELS, strict=True):
        for run, color, label in runs:
            for column, style in (("train_loss", "-"), ("validation_loss", "s")):
                part = [row for row in rows if row["run"] == run and row[column]]
                points = [(int(row["crops"]), float(row[column])) for row in part]
                name = label if style == "-" else f"{label}: validation"
                if points:
                    axis.plot(*zip(*points, strict=True), style, ms=4, lw=1.2, color=color, label=name)
        axis.set_title(title, fontsize=10)
        axis.set_ylabel(unit)
        axis.set_xlabel("crops")
        axis.legend(fontsize=7)
    panels[0].set_xscale("log")
    figure.savefig(FOLDER / "training.png", dpi=100)


if __name__ == "__main__":
    main()
