"""Checkpoints of a training run: one safetensors file, tensors beside a JSON text, replaced in one go."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..files.atomic import atomic_path


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


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the JSON of :func:`save_tensors`; ValueError naming the file if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})["json"])
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a checkpoint of fastcolor train, got a damaged file ({error})") from error


def pack(model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything that a run needs to go on: weights, averaged weights, moments and the random state."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for number, parameter in enumerate(model.parameters()):  # whichever group of the optimizer it is in
        moments = optimizer.state.get(parameter, {})
        tensors |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
    return tensors | {"random": torch.get_rng_state()}


def unpack(tensors: dict[str, Tensor], model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put back what :func:`pack` collected."""
    model.load_state_dict(_under("model.", tensors))
    average.load_state_dict(_under("average.", tensors))
    parameters = list(model.parameters())
    moments: dict[Tensor, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        number, _, key = name.partition(".")
        # The fused optimizer walks memory: moments must have the strides of their parameter (channels-last here).
        like = parameters[int(number)]
        moments.setdefault(like, {})[key] = torch.empty_like(like).copy_(value) if value.ndim else value
    state, places = optimizer.state_dict(), (p for group in optimizer.param_groups for p in group["params"])
    state["state"] = {place: moments[p] for place, p in enumerate(places) if p in moments}
    optimizer.load_state_dict(state)
    torch.set_rng_state(tensors["random"])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
