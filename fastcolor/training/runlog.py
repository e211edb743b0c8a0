"""What a training run writes down: `log.csv`, `train.log`, TensorBoard events if it is installed, sample pictures."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..arrays import checks
from ..errors import in_short
from ..files.atomic import atomic_path, naming
from ..files.writing import save
from .board import open_board

FIELDS = ("step", "epoch", "rate", "train_loss", "validation_loss", "images_per_second", "seconds")


class RunLog:
    """Rows of :data:`FIELDS`, appended to `log.csv` and to TensorBoard.

    Parameters
    ----------
    folder : Path
        The run's folder.
    step : int
        Where the run stands: rows after it, of a run that was killed and is resumed, are dropped.
    sets : sequence of str
        Names of the sets that are validated; of several, each has a column of its own.
    """

    def __init__(self, folder: Path, step: int, sets: Sequence[str] = ()) -> None:
        self.folder = folder
        self.path = folder / "log.csv"
        self.fields = (*FIELDS, *self.by_set(dict.fromkeys(sets, 0.0)))
        kept = [row for row in read_log(self.path) if int(row["step"]) <= step] if step else []
        with atomic_path(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self.fields, extrasaction="ignore")  # a set may have been left out
            writer.writeheader()
            writer.writerows(kept)
        self.board = open_board(folder / "tensorboard", step)

    def write(self, **row: float) -> None:
        """One row; fields that are missing stay empty."""
        with naming(self.path), open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.fields).writerow(row)
        if self.board is not None:
            for name in set(self.fields) - {"step", "epoch", "seconds"}:
                if name in row:
                    self.board.scalar(name, row[name], int(row["step"]))

    @staticmethod
    def by_set(losses: dict[str, float]) -> dict[str, float]:
        """The columns of the validation losses of several sets."""
        several = len(losses) > 1
        return {f"validation_loss/{name}": round(loss, 5) for name, loss in losses.items() if several}

    def say(self, text: str) -> None:
        """A line on the screen and in `train.log`."""
        tqdm.write(text, file=sys.stderr)
        with naming(self.folder / "train.log"), open(self.folder / "train.log", "a") as file:
            file.write(text + "\n")

    def picture(self, step: int, rgb: NDArray[np.uint8]) -> None:
        """Keep (H, W, 3) as `samples/step-<step>.jpg`."""
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        save(Image.fromarray(rgb), folder / f"step-{step:07d}.jpg", "JPEG", quality=90, subsampling=0)
        if self.board is not None:
            self.board.image("samples", rgb, step)


def read_log(path: Path) -> list[dict[str, str]]:
    """The whole rows of a `log.csv`; none if there is no such file.

    Raises
    ------
    ValueError
        If it is no table of a run, as after it was edited; names the file, and the line.
    """
    if not path.exists():
        return []
    line = 1
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(text for text in file if text.endswith("\n"))  # a kill may have torn the last
            if reader.fieldnames is not None and "step" not in reader.fieldnames:
                raise ValueError("no column step")
            rows = []
            for row in reader:
                line = reader.line_num
                checks.integer("step", int(row["step"]), 0)
                rows.append(row)
            return rows
    except (ValueError, TypeError, csv.Error) as error:
        said = f"got {in_short(error)} in line {line}; mend it, or move it away, and the log begins anew"
        raise ValueError(f"{path}: expected the rows of `fastcolor train`, {said}") from error
