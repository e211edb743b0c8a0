"""Peers from other libraries: nearest neighbours, the paper's dictionary look-up, OpenCV, scikit-image.

Where a library does only part of the operation, the rest is done with it by the fastest means at hand, so that all
candidates give the same outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fastcolor.reference import constants as c

from ..cases import Run
from .color import OFFSETS

Array = np.ndarray


def _yuv(rgb: Array) -> tuple[Array, Array]:
    """Luma (...) and chroma (pixels, 2), float32."""
    r, g, b = (rgb[..., k].astype(np.float32) * np.float32(1 / 255) for k in range(3))
    y = np.float32(c.LUMA[0]) * r + np.float32(c.LUMA[1]) * g + np.float32(c.LUMA[2]) * b
    return y, np.stack([np.float32(c.U_SCALE) * (b - y), np.float32(c.V_SCALE) * (r - y)], axis=-1).reshape(-1, 2)


def encode_sklearn(rgb: Array, bins: Any, weights: Array, threads: int) -> Run:
    """``NearestNeighbors(n_neighbors=1)`` on the bins' colors."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=1, n_jobs=threads).fit(bins.colors)
    return _nearest(rgb, weights, lambda chroma: search.kneighbors(chroma, return_distance=False)[:, 0])


def encode_kdtree(rgb: Array, bins: Any, weights: Array, threads: int) -> Run:
    """scipy's ``cKDTree.query`` on the bins' colors."""
    from scipy.spatial import cKDTree

    tree = cKDTree(bins.colors)
    return _nearest(rgb, weights, lambda chroma: tree.query(chroma, workers=threads)[1])


def _nearest(rgb: Array, weights: Array, search: Callable[[Array], Array]) -> Run:
    bin_weights = weights.astype(np.float32)

    def run() -> tuple[Array, Array, Array]:
        y, chroma = _yuv(rgb)
        label = search(chroma).astype(np.uint8).reshape(y.shape)
        return y, label, bin_weights[label]

    return run


def encode_dictionary(rgb: Array, bins: Any, weights: Array) -> Run:
    """Pixel by pixel, a dictionary from cell to label, as in the paper's code (with this project's exact cells)."""
    cells = bins.cells
    labels = {(i, j): int(bins.table[i, j]) for i in range(cells) for j in range(cells)}
    bin_weights = [float(w) for w in weights]
    u_max, v_max = c.U_NUMERATOR_MAX, c.V_NUMERATOR_MAX

    def run() -> tuple[Array, Array, Array]:
        y, label, weight = [], [], []
        for r, g, b in rgb.reshape(-1, 3).tolist():
            i = min(cells - 1, (886 * b - 299 * r - 587 * g + u_max) * cells // (2 * u_max))
            j = min(cells - 1, (701 * r - 587 * g - 114 * b + v_max) * cells // (2 * v_max))
            y.append((299 * r + 587 * g + 114 * b) / 255000)
            label.append(labels[i, j])
            weight.append(bin_weights[label[-1]])
        shape = rgb.shape[:-1]
        arrays = np.array(y, np.float32), np.array(label, np.uint8), np.array(weight, np.float32)
        return arrays[0].reshape(shape), arrays[1].reshape(shape), arrays[2].reshape(shape)

    return run


def encode_skimage(rgb: Array, bins: Any, weights: Array) -> Run:
    """``skimage.color.rgb2yuv`` (float64), then cells and look-ups in NumPy."""
    from skimage.color import rgb2yuv

    table, bin_weights = bins.table.ravel(), weights.astype(np.float32)
    tops = np.array([c.U_MAX, c.V_MAX])

    def run() -> tuple[Array, Array, Array]:
        yuv = rgb2yuv(rgb)
        scaled = (yuv[..., 1:] + tops) * (bins.cells / (2 * tops))
        index = np.clip(scaled, 0, bins.cells - 1).astype(np.int64)
        label = table[index[..., 0] * bins.cells + index[..., 1]]
        return yuv[..., 0].astype(np.float32), label, bin_weights[label]

    return run


def histogram_opencv(rgb: Array, cells: int) -> Run:
    """``cvtColor`` to 8-bit YUV and ``calcHist``: chroma is rounded to 8 bits, and V beyond them is cut off."""
    import cv2

    # OpenCV stores 0.492 (B - Y) + 128 and 0.877 (R - Y) + 128: our U and V, times 255.
    ranges = [128.5 - 255 * c.U_MAX, 128.5 + 255 * c.U_MAX, 128.5 - 255 * c.V_MAX, 128.5 + 255 * c.V_MAX]

    def run() -> Array:
        yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV)
        return cv2.calcHist([yuv], [1, 2], None, [cells, cells], ranges).astype(np.int64)

    return run


def histogram_opencv_float(rgb: Array, cells: int) -> Run:
    """``transform`` to float32 chroma and ``calcHist``: right but for float rounding at the cells' edges."""
    import cv2

    to_chroma = np.array([c.U_COEFFICIENTS, c.V_COEFFICIENTS], np.float32)
    u_max, v_max = c.U_NUMERATOR_MAX, c.V_NUMERATOR_MAX

    def run() -> Array:
        chroma = cv2.transform(rgb.astype(np.float32), to_chroma)
        bounds = [-u_max, u_max + 0.5, -v_max, v_max + 0.5]
        return cv2.calcHist([chroma], [0, 1], None, [cells, cells], bounds).astype(np.int64)

    return run


def merge_opencv(chroma: Array, luma: Array) -> Run:
    """Low-resolution R, G, B offsets (``transform``), ``resize``, and a saturating ``addWeighted`` with the luma."""
    import cv2

    planes = np.ascontiguousarray(np.moveaxis(chroma, 0, -1))
    offsets = (255 * OFFSETS).astype(np.float32)
    size = luma.shape[::-1]

    def run() -> Array:
        low = cv2.transform(planes, offsets)
        high = cv2.resize(low, size, interpolation=cv2.INTER_LINEAR)
        scale = 1.0 if luma.dtype == np.uint8 else 255.0
        gray = luma.astype(np.float32) if luma.dtype == np.uint8 else luma
        return cv2.addWeighted(high, 1.0, cv2.merge([gray, gray, gray]), scale, 0.0, dtype=cv2.CV_8U)

    return run


def merge_opencv_uint8(chroma: Array, luma: Array) -> Run:
    """All in 8 bits: quantised chroma, ``resize``, ``merge``, ``cvtColor``."""
    import cv2

    size = luma.shape[::-1]
    quantised = np.clip(np.round(255 * np.moveaxis(chroma, 0, -1) + 128), 0, 255).astype(np.uint8)

    def run() -> Array:
        u, v = cv2.split(cv2.resize(quantised, size, interpolation=cv2.INTER_LINEAR))
        gray = luma if luma.dtype == np.uint8 else cv2.addWeighted(luma, 255.0, luma, 0.0, 0.0, dtype=cv2.CV_8U)
        return cv2.cvtColor(cv2.merge([gray, u, v]), cv2.COLOR_YUV2RGB)

    return run


def merge_skimage(chroma: Array, luma: Array) -> Run:
    """``skimage.transform.resize`` (order 1), then the color equations."""
    from skimage.transform import resize

    planes = np.ascontiguousarray(np.moveaxis(chroma, 0, -1))

    def run() -> Array:
        full = resize(planes, luma.shape, order=1, mode="edge", anti_aliasing=False)
        y = luma * np.float32(1 / 255) if luma.dtype == np.uint8 else luma
        rgb = full @ OFFSETS.T.astype(np.float32) + y[..., None]
        return (np.clip(rgb, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)

    return run
