"""Checkpoints of a training run: one safetensors file, tensors beside a JSON text, replaced in one go."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ..arrays import checks
from ..errors import CheckpointError, in_short
from ..files.atomic import atomic_path
from ..files.objects import parse_object
from ..files.tensors import Stored, look_into, read_tensors
from ..network.pretrained import misfit, taken

# What :class:`~fastcolor.training.clock.Clock` keeps.
_CLOCK = ("seconds", "begin", "closing")
MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam, as torch calls them
COUNT = ".step"  # and how often it has moved a parameter


def save_tensors(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write to a temporary name, reach the disk, then replace `path`: a kill leaves the old file or the new one.

    Raises
    ------
    OSError
        If it cannot be written, on a full disk say; the old file is as it was.
    """
    packed = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(packed, temporary, metadata={"json": json.dumps(meta)})
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        next_step = "the one before is kept; make room, then --resume goes on" if path.exists() else "make room"
        raise OSError(f"{path}: cannot be written ({error}); {next_step}") from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What is wrong in a checkpoint is said with the name of its file.

    Raises
    ------
    CheckpointError
    """
    try:
        yield
    except (CheckpointError, FileNotFoundError):
        raise
    except (ValueError, TypeError, OSError) as error:
        said = f"expected a checkpoint of fastcolor train, got a damaged one ({in_short(error)})"
        raise CheckpointError(f"{path}: {said}") from error


def load_meta(path: Path) -> tuple[dict[str, Any], dict[str, Stored]]:
    """The JSON of :func:`save_tensors`, and what the header says of the tensors; CheckpointError if it is damaged."""
    with naming(path):
        stored, said = look_into(path)
        meta = parse_object(said.get("json", ""))
        _check_meta(meta)
        return meta, stored


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the JSON of :func:`save_tensors`; CheckpointError naming the file if it is damaged."""
    meta, stored = load_meta(path)
    with naming(path):
        return read_tensors(path, stored), meta


def _check_meta(meta: dict[str, Any]) -> None:
    """Of the JSON: a step, and what the clock kept if there was one."""
    checks.integer("step", meta.get("step"), 0)
    clock = meta.get("clock", {})
    if not isinstance(clock, dict):
        raise ValueError(f"clock: expected an object, got {clock!r}")
    for name in _CLOCK:
        if clock.get(name) is not None:
            checks.real(f"clock, {name}", clock[name], 0.0)


def pack(model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything that a run needs to go on: weights, averaged weights, moments and the random state."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for number, parameter in enumerate(model.parameters()):  # whichever group of the optimizer it is in
        moments = optimizer.state.get(parameter, {})
        tensors |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
    return tensors | {"random": torch.get_rng_state()}


def unpack(
    tensors: dict[str, Tensor], model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Put back what :func:`pack` collected after `step` steps; ValueError says why nothing was changed."""
    tensors = _checked(tensors, model, optimizer, step)
    parameters = list(model.parameters())
    moments: dict[Tensor, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        number, _, key = name.partition(".")
        # The fused optimizer walks memory: moments must have the strides of their parameter (channels-last here).
        like = parameters[int(number)]
        moments.setdefault(like, {})[key] = torch.empty_like(like).copy_(value) if value.ndim else value
    try:
        torch.set_rng_state(tensors["random"])
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"random: expected the state of torch's generator, got another ({error})") from error
    model.load_state_dict(_under("model.", tensors))
    average.load_state_dict(_under("average.", tensors))
    state, places = optimizer.state_dict(), (p for group in optimizer.param_groups for p in group["params"])
    state["state"] = {place: moments[p] for place, p in enumerate(places) if p in moments}
    optimizer.load_state_dict(state)


def _checked(
    tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, step: int
) -> dict[str, Tensor]:
    """The tensors as the types of the run; ValueError unless it has such after so many steps, and they are finite."""
    wanted: dict[str, Tensor] = {"random": torch.get_rng_state()}
    for prefix in ("model", "average"):
        wanted |= {f"{prefix}.{name}": value for name, value in model.state_dict().items()}
    trained = {parameter for group in optimizer.param_groups for parameter in group["params"]} if step else set()
    for number, parameter in enumerate(model.parameters()):
        if parameter in trained:
            of = {COUNT[1:]: torch.zeros(()), **dict.fromkeys(MOMENTS, parameter)}
            wanted |= {f"optimizer.{number}.{name}": like for name, like in of.items()}
    if wrong := misfit(tensors, wanted):
        raise ValueError(wrong)
    found = taken(tensors, wanted)
    for name in (name for name in wanted if name.endswith(COUNT)):
        if not 1 <= (count := float(found[name])) <= step or count % 1:
            raise ValueError(f"{name}: expected a whole number in 1..{step}, as the run has steps, got {count}")
    return found


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
