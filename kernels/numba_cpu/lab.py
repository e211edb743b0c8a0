"""CIE Lab of uint8 RGB, 16 pixels at a time: float32, and float64 for the few that lie close to the edge of a cell.

The cube root has no division: ``y ~ x^(-1/3)`` from the bits of x, off by 3.5 % at most, then ``z = x y^2`` and
``cbrt(x) = z (1 - r)^(-2/3)`` with ``r = 1 - z y``, |r| < .103, by a polynomial of r. An error in z cancels to a third.

The guard band. With u = 2^-24, whether a multiply-add rounds once or twice:

- t, XYZ over white, is a sum of terms >= 0: table, matrix, product and two sums round: 5 u of t, 5/3 u of its root.
- The cube root: z rounds twice, which leaves 2/3 u; so do z y and r, 2/3 u and .1 u; the polynomial is .3 u off and
  rounds like .07 of its value, .2 u; the last sum, 1 u, and its product, .1 u: 3.1 u. In all f errs by 4.8 u of f <= 1.
- The straight line below the threshold errs by 5 u of 7.787 t, by its constants and by product and sum: less than 1 u.
  Where t errs across the threshold, f jumps by 3.3e-7 = 5.6 u more, at f = .21: 6.6 u. So f errs by 6.6 u anywhere.
- ``fx - fy`` and ``fy - fz``: twice that, and their own rounding, with |fx - fy| < .21 and |fy - fz| < .55: 13.8 u.
  Times 500 K / 230 or 200 K / 230 cells, whose rounding, and that of the product, are as large as the difference's:
  (13.8 + .4) * 2.174 = 30.9 u K for a, and (13.8 + 1.1) * .87 = 13 u K for b.
- The offset K / 2 - 1/2 rounds by u K / 2, the sum by u K: 1.5 u K.

GUARD = 33 u for each of K cells: 4.5e-5 of a cell for K = 23. What lies further from an edge has the cell of float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.reference.constants import (
    AB_MAX,
    LAB_OFFSET,
    LAB_SLOPE,
    LAB_THRESHOLD,
    SRGB_TO_XYZ,
    XYZ_WHITE,
)

from .jit import jit
from .simd import (
    LANES,
    bits,
    fma,
    from_bits,
    gather,
    greater,
    lane_of,
    lesser,
    outside,
    splat,
    splat_int,
    to_float,
    to_int,
    where_greater,
    with_lane,
)

GUARD = 33 * 2.0**-24

_MAGIC = np.float32(3 << 22)  # x + 1.5 * 2^23 is x rounded to an integer, which then stands in the low bits
_MAGIC_BITS = 0x4B400000


def _linear(levels: Any) -> Any:
    """The curve of sRGB, backward, as in the reference."""
    c = levels / 255.0
    return np.where(c <= 0.04045, c / 12.92, (np.maximum(c + 0.055, 0.0) / 1.055) ** 2.4)


_LINEAR = _linear(np.arange(256))
_LINEAR_F32 = _LINEAR.astype(np.float32)
_MATRIX = tuple(tuple(row) for row in SRGB_TO_XYZ)
_TO_X, _TO_Y, _TO_Z = (tuple(np.float32(m / w) for m in row) for row, w in zip(SRGB_TO_XYZ, XYZ_WHITE, strict=True))
_KNEE, _LINE_1, _LINE_0 = np.float32(LAB_THRESHOLD), np.float32(LAB_SLOPE), np.float32(LAB_OFFSET)

# x^(-1/3) has the bits _GUESS - bits(x) / 3, within 3.5 %; minimax fit of ((1 - r)^(-2/3) - 1) / r for |r| < .103.
_THIRD, _GUESS = np.float32(-1 / 3), np.float32(0x54A20000)
_C0, _C1, _C2 = np.float32(0.66666666), np.float32(0.55553661), np.float32(0.49381516)
_C3, _C4 = np.float32(0.45852821), np.float32(0.42726147)


# --- 16 pixels in float32 ---------------------------------------------------------------------------------------------


@jit(inline=True)
def _cube_root(x):
    """Of a normal F32 x > 0."""
    y = from_bits(to_int(fma(to_float(bits(x)), splat(_THIRD), splat(_GUESS))))
    z = x * y * y
    r = fma(-z, y, splat(1.0))
    p = fma(fma(fma(fma(splat(_C4), r, splat(_C3)), r, splat(_C2)), r, splat(_C1)), r, splat(_C0))
    return fma(z, r * p, z)


@jit(inline=True)
def _f_of(row, red, green, blue):
    """``f`` of a row of the matrix over white."""
    t = fma(blue, splat(row[2]), fma(green, splat(row[1]), red * splat(row[0])))
    return where_greater(t, splat(_KNEE), _cube_root(t), fma(t, splat(_LINE_1), splat(_LINE_0)))


@jit(inline=True)
def lab_of(red, green, blue):
    """L in [0, 100], ``f(x) - f(y)`` and ``f(y) - f(z)`` of F32 levels 0..255: a and b are 500 and 200 times these."""
    red, green, blue = (
        gather(_LINEAR_F32, to_int(red)),
        gather(_LINEAR_F32, to_int(green)),
        gather(_LINEAR_F32, to_int(blue)),
    )
    x, y, z = _f_of(_TO_X, red, green, blue), _f_of(_TO_Y, red, green, blue), _f_of(_TO_Z, red, green, blue)
    light = lesser(greater(fma(y, splat(116.0), splat(-16.0)), splat(0.0)), splat(100.0))
    return light, x - y, y - z


@jit(inline=True)
def lab_cells(red, green, blue, along_a, along_b, scale):
    """The I32 cells of what :func:`lab_of` gives, those of float64 for every color; `scale` is :func:`lab_scale`."""
    cells, per_a, per_b, offset, limit = scale
    a, b = fma(along_a, splat(per_a), splat(offset)), fma(along_b, splat(per_b), splat(offset))
    round_a, round_b = a + splat(_MAGIC), b + splat(_MAGIC)
    rest_a, rest_b = a - (round_a - splat(_MAGIC)), b - (round_b - splat(_MAGIC))
    cell_a, cell_b = bits(round_a) - splat_int(_MAGIC_BITS), bits(round_b) - splat_int(_MAGIC_BITS)
    if outside(splat(-limit), rest_a, splat(limit)) or outside(splat(-limit), rest_b, splat(limit)):
        cell_a, cell_b = _decide(red, green, blue, rest_a, rest_b, limit, cells, cell_a, cell_b)
    return cell_a, cell_b


# --- one pixel in float64 ---------------------------------------------------------------------------------------------


@jit(inline=True)
def _float_f(red, green, blue, row, white):
    t = (red * row[0] + green * row[1] + blue * row[2]) / white
    return np.cbrt(t) if t > LAB_THRESHOLD else LAB_SLOPE * t + LAB_OFFSET


@jit(inline=True)
def linear_lab(red, green, blue):
    """L, a, b of linear sRGB in float64, in the order of operations of the reference."""
    x = _float_f(red, green, blue, _MATRIX[0], XYZ_WHITE[0])
    y = _float_f(red, green, blue, _MATRIX[1], XYZ_WHITE[1])
    z = _float_f(red, green, blue, _MATRIX[2], XYZ_WHITE[2])
    return 116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)


@jit(inline=True)
def _float_linear(c):
    """The curve of sRGB, backward; NaN stays NaN."""
    return c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4


@jit(inline=True)
def float_lab(red, green, blue):
    """L, a, b of sRGB in float64."""
    return linear_lab(_float_linear(red), _float_linear(green), _float_linear(blue))


@jit(inline=True)
def uint8_lab(red, green, blue):
    """L, a, b of levels 0..255 in float64."""
    return linear_lab(_LINEAR[red], _LINEAR[green], _LINEAR[blue])


@jit(inline=True)
def _cell(chroma, cells):
    """Cell of the ab of a uint8 color, which none leaves."""
    return int((chroma + AB_MAX) / (2 * AB_MAX) * cells)


@jit
def _decide(red, green, blue, rest_a, rest_b, limit, cells, cell_a, cell_b):
    """The cells, those of lanes within the guard band once more."""
    for lane in range(LANES):
        if abs(lane_of(rest_a, lane)) >= limit or abs(lane_of(rest_b, lane)) >= limit:
            levels = int(lane_of(red, lane)), int(lane_of(green, lane)), int(lane_of(blue, lane))
            _, a, b = uint8_lab(levels[0], levels[1], levels[2])
            cell_a, cell_b = with_lane(cell_a, lane, _cell(a, cells)), with_lane(cell_b, lane, _cell(b, cells))
    return cell_a, cell_b


# --- host -------------------------------------------------------------------------------------------------------------


def lab_scale(cells: int) -> tuple[Any, ...]:
    """K, cells for one unit of ``fx - fy`` and of ``fy - fz``, offset, and how far from its middle a cell is sure."""
    per_unit = cells / (2 * AB_MAX)
    return cells, *(np.float32(x) for x in (500 * per_unit, 200 * per_unit, cells / 2 - 0.5, 0.5 - GUARD * cells))
