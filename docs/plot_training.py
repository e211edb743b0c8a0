"""Draw docs/training.png from docs/training-landscapes-wide.csv, the log of the runs that made the default network."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent
PARTS = (
    ("first", 0.5, "tab:gray", "first run, λ = 0.5"),
    ("first", 0.75, "tab:orange", "first run, λ = 0.75"),
    ("second", 0.75, "tab:blue", "second run, from step 8,400"),
)


def main() -> None:
    """Training and validation loss over the steps; the unit of the loss changes with λ."""
    with open(FOLDER / "training-landscapes-wide.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    figure, (axis, below) = plt.subplots(
        2, 1, figsize=(7, 4.6), sharex=True, height_ratios=(3, 1), constrained_layout=True
    )
    for run, lam, color, label in PARTS:
        part = [row for row in rows if row["run"] == run and float(row["lam"]) == lam]
        for column, style in (("train_loss", "-"), ("validation_loss", "s")):
            points = [(int(row["step"]), float(row[column])) for row in part if row[column]]
            name = f"{label}: {'training' if style == '-' else 'validation'}"
            axis.plot(*zip(*points, strict=True), style, ms=4, lw=1.2, color=color, label=name)
        rates = [(int(row["step"]), 1e3 * float(row["rate"])) for row in part if row["rate"]]
        below.plot(*zip(*rates, strict=True), color=color)
    axis.set_ylim(2.3, 3.1)
    axis.set_ylabel("weighted cross entropy")
    axis.legend(fontsize=8, ncols=2)
    below.set_ylabel("rate / 1e-3")
    below.set_xlabel("step (32 crops of 128 x 128)")
    figure.savefig(FOLDER / "training.png", dpi=100)


if __name__ == "__main__":
    main()
