"""The per-pixel operations: encode, annealed mean, confidence, decode, merge. All in float64, arrays of any layout."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bins import ColorBins
from .cells import Int, cell_of
from .color import Float, as_luma, check_chroma, check_rgb, rgb_from, rgb_to, to_uint8
from .constants import DEFAULT_LAM, DEFAULT_TEMPERATURE


def encode(
    rgb: ArrayLike, bins: ColorBins, *, lam: float = DEFAULT_LAM, channel_axis: int = -1
) -> tuple[Float, Int, Float]:
    """``luma = Y(rgb)`` or L, ``label = table[cell(rgb)]``, ``weight = class_weights(prior, lam)[label]``.

    ColorUNet, section 3.1 and 3.2: what a training step needs to know of a color image.

    Parameters
    ----------
    rgb : array_like, 3 on `channel_axis`
        uint8 in 0..255 or floats in [0, 1].
    bins : ColorBins
    lam : float
        λ of the class rebalancing.
    channel_axis : int

    Returns
    -------
    luma, labels, weights : ndarrays, shape of `rgb` without its channel axis

    Examples
    --------
    >>> bins = ColorBins(np.zeros((3, 3), np.uint8), np.zeros((1, 2), np.float32), np.ones(1))
    >>> luma, labels, weights = encode(np.full((1, 1, 3), 255, np.uint8), bins)
    >>> float(luma.round(6)[0, 0]), int(labels[0, 0]), float(weights[0, 0])
    (1.0, 0, 1.0)
    """
    rgb = np.moveaxis(check_rgb(rgb), channel_axis, -1)
    luma = rgb_to(bins.space, rgb)[..., 0]
    labels = bins.table[cell_of(rgb, bins.cells, bins.space)].astype(np.int64)
    return luma, labels, bins.weights(lam)[labels]


def as_logits(values: ArrayLike, from_logits: bool) -> Float:
    """The values, or the logarithms of probabilities: -inf for zero, NaN for what is none (negative, or NaN).

    >>> as_logits([1.0, 0.0, -1.0], False)
    array([  0., -inf,  nan])
    """
    x = np.asarray(values, dtype=np.float64)
    if from_logits:
        return x
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x)


def softmax(logits: ArrayLike, *, temperature: float = 1.0, axis: int = -3, from_logits: bool = True) -> Float:
    """``exp((x - max x) / T) / sum exp((x - max x) / T)``; one at the mode and zero elsewhere if T = 0.

    The annealed distribution f_T of Zhang et al. 2016, equation 5, on logits: there is no epsilon. A pixel with a NaN
    or +inf logit, or with -inf in every bin, is NaN in every bin. Ties at T = 0 go to the lowest bin. Probabilities, of
    any scale, count by their logarithms.

    Examples
    --------
    >>> softmax([0.0, 0.0, -np.inf], axis=0)
    array([0.5, 0.5, 0. ])
    >>> softmax([1.0, 3.0, 3.0], temperature=0.0, axis=0)
    array([0., 1., 0.])
    """
    x = as_logits(logits, from_logits)
    peak = x.max(axis=axis, keepdims=True, initial=-np.inf)
    valid = np.isfinite(peak)  # max propagates NaN
    shifted = np.where(valid, x - np.where(valid, peak, 0.0), 0.0)
    if temperature == 0:
        bins = np.arange(x.shape[axis]).reshape([-1 if k == axis % x.ndim else 1 for k in range(x.ndim)])
        f = (bins == np.argmax(shifted, axis=axis, keepdims=True)).astype(np.float64)
    else:
        with np.errstate(over="ignore"):  # -inf, of which the exponential is 0
            e = np.exp(shifted / temperature)
        f = e / e.sum(axis=axis, keepdims=True)
    return np.where(valid, f, np.nan)


def annealed_mean(
    logits: ArrayLike,
    bins: ColorBins,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    from_logits: bool = True,
) -> Float:
    """``chroma = sum_b softmax(x / T)_b c_b``, the mode's color if T = 0 (Zhang et al. 2016, equation 5).

    Parameters
    ----------
    logits : array_like, n on `axis`
        Unnormalised log-probabilities; -inf is a bin of probability zero.
    bins : ColorBins
    temperature : float
        T >= 0.
    axis : int
    from_logits : bool
        False if `logits` are probabilities, of any scale.

    Returns
    -------
    chroma : ndarray
        (U, V) or (a, b) on `axis` in place of the n logits.

    Examples
    --------
    >>> bins = ColorBins(np.zeros((3, 3), np.uint8), np.array([[0, 0], [0.4, 0.2]], np.float32), np.full(2, 0.5))
    >>> annealed_mean([0.0, 0.0], bins, axis=0).round(6)
    array([0.2, 0.1])
    """
    f = np.moveaxis(softmax(logits, temperature=temperature, axis=axis, from_logits=from_logits), axis, -1)
    chroma = f @ bins.colors.astype(np.float64)
    return np.moveaxis(chroma, -1, axis)


def annealed_mean_gradient(
    gradient: ArrayLike,
    logits: ArrayLike,
    bins: ColorBins,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
) -> Float:
    """``d (g . chroma) / d x_b = f_b (c_b - chroma) . g / T`` with ``f = softmax(x / T)``: the annealed mean, backward.

    Parameters
    ----------
    gradient : array_like
        g, 2 on `axis`: the gradient in the chroma.
    logits : array_like, n on `axis`
    bins : ColorBins
    temperature : float
        T > 0.
    axis : int

    Returns
    -------
    ndarray, shape of the logits
        NaN where the chroma is.

    Examples
    --------
    >>> bins = ColorBins(np.zeros((3, 3), np.uint8), np.array([[0, 0], [0.5, 0]], np.float32), np.full(2, 0.5))
    >>> annealed_mean_gradient([1.0, 0.0], [0.0, 0.0], bins, temperature=0.5, axis=0)
    array([-0.25,  0.25])
    """
    f = softmax(logits, temperature=temperature, axis=axis)
    g = np.moveaxis(np.asarray(gradient, dtype=np.float64), axis, -1)
    slope = np.moveaxis(g @ bins.colors.astype(np.float64).T, -1, axis)
    return f * (slope - (f * slope).sum(axis=axis, keepdims=True)) / temperature


def confidence(logits: ArrayLike, *, axis: int = -3, from_logits: bool = True) -> tuple[Float, Float]:
    """``top = max_b softmax(x)_b`` and ``ratio = top / second`` (ColorUNet, Figure 7), at T = 1.

    The ratio is ``exp(x_top - x_second)``: inf where the second probability is zero or there is only one bin.

    Examples
    --------
    >>> top, ratio = confidence(np.log([0.6, 0.3, 0.1]), axis=0)
    >>> float(top.round(6)), float(ratio.round(6))
    (0.6, 2.0)
    """
    p = softmax(logits, axis=axis, from_logits=from_logits)
    x = np.moveaxis(as_logits(logits, from_logits), axis, 0)
    top = p.max(axis=axis)
    if len(x) == 1:
        return top, np.where(np.isnan(top), np.nan, np.inf)
    second, first = np.partition(x, len(x) - 2, axis=0)[-2:]
    with np.errstate(invalid="ignore", over="ignore"):
        return top, np.where(np.isnan(top), np.nan, np.exp(first - second))


def decode(
    logits: ArrayLike,
    luma: ArrayLike,
    bins: ColorBins,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    channel_axis: int = -1,
    confidence: bool = False,
    from_logits: bool = True,
) -> NDArray[np.uint8] | tuple[NDArray[np.uint8], Float, Float]:
    """``rgb = floor(255 clip(rgb(Y, annealed_mean(x))) + 0.5)``; NaN pixels are black.

    Parameters
    ----------
    logits : array_like, n on `axis`
    luma : array_like, shape of `logits` without `axis`, or (..., H, W) for logits (..., n, h, w)
        uint8 in 0..255 or floats in [0, 1]; L in [0, 100] for bins of Lab. Where it has more pixels, the chroma is
        upsampled as in :func:`merge`.
    bins : ColorBins
    temperature, axis, from_logits : see :func:`annealed_mean`
    channel_axis : int
        Where the output has R, G, B.
    confidence : bool
        Return ``(rgb, top, ratio)``.

    Examples
    --------
    >>> bins = ColorBins(np.zeros((3, 3), np.uint8), np.array([[0, 0.2]], np.float32), np.ones(1))
    >>> decode(np.zeros((1, 1, 1)), np.full((1, 1), 0.5), bins)
    array([[[186,  98, 128]]], dtype=uint8)
    """
    chroma = annealed_mean(logits, bins, temperature=temperature, axis=axis, from_logits=from_logits)
    chroma = np.moveaxis(chroma, axis, -1)
    if chroma.shape[:-1] != np.shape(luma):
        chroma = _stretch(chroma, np.shape(luma))
    rgb = np.moveaxis(join(as_luma(luma, bins.space), chroma, bins.space), -1, channel_axis)
    if not confidence:
        return rgb
    return rgb, *_confidence(logits, axis=axis, from_logits=from_logits)


_confidence = confidence


def join(luma: ArrayLike, chroma: ArrayLike, space: str = "yuv") -> NDArray[np.uint8]:
    """``to_uint8(rgb(Y, U, V))`` or of L, a, b, for luma (...) and chroma (..., 2); a NaN in either is black.

    Examples
    --------
    >>> join(0.5, [np.nan, 0.0])
    array([0, 0, 0], dtype=uint8)
    >>> join(50.0, [0.0, 0.0], "lab")
    array([119, 119, 119], dtype=uint8)
    """
    pixels = np.concatenate([np.asarray(luma, dtype=np.float64)[..., None], chroma], axis=-1)
    broken = np.isnan(pixels).any(axis=-1, keepdims=True)
    return to_uint8(rgb_from(space, np.where(broken, np.nan, pixels)))


def upsample(chroma: ArrayLike, height: int, width: int) -> Float:
    """Bilinear, half-pixel centers: samples at ``(i + 0.5) h / H - 0.5``, clamped; (..., h, w) -> (..., H, W).

    Examples
    --------
    >>> upsample(np.array([[[0.0, 1.0]]]), 1, 4).tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    rows = _lerp(np.asarray(chroma, dtype=np.float64), height, axis=-2)
    return _lerp(rows, width, axis=-1)


