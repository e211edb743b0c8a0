"""Peers in CIE Lab with NumPy, scipy, scikit-image and OpenCV: what public colorizers do, in our words.

A function takes the arrays of a case first, as :meth:`bench.peers.registry.Peers.other` gives them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from fastcolor.reference import constants as c

from ..cases import Run

Array = np.ndarray
ToLab = Callable[[Array], Array]
CELL = 10.0  # of the grid
LINEAR = np.where(
    (levels := np.arange(256) / 255) <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4
)  # the curve of sRGB, of all levels
TO_XYZ = np.array(c.SRGB_TO_XYZ) / np.array(c.XYZ_WHITE)[:, None]  # over white


def to_lab(rgb: Array) -> Array:
    """Lab of uint8 colors in float64, the curve looked up: (..., 3)."""
    t = LINEAR[rgb] @ TO_XYZ.T
    f = np.where(t > c.LAB_THRESHOLD, np.cbrt(t), c.LAB_SLOPE * t + c.LAB_OFFSET)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def to_lab_skimage(rgb: Array) -> Array:
    from skimage.color import rgb2lab

    lab: Array = rgb2lab(rgb)
    return lab


def to_lab_opencv(rgb: Array) -> Array:
    """OpenCV's float32 Lab, with tables of its own."""
    import cv2

    return cv2.cvtColor(rgb.astype(np.float32) * np.float32(1 / 255), cv2.COLOR_RGB2LAB)


def encode_grid(rgb: Array, bins: Any, weights: Array, convert: ToLab, rows: int = 0) -> Run:
    """Lab, cells of ten by truncation, then look-ups; on `rows` rows at a time, or on the whole image."""
    table, bin_weights = bins.table.ravel(), weights.astype(np.float32)
    label_of = table.astype(np.int16)

    def encode(part: Array) -> tuple[Array, ...]:
        lab = convert(part)
        i, j = np.moveaxis(((lab[..., 1:] + c.AB_MAX) / CELL).astype(np.int64), -1, 0)
        labels = label_of[i * bins.cells + j]
        return lab[..., 0].astype(np.float32), labels, bin_weights[labels]

    def blocked() -> tuple[Array, ...]:
        shape = rgb.shape[:-1]
        results = tuple(np.empty(shape, dtype) for dtype in (np.float32, np.int16, np.float32))
        for start in range(0, len(rgb), rows):
            some = slice(start, start + rows)
            for whole, part in zip(results, encode(rgb[some]), strict=True):
                whole[some] = part
        return results

    return blocked if rows else lambda: encode(rgb)


def encode_tree(rgb: Array, bins: Any, weights: Array, threads: int) -> Run:
    """The nearest center by scipy's ``cKDTree``."""
    from scipy.spatial import cKDTree

    tree, bin_weights = cKDTree(bins.colors), weights.astype(np.float32)

    def run() -> tuple[Array, Array, Array]:
        lab = to_lab(rgb)
        labels = tree.query(lab[..., 1:], workers=threads)[1].astype(np.int16)
        return lab[..., 0].astype(np.float32), labels, bin_weights[labels]

    return run


def soft_tree(rgb: Array, bins: Any, weights: Array, neighbors: int, sigma: float, threads: int) -> Run:
    """The k nearest centers by scipy's ``cKDTree`` (Zhang et al.: a ball tree), nearest first; no n-wide target."""
    from scipy.spatial import cKDTree

    tree, bin_weights = cKDTree(bins.colors), weights.astype(np.float32)

    def run() -> tuple[Array, ...]:
        lab = to_lab(rgb)
        distances, labels = tree.query(lab[..., 1:], k=neighbors, workers=threads)
        shares = np.exp(distances**2 * (-0.5 / sigma**2))
        shares /= shares.sum(axis=-1, keepdims=True)
        first = np.moveaxis(labels, -1, 0).astype(np.int16)
        return (
            lab[..., 0].astype(np.float32),
            first,
            np.moveaxis(shares, -1, 0).astype(np.float32),
            bin_weights[first[0]],
        )

    return run


def annealed_mean(bins: Any, temperature: float) -> Callable[[Array], Array]:
    """Softmax and a matrix product with the centers, an image at a time: (N, n, h, w) to (N, 2, h, w)."""
    colors = np.ascontiguousarray(bins.colors.T)

    def function(x: Array) -> Array:
        out = np.empty((len(x), 2, *x.shape[2:]), np.float32)
        for planes, result in zip(x, out, strict=True):
            e = planes.reshape(len(planes), -1) - planes.max(axis=0).reshape(-1)
            e *= np.float32(1 / temperature)
            np.exp(e, out=e)
            result[:] = (colors @ e / e.sum(axis=0)).reshape(result.shape)
        return out

    return function


def decode_opencv(x: Array, light: Array, bins: Any, temperature: float) -> Run:
    """Chroma in NumPy, ``resize``, ``merge``, ``cvtColor``, rounded to uint8."""
    import cv2

    mean, size = annealed_mean(bins, temperature), light.shape[::-1]

    def run() -> Array:
        a, b = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in mean(x[None])[0])
        rgb = cv2.cvtColor(cv2.merge([light, a, b]), cv2.COLOR_LAB2RGB)
        return cv2.convertScaleAbs(rgb, alpha=255)

    return run


def decode_skimage(x: Array, light: Array, bins: Any, temperature: float) -> Run:
    """Chroma in NumPy, ``transform.resize`` (order 1), ``lab2rgb``, rounded to uint8."""
    from skimage.color import lab2rgb
    from skimage.transform import resize

    mean = annealed_mean(bins, temperature)
    warnings.filterwarnings("ignore", "Conversion from CIE-LAB", UserWarning)  # of colors outside the cube

    def run() -> Array:
        ab = np.moveaxis(mean(x[None])[0], 0, -1)
        full = resize(ab, light.shape, order=1, mode="edge", anti_aliasing=False)
        return (255 * lab2rgb(np.concatenate([light[..., None], full], axis=-1)) + 0.5).astype(np.uint8)

    return run
