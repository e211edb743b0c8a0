"""The text of a CUDA kernel: constants from the reference, then the common parts, then its own file.

One string without includes, so that NVRTC needs no headers and a host compiler can read the same text.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from fastcolor.reference import constants as c

from ..common.scale import LOG2E

OPTIONS = ("-std=c++17",)
_FOLDER = "fastcolor.kernels.cupy_cuda"
_COMMON = ("common.cuh", "lab.cuh", "palette.cuh", "tile.cuh", "pixels.cuh", "softmax.cuh", "stream.cuh")
FEW_BINS = 255  # up to which tables of bins are launch arguments; a label is then a byte


def _floats() -> dict[str, float]:
    """255 (R - Y), 255 (B - Y), 255 (G - Y) for one unit of V or U, from the exact inverse of the luma equation."""
    return {
        "LOG2E": LOG2E,
        "R_V": 255 / c.V_SCALE,
        "B_U": 255 / c.U_SCALE,
        "G_V": -255 / c.V_SCALE * c.LUMA[0] / c.LUMA[1],
        "G_U": -255 / c.U_SCALE * c.LUMA[2] / c.LUMA[1],
        **_lab(),
    }


def _lab() -> dict[str, float]:
    """CIE Lab: the cube root and its straight line, and linear R, G, B for one unit of X, Y or Z over the white."""
    matrix = np.linalg.inv(np.array(c.SRGB_TO_XYZ)) * np.array(c.XYZ_WHITE)
    to_rgb = {f"{to}_OF_{of}": float(matrix[i, j]) for i, to in enumerate("RGB") for j, of in enumerate("XYZ")}
    return {"LAB_EDGE": c.LAB_THRESHOLD ** (1 / 3), "LAB_SLOPE": c.LAB_SLOPE, "LAB_OFFSET": c.LAB_OFFSET, **to_rgb}


def _integers() -> dict[str, int]:
    coefficients = {
        f"{axis}_{name}": value
        for axis, values in (("U", c.U_COEFFICIENTS), ("V", c.V_COEFFICIENTS))
        for name, value in zip(("OF_R", "OF_G", "OF_B"), values, strict=True)
    }
    return {
        **coefficients,
        "U_NUMERATOR_MAX": c.U_NUMERATOR_MAX,
        "V_NUMERATOR_MAX": c.V_NUMERATOR_MAX,
        "MAX_BINS": c.MAX_BINS,
        "FEW_BINS": FEW_BINS,
    }


def constants() -> str:
    """The shared numbers as C++: a float has the digits that give the nearest float32 back.

    Examples
    --------
    >>> "constexpr int MAX_BINS = 1024;" in constants()
    True
    """
    lines = [f"constexpr float {name} = {value:.9e}f;" for name, value in _floats().items()]
    lines += [f"constexpr int {name} = {value};" for name, value in _integers().items()]
    return "namespace fc {\n" + "\n".join(lines) + "\n}\n"


@cache
def source(name: str) -> str:
    """Everything that the kernels of ``<name>.cu`` need, as one text."""
    folder = files(_FOLDER)
    parts = [(folder / file).read_text(encoding="utf-8") for file in (*_COMMON, f"{name}.cu")]
    return "\n".join([constants(), *parts])
