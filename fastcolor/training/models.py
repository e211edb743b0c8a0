"""The models that a run leaves: the averaged network of the last validation, and that of the best."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..arrays import checks
from ..errors import CheckpointError, in_short
from ..files.atomic import atomic_path, write_json
from ..files.objects import parse_object
from ..files.tensors import look_into
from ..network.pretrained import WEIGHTS
from ..network.unet import ColorUNet
from .runfile import RUN_FILE

LAST, BEST, VALIDATION = "model", "best", "validation.json"
_SAID = "validation"  # in the metadata of the best weights


def save_model(network: ColorUNet, run: Path, name: str, said: dict[str, str] | None = None) -> None:
    """Write `network` as the model `name` of a run, with the description of the run beside it."""
    network.save_pretrained(run / name, said=said)
    if (run / RUN_FILE).exists():
        with atomic_path(run / name / RUN_FILE) as temporary:
            temporary.write_bytes((run / RUN_FILE).read_bytes())


def found_best(run: Path) -> Path:
    """The model of a run that is worth using: the best, or the last of one whose validation gave no number."""
    return run / (BEST if (run / BEST / WEIGHTS).exists() else LAST)


class Best:
    """Keeps the network whose validation loss is least.

    The loss lies in the file of the weights, which one rename replaces, so that a run that goes on after a kill at any
    moment does not put a worse network in their place. `validation.json` is a copy to be read.

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
        self._kept: dict[str, Any] = {}
        if anew:
            for name in (WEIGHTS, VALIDATION):
                (run / BEST / name).unlink(missing_ok=True)
        elif (run / BEST / WEIGHTS).exists():
            self._kept = _read(run / BEST / WEIGHTS)
            if self._kept:
                write_json(run / BEST / VALIDATION, self._kept)  # a kill may have come before it

    @property
    def loss(self) -> float:
        """The least loss of this measure; infinite if there is none."""
        return float(self._kept["loss"]) if self._kept.get("measure") == self.measure else math.inf

    def __str__(self) -> str:
        return f"best validation so far, {self.loss:.4f}, kept in {BEST}/"

    def take(self, network: ColorUNet, step: int, loss: float, each: dict[str, float]) -> bool:
        """Keep `network` if its `loss` is less than any before; `each` are the losses of the sets."""
        if not loss < self.loss:
            return False
        found = {"step": step, "loss": loss, "sets": each, "measure": dict(self.measure)}
        save_model(network, self.run, BEST, {_SAID: json.dumps(found)})
        self._kept = found
        write_json(self.run / BEST / VALIDATION, found)
        return True


def _read(path: Path) -> dict[str, Any]:
    """What the file of the best weights says of their validation; nothing if they come from elsewhere."""
    try:
        kept = parse_object(look_into(path)[1].get(_SAID, "{}"))
        if kept:
            checks.real("loss", kept.get("loss"), -math.inf, math.inf)
        return kept
    except (ValueError, TypeError) as error:
        said = f"got {in_short(error)}; remove it, and the run goes on and finds a best one anew"
        raise CheckpointError(f"{path}: expected the weights of the best network, {said}") from error
