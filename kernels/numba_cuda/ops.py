"""Bin assignment, annealed mean and decode as Numba CUDA kernels, to be read from top to bottom.

A thread has a pixel, and reads what it needs from global memory: no shared memory, nothing unrolled by hand. All arrays
are flat; an image of RGB, logits or chroma is (pre, channels, post), so that a pixel's channels lie `post` apart, one
apart where post is 1.

Literals such as 0.5 would be float64 here, so that constants are typed. Comparisons stand where one would write min()
and max(), which Numba 0.66 to 0.68 cannot compile for a GPU; the casts are for Numba's simulator.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastcolor.reference import constants as c
from fastcolor.reference.bins import space_of
from numba import cuda

from ..common import face
from ..common.cuda_tables import on_device as there
from ..common.device_arrays import cast, contiguous, dtype_name, is_double
from ..common.layout import planes
from ..common.scale import log2_scale
from .device import launch, on_device

ZERO, HALF, ONE, WHITE, INF, NAN = map(np.float32, (0, 0.5, 1, 255, np.inf, np.nan))


@cuda.jit(device=True)
def channel_zero(pixel, channels, post):
    """Where a pixel's channels begin."""
    return pixel // post * channels * post + pixel % post


# --- bin assignment: RGB to luma, the bin of its cell, and the bin's weight -------------------------------------------

_U_R, _U_G, _U_B = c.U_COEFFICIENTS
_V_R, _V_G, _V_B = c.V_COEFFICIENTS
_U_TOP, _V_TOP = c.U_NUMERATOR_MAX, c.V_NUMERATOR_MAX
_Y_R, _Y_G, _Y_B = (round(1000 * x) for x in c.LUMA)
_Y_WHITE = np.float32(255 * sum((_Y_R, _Y_G, _Y_B)))
_RED, _GREEN, _BLUE = c.LUMA
_U_SCALE, _V_SCALE = c.U_SCALE, c.V_SCALE
(_X_R, _X_G, _X_B), (_L_R, _L_G, _L_B), (_Z_R, _Z_G, _Z_B) = c.SRGB_TO_XYZ
_X_WHITE, _L_WHITE, _Z_WHITE = c.XYZ_WHITE
_THRESHOLD, _SLOPE, _OFFSET = c.LAB_THRESHOLD, c.LAB_SLOPE, c.LAB_OFFSET


@cuda.jit(device=True)
def assign(pixel, light, row, column, cells, table, by_label, luma, labels, weights):
    """`table` is (K, K), flattened, `by_label` the weight of each bin."""
    label = table[row * cells + column]
    luma[pixel] = light
    labels[pixel] = label
    weights[pixel] = by_label[label]


@cuda.jit(device=True)
def exact_cell(numerator, top, cells):
    """``min(K - 1, (a + a_max) K // (2 a_max))``."""
    cell = (numerator + top) * cells // (2 * top)
    return cell if cell < cells else cells - 1


@cuda.jit
def encode_levels(pixels, rgb, post, cells, table, by_label, luma, labels, weights):
    """YUV of uint8 RGB, in exact integers."""
    pixel = cuda.grid(1)
    if pixel < pixels:
        at = channel_zero(pixel, 3, post)
        red, green, blue = int(rgb[at]), int(rgb[at + post]), int(rgb[at + 2 * post])
        light = np.float32(_Y_R * red + _Y_G * green + _Y_B * blue) / _Y_WHITE
        row = exact_cell(_U_R * red + _U_G * green + _U_B * blue, _U_TOP, cells)
        column = exact_cell(_V_R * red + _V_G * green + _V_B * blue, _V_TOP, cells)
        assign(pixel, light, row, column, cells, table, by_label, luma, labels, weights)


@cuda.jit(device=True)
def cell_along(chroma, top, cells):
    """Cell of a float64 chroma in [-top, top], clamped; NaN falls into the middle cell."""
    if chroma != chroma:
        return cells // 2
    scaled = (chroma + top) / (2 * top) * cells
    if scaled < 0:
        return 0
    return int(scaled) if scaled < cells else cells - 1


@cuda.jit(device=True)
def to_yuv(red, green, blue):
    y = _RED * red + _GREEN * green + _BLUE * blue
    return y, _U_SCALE * (blue - y), _V_SCALE * (red - y)


@cuda.jit(device=True)
def linear(channel):
    """Linear light of a channel of sRGB. Exponentials of logarithms stand for powers, which are functions to call."""
    return channel / 12.92 if channel <= 0.04045 else math.exp(2.4 * math.log((channel + 0.055) / 1.055))


@cuda.jit(device=True)
def bent(t):
    """f(t) of Lab: the cube root, or a straight line."""
    return math.exp(math.log(t) / 3) if t > _THRESHOLD else _SLOPE * t + _OFFSET


