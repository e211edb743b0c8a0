"""The public operations: validate, choose a backend, allocate the result with the caller's library, run.

Arrays go in and come back as the same kind (NumPy, torch, CuPy) on the same device; CPU tensors are never copied.
"""

from __future__ import annotations

import math
from typing import Any

from . import _array, _validate
from ._array import as_numpy
from ._dispatch import choose
from ._prepare import check_logits, float32, float32_or_uint8, result, results, without
from .reference.bins import ColorBins
from .reference.constants import DEFAULT_LAM, DEFAULT_TEMPERATURE, MAX_BINS, MAX_CELLS


def encode(
    rgb: Any,
    bins: ColorBins,
    *,
    lam: float = DEFAULT_LAM,
    label_dtype: str = "uint8",
    channel_axis: int = -1,
    backend: str = "auto",
) -> tuple[Any, Any, Any]:
    """``luma = Y(rgb)``, ``labels = table[cell(rgb)]``, ``weights = bins.weights(lam)[labels]``.

    What a training step needs to know of a color image, in one pass. Labels of uint8 images are exact integer
    arithmetic.

    Parameters
    ----------
    rgb : array, 3 on `channel_axis`
        uint8 in 0..255, or float32 or float64 in [0, 1]; any strides.
    bins : ColorBins
    lam : float
        λ of the class rebalancing, in [0, 1].
    label_dtype : {"uint8", "int32", "int64"}
    channel_axis : int
    backend : str
        "auto", or a name of :func:`backends`.

    Returns
    -------
    luma : array, float32 in [0, 1]
        BT.601 luma; shape of `rgb` without its channel axis, like all three.
    labels : array, `label_dtype`
    weights : array, float32

    Raises
    ------
    TypeError
        If `rgb` is no array, or has another dtype.
    ValueError
        If there are not 3 channels on `channel_axis`, or λ is out of range.

    References
    ----------
    ColorUNet (arXiv:1811.03120), sections 3.1 and 3.2; Zhang et al. 2016 (arXiv:1603.08511), equation 4.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> photo = np.full((2, 2, 3), 128, np.uint8)
    >>> luma, labels, weights = fastcolor.encode(photo, fastcolor.ColorBins.default())
    >>> labels.shape, labels.dtype, round(float(luma[0, 0]), 4)
    ((2, 2), dtype('uint8'), 0.502)
    """
    _validate.arrays(rgb=rgb)
    _validate.dtype("rgb", rgb, _validate.RGB_DTYPES)
    _validate.ndim("rgb", rgb, 1)
    axis = _validate.size_on_axis("rgb", rgb, channel_axis, "channel_axis", 3)
    _validate.color_bins(bins)
    lam = _validate.real("lam", lam, 0.0, 1.0)
    _validate.choice("label_dtype", label_dtype, _validate.LABEL_DTYPES)
    kernels = choose(backend, _array.device(rgb))
    shape = without(rgb.shape, axis)
    out = tuple(_array.empty(rgb, shape, dtype) for dtype in ("float32", label_dtype, "float32"))
    if math.prod(shape):
        views = tuple(map(as_numpy, out))
        kernels.encode(as_numpy(rgb), bins, lam=lam, label_dtype=label_dtype, channel_axis=axis, out=views)
    return out[0], out[1], out[2]


def histogram(rgb: Any, cells: int, *, channel_axis: int = -1, backend: str = "auto") -> Any:
    """``H[i, j] = number of pixels with (cell_u, cell_v) = (i, j)``.

    Parameters
    ----------
    rgb : array, 3 on `channel_axis`
        uint8 in 0..255, or float32 or float64 in [0, 1].
    cells : int
        K, 1..255. An odd K keeps neutral gray in the middle of a cell.

    Returns
    -------
    array, shape (K, K), int64
        U on the first axis, V on the second. Histograms of parts add up to that of the whole.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> int(fastcolor.histogram(np.zeros((4, 5, 3), np.uint8), 17)[8, 8])
    20
    """
    _validate.arrays(rgb=rgb)
    _validate.dtype("rgb", rgb, _validate.RGB_DTYPES)
    _validate.ndim("rgb", rgb, 1)
    axis = _validate.size_on_axis("rgb", rgb, channel_axis, "channel_axis", 3)
    cells = _validate.integer("cells", cells, 1, MAX_CELLS)
    kernels = choose(backend, _array.device(rgb))
    out = _array.empty(rgb, (cells, cells), "int64")
    view = as_numpy(out)
    view[...] = kernels.histogram(as_numpy(rgb), cells, channel_axis=axis) if math.prod(rgb.shape) else 0
    return out


