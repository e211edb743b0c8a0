"""The public operations: what each means, and the checks of its arguments; ``arrays.run`` does the work.

Arrays go in and come back as the same kind (NumPy, torch, CuPy) on the same device; planar and
channels-last ones are not copied. Under torch.compile and torch.export each operation is one operator of torch
(``arrays.torch_ops``): shapes may be dynamic; bins, temperature and λ are constants of the graph; `out` is None there.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .arrays import checks, run
from .arrays.kinds import Seen
from .kernels.common.host import without
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
        If there are not 3 channels on `channel_axis`, λ or `label_dtype` is none of the accepted, or `rgb` requires
        a gradient.
    BackendUnavailableError
        If `backend` does not run here, or not on the device of `rgb`.

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
    image, axis = _rgb(rgb, channel_axis)
    checks.color_bins(bins)
    lam = checks.real("lam", lam, 0.0, 1.0)
    checks.choice("label_dtype", label_dtype, checks.LABEL_DTYPES)
    checks.no_gradient("encode", rgb=image)
    parts: tuple[Any, Any, Any] = _route(image).encode(image, bins, lam, label_dtype, axis, backend)
    return parts


def histogram(rgb: Any, cells: int, *, channel_axis: int = -1, backend: str = "auto") -> Any:
    """``H[i, j] = number of pixels with (cell_u, cell_v) = (i, j)``.

    Parameters
    ----------
    rgb : array, 3 on `channel_axis`
        uint8 in 0..255, or float32 or float64 in [0, 1].
    cells : int
        K, 1..255. An odd K keeps neutral gray in the middle of a cell.
    channel_axis : int
    backend : str
        "auto", or a name of :func:`backends`.

    Returns
    -------
    array, shape (K, K), int64
        U on the first axis, V on the second. Histograms of parts add up to that of the whole.

    Raises
    ------
    TypeError
        If `rgb` is no array or has another dtype, or `cells` is no integer.
    ValueError
        If there are not 3 channels on `channel_axis`, `cells` is out of range, or `rgb` requires a gradient.
    BackendUnavailableError
        If `backend` does not run here, or not on the device of `rgb`.

    References
    ----------
    ColorUNet (arXiv:1811.03120), section 3.1: bins are cells of the UV plane, chosen by their counts.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> int(fastcolor.histogram(np.zeros((4, 5, 3), np.uint8), 17)[8, 8])
    20
    """
    image, axis = _rgb(rgb, channel_axis)
    cells = checks.integer("cells", cells, 1, MAX_CELLS)
    checks.no_gradient("histogram", rgb=image)
    return _route(image).histogram(image, cells, axis, backend)


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
        Wrong kind, dtype, shape, temperature; T = 0 or `out` with logits that require a gradient; an `out` that
        requires one, or whose elements share memory; forward mode (jvp, jacfwd).
    BackendUnavailableError
        If `backend` does not run here or not on the device of the logits, or lacks a gradient that they require.

    Notes
    -----
    Differentiable once in a torch tensor of logits: ``d chroma / d x_b = f_b (c_b - chroma) / T`` with
    ``f = softmax(x / T)``, in float32, in reverse mode: backward(), torch.func.grad, vjp and jacrev, and vmap around
    or within them (not where torch.compile traces the transform). The other operations refuse tensors that require a
    gradient, unless gradients are disabled.

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
    x, where = checks.logits(logits, axis, bins)
    temperature = checks.real("temperature", temperature, 0.0, hint="T = 0 is the mode")
    checks.no_tangent("annealed_mean", "logits", x)
    if x.wants_gradient and temperature == 0:
        raise ValueError("temperature: expected T > 0 for logits that require a gradient, got 0; the mode has none")
    return _route(x, x.wants_gradient).annealed_mean(x, bins, temperature, where, backend, out)


def confidence(logits: Any, *, axis: int = -3, backend: str = "auto") -> tuple[Any, Any]:
    """``top = max_b softmax(x)_b`` and ``ratio = top / second``, at temperature 1.

    Parameters
    ----------
    logits : array, n on `axis`, 1 <= n <= 255
        float16, bfloat16, float32 or float64 (rounded to float32).
    axis : int
    backend : str
        "auto", or a name of :func:`backends`.

    Returns
    -------
    top : array, float32
        In [1 / n, 1]; shape of `logits` without `axis`.
    ratio : array, float32
        >= 1; inf where the second probability is zero. Both are NaN for invalid pixels.

    Raises
    ------
    TypeError
        If `logits` is no array, or has another dtype.
    ValueError
        If `axis` is none of the array's or n out of range, or the logits require a gradient.
    BackendUnavailableError
        If `backend` does not run here, or not on the device of the logits.

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
    x = checks.array("logits", logits, checks.LOGIT_DTYPES)
    where = checks.axis("axis", axis, len(x.shape))
    checks.no_gradient("confidence", logits=x)
    if not 1 <= x.shape[where] <= MAX_BINS:
        raise ValueError(f"logits: expected 1 to {MAX_BINS} bins on axis {axis}, got {tuple(x.shape)}")
    maps: tuple[Any, Any] = _route(x).confidence(x, where, backend)
    return maps


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

    Raises
    ------
    TypeError
        If logits, luma or `out` are no arrays, of different libraries, or have another dtype.
    ValueError
        If shapes, axes, devices or the temperature do not fit; if logits or luma require a gradient; if `out` is
        read-only, requires a gradient, or shares memory among its elements.
    BackendUnavailableError
        If `backend` does not run here, or not on the device of the logits.

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
    x, where = checks.logits(logits, axis, bins)
    y = checks.dtype("luma", checks.beside("luma", luma, "logits", x), checks.LUMA_DTYPES, checks.UNITS)
    checks.shape("luma", y, without(x.shape, where), "it must be the shape of logits without the bins")
    channel = checks.axis("channel_axis", channel_axis, len(x.shape))
    temperature = checks.real("temperature", temperature, 0.0, hint="T = 0 is the mode")
    checks.no_gradient("decode", logits=x, luma=y)
    return _route(x).decode(x, y, bins, temperature, where, channel, bool(confidence), backend, out)


