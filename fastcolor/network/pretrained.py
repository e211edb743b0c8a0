"""Where networks lie: a folder with `weights.safetensors`, `config.json` and `bins.npz`, no pickles anywhere.

What reads and writes the three is :class:`~fastcolor.network.unet.ColorUNet`; this module needs no torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

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


def not_finite(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Names of the tensors of a file that are not floats where floats are wanted, or not finite; "" if there are none.

    They must fit by name: see :func:`misfit`.
    """
    floats = {name: value for name, value in sorted(found.items()) if wanted[name].is_floating_point()}
    return ", ".join(n for n, v in floats.items() if not (v.is_floating_point() and bool(v.isfinite().all())))


def misfit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """How tensors of a file differ from those wanted, by name and shape, in a few words; "" if they do not."""
    said = []
    for what, names in (("missing", wanted.keys() - found.keys()), ("left over", found.keys() - wanted.keys())):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            said.append(f"{min(names)}{more} {what}")
    for name in sorted(wanted.keys() & found.keys()):
        shapes = [tuple(tensors[name].shape) for tensors in (wanted, found)]
        if not said and shapes[0] != shapes[1]:
            said.append(f"{name}: expected shape {shapes[0]}, got {shapes[1]}")
    return ", ".join(said)
