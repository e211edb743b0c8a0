"""Logits to colors: what each operation means, and the checks of its arguments; ``arrays.run`` does the work.

Arrays go in and come back as the same kind (NumPy, torch, CuPy) on the same device; planar and
channels-last ones are not copied. On a GPU a call whose signature was seen before goes by its plan
(``arrays.plans``). Under torch.compile and torch.export each operation is one operator of torch
(``arrays.torch_ops``): shapes may be dynamic; bins, temperature and λ are constants of the graph; `out` is None there.
"""

from __future__ import annotations

from typing import Any

from .arrays import checks
from .arrays.plans import planned
from .arrays.route import route
from .kernels.common.host import without
from .reference.bins import ColorBins, space_of
from .reference.constants import DEFAULT_TEMPERATURE, MAX_BINS, SPACES


@planned
def annealed_mean(
    logits: Any,
    bins: ColorBins,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    from_logits: bool = True,
    backend: str = "auto",
    out: Any = None,
) -> Any:
    """``chroma = sum_b softmax(x / T)_b c_b``; the color of the mode if T = 0.

    Parameters
    ----------
    logits : array, n on `axis`
        float16, bfloat16, float32 or float64 (rounded to float32); unnormalised log-probabilities.
    bins : ColorBins
    temperature : float
        T >= 0: small is vivid, 1 is the mean, 0 the mode (ties to the lowest bin).
    axis : int
    from_logits : bool
        False if `logits` are probabilities, of any scale that float32 holds: zeros are welcome, and no epsilon bends
        them.
    backend : str
    out : array, optional
        Written and returned.

    Returns
    -------
    array
        Chroma on `axis`, (U, V) or (a, b), in the units of ``bins.colors``. The dtype of the logits, float32 for
        float64. NaN where a logit is NaN or +inf, or all are -inf; where a probability is NaN, negative or infinite, or
        all are 0.

    Raises
    ------
    TypeError, ValueError
        Wrong kind, dtype, shape, temperature; T = 0, `out` or probabilities that require a gradient; an `out` that
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
    temperature = checks.temperature(temperature)
    checks.no_tangent("annealed_mean", "logits", x)
    if x.wants_gradient and temperature == 0:
        raise ValueError("temperature: expected T > 0 for logits that require a gradient, got 0; the mode has none")
    if not from_logits:
        checks.no_gradient("annealed_mean of probabilities", logits=x)
    options = temperature, where, bool(from_logits), backend, out
    return route(x, x.wants_gradient).annealed_mean(x, bins, *options)


@planned
def confidence(logits: Any, *, axis: int = -3, from_logits: bool = True, backend: str = "auto") -> tuple[Any, Any]:
    """``top = max_b softmax(x)_b`` and ``ratio = top / second``, at temperature 1.

    Parameters
    ----------
    logits : array, n on `axis`, 1 <= n <= 1024
        float16, bfloat16, float32 or float64 (rounded to float32).
    axis : int
    from_logits : bool
        False if `logits` are probabilities, of any scale; see :func:`annealed_mean`.
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
    >>> top, ratio = fastcolor.confidence(np.array([[[0.6]], [[0.3]], [[0.1]]]), from_logits=False)
    >>> round(float(top[0, 0]), 4), round(float(ratio[0, 0]), 4)
    (0.6, 2.0)
    """
    x = checks.array("logits", logits, checks.LOGIT_DTYPES)
    where = checks.axis("axis", axis, len(x.shape))
    checks.no_gradient("confidence", logits=x)
    if not 1 <= x.shape[where] <= MAX_BINS:
        raise ValueError(f"logits: expected 1 to {MAX_BINS} bins on axis {axis}, got {tuple(x.shape)}")
    maps: tuple[Any, Any] = route(x).confidence(x, where, bool(from_logits), backend)
    return maps


@planned
def decode(
    logits: Any,
    luma: Any,
    bins: ColorBins,
    *,
    temperature: float = DEFAULT_TEMPERATURE,
    axis: int = -3,
    channel_axis: int = -1,
    confidence: bool = False,
    from_logits: bool = True,
    backend: str = "auto",
    out: Any = None,
) -> Any:
    """``rgb = floor(255 clip(rgb(Y, annealed_mean(x))) + 0.5)``, in one pass over the logits.

    Logits of fewer pixels than the luma go straight to full resolution: their chroma is upsampled as by :func:`merge`.

    Parameters
    ----------
    logits : array, n on `axis`
        float16, bfloat16, float32 or float64 (rounded to float32).
    luma : array, shape of `logits` without `axis`; or (..., H, W) for logits (..., n, h, w) of another resolution
        uint8 in 0..255, or floats in [0, 1]; for bins of Lab L, floats in [0, 100].
    bins : ColorBins
    temperature : float
        T >= 0, see :func:`annealed_mean`.
    axis : int
    channel_axis : int
        Where the result has R, G, B.
    confidence : bool
        Also return the maps of :func:`confidence`, from the same pass, at the resolution of the logits.
    from_logits : bool
        False if `logits` are probabilities, of any scale; see :func:`annealed_mean`.
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
        read-only, requires a gradient, or shares memory among its elements; on the CPU, luma out of range.
    BackendUnavailableError
        If `backend` does not run here, or not on the device of the logits.

    References
    ----------
    Zhang et al. 2016 (arXiv:1603.08511), equation 5; BT.601 and CIE Lab for the color spaces.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> bins = fastcolor.ColorBins.default()
    >>> logits = np.zeros((bins.n, 4, 6), np.float32)
    >>> fastcolor.decode(logits, np.full((4, 6), 0.5, np.float32), bins).shape
    (4, 6, 3)
    >>> fastcolor.decode(logits, np.full((40, 60), 127, np.uint8), bins).shape
    (40, 60, 3)
    """
    x, where = checks.logits(logits, axis, bins)
    y = checks.luma(checks.beside("luma", luma, "logits", x), space_of(bins))
    if not _is_larger(y.shape, x.shape, where):
        checks.shape("luma", y, without(x.shape, where), "it must be the shape of logits without the bins, or larger")
    channel = checks.axis("channel_axis", channel_axis, len(x.shape))
    temperature = checks.temperature(temperature)
    checks.no_gradient("decode", logits=x, luma=y)
    options = temperature, where, channel, bool(confidence), bool(from_logits), backend, out
    return route(x).decode(x, y, bins, *options)


@planned
def merge(chroma: Any, luma: Any, *, space: str = "yuv", backend: str = "auto") -> Any:
    """``rgb = join(Y, bilinear(chroma))``: low-resolution chroma on a full-resolution luma.

    Upsampling has half-pixel centers: pixel i of H samples at ``(i + 0.5) h / H - 0.5``, clamped.

    Parameters
    ----------
    chroma : array, shape (..., 2, h, w)
        float16, bfloat16, float32 or float64: U in [-.436, .436] and V in [-.615, .615], or ab in [-128, 128].
    luma : array, shape (..., H, W)
        uint8 in 0..255, or floats in [0, 1]; a grayscale image is its own luma. For Lab L, floats in [0, 100].
    space : {"yuv", "lab"}
    backend : str
        "auto", or a name of :func:`backends`.

    Returns
    -------
    array, shape (..., H, W, 3), uint8
        Its luma is the input's wherever the color lies inside the RGB cube; 0 where chroma or luma is NaN.

    Raises
    ------
    TypeError
        If chroma or luma are no arrays, of different libraries, or have another dtype.
    ValueError
        If shapes or devices do not fit, chroma has no samples for a luma that has pixels, or one of them requires a
        gradient; on the CPU, chroma or luma out of range: of another space, say, or scale.
    BackendUnavailableError
        If `backend` does not run here, or not on the device of the luma.

    References
    ----------
    BT.601 and CIE Lab for the color spaces; samples lie as in torch's
    ``interpolate(mode="bilinear", align_corners=False)``.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> fastcolor.merge(np.zeros((2, 8, 8), np.float32), np.full((100, 80), 99, np.uint8))[0, 0].tolist()
    [99, 99, 99]
    """
    c = checks.array("chroma", chroma)
    checks.dtype("chroma", c, checks.CHROMA_DTYPES)
    checks.choice("space", space, SPACES)
    y = checks.luma(checks.beside("luma", luma, "chroma", c), space)
    checks.ndim("luma", y, 2)
    checks.ndim("chroma", c, 3)
    checks.size_on_axis("chroma", c, -3, "axis", 2)
    if c.shape[:-3] != y.shape[:-2]:
        raise ValueError(
            f"chroma: expected as many images as luma has, {y.shape[:-2]}, got {c.shape[:-3]} in shape {c.shape}"
        )
    checks.no_gradient("merge", chroma=c, luma=y)
    return route(y).merge(c, y, space, backend)


def _is_larger(luma: tuple[int, ...], logits: tuple[int, ...], axis: int) -> bool:
    """Whether luma (..., H, W) has at least the pixels of logits (..., n, h, w) along both sides."""
    return (
        axis == len(logits) - 3
        and luma[:-2] == logits[:-3]
        and len(luma) == len(logits) - 1
        and all(want >= have > 0 for want, have in zip(luma[-2:], logits[-2:], strict=True))
    )