def annealed_mean(
    logits: Any,
    bins: ColorBins,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    backend: str = "auto",
    out: Any = None,
) -> Any:
    """``chroma = sum_b softmax(x / T)_b c_b``; the color of the mode if T = 0.

    Parameters
    ----------
    logits : array, n on `axis`
        float16, bfloat16, float32 or float64 (rounded to float32); unnormalised log-probabilities. ``np.log`` of
        probabilities gives the same result, zeros included.
    bins : ColorBins
    temperature : float
        T >= 0: small is vivid, 1 is the mean, 0 the mode (ties to the lowest bin).
    axis : int
    backend : str
    out : array, optional
        Written and returned.

    Returns
    -------
    array
        Chroma (U, V) on `axis`; U in [-.436, .436], V in [-.615, .615]. The dtype of the logits, float32 for
        float64. NaN where a logit is NaN or +inf, or all are -inf.

    Raises
    ------
    TypeError, ValueError
        Wrong kind, dtype, shape, temperature; a tensor that requires a gradient while gradients are enabled.

    References
    ----------
    Zhang et al. 2016 (arXiv:1603.08511), equation 5. The maximum is subtracted first; there is no epsilon.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> bins = fastcolor.ColorBins.default()
    >>> logits = np.full((bins.n, 1, 1), -np.inf, np.float32)
    >>> logits[3] = 0
    >>> bool((fastcolor.annealed_mean(logits, bins)[:, 0, 0] == bins.colors[3]).all())
    True
    """
    where = check_logits(logits, axis, bins)
    _validate.no_gradient("logits", logits, "annealed_mean")
    temperature = _validate.real("temperature", temperature, 0.0, hint="T = 0 is the mode")
    kernels = choose(backend, _array.device(logits))
    shape = (*logits.shape[:where], 2, *logits.shape[where + 1 :])
    dtype = "float32" if _array.dtype_name(logits) == "float64" else _array.dtype_name(logits)
    out = result("out", out, logits, shape, dtype)
    if math.prod(shape):
        kernels.annealed_mean(as_numpy(logits), bins, temperature=temperature, axis=where, out=as_numpy(out))
    return out


def confidence(logits: Any, *, axis: int = -3, backend: str = "auto") -> tuple[Any, Any]:
    """``top = max_b softmax(x)_b`` and ``ratio = top / second``, at temperature 1.

    Parameters
    ----------
    logits : array, n >= 1 on `axis`
        float16, bfloat16, float32 or float64.

    Returns
    -------
    top : array, float32
        In [1 / n, 1]; shape of `logits` without `axis`.
    ratio : array, float32
        >= 1; inf where the second probability is zero. Both are NaN for invalid pixels.

    References
    ----------
    ColorUNet (arXiv:1811.03120), Figure 7.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> top, ratio = fastcolor.confidence(np.log(np.array([[[0.6]], [[0.3]], [[0.1]]])))
    >>> round(float(top[0, 0]), 4), round(float(ratio[0, 0]), 4)
    (0.6, 2.0)
    """
    _validate.arrays(logits=logits)
    _validate.dtype("logits", logits, _validate.LOGIT_DTYPES)
    where = _validate.axis("axis", axis, logits.ndim)
    _validate.no_gradient("logits", logits, "confidence")
    if not 1 <= logits.shape[where] <= MAX_BINS:
        raise ValueError(f"logits: expected 1 to {MAX_BINS} bins on axis {axis}, got {tuple(logits.shape)}")
    kernels = choose(backend, _array.device(logits))
    shape = without(logits.shape, where)
    top, ratio = _array.empty(logits, shape, "float32"), _array.empty(logits, shape, "float32")
    if math.prod(shape):
        kernels.confidence(as_numpy(logits), axis=where, out=(as_numpy(top), as_numpy(ratio)))
    return top, ratio