@cuda.jit(device=True)
def to_lab(red, green, blue):
    red, green, blue = linear(red), linear(green), linear(blue)
    x = bent((_X_R * red + _X_G * green + _X_B * blue) / _X_WHITE)
    y = bent((_L_R * red + _L_G * green + _L_B * blue) / _L_WHITE)
    z = bent((_Z_R * red + _Z_G * green + _Z_B * blue) / _Z_WHITE)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@cuda.jit
def encode_double(pixels, rgb, post, cells, table, by_label, luma, labels, weights, unit, lab, top_u, top_v):
    """All else in float64: slow on most GPUs, but labels of Lab are exact, as for all K no uint8 color but black, whose
    a and b are exactly 0, lies within 4e-10 of the edge of a cell; a and b are wrong by 1e-12 at most.
    """
    pixel = cuda.grid(1)
    if pixel < pixels:
        at = channel_zero(pixel, 3, post)
        red, green, blue = rgb[at] * unit, rgb[at + post] * unit, rgb[at + 2 * post] * unit
        light, u, v = to_lab(red, green, blue) if lab else to_yuv(red, green, blue)
        row, column = cell_along(u, top_u, cells), cell_along(v, top_v, cells)
        assign(pixel, light, row, column, cells, table, by_label, luma, labels, weights)


@face.encode
def encode(rgb: Any, bins: Any, lam: float, axis: int, *results: Any) -> None:
    space, levels = space_of(bins), dtype_name(rgb) == "uint8"
    with on_device(rgb) as stream:
        view, _ = planes(rgb, axis)
        images, _, post = view.shape
        tables = bins.cells, there(bins.table, rgb), there(bins.weights(lam).astype(np.float32), rgb)
        image = images * post, view, post, *tables, *results
        if levels and space == "yuv":
            launch(encode_levels, stream, *image)
        else:
            tops = map(np.float64, c.CHROMA_MAX[space])
            launch(encode_double, stream, *image, np.float64(1 / 255 if levels else 1), space == "lab", *tops)


# --- annealed mean: sum_b softmax(x / T)_b c_b ------------------------------------------------------------------------

_SIXTEEN, _HALF_BELOW, _LAST, _NAN_BITS = np.uint32(16), np.uint32(0x7FFF), np.uint32(1), np.uint32(0x7FC0)


@cuda.jit(device=True)
def load(x, at, bfloat16):
    """A number in float32; bfloat16 are the bits of one in uint16."""
    return np.uint32(np.uint32(x[at]) << _SIXTEEN).view(np.float32) if bfloat16 else np.float32(x[at])


@cuda.jit(device=True)
def store(out, at, value, bfloat16):
    """To the dtype of `out`; to bfloat16 rounded to nearest even."""
    if bfloat16:
        bits = np.float32(value).view(np.uint32)
        rounded = (bits + _HALF_BELOW + ((bits >> _SIXTEEN) & _LAST)) >> _SIXTEEN
        out[at] = np.uint16(rounded if value == value else _NAN_BITS)
    else:
        out[at] = value


@cuda.jit(device=True)
def below(value, top, from_logits):
    """How far a logit, or the logarithm of a probability of any scale, lies below the largest; NaN for what is none.

    The quotient first: logarithms of a far scale would have lost its small digits.
    """
    if from_logits:
        return value - top
    share = value / top if top > ZERO else NAN
    return np.float32(math.log(share)) if share > ZERO else -INF if share == ZERO else NAN


@cuda.jit(device=True)
def color_of(pixel, x, n, post, bfloat16, from_logits, inverse_t, colors):
    """The mode's color, ties to the lowest bin, if `inverse_t` is infinite.

    NaN if a logit is NaN or +inf or all are -inf: then the difference to the largest is NaN. Read twice, once for the
    largest and once for the sum: the second time it mostly comes from a cache.
    """
    at = channel_zero(pixel, n, post)
    top, best = -INF, 0
    for b in range(n):
        value = load(x, at + b * post, bfloat16)
        if value > top:
            top, best = value, b
    mode = inverse_t == INF
    total, u, v = ZERO, ZERO, ZERO
    for b in range(n):
        less = below(load(x, at + b * post, bfloat16), top, from_logits)
        weight = np.float32(math.exp(less if mode else less * inverse_t))
        if mode and weight == weight:
            weight = ONE if b == best else ZERO
        total += weight
        u += weight * colors[2 * b]
        v += weight * colors[2 * b + 1]
    return u / total, v / total


@cuda.jit
def mean(pixels, x, n, post, bfloat16, from_logits, inverse_t, colors, chroma, chroma_post):
    pixel = cuda.grid(1)
    if pixel < pixels:
        u, v = color_of(pixel, x, n, post, bfloat16, from_logits, inverse_t, colors)
        at = channel_zero(pixel, 2, chroma_post)
        store(chroma, at, u, bfloat16)
        store(chroma, at + chroma_post, v, bfloat16)


@face.annealed_mean
def annealed_mean(logits: Any, bins: Any, temperature: float, axis: int, from_logits: bool, chroma: Any) -> None:
    with on_device(logits) as stream:
        row = row_of(logits, axis, from_logits, temperature, bins)
        launch(mean, stream, *row, chroma, math.prod(logits.shape[axis + 1 :]))


