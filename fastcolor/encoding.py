"""Color images to training targets: labels and soft targets with luma and class weights, histograms, range checks.

Arrays go in and come back as the same kind on the same device, as in :mod:`fastcolor.ops`.
"""

from __future__ import annotations

from typing import Any

from .arrays import checks, run
from .arrays.kinds import Seen
from .arrays.plans import planned
from .arrays.route import route
from .reference.bins import ColorBins
from .reference.constants import DEFAULT_LAM, DEFAULT_NEIGHBORS, DEFAULT_SIGMA, MAX_CELLS, MAX_NEIGHBORS, SPACES


@planned
def encode(
    rgb: Any,
    bins: ColorBins,
    *,
    lam: float = DEFAULT_LAM,
    label_dtype: str = "auto",
    channel_axis: int = -1,
    backend: str = "auto",
) -> tuple[Any, Any, Any]:
    """``luma = Y(rgb)`` or L, ``labels = table[cell(rgb)]``, ``weights = bins.weights(lam)[labels]``.

    What a training step needs to know of a color image, in one pass. Labels of uint8 images are exact, whichever plane
    the bins divide: those of the definition in integers (YUV) or in float64 (Lab), for all 2^24 colors.

    Parameters
    ----------
    rgb : array, 3 on `channel_axis`
        uint8 in 0..255, or float32 or float64 in [0, 1]; any strides.
    bins : ColorBins
    lam : float
        λ of the class rebalancing, in [0, 1].
    label_dtype : {"auto", "uint8", "uint16", "int16", "int32", "int64"}
        "auto" is uint8 up to 255 bins, else int16.
    channel_axis : int
    backend : str
        "auto", or a name of :func:`backends`.

    Returns
    -------
    luma : array, float32
        BT.601 luma in [0, 1], or L of Lab in [0, 100]; shape of `rgb` without its channel axis, like all three.
    labels : array, `label_dtype`
    weights : array, float32

    Raises
    ------
    TypeError
        If `rgb` is no array, or has another dtype.
    ValueError
        If there are not 3 channels on `channel_axis`, λ or `label_dtype` is none of the accepted or does not hold the
        labels, or `rgb` requires a gradient; on the CPU, floats outside [0, 1].
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
    lam = checks.class_weights(bins, lam)
    labels = checks.label_dtype(label_dtype, len(bins.colors))
    checks.no_gradient("encode", rgb=image)
    parts: tuple[Any, Any, Any] = route(image).encode(image, bins, lam, labels, axis, backend)
    return parts


@planned
def encode_soft(
    rgb: Any,
    bins: ColorBins,
    *,
    neighbors: int = DEFAULT_NEIGHBORS,
    sigma: float = DEFAULT_SIGMA,
    lam: float = DEFAULT_LAM,
    weighting: str = "nearest",
    label_dtype: str = "auto",
    axis: int = -3,
    channel_axis: int = -1,
    backend: str = "auto",
) -> tuple[Any, Any, Any, Any]:
    """``share_j = exp(-d_j^2 / (2 σ^2)) / sum``, d_j the distances in chroma to the k nearest bins; ties to the lowest.

    Soft targets without an n-wide array: k labels and k shares a pixel.

    Parameters
    ----------
    rgb : array, 3 on `channel_axis`
        uint8 in 0..255, or float32 or float64 in [0, 1]; any strides.
    bins : ColorBins
    neighbors : int
        k in 1..min(n, 32): 5 in the paper, 10 in the released Caffe layer.
    sigma : float
        σ > 0, in the units of the chroma; 5 in the paper, for ab.
    lam : float
        λ of the class rebalancing, in [0, 1].
    weighting : {"nearest", "mean"}
        Weight of a pixel: that of its nearest bin (the paper's equation 3, and the code of Zhang et al.), or
        ``sum_j share_j w_j``.
    label_dtype : see :func:`encode`
    axis : int
        Where labels and shares have their k, which stand where logits have their n bins: ``(k, H, W)`` of an image,
        ``(N, k, H, W)`` of a batch. Pixels without two dimensions, (P, 3) say, need ``axis=0`` or another.
    channel_axis : int
    backend : str
        "auto", or a name of :func:`backends`.

    Returns
    -------
    luma : array, float32
        Y in [0, 1] or L in [0, 100]; shape of `rgb` without its channel axis.
    labels : array, `label_dtype`, k on `axis`
        Nearest first. Two bins whose distances differ by less than float32 resolves (1e-3 in ab) may change places.
    shares : array, float32, k on `axis`
        Of a pixel they sum to 1.
    weights : array, float32, shape of the luma

    Raises
    ------
    TypeError
        If `rgb` is no array, or has another dtype.
    ValueError
        If an option is out of its range, there are not 3 channels on `channel_axis`, or `rgb` requires a gradient; on
        the CPU, floats outside [0, 1].
    BackendUnavailableError
        If `backend` does not run here, or not on the device of `rgb`.

    References
    ----------
    Zhang et al. 2016 (arXiv:1603.08511), section 2.2 and equations 2 to 4.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> red = np.zeros((2, 2, 3), np.uint8)
    >>> red[..., 0] = 255
    >>> luma, labels, shares, weights = fastcolor.encode_soft(red, fastcolor.ColorBins.zhang())
    >>> labels.shape, round(float(luma[0, 0]), 2), round(float(shares[:, 0, 0].sum()), 5)
    ((5, 2, 2), 53.24, 1.0)
    """
    image, channel = _rgb(rgb, channel_axis)
    checks.color_bins(bins)
    n = len(bins.colors)
    k = checks.integer("neighbors", neighbors, 1, min(n, MAX_NEIGHBORS))
    sigma = checks.positive("sigma", sigma)
    lam = checks.class_weights(bins, lam)
    checks.choice("weighting", weighting, checks.WEIGHTINGS)
    labels = checks.label_dtype(label_dtype, n)
    where = checks.axis("axis", axis, len(image.shape))
    checks.no_gradient("encode_soft", rgb=image)
    options = k, sigma, lam, weighting, labels, where, channel, backend
    parts: tuple[Any, Any, Any, Any] = route(image).encode_soft(image, bins, *options)
    return parts


@planned
def histogram(rgb: Any, cells: int, *, space: str = "yuv", channel_axis: int = -1, backend: str = "auto") -> Any:
    """``H[i, j] = number of pixels with cell (i, j)``.

    Parameters
    ----------
    rgb : array, 3 on `channel_axis`
        uint8 in 0..255, or float32 or float64 in [0, 1].
    cells : int
        K, 1..255. An odd K keeps neutral gray in the middle of a cell.
    space : {"yuv", "lab"}
        Cells of the UV rectangle, or of the square of +-115 in ab: 23 of these are the grid of 10.
    channel_axis : int
    backend : str
        "auto", or a name of :func:`backends`.

    Returns
    -------
    array, shape (K, K), int64
        U or a on the first axis, V or b on the second. Histograms of parts add up to that of the whole.

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
    checks.choice("space", space, SPACES)
    checks.no_gradient("histogram", rgb=image)
    return route(image).histogram(image, cells, space, axis, backend)


def check_range(values: Any, what: str, *, space: str = "yuv") -> None:
    """Raise ValueError if an array leaves the range that it must have, by more than rounding to bfloat16 explains.

    On the CPU every operation looks while it reads. On a GPU none does, since the host would have to wait for the
    device: there values out of range are used as they come, and RGB is clipped. This looks, and waits.

    Parameters
    ----------
    values : array
        NumPy, torch or CuPy; uint8 is always within.
    what : {"rgb", "luma", "chroma"}
        RGB in [0, 1]; Y in [0, 1] or L in [0, 100]; chroma, 2 on axis -3, as in :func:`merge`. NaN is passed over.
    space : {"yuv", "lab"}

    Raises
    ------
    TypeError
        If `values` is no array.
    ValueError
        If a value is out of range, chroma has not 2 on axis -3, or `what` or `space` is none of the accepted.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> fastcolor.check_range(np.float32([0, 50, 100]), "luma", space="lab")
    """
    seen = checks.array("values", values)
    checks.choice("what", what, checks.RANGES)
    checks.choice("space", space, SPACES)
    checks.dtype("values", seen, checks.LUMA_DTYPES)
    if seen.device == "meta":
        raise ValueError("values: expected an array whose values are there, got device 'meta'; look at the data")
    if seen.dtype == "uint8" or 0 in seen.shape:
        return
    if what == "chroma":
        checks.size_on_axis("values", seen, -3, "axis", 2)
    run.check_range(seen, what, space)


def _rgb(rgb: Any, channel_axis: int) -> tuple[Seen, int]:
    """What is seen of a color image, and the axis of its channels, made positive."""
    image = checks.array("rgb", rgb, checks.RGB_DTYPES, checks.UNITS)
    checks.ndim("rgb", image, 1)
    return image, checks.size_on_axis("rgb", image, channel_axis, "channel_axis", 3)