def merge(chroma: Any, luma: Any, *, backend: str = "auto") -> Any:
    """``rgb = join(Y, bilinear(chroma))``: low-resolution chroma on a full-resolution luma.

    Upsampling has half-pixel centers: pixel i of H samples at ``(i + 0.5) h / H - 0.5``, clamped.

    Parameters
    ----------
    chroma : array, shape (2, h, w)
        float16, bfloat16, float32 or float64, in UV units.
    luma : array, shape (H, W)
        uint8 in 0..255, or float32 or float64 in [0, 1]; a grayscale image is its own luma.
    backend : str
        "auto", or a name of :func:`backends`.

    Returns
    -------
    array, shape (H, W, 3), uint8
        Its luma is the input's wherever the color lies inside the RGB cube; 0 where chroma or luma is NaN.

    Raises
    ------
    TypeError
        If chroma or luma are no arrays, of different libraries, or have another dtype.
    ValueError
        If shapes or devices do not fit, chroma has no samples for a luma that has pixels, or one of them requires a
        gradient.
    BackendUnavailableError
        If `backend` does not run here, or not on the device of the luma.

    References
    ----------
    BT.601 for the color space; samples lie as in torch's ``interpolate(mode="bilinear", align_corners=False)``.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> fastcolor.merge(np.zeros((2, 8, 8), np.float32), np.full((100, 80), 99, np.uint8))[0, 0].tolist()
    [99, 99, 99]
    """
    c = checks.array("chroma", chroma)
    y = checks.beside("luma", luma, "chroma", c)
    checks.dtype("chroma", c, checks.CHROMA_DTYPES)
    checks.dtype("luma", y, checks.LUMA_DTYPES, checks.UNITS)
    checks.ndim("luma", y, 2, 2)
    checks.ndim("chroma", c, 3, 3)
    checks.size_on_axis("chroma", c, -3, "axis", 2)
    checks.no_gradient("merge", chroma=c, luma=y)
    return _route(y).merge(c, y, backend)


def _rgb(rgb: Any, channel_axis: int) -> tuple[Seen, int]:
    """What is seen of a color image, and the axis of its channels, made positive."""
    image = checks.array("rgb", rgb, checks.RGB_DTYPES, checks.UNITS)
    checks.ndim("rgb", image, 1)
    return image, checks.size_on_axis("rgb", image, channel_axis, "channel_axis", 3)


def _route(seen: Seen, differentiable: bool = False) -> ModuleType:
    """What does the work: operators of torch where it traces or differentiates, else kernels called directly."""
    if not (differentiable or seen.traced):
        return run
    from .arrays import torch_ops

    return torch_ops