def decode(
    logits: Any,
    luma: Any,
    bins: ColorBins,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    channel_axis: int = -1,
    confidence: bool = False,
    backend: str = "auto",
    out: Any = None,
) -> Any:
    """``rgb = floor(255 clip(rgb(Y, annealed_mean(x))) + 0.5)``, in one pass over the logits.

    Parameters
    ----------
    logits : array, n on `axis`
        float16, bfloat16, float32 or float64 (rounded to float32).
    luma : array, shape of `logits` without `axis`
        uint8 in 0..255, or float32 or float64 in [0, 1].
    bins : ColorBins
    temperature : float
        T >= 0, see :func:`annealed_mean`.
    axis : int
    channel_axis : int
        Where the result has R, G, B.
    confidence : bool
        Also return the maps of :func:`confidence`, from the same pass.
    backend : str
    out : array, or three with confidence, optional
        Written and returned.

    Returns
    -------
    rgb : array, uint8, 3 on `channel_axis`
        0 where the pixel's logits or luma are NaN.
    top, ratio : arrays, float32
        Only with ``confidence=True``.

    References
    ----------
    Zhang et al. 2016 (arXiv:1603.08511), equation 5; BT.601 for the color space.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> bins = fastcolor.ColorBins.default()
    >>> logits = np.zeros((bins.n, 4, 6), np.float32)
    >>> fastcolor.decode(logits, np.full((4, 6), 0.5, np.float32), bins).shape
    (4, 6, 3)
    """
    where = check_logits(logits, axis, bins)
    _validate.arrays(logits=logits, luma=luma)
    _validate.dtype("luma", luma, _validate.LUMA_DTYPES)
    pixels = without(logits.shape, where)
    _validate.shape("luma", luma, pixels, "it must be the shape of logits without the bins")
    channel = _validate.axis("channel_axis", channel_axis, logits.ndim)
    temperature = _validate.real("temperature", temperature, 0.0, hint="T = 0 is the mode")
    kernels = choose(backend, _array.device(logits))
    shapes = [((*pixels[:channel], 3, *pixels[channel:]), "uint8")]
    shapes += [(pixels, "float32")] * (2 if confidence else 0)
    outs = results(out, logits, shapes)
    if math.prod(pixels):
        views = tuple(map(as_numpy, outs))
        kernels.decode(
            as_numpy(logits),
            float32_or_uint8(luma),
            bins,
            temperature=temperature,
            axis=where,
            channel_axis=channel,
            confidence=bool(confidence),
            out=views if confidence else views[0],
        )
    return outs if confidence else outs[0]


def merge(chroma: Any, luma: Any, *, backend: str = "auto") -> Any:
    """``rgb = join(Y, bilinear(chroma))``: low-resolution chroma on a full-resolution luma.

    Upsampling has half-pixel centers: pixel i of H samples at ``(i + 0.5) h / H - 0.5``, clamped.

    Parameters
    ----------
    chroma : array, shape (2, h, w)
        float16, bfloat16, float32 or float64, in UV units.
    luma : array, shape (H, W)
        uint8 in 0..255, or float32 or float64 in [0, 1]; a grayscale image is its own luma.

    Returns
    -------
    array, shape (H, W, 3), uint8
        Its luma is the input's wherever the color lies inside the RGB cube; 0 where chroma or luma is NaN.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> fastcolor.merge(np.zeros((2, 8, 8), np.float32), np.full((100, 80), 99, np.uint8))[0, 0].tolist()
    [99, 99, 99]
    """
    _validate.arrays(chroma=chroma, luma=luma)
    _validate.dtype("chroma", chroma, _validate.CHROMA_DTYPES)
    _validate.dtype("luma", luma, _validate.LUMA_DTYPES)
    _validate.ndim("luma", luma, 2, 2)
    _validate.ndim("chroma", chroma, 3, 3)
    _validate.size_on_axis("chroma", chroma, -3, "axis", 2)
    kernels = choose(backend, _array.device(luma))
    out = _array.empty(luma, (*luma.shape, 3), "uint8")
    if math.prod(luma.shape):
        if not math.prod(chroma.shape):
            raise ValueError(f"chroma: expected at least one sample, got shape {tuple(chroma.shape)}")
        kernels.merge(float32(chroma), float32_or_uint8(luma), out=as_numpy(out))
    return out
