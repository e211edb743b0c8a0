"""Where networks lie: a folder with `weights.safetensors`, `config.json` and `bins.npz`, no pickles anywhere.

What reads and writes the three is :class:`~fastcolor.network.unet.ColorUNet`; this module needs no torch.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from ..errors import WeightsError

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
