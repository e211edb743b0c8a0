"""Where networks lie: a folder with `weights.safetensors`, `config.json` and `bins.npz`, no pickles anywhere.

What reads and writes the three is :class:`~fastcolor.network.unet.ColorUNet`; this module needs no torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor


class Shaped(Protocol):
    """What a tensor and what the header of a file says of one have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""

    def is_floating_point(self) -> bool:
        """Whether its numbers are floats."""


VARIANCES = ("running_var", "exp_avg_sq")  # how the names of mean squares end
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


def misfit(found: Mapping[str, Shaped], wanted: Mapping[str, Shaped]) -> str:
    """How tensors of a file differ from those wanted, in a few words; "" if they do not.

    By name, by shape, and by whether they are floats: the header of the file is enough to know.
    """
    said = []
    for what, names in (("missing", wanted.keys() - found.keys()), ("left over", found.keys() - wanted.keys())):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            said.append(f"{min(names)}{more} {what}")
    for name in sorted(wanted.keys() & found.keys()):
        shapes = [tuple(tensors[name].shape) for tensors in (wanted, found)]
        if not said and shapes[0] != shapes[1]:
            said.append(f"{name}: expected shape {shapes[0]}, got {shapes[1]}")
        if not said and (floats := wanted[name].is_floating_point()) != found[name].is_floating_point():
            said.append(f"{name}: expected {'floats' if floats else 'integers'}, got others")
    return ", ".join(said)


def taken(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file, which fit, its floats as the types of those wanted.

    What no training leaves is looked for in these: 1e300 is a number in float64, and infinite in a network of float32.

    Raises
    ------
    ValueError
        If one holds NaN, inf or a variance below 0; names it.
    """
    floats = {name: v.to(wanted[name].dtype) for name, v in sorted(found.items()) if v.is_floating_point()}
    if names := [name for name, value in floats.items() if not bool(value.isfinite().all())]:
        raise ValueError(f"expected finite floats, got others in {', '.join(names)}")
    if names := [name for name, value in floats.items() if name.endswith(VARIANCES) and bool((value < 0).any())]:
        raise ValueError(f"expected variances >= 0, got others in {', '.join(names)}")
    return {**found, **floats}
