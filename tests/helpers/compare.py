"""Comparators: is a fast result right, given the float64 reference on the *same rounded input*?

Every tolerance is derived here, beside its number, from the arithmetic that it allows: float32 with round to nearest
(unit roundoff u), the maximum subtracted first, float64 nowhere needed. Nothing is tuned to what a kernel gives, and
a comparator that finds a difference says at which pixel and how far beyond the bound it lies.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastcolor.reference.color import as_unit
from fastcolor.reference.constants import LUMA, U_MAX, U_SCALE, V_MAX, V_SCALE
from numpy.typing import ArrayLike, NDArray

from fastcolor import reference

Float = NDArray[np.float64]

u = 2.0**-24  # unit roundoff of float32: half the distance from 1 to the next number
SMALLEST_NORMAL = 2.0**-126

# Relative error of exp itself, next to that of its argument: a minimax polynomial of degree five on half an octave to
# either side, 7.5e-8 = 1.3 u, in Horner's form, where the last multiply-add rounds by 1 u, the one before by 1/4 u
# (its error is multiplied by at most 1/2), and the reduced argument by 1/4 u. A good libm stays below it too.
EXP_ERROR = 3 * u

# The argument of exp, (x - max) / T, is three float32 roundings of factors (difference, 1 / T, product): 3 u |y|, and
# one more for changing the base to 2. A relative error of e^y is an absolute one of y.
ARGUMENT_ERROR = 4 * u


@dataclass(frozen=True)
class Arithmetic:
    """What a backend's own exponential and logarithm may add to the roundings of float32.

    Attributes
    ----------
    exp : float
        Relative error of exp, next to that of its argument.
    log : float
        Relative error of log, or absolute as a share of log 2 where the logarithm is smaller than that; next to the
        relative rounding that ARGUMENT_ERROR holds.
    running : float
        Relative error that a running maximum adds to an exponential, where n is not 32.
    reciprocal : float
        Relative error of 1 / x, its rounding included.
    """

    exp: float = EXP_ERROR
    log: float = 0.0
    running: float = 0.0
    reciprocal: float = u


FLOAT32 = Arithmetic()

# running.cuh: exponents are counted from a level at most 6 octaves below the largest logit so far. An argument is then
# a sum of differences, each to the next level, whose absolute values exceed that of the direct one by 3 * 6 octaves at
# most, and each of them rounds twice: 2 u * 18 log 2 = 25 u. Whenever the level rises, sums are multiplied by an
# exponential (4 u) and round (1 u). A term that came before the r-th rise from the end is 2^(-6 (r - 1)) of the largest
# at most, and all of them n times that of the sum: of 1,024 bins 2.7 rises count, and one more where lanes join: 19 u.
RUNNING = 44 * u

# NVIDIA, PTX ISA: ex2.approx.ftz.f32 has a relative error of at most 2^-22 = 4 u over the whole range (subnormal
# results are 0); lg2.approx.ftz.f32 an absolute one of 2^-22 for 0.5 < x < 2 and a relative one of 2^-22 elsewhere;
# rcp.approx.ftz.f32 errs by 1 ulp, which is 2 u of the value at most.
APPROXIMATE = Arithmetic(exp=2.0**-22, log=2.0**-22, running=RUNNING, reciprocal=2 * u)
ON_HOST = Arithmetic(running=RUNNING)  # the same sources, compiled by g++

# NVIDIA, CUDA C++ Programming Guide: expf and exp2f err by 2 ulp, logf and log2f by 1, where an ulp is at most
# 2 u of the value.
LIBDEVICE = Arithmetic(exp=4 * u, log=2 * u)

_OF_BACKENDS = {"cupy": APPROXIMATE, "cuda-host": ON_HOST, "numba-cuda": LIBDEVICE}


def arithmetic_of(backend: str) -> Arithmetic:
    """That of a backend's results: the GPU's where they come from a GPU, else float32 with a good exp."""
    return _OF_BACKENDS.get(backend, FLOAT32)


# Y = .299 R + .587 G + .114 B: three constants and three products rounded, two sums: at most 5 roundings on each path.
LUMA_ERROR = 5 * u

# B - Y and R - Y: 5 u from Y, 1 u of the difference; as a share of the rectangle (1.772 and 1.402 wide) at most
# 6 u / 1.402 = 4.3 u; offset, division and the product with K round three times a number <= 1. In all 8 u = 4 eps.
CELL_ERROR = 8 * u

# Half an ulp of the result, relative to it, and half of the smallest subnormal; float64 holds what float32 computed.
HALF_ULP = {
    "float64": (2.0**-24, 2.0**-150),
    "float32": (2.0**-24, 2.0**-150),
    "float16": (2.0**-11, 2.0**-25),
    "bfloat16": (2.0**-8, 2.0**-134),
}


class Typed:
    """An array that names the type which its values were rounded to: NumPy has no bfloat16."""

    def __init__(self, values: NDArray[Any], dtype: str) -> None:
        self.values, self.dtype, self.shape = values, dtype, values.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self.values.astype(dtype or np.float64)


def is_of(library: str, array: Any) -> bool:
    """Whether `array` is one of ``"torch"`` or ``"cupy"``, without importing either."""
    cls = {"torch": "Tensor", "cupy": "ndarray"}[library]
    return library in sys.modules and isinstance(array, getattr(sys.modules[library], cls))


def as_numpy(array: Any) -> NDArray[Any]:
    """Any array of any library on any device as NumPy; bfloat16 as float32, which holds it exactly."""
    if is_of("torch", array):
        array = array.detach().cpu()
        return (array.float() if array.dtype is sys.modules["torch"].bfloat16 else array).numpy()
    return array.get() if is_of("cupy", array) else np.asarray(array)


def as_float64(array: Any) -> Float:
    """Any array of any library on any device, exactly, as float64 NumPy."""
    return as_numpy(array).astype(np.float64)


def as_seen(logits: Any) -> Float:
    """Logits as every kernel sees them: float64 is rounded to float32 first (that is in the contract)."""
    with np.errstate(over="ignore"):
        return as_float64(logits).astype(np.float32).astype(np.float64)


def _fail(what: str, bad: NDArray[np.bool_], actual: ArrayLike, expected: ArrayLike, bound: ArrayLike) -> None:
    if not bad.any():
        return
    where = tuple(int(i) for i in np.argwhere(bad)[0])
    values = [np.broadcast_to(v, bad.shape)[where] for v in (actual, expected, bound)]
    raise AssertionError(
        f"{what}: {int(bad.sum())} of {bad.size} differ; first at {where}: got {values[0]!r}, expected {values[1]!r} "
        f"within {values[2]!r}"
    )


def _assert_shape(what: str, actual: NDArray[Any], expected: tuple[int, ...]) -> None:
    assert actual.shape == expected, f"{what}: shape {actual.shape}, expected {expected}"


def assert_close(what: str, actual: ArrayLike, expected: ArrayLike, bound: ArrayLike) -> None:
    """``|actual - expected| <= bound``, NaN exactly where NaN is expected, infinities equal."""
    actual, expected = as_float64(actual), as_float64(expected)
    _assert_shape(what, actual, expected.shape)
    with np.errstate(invalid="ignore"):
        same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        close = np.abs(actual - expected) <= bound
    _fail(what, ~(same | close), actual, expected, bound)


# --- labels -----------------------------------------------------------------------------------------------------------


def assert_labels_match(labels: Any, rgb: Any, bins: reference.ColorBins) -> None:
    """Labels of `rgb` (..., 3). uint8: equal. Floats: or that of the cell across an edge within CELL_ERROR."""
    labels, rgb = as_float64(labels), as_numpy(rgb)
    _assert_shape("labels", labels, rgb.shape[:-1])
    if rgb.dtype == np.uint8:
        expected = bins.table[reference.cell_of(rgb, bins.cells)]
        _fail("labels", labels != expected, labels, expected, 0)
        return
    allowed = np.zeros(labels.shape, dtype=bool)
    for du in (-1, 1):
        for dv in (-1, 1):
            allowed |= labels == bins.table[_nudged_cell(rgb, bins.cells, du, dv)]
    _fail("labels", ~allowed, labels, bins.table[reference.cell_of(rgb, bins.cells)], "a rounding of a cell edge")


def _nudged_cell(rgb: ArrayLike, cells: int, du: int, dv: int) -> tuple[NDArray[np.int64], ...]:
    """Cell of the float64 chroma moved by CELL_ERROR of the rectangle, for inputs within [0, 1] or outside."""
    rgb = np.asarray(rgb, dtype=np.float64)
    slack = CELL_ERROR * np.maximum(1.0, np.nan_to_num(np.abs(rgb)).max(axis=-1, initial=0.0))[..., None]
    top = np.array([U_MAX, V_MAX])
    with np.errstate(invalid="ignore"):
        share = (reference.rgb_to_yuv(rgb)[..., 1:] + top) / (2 * top) + slack * (du, dv)
    share = np.nan_to_num(share, nan=0.5, posinf=1.0, neginf=0.0)  # NaN lies in the middle cell, by contract
    index = np.clip(np.floor(share * cells), 0, cells - 1).astype(np.int64)
    return index[..., 0], index[..., 1]


def assert_histogram_close(counts: Any, rgb: Any, cells: int) -> None:
    """The histogram of `rgb` (..., 3). uint8: equal. Floats: a pixel within CELL_ERROR of an edge may lie beyond it."""
    counts, rgb = as_float64(counts), as_numpy(rgb)
    _assert_shape("counts", counts, (cells, cells))
    expected = reference.histogram(rgb, cells)
    assert_close("the number of pixels", counts.sum(), expected.sum(), 0)
    if rgb.dtype == np.uint8:
        assert_close("counts", counts, expected, 0)
        return
    corners = [_nudged_cell(rgb, cells, du, dv) for du in (-1, 1) for dv in (-1, 1)]
    places = np.sort([(cell_u * cells + cell_v).ravel() for cell_u, cell_v in corners], axis=0)
    certain = places[0] == places[-1]
    maybe = places[:, ~certain]
    each_once = maybe[np.diff(maybe, axis=0, prepend=-1) > 0]  # a pixel counts once in each cell that it may lie in
    low, more = (np.bincount(index, minlength=cells**2) for index in (places[0][certain], each_once))
    low, high = (count.reshape(cells, cells) for count in (low, low + more))
    _fail("counts", (counts < low) | (counts > high), counts, expected, "those whose cell a rounding may change")


def assert_luma_close(luma: Any, rgb: Any) -> None:
    """float32 luma of `rgb` (..., 3)."""
    unit = as_unit(as_numpy(rgb))
    bound = LUMA_ERROR * (np.abs(unit) * LUMA).sum(axis=-1) + SMALLEST_NORMAL
    assert_close("luma", luma, reference.rgb_to_yuv(unit)[..., 0], bound)


def assert_encoded(result: tuple[Any, Any, Any], rgb: Any, bins: reference.ColorBins, lam: float) -> None:
    """All three results of `encode` for `rgb` (..., 3). A weight is exactly that of the label beside it, in float32."""
    luma, labels, weights = result
    assert_luma_close(luma, rgb)
    assert_labels_match(labels, rgb, bins)
    expected = bins.weights(lam)[as_float64(labels).astype(np.int64)].astype(np.float32)
    assert_close("weights", weights, expected, 0.0)


# --- the annealed mean ------------------------------------------------------------------------------------------------


def _weights(logits: Float, temperature: float, arithmetic: Arithmetic) -> tuple[Float, Float]:
    """``e^y`` with y = (x - max) / T, bins last, and the relative error that float32 may make in each."""
    with np.errstate(invalid="ignore", over="ignore"):
        y = (logits - logits.max(axis=-1, keepdims=True)) / temperature
    w = np.exp(y)
    relative = (
        np.expm1(ARGUMENT_ERROR * np.minimum(np.abs(y), 200.0)) + arithmetic.exp
    )  # e^-200 is 0 in float32 either way
    return w, relative + (0.0 if logits.shape[-1] == 32 else arithmetic.running)


def sum_error(terms: Float) -> Float:
    """Absolute rounding error of a float32 sum of `terms` >= 0 on the last axis, in any order.

    Adding a term rounds by at most u times the sum, and by at most the term: by c. The errors of n additions add up to
    the sum of all c at worst, and to 6 times the root of the sum of their squares, at most 6 sqrt(n) u times the sum,
    with a probability of 1 - 1e-7 (N. Higham, T. Mary, "A new approach to probabilistic rounding error analysis", SIAM
    J. Sci. Comput. 2019, theorem 2.4, which is Hoeffding's inequality). Where up to 32 lanes or threads sum terms of
    their own, bringing these together is five levels of additions, each with at most one c of u times the sum.
    """
    most = u * terms.sum(axis=-1, keepdims=True)
    each = np.minimum(terms, most)
    lanes = np.sqrt((each**2).sum(axis=-1) + 5 * most[..., 0] ** 2)
    return np.minimum(each.sum(axis=-1), 6 * np.minimum(lanes, math.sqrt(terms.shape[-1]) * most[..., 0]))


def chroma_bound(
    logits: Float, bins: reference.ColorBins, temperature: float, arithmetic: Arithmetic = FLOAT32
) -> Float:
    """How far a float32 annealed mean of `logits` (..., n) may lie from the float64 one: (..., 2)."""
    if temperature == 0:
        return np.zeros((*logits.shape[:-1], 2))  # a color is picked, nothing is computed
    return mean_bound(*_weights(logits, temperature, arithmetic), bins, arithmetic)


def mean_bound(w: Float, relative: Float, bins: reference.ColorBins, arithmetic: Arithmetic = FLOAT32) -> Float:
    """How far the mean color may lie from the true one, (..., 2), if weights w (..., n) have these relative errors.

    With ``c = sum w_b c_b / W`` and computed weights ``w_b (1 + r_b)``, the error is ``sum w_b r_b (c_b - c) / W'``.
    The two sums round on their own, and so does each product; the last factor is a reciprocal.
    """
    colors = bins.colors.astype(np.float64)
    total = w.sum(axis=-1)
    least = total * (1 - relative.max(axis=-1))
    bound = np.empty((*w.shape[:-1], 2))
    for k in range(2):
        terms = w * np.abs(colors[:, k])
        c = (w * colors[:, k]).sum(axis=-1) / total
        spread = (w * relative * np.abs(colors[:, k] - c[..., None])).sum(axis=-1)
        rounding = sum_error(terms) + np.abs(c) * sum_error(w) + (u + arithmetic.reciprocal) * terms.sum(axis=-1)
        bound[..., k] = (spread + rounding) / least
    return bound + bins.n * SMALLEST_NORMAL  # weights below it may be flushed to zero


def assert_chroma_close(
    actual: Any,
    logits: Any,
    bins: reference.ColorBins,
    *,
    temperature: float,
    axis: int = -3,
    arithmetic: Arithmetic = FLOAT32,
) -> None:
    """Chroma on `axis`, of any float dtype, against the reference on the same rounded logits."""
    seen = np.moveaxis(as_seen(logits), axis, -1)
    expected = reference.annealed_mean(seen, bins, temperature=temperature, axis=-1)
    _assert_rounded("chroma", actual, expected, chroma_bound(seen, bins, temperature, arithmetic), axis)


def _assert_rounded(name: str, actual: Any, expected: Float, bound: Float, axis: int) -> None:
    """`actual`, whose `axis` is last in the others, was rounded to its own dtype after what `bound` speaks of."""
    half_ulp, smallest = HALF_ULP[str(actual.dtype).removeprefix("torch.")]
    bound = bound + half_ulp * (np.abs(expected) + bound) + smallest
    assert_close(name, np.moveaxis(as_float64(actual), axis, -1), expected, bound)


def annealed_gradient_bound(
    g: Float, logits: Float, bins: reference.ColorBins, temperature: float, arithmetic: Arithmetic = FLOAT32
) -> Float:
    """How far the float32 gradient of `logits` (..., n) for `g` (..., 2) may lie from the float64 one: (..., n).

    The kernels compute ``f_b / T (s_b - m)`` with ``s_b = c_b . g``, ``m = sum w s / W`` and ``f_b = w_b / W``, from
    weights ``w_b (1 + r_b)`` and their sum W. To first order in each:

    - s_b, two products and a sum, errs by 2 u of ``a_b = |c_b,u g_u| + |c_b,v g_v|``.
    - m errs by the weights, each pulling it by ``f_b r_b |s_b - m|``; by the s_b; by the rounding of the two sums; and
      by its share of the reciprocal of W, and 1 u for the product with it. The difference ``s_b - m`` errs by both.
    - f_b / T errs by r_b, and by the error of W: that of the weights, each by its share, and its own rounding.
    - 1 / W, and five roundings of factors more: 1 / T, their product, that with w_b, the difference, the last product.

    A weight below 2^-125 may count as zero, in f_b as well as in both sums.
    """
    colors = bins.colors.astype(np.float64)
    w, relative = _weights(logits, temperature, arithmetic)
    total = w.sum(axis=-1, keepdims=True)
    f = w / total
    slope, size = g @ colors.T, np.abs(g) @ np.abs(colors).T
    mean = (f * slope).sum(axis=-1, keepdims=True)
    distance = np.abs(slope - mean)
    of_total = (f * relative).sum(axis=-1, keepdims=True) + (sum_error(w)[..., None] / total)
    of_sums = sum_error(w * size)[..., None] / total + np.abs(mean) * sum_error(w)[..., None] / total
    pulled = (f * (relative * distance + 2 * u * size)).sum(axis=-1, keepdims=True)
    of_mean = (pulled + of_sums) / (1 - of_total) + (u + arithmetic.reciprocal) * np.abs(mean)
    growth = (1 + relative) / (1 - of_total) * (1 + arithmetic.reciprocal) * (1 + u) ** 5
    bound = f * (distance * (growth - 1) + (2 * u * size + of_mean) * growth)
    flushed = 8 * (bins.n + 1) * SMALLEST_NORMAL * size.max(axis=-1, keepdims=True)
    return (bound + flushed) / temperature


def assert_annealed_gradient_close(
    gradient: Any,
    upstream: Any,
    logits: Any,
    bins: reference.ColorBins,
    *,
    temperature: float,
    axis: int = -3,
    arithmetic: Arithmetic = FLOAT32,
) -> None:
    """``d chroma / d x_b . g = f_b (c_b - chroma) . g / T`` for g = `upstream`, NaN where that is NaN."""
    seen, g = (np.moveaxis(as_seen(array), axis, -1) for array in (logits, upstream))
    expected = reference.annealed_mean_gradient(g, seen, bins, temperature=temperature, axis=-1)
    bound = annealed_gradient_bound(g, seen, bins, temperature, arithmetic) + SMALLEST_NORMAL
    _assert_rounded("gradient", gradient, expected, bound, axis)


# --- RGB --------------------------------------------------------------------------------------------------------------


def assert_rgb_close(rgb: Any, luma: Any, chroma: Float, chroma_error: Float, *, levels: float = 1) -> None:
    """uint8 `rgb` (..., 3) of `luma` (...) and the float64 `chroma` (..., 2), which is known within `chroma_error`.

    Each channel is ``floor(v)`` with ``v = 255 clip(Y + a U + b V) + 0.5``. A result may differ from it only where v
    lies within its own error of an integer, and then by one level. The error of v: the chroma's, through a and b, plus
    at most 8 roundings of each summand (1 / 255, constants, products, sums), plus 1 u of v itself (the sum with 0.5).
    More than one level is allowed only where `levels` says so (a uint8 ring).
    """
    luma = as_numpy(luma)
    rgb, y = as_float64(rgb), as_unit(luma).astype(np.float64)
    if luma.dtype != np.uint8:
        y = y.astype(np.float32).astype(np.float64)
    _assert_shape("rgb", rgb, (*y.shape, 3))
    value = 255.0 * reference.yuv_to_rgb(np.concatenate([y[..., None], chroma], axis=-1)) + 0.5
    blue, red = 1 / U_SCALE, 1 / V_SCALE
    mix = np.array(
        [[0.0, red], [LUMA[2] / LUMA[1] * blue, LUMA[0] / LUMA[1] * red], [blue, 0.0]]
    )  # |a|, |b| of R, G, B
    with np.errstate(invalid="ignore"):
        error = chroma_error @ mix.T + 8 * u * (np.abs(y)[..., None] + np.abs(chroma) @ mix.T)
        error = 255.0 * error + u * value
        low, high = np.floor(np.maximum(value - error, 0.5)), np.floor(np.minimum(value + error, 255.5))
    broken = np.isnan(value).any(axis=-1, keepdims=True)
    low, high = np.where(broken, 0.0, low), np.where(broken, 0.0, high)
    assert (high - low <= levels).all(), f"the bound itself allows more than {levels} level(s): that proves nothing"
    _fail("rgb", (rgb < low) | (rgb > high), rgb, np.where(broken, 0.0, np.floor(value)), high - low)


def assert_decoded(
    rgb: Any,
    logits: Any,
    luma: Any,
    bins: reference.ColorBins,
    *,
    temperature: float,
    axis: int = -3,
    channel_axis: int = -1,
    arithmetic: Arithmetic = FLOAT32,
) -> None:
    """The RGB of `decode` against the reference on the same rounded logits."""
    seen = np.moveaxis(as_seen(logits), axis, -1)
    chroma = reference.annealed_mean(seen, bins, temperature=temperature, axis=-1)
    error = chroma_bound(seen, bins, temperature, arithmetic)
    assert_rgb_close(np.moveaxis(as_numpy(rgb), channel_axis, -1), luma, chroma, error)


def assert_merged(rgb: Any, chroma: Any, luma: Any) -> None:
    """The RGB of `merge`. Each lerp rounds a weight (2 u), a product and a sum, twice: 8 u of the values between."""
    seen = as_seen(chroma)
    size = tuple(luma.shape)
    expected = np.moveaxis(reference.upsample(seen, *size), 0, -1)
    error = 8 * u * np.moveaxis(reference.upsample(np.abs(seen), *size), 0, -1)
    assert_rgb_close(rgb, luma, expected, error)


# --- confidence -------------------------------------------------------------------------------------------------------


def assert_confidence_close(
    top: Any, ratio: Any, logits: Any, *, axis: int = -3, arithmetic: Arithmetic = FLOAT32
) -> None:
    """``top = 1 / sum e^y`` and ``ratio = e^(x_top - x_second)`` in float32.

    The error of the sum is that of its weights, each by its share, and its own roundings; e^0 may be computed like the
    others; all of it within the contract's 1e-5 or, of more than 500 bins, the most that :func:`sum_error` gives, with
    2e-6 for the rest, beside a running maximum. The ratio may be the square of one exp.
    A ratio beyond 2^126 may be inf: the second probability is then below the smallest normal float32, which may count
    as zero.
    """
    seen = np.moveaxis(as_seen(logits), axis, -1)
    expected_top, expected_ratio = reference.confidence(seen, axis=-1)
    w, relative = _weights(seen, 1.0, arithmetic)
    share = (w * relative).sum(axis=-1) / w.sum(axis=-1)
    quotient = u + arithmetic.reciprocal
    bound = (share / (1 - share) + arithmetic.exp + sum_error(w) / w.sum(axis=-1) + quotient) * expected_top
    contract = max(1e-5, 6 * math.sqrt(seen.shape[-1]) * u + 2e-6 + arithmetic.running)
    assert np.nan_to_num(bound).max(initial=0.0) < contract, f"the derived bound exceeds the contract's {contract:.2g}"
    assert_close("top", top, expected_top, bound)

    actual = as_float64(ratio)
    _assert_shape("ratio", actual, expected_ratio.shape)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        slack = np.expm1(ARGUMENT_ERROR * np.log(expected_ratio)) + 2 * arithmetic.exp + 2 * u
        bound = slack * expected_ratio
        beyond = (expected_ratio * (1 + slack) > 2.0**126) & (actual >= 2.0**126 * (1 - 1e-4))
        same = (actual == expected_ratio) | (np.isnan(actual) & np.isnan(expected_ratio))
        close = np.abs(actual - expected_ratio) <= bound
    _fail("ratio", ~(same | close | beyond), actual, expected_ratio, bound)


# --- the loss ---------------------------------------------------------------------------------------------------------


def assert_loss_close(
    loss: Any, gradient: Any, logits: Any, labels: Any, weights: Any, *, arithmetic: Arithmetic = FLOAT32
) -> None:
    """The weighted cross entropy of `logits` (N, n, ...) and its gradient, computed in float32; `weights` as masked.

    A pixel's ``log sum e^y - y_label`` errs by the relative error of the sum, by that of the logarithm (its own, and
    4 u for base, product and constant), and by 4 u of ``y_label``; pixels are added in any order, each with its
    normalised weight, 4 u. An entry of the gradient is a softmax, of a reciprocal and 3 u more, times that weight, less
    it at the label, 4 u of it.
    """
    x, labels, w = np.moveaxis(as_seen(logits), 1, -1), as_numpy(labels).astype(np.int64), as_float64(weights)
    share_of_loss = w / w.sum()
    e, relative = _weights(x, 1.0, arithmetic)
    total = e.sum(axis=-1)
    of_sum = (e * relative).sum(axis=-1) / total + sum_error(e) / total + arithmetic.exp
    picked = np.abs(x.max(axis=-1) - np.take_along_axis(x, labels[..., None], axis=-1)[..., 0])
    of_log = (arithmetic.log + 4 * u) * np.maximum(math.log(2), np.log(total))
    terms = (share_of_loss * (np.log(total) + picked)).reshape(-1)
    bound = (share_of_loss * (of_sum / (1 - of_sum) + of_log + 4 * u * picked)).sum()
    arrays = as_float64(logits), labels, w
    expected = reference.weighted_cross_entropy(*arrays)
    assert_close("loss", loss, np.asarray(expected), bound + float(sum_error(terms)) + 8 * u * abs(expected))

    p = e / total[..., None]
    bound = p * (relative + of_sum[..., None] + arithmetic.reciprocal + 3 * u)
    np.put_along_axis(bound, labels[..., None], np.take_along_axis(bound, labels[..., None], -1) + 4 * u, -1)
    bound = np.moveaxis(bound * share_of_loss[..., None], -1, 1) + SMALLEST_NORMAL
    expected_gradient = reference.weighted_cross_entropy_gradient(*arrays)
    half_ulp, smallest = HALF_ULP[str(gradient.dtype).removeprefix("torch.")]
    bound = bound + half_ulp * (np.abs(expected_gradient) + bound) + smallest
    assert_close("gradient", gradient, expected_gradient, bound)


# --- temporal smoothing -----------------------------------------------------------------------------------------------

# What storing a probability in the ring may change: a share of it, and an absolute part (half a step).
RING_ERROR = {"float32": (0.0, 0.0), "float16": (2.0**-11, 2.0**-25), "uint8": (0.0, 0.5 / 255)}


class SmoothedTruth:
    """The window form in float64, frame by frame, with a bound on what a float32 recursion may make of it.

    A step ``s = p + d s' - d^(window+1) p_old``, d = e^-alpha, rounds at most six times a number below the sum without
    the window, and brings in the error of p and of its storage; all of it decays by d a step.
    """

    def __init__(
        self,
        bins: reference.ColorBins,
        *,
        alpha: float,
        window: int,
        temperature: float,
        ring: str = "float32",
        arithmetic: Arithmetic = FLOAT32,
    ) -> None:
        self.bins, self.alpha, self.window, self.temperature, self.ring = bins, alpha, window, temperature, ring
        self.arithmetic = arithmetic
        self._past: list[Float] = []
        self._unlimited: Float = np.zeros(())
        self._error: Float = np.zeros(())

    def step(self, logits: Any) -> None:
        """Add a frame of logits (n, H, W)."""
        self.step_seen(as_seen(logits))

    def step_seen(self, logits: Float) -> None:
        """Add a frame of logits as they are, which need not be float32: logarithms of probabilities, say."""
        seen = np.moveaxis(logits, -3, -1)
        p = reference.softmax(seen, axis=-1)
        self._broken = np.isnan(p[..., 0])
        w, relative = _weights(seen, 1.0, self.arithmetic)
        share = relative + ((w * relative).sum(axis=-1) / w.sum(axis=-1))[..., None]
        share = share + self.arithmetic.exp + (sum_error(w) / w.sum(axis=-1))[..., None]
        share = share + u + self.arithmetic.reciprocal
        p, share = (np.where(self._broken[..., None], 0.0, part) for part in (p, share))
        in_ring, absolute = RING_ERROR[self.ring]
        decay = math.exp(-self.alpha)
        self._unlimited = p + decay * self._unlimited
        stored = np.where(p > 0, p * in_ring + absolute, 0.0)
        self._error = decay * self._error + p * share + stored + 6 * u * self._unlimited + SMALLEST_NORMAL
        self._past.append(p)
        self._sum: Float = reference.smooth_window(self._past, self.alpha, self.window)

    def assert_probabilities(self, actual: Any) -> None:
        """Normalised p̂ (n, H, W); NaN where no frame of the window had a valid pixel.

        A valid frame adds at least ``e^(-α window)`` to the sum over the bins: only where that drowns in the error of
        the recursion may a sum of zero give anything, and a sum above it NaN.
        """
        total, error = self._sum.sum(axis=-1, keepdims=True), self._error.sum(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = self._sum / total
            bound = (
                (self._error + expected * error) / np.maximum(total - error, 0.0) + 3 * u + self.arithmetic.reciprocal
            )
        actual = np.moveaxis(as_float64(actual), -3, -1)
        drowned = math.exp(-self.alpha * self.window) < 4 * error
        either = drowned & (total <= error)
        assert_close("probabilities", np.where(either, 0, actual), np.where(either, 0, expected), bound)

    def assert_rgb(self, rgb: Any, luma: Any, *, levels: float = 1) -> None:
        """RGB (H, W, 3) of the smoothed chroma."""
        assert_rgb_close(rgb, luma, *self._chroma(), levels=levels)

    def assert_chroma(self, chroma: Any) -> None:
        """The smoothed chroma (2, H, W), float32."""
        expected, error = self._chroma()
        assert_close("chroma", np.moveaxis(as_float64(chroma), -3, -1), expected, error + u * np.abs(expected))

    def _chroma(self) -> tuple[Float, Float]:
        """The chroma (H, W, 2) with ``s^(1/T)`` as weights, and how far it moves with s anywhere within its error."""
        s, error, colors = self._sum, self._error, self.bins.colors.astype(np.float64)
        with np.errstate(divide="ignore"):
            logs = np.where(self._broken[..., None], np.nan, np.log(s))
        chroma = reference.annealed_mean(logs, self.bins, temperature=self.temperature, axis=-1)
        if self.temperature == 0:
            near = s + error >= (s - error).max(axis=-1, keepdims=True)  # whatever may be the mode
            spread = np.where(near[..., None], np.abs(colors - chroma[..., None, :]), 0.0).max(axis=-2)
        else:
            spread = self._annealed_error(s, error, logs, chroma)
        return chroma, spread

    def _annealed_error(self, s: Float, error: Float, logs: Float, chroma: Float) -> Float:
        power, top = 1 / self.temperature, np.maximum(s.max(axis=-1, keepdims=True), SMALLEST_NORMAL)
        finite = np.nan_to_num(np.abs(logs), posinf=0.0)  # a weight of zero has no argument
        argument = ARGUMENT_ERROR * finite + self.arithmetic.log * np.maximum(math.log(2), finite)
        relative = np.expm1(argument * power) + 2 * self.arithmetic.exp  # a logarithm and an exponential
        w = (s / top) ** power
        with np.errstate(over="ignore"):  # a bound of infinity is cut off below
            high = ((s + error) / top) ** power * (1 + relative)
        low = (np.maximum(s - error, 0.0) / top) ** power * np.maximum(1 - relative, 0.0)
        change = np.maximum(high - w, w - low)
        distance = np.abs(self.bins.colors.astype(np.float64) - chroma[..., None, :])  # (H, W, n, 2)
        least = low.sum(axis=-1)[..., None]
        rounding = 2 * sum_error(w) + (u + self.arithmetic.reciprocal) * w.sum(axis=-1)
        rounding = rounding[..., None] * np.abs(self.bins.colors).max()
        with np.errstate(divide="ignore"):
            # Where the error leaves nothing certain, 10 is as far as any chroma is from any other.
            return np.minimum(((change[..., None] * distance).sum(axis=-2) + rounding) / least, 10.0)
