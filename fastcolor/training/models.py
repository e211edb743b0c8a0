"""The models that a run leaves: the averaged network of the last validation, and that of the best."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..files.atomic import atomic_path, write_json
from ..network.unet import ColorUNet
from .runfile import RUN_FILE

LAST, BEST, VALIDATION = "model", "best", "validation.json"


def save_model(network: ColorUNet, run: Path, name: str) -> None:
    """Write `network` as the model `name` of a run, with the description of the run beside it."""
    network.save_pretrained(run / name)
    if (run / RUN_FILE).exists():
        with atomic_path(run / name / RUN_FILE) as temporary:
            temporary.write_bytes((run / RUN_FILE).read_bytes())


class Best:
    """Keeps the network whose validation loss is least.

    The loss lies beside the weights, so that a run that goes on after a kill does not put a worse network in their
    place.

    Parameters
    ----------
    run : Path
        The run's folder.
    measure : dict
        What the validation loss depends on beside the network, as JSON has it: losses of another measure are not
        compared, and a run that measures otherwise begins anew.
    anew : bool
        Forget what another run left in the folder.
    """

    def __init__(self, run: Path, measure: dict[str, Any], *, anew: bool) -> None:
        self.run, self.measure = run, measure
        self.step, self.loss = 0, math.inf
        path = run / BEST / VALIDATION
        if anew:
            path.unlink(missing_ok=True)
        elif path.exists():
            kept = _read(path)
            if kept["measure"] == measure:
                self.step, self.loss = kept["step"], kept["loss"]

    def __str__(self) -> str:
        return f"best validation so far, {self.loss:.4f}, kept in {BEST}/"

    def take(self, network: ColorUNet, step: int, loss: float, each: dict[str, float]) -> bool:
        """Keep `network` if its `loss` is less than any before; `each` are the losses of the sets."""
        if not loss < self.loss:
            return False
        save_model(network, self.run, BEST)
        found = {"step": step, "loss": loss, "sets": each, "measure": self.measure}
        write_json(self.run / BEST / VALIDATION, found)
        self.step, self.loss = step, loss
        return True


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text())
        return {name: kept[name] for name in ("step", "loss", "measure")}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the validation of the best network, got {error}; remove it") from error
