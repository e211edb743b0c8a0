"""Networks on disk: a folder with `weights.safetensors`, `config.json` and `bins.npz`. No pickles anywhere."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..bins import ColorBins
from ..errors import WeightsError
from ..files.atomic import atomic_path
from .unet import ColorUNet, UNetConfig

WEIGHTS, CONFIG, BINS = "weights.safetensors", "config.json", "bins.npz"


def bundled_models() -> dict[str, Path]:
    """``{name: folder}`` of the networks inside the package."""
    folder = Path(str(files("fastcolor.data"))) / "models"
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG}"))}


def model_folder(name_or_path: str | os.PathLike[str]) -> Path:
    """The folder of a bundled name or of a path; a name wins over a folder of the same name ("./name" is the folder).

    Raises
    ------
    WeightsError
        If there is neither; lists the names.
    """
    bundled = bundled_models()
    if isinstance(name_or_path, str) and name_or_path in bundled:
        return bundled[name_or_path]
    folder = Path(name_or_path)
    if not folder.is_dir():
        names = ", ".join(bundled) or "none"
        raise WeightsError(
            f"model: expected a bundled name ({names}) or a folder with {WEIGHTS}, {CONFIG} and {BINS}, "
            f"got {os.fspath(name_or_path)!r}"
        )
    return folder


def load_model(name_or_path: str | os.PathLike[str]) -> ColorUNet:
    """Configuration, bins and weights, checked against each other; float32, in eval mode."""
    folder = model_folder(name_or_path)
    config = _read_config(folder / CONFIG)
    try:
        bins = ColorBins.load(folder / BINS)
        model = ColorUNet(config, bins)
    except (ValueError, OSError) as error:
        raise WeightsError(f"{folder / BINS}: {error}") from error
    path = folder / WEIGHTS
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: expected a safetensors file, got a damaged one ({error})") from error
    except RuntimeError as error:  # torch lists every tensor that is missing, left over or of another shape
        first = str(error).splitlines()[1:2]
        raise WeightsError(f"{path}: weights do not fit {folder / CONFIG}: {' '.join(first).strip()}") from error
    # Channels-last weights make the bfloat16 convolutions two to three times faster on the CPU.
    return model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _read_config(path: Path) -> UNetConfig:
    known = {field.name for field in fields(UNetConfig)}
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown keys {', '.join(unknown)}")
        return UNetConfig(**values)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; is this the folder of a model?") from None
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: expected the configuration of a ColorUNet, got {error}") from error


def save_model(model: ColorUNet, folder: str | os.PathLike[str], *, half: bool = False) -> None:
    """Each file is written whole or not at all, the weights last."""
    if model.bins is None:
        raise ValueError("bins: expected the ColorBins of the logits, got None; ColorUNet(config, bins) keeps them")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(asdict(model.config), indent=1) + "\n")
    ColorBins(model.bins.table, model.bins.colors, model.bins.prior).save(folder / BINS)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if half:  # convolutions only: variances of batch normalisation can leave the range of float16, and weigh nothing
        tensors = {name: value.half() if value.ndim == 4 else value for name, value in tensors.items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
