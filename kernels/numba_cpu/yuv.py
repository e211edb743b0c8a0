"""YUV of RGB: chroma of uint8 as exact integers and the cells that they lie in, 16 pixels at a time; floats one by one.

A cell is found by multiplying and rounding, with an offset that keeps every numerator away from the rounding
boundaries: exact on all 2^24 colors.
"""

from __future__ import annotations

import math
import platform
from functools import lru_cache
from typing import Any

import numpy as np
from fastcolor.reference import constants as c
from fastcolor.reference.constants import U_NUMERATOR_MAX, U_SCALE, V_NUMERATOR_MAX, V_SCALE

from .jit import jit
from .simd import bits, fma, splat, splat_int, target_has, where_greater

_MAGIC = np.float32(3 << 22)  # x + 1.5 * 2^23 is x rounded to an integer, which then stands in the low bits
_MAGIC_BITS = 0x4B400000  # subtracted, not masked off: -1, which the remainder below corrects, must stay -1
_U_R, _U_G, _U_B = (np.float32(x) for x in c.U_COEFFICIENTS)
_V_R, _V_G, _V_B = (np.float32(x) for x in c.V_COEFFICIENTS)
_Y_R, _Y_G, _Y_B = (np.float32(round(1000 * x)) for x in c.LUMA)
_Y_UNIT = np.float32(1 / 255000)  # one rounding more than a division: at most 1 ulp off
_LUMA_R, _LUMA_G, _LUMA_B = c.LUMA
_FUSED = target_has("fma") or platform.machine() in ("arm64", "aarch64")


@lru_cache(maxsize=64)
def cell_scale(cells: int, top: int) -> tuple[np.float32, np.float32, bool]:
    """``(offset, scale, sure)`` with ``cell = rint((a + offset) * scale)`` for chroma numerators a in [-top, top].

    ``floor(v) = rint(v - 1/2 + g / (2 D))`` for a multiple v of g / D, where v = (a + top) K / D, D = 2 top and
    g = gcd(K, D): the offset centres the numerators between the rounding boundaries, as far as float32 has the bits.
    `sure` says that the roundings of offset, scale and product together stay below that margin of g / (2 D), so that
    the result is exact; otherwise the kernel corrects it by the integer remainder.
    """
    width, common = 2 * top, math.gcd(cells, 2 * top)
    wanted = top - width / (2 * cells) + common / (2 * cells)
    offset = round(wanted * 32) / 32  # a + offset < 2^19: float32 has five bits after the point
    scale = np.float32(cells / width)
    error = abs(offset - wanted) * cells / width + abs(float(scale) - cells / width) * width
    error += 0.0 if _FUSED else cells * 2.0**-24
    return np.float32(offset), scale, error < common / (2 * width)


@jit(inline=True)
def _cell_index(numerator, offset, scale, sure, top, cells):
    """I32 cell of the F32 chroma numerators, in 0..K (K only at the very top edge)."""
    cell = bits(fma(numerator + splat(offset), splat(scale), splat(_MAGIC))) - splat_int(_MAGIC_BITS)
    if not sure:
        width = splat_int(2 * top)
        shifted = bits(numerator + splat(_MAGIC + np.float32(top))) - splat_int(_MAGIC_BITS)
        rest = shifted * splat_int(cells) - cell * width
        cell = cell + where_greater(rest, width - splat_int(1), splat_int(1), splat_int(0))
        cell = cell - where_greater(splat_int(0), rest, splat_int(1), splat_int(0))
    return cell


@jit(inline=True)
def yuv_of(red, green, blue):
    """Luma, and the exact integers ``-299 R - 587 G + 886 B`` and ``701 R - 587 G - 114 B``, of F32 levels 0..255."""
    luma = fma(blue, splat(_Y_B), fma(green, splat(_Y_G), red * splat(_Y_R))) * splat(_Y_UNIT)
    u = fma(blue, splat(_U_B), fma(green, splat(_U_G), red * splat(_U_R)))
    return luma, u, fma(blue, splat(_V_B), fma(green, splat(_V_G), red * splat(_V_R)))


@jit(inline=True)
def yuv_cells(u, v, scale):
    """The I32 cells of the integers of :func:`yuv_of`; `scale` is :func:`yuv_scale`."""
    (u_offset, u_scale, u_sure, u_top), (v_offset, v_scale, v_sure, v_top), cells = scale
    cell_u = _cell_index(u, u_offset, u_scale, u_sure, u_top, cells)
    return cell_u, _cell_index(v, v_offset, v_scale, v_sure, v_top, cells)


@jit(inline=True)
def float_yuv(red, green, blue):
    """Y, U, V in float64, in the order of operations of the reference."""
    y = _LUMA_R * red + _LUMA_G * green + _LUMA_B * blue
    return y, U_SCALE * (blue - y), V_SCALE * (red - y)


def yuv_scale(cells: int) -> tuple[Any, ...]:
    """:func:`cell_scale` of U and of V, each with its largest numerator, and K."""
    return *((*cell_scale(cells, top), top) for top in (U_NUMERATOR_MAX, V_NUMERATOR_MAX)), cells