def _stretch(chroma: Float, shape: tuple[int, ...]) -> Float:
    """Chroma (..., h, w, 2) to (*shape, 2)."""
    return np.moveaxis(upsample(np.moveaxis(chroma, -1, -3), *shape[-2:]), -3, -1)


def _lerp(values: Float, size: int, axis: int) -> Float:
    have = values.shape[axis]
    position = np.clip((np.arange(size) + 0.5) * have / size - 0.5, 0, have - 1)
    low = np.minimum(position.astype(np.int64), have - 1)
    high = np.minimum(low + 1, have - 1)
    t = (position - low).reshape([-1 if k == axis % values.ndim else 1 for k in range(values.ndim)])
    # (1 - t) a + t b rather than a + t (b - a): a NaN neighbour of weight zero still counts, in every backend.
    return (1 - t) * np.take(values, low, axis) + t * np.take(values, high, axis)


def merge(chroma: ArrayLike, luma: ArrayLike, *, space: str = "yuv") -> NDArray[np.uint8]:
    """``rgb = join(luma, upsample(chroma))``: low-resolution chroma on a full-resolution luma, (..., H, W, 3) uint8.

    The luma of the result equals the input's wherever the color lies inside the RGB cube. NaN is black.

    Parameters
    ----------
    chroma : array_like, shape (..., 2, h, w)
        In the units of the space.
    luma : array_like, shape (..., H, W)
        uint8 in 0..255 or floats in [0, 1]; a grayscale image is its own luma. L in [0, 100] for Lab.
    space : {"yuv", "lab"}

    Examples
    --------
    >>> merge(np.zeros((2, 1, 1)), np.array([[0, 99]], np.uint8)).tolist()
    [[[0, 0, 0], [99, 99, 99]]]
    """
    luma = as_luma(luma, space)
    return join(luma, _stretch(np.moveaxis(check_chroma(chroma, space, -3), -3, -1), luma.shape), space)