def row_of(logits: Any, axis: int, from_logits: bool, temperature: float, bins: Any) -> tuple[Any, ...]:
    """The number of pixels, and what :func:`color_of` takes."""
    view, _ = planes(cast(logits, "float32") if is_double(logits) else logits, axis)
    images, n, post = view.shape
    bfloat16 = dtype_name(view) in ("bfloat16", "uint16")
    colors = there(np.asarray(bins.colors, np.float32), logits)
    return images * post, view, n, post, bfloat16, from_logits, log2_scale(temperature, 1.0), colors


# --- decode: the annealed mean joined with luma, as RGB in 0..255 -----------------------------------------------------

# 255 (R - Y), 255 (B - Y), 255 (G - Y) for one unit of V or U, from the exact inverse of the luma equation.
_R_V, _B_U = np.float32(255 / _V_SCALE), np.float32(255 / _U_SCALE)
_G_V, _G_U = np.float32(-255 / _V_SCALE * _RED / _GREEN), np.float32(-255 / _U_SCALE * _BLUE / _GREEN)
# f(y) = L / 116 + 16 / 116, then a / 500 and b / 200 to either side; back from f, a cube or a straight line.
_F_L, _F_0, _F_A, _F_B = map(np.float32, (1 / 116, 16 / 116, 1 / 500, 1 / 200))
_KNEE, _UNBENT, _F_DARK = map(np.float32, (np.cbrt(_THRESHOLD), 1 / _SLOPE, _OFFSET))
_TO_RGB = (np.linalg.inv(np.array(c.SRGB_TO_XYZ)) * np.array(c.XYZ_WHITE)).astype(np.float32)
(_R_X, _R_Y, _R_Z), (_G_X, _G_Y, _G_Z), (_B_X, _B_Y, _B_Z) = _TO_RGB
# 255 times the curve of sRGB.
_DARK, _LINE, _CURVE, _CURVE_0, _POWER = map(np.float32, (0.0031308, 255 * 12.92, 255 * 1.055, 255 * 0.055, 1 / 2.4))


@cuda.jit(device=True)
def to_level(x):
    """``floor(x + 0.5)`` of x clipped to [0, 255]; NaN gives 0."""
    rounded = x + HALF
    return np.uint8((rounded if rounded < WHITE else WHITE) if rounded > ZERO else ZERO)


@cuda.jit(device=True)
def unbent(f):
    """X, Y or Z over the white; a negative one stays negative."""
    return f * f * f if f > _KNEE else (f - _F_DARK) * _UNBENT


@cuda.jit(device=True)
def curved(light):
    """255 times sRGB of linear light, clipped to [0, 1]; NaN gives 0."""
    if not light > ZERO:
        return ZERO
    if light <= _DARK:
        return light * _LINE
    return np.float32(math.exp(np.float32(math.log(light)) * _POWER)) * _CURVE - _CURVE_0 if light < ONE else WHITE


@cuda.jit(device=True)
def from_yuv(luma, u, v):
    """R, G, B in 0..255 of luma in 0..255."""
    return luma + v * _R_V, luma + v * _G_V + u * _G_U, luma + u * _B_U


@cuda.jit(device=True)
def from_lab(light, a, b):
    """R, G, B in 0..255 of L in 0..100, a and b; a NaN in any is one in all."""
    f = light * _F_L + _F_0
    x, y, z = unbent(f + a * _F_A), unbent(f), unbent(f - b * _F_B)
    red = curved(_R_X * x + _R_Y * y + _R_Z * z)
    green = curved(_G_X * x + _G_Y * y + _G_Z * z)
    return red, green, curved(_B_X * x + _B_Y * y + _B_Z * z)


@cuda.jit
def join(pixels, x, n, post, bfloat16, from_logits, inverse_t, colors, luma, unit, lab, rgb, rgb_post):
    """Black where luma or a logit is NaN. `unit` makes luma one in 0..255, or L in 0..100."""
    pixel = cuda.grid(1)
    if pixel < pixels:
        u, v = color_of(pixel, x, n, post, bfloat16, from_logits, inverse_t, colors)
        light = np.float32(luma[pixel]) * unit
        red, green, blue = from_lab(light, u, v) if lab else from_yuv(light, u, v)
        at = channel_zero(pixel, 3, rgb_post)
        rgb[at] = to_level(red)
        rgb[at + rgb_post] = to_level(green)
        rgb[at + 2 * rgb_post] = to_level(blue)


@face.decode
def decode(
    logits: Any, luma: Any, bins: Any, temperature: float, axis: int, channel: int, from_logits: bool, rgb: Any
) -> None:
    lab = space_of(bins) == "lab"
    unit = np.float32(1 if lab or dtype_name(luma) == "uint8" else 255)
    with on_device(logits) as stream:
        row = row_of(logits, axis, from_logits, temperature, bins)
        launch(join, stream, *row, contiguous(luma), unit, lab, rgb, math.prod(luma.shape[channel:]))
