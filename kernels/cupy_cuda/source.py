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
_COMMON = ("common.cuh", "lab.cuh", "palette.cuh", "tile.cuh", "pixels.cuh", "softmax.cuh", "stream.cuh", "running.cuh")
_OF_RGB = ("encode", "encode_soft", "histogram")  # sources that read RGB: to_lab.cuh and its table come before them
_BEFORE: dict[str, tuple[str, ...]] = {"gradient": ("lanes.cuh",), "loss": ("lanes.cuh", "sums.cuh")}
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


def _doubles() -> dict[str, float]:
    """What brings linear light to XYZ over the white and XYZ to Lab."""
    matrix = np.array(c.SRGB_TO_XYZ) / np.array(c.XYZ_WHITE)[:, None]
    return {
        **{f"{row}_{column}": matrix[i, j] for i, row in enumerate("XYZ") for j, column in enumerate("RGB")},
        "EXACT_THRESHOLD": c.LAB_THRESHOLD,
        "EXACT_SLOPE": c.LAB_SLOPE,
        "EXACT_OFFSET": c.LAB_OFFSET,
        "AB_MAX": c.AB_MAX,
        "U_MAX": c.U_MAX,
        "V_MAX": c.V_MAX,
    }


def constants() -> str:
    """The shared numbers as C++: a float has the digits that give the nearest float32 back.

    Examples
    --------
    >>> "constexpr int MAX_BINS = 1024;" in constants()
    True
    """
    lines = [f"constexpr float {name} = {value:.9e}f;" for name, value in _floats().items()]
    lines += [f"constexpr double {name} = {value:.17g};" for name, value in _doubles().items()]
    lines += [f"constexpr int {name} = {value};" for name, value in _integers().items()]
    return "namespace fc {\n" + "\n".join(lines) + "\n}\n"


def linear_light() -> str:
    """The table of linear light for levels 0 to 255, by the curve of sRGB, as C++.

    Examples
    --------
    >>> linear_light().count(",")
    510
    """
    level = np.arange(256) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    exact, rounded = (", ".join(format(value, form) for value in light) for form in (".17g", ".9e"))
    tables = f"double EXACT_LIGHT[256] = {{{exact}}}", f"float LIGHT[256] = {{{rounded}}}"
    return "namespace fc {\n" + "".join(f"__device__ const {table};\n" for table in tables) + "}\n"


@cache
def source(name: str) -> str:
    """Everything that the kernels of ``<name>.cu`` need, as one text."""
    folder = files(_FOLDER)
    tables = linear_light() if name in _OF_RGB else ""
    before = ("to_lab.cuh",) if name in _OF_RGB else _BEFORE.get(name, ())
    parts = [(folder / file).read_text(encoding="utf-8") for file in (*_COMMON, *before, f"{name}.cu")]
    return "\n".join([constants(), tables, *parts])
