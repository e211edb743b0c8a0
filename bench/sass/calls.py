"""A call of every operation of the CUDA kernels, as their host code is called, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from fastcolor.kernels.cupy_cuda import decode as cuda_decode
from fastcolor.kernels.cupy_cuda import encode as cuda_encode
from fastcolor.kernels.cupy_cuda import encode_soft as cuda_encode_soft
from fastcolor.kernels.cupy_cuda import gradient as cuda_gradient
from fastcolor.kernels.cupy_cuda import loss, temporal
from fastcolor.kernels.cupy_cuda import merge as cuda_merge
from fastcolor.kernels.cupy_cuda.engine import Engine

from fastcolor import ColorBins

from ..cases import PLANAR, STREAMED, at_width

RINGS = ("float32", "float16", "uint8")
LAB_BINS = 313


def _bins(n: int, space: str = "yuv") -> ColorBins:
    """Any n bins on 23 x 23 cells."""
    table = (np.arange(23 * 23) % n).astype(np.uint8 if n <= 255 else np.uint16).reshape(23, 23)
    return ColorBins(table, np.zeros((n, 2), np.float32), np.full(n, 1 / n), space=space)


def _luma(x: Any, axis: int, dtype: str = "float32") -> Any:
    return np.zeros((*x.shape[:axis], *x.shape[axis + 1 :]), dtype)


def _decode(
    engine: Engine,
    x: Any,
    axis: int,
    *,
    luma: str = "float32",
    space: str = "yuv",
    confidence: bool = False,
    **options: Any,
) -> None:
    bins = _bins(x.shape[axis], space)
    cuda_decode.decode(engine, x, _luma(x, axis, luma), bins, axis=axis, confidence=confidence, **options)


def _annealed_mean(engine: Engine, x: Any, axis: int, *, temperature: float = 0.38) -> None:
    cuda_decode.annealed_mean(engine, x, _bins(x.shape[axis]), axis=axis, temperature=temperature)


def _confidence(engine: Engine, x: Any, axis: int) -> None:
    cuda_decode.confidence(engine, x, axis=axis)


def _temporal(
    engine: Engine, x: Any, axis: int, *, space: str = "yuv", to_chroma: bool = False, **options: Any
) -> None:
    smoother = temporal.TemporalSmoother(engine, _bins(x.shape[axis], space), window=2, **options)
    if to_chroma:
        smoother.chroma(np.moveaxis(x, axis, 0))
        _ = smoother.probabilities
    else:
        smoother.step(np.moveaxis(x, axis, 0), _luma(x, axis))


def _gradient(engine: Engine, x: Any, axis: int) -> None:
    slope = np.zeros((*x.shape[:axis], 2, *x.shape[axis + 1 :]), x.dtype)
    bins = _bins(x.shape[axis])
    cuda_gradient.annealed_mean_gradient(engine, slope, x, bins, axis=axis, out=np.zeros_like(x))


def _loss(engine: Engine, x: Any, axis: int, *, gradient: bool, labels: str = "uint8") -> None:
    batch, weights = np.moveaxis(x, axis, 0)[None], _luma(x, axis)[None]
    target = np.zeros_like(batch) if gradient else None
    loss.weighted_cross_entropy(engine, batch, weights.astype(labels), weights, over=weights, gradient=target)


def _soft_loss(engine: Engine, x: Any, axis: int, *, neighbors: int) -> None:
    """With the shares of k bins, or of all (k = 0)."""
    batch, weights = np.moveaxis(x, axis, 0)[None], _luma(x, axis)[None]
    shares = np.zeros((1, neighbors or x.shape[axis], *weights.shape[1:]), np.float32)
    labels = shares.astype(np.int16) if neighbors else None
    loss.weighted_cross_entropy(engine, batch, labels, weights, shares=shares, gradient=np.zeros_like(batch))


def _encode(engine: Engine, rgb: Any, axis: int, *, to: str, space: str = "yuv", n: int = 32) -> None:
    cuda_encode.encode(engine, rgb, _bins(n, space), channel_axis=axis, label_dtype=to)


def _encode_soft(engine: Engine, rgb: Any, axis: int, *, neighbors: int, to: int, space: str = "lab") -> None:
    """Labels and shares on the axis `to`."""
    options = {"neighbors": neighbors, "weighting": "mean"}
    cuda_encode_soft.encode_soft(engine, rgb, _bins(LAB_BINS, space), **options, channel_axis=axis, axis=to)


def _histogram(engine: Engine, rgb: Any, axis: int, *, cells: int, space: str = "yuv") -> None:
    cuda_encode.histogram(engine, rgb, cells, space=space, channel_axis=axis)


def _merge(engine: Engine, luma: Any, axis: int, *, images: int = 1, space: str = "yuv", by: int = 8) -> None:
    """Chroma of an eighth of the size, or less, onto `luma`, as of a network that sees a small photograph."""
    height, width = luma.shape
    chroma = np.zeros((images, 2, height // by, width // by), np.float32)
    cuda_merge.merge(engine, chroma, np.broadcast_to(luma, (images, height, width)), space=space)


Calls = dict[str, Callable[..., None]]
OF_LOGITS: Calls = {
    "decode": _decode,
    "decode + confidence": partial(_decode, confidence=True),
    "annealed_mean": _annealed_mean,
    "confidence": _confidence,
    **{f"temporal, {ring} ring": partial(_temporal, ring=ring) for ring in RINGS},
    "gradient of annealed_mean": _gradient,
    "loss and gradient": partial(_loss, gradient=True),
    "loss": partial(_loss, gradient=False, labels="int64"),
}


def _at_width(engine: Engine, x: Any, axis: int, *, of: str, kind: str, pixels: int) -> None:
    with at_width(kind, pixels):
        OF_LOGITS[of](engine, x, axis)


# What a sweep on a GPU may bring into the table of the pixels a thread, for planes of 32 bins.
AT_WIDTHS: Calls = {
    f"{of}, {kind}, {pixels} a thread": partial(_at_width, of=of, kind=kind, pixels=pixels)
    for of in ("decode", "decode + confidence", "annealed_mean", "confidence")
    for kind, pixels in (*PLANAR, *STREAMED)
}
OF_IMAGES: Calls = {
    "encode": partial(_encode, to="uint8"),
    "encode to int64": partial(_encode, to="int64"),
    "histogram": partial(_histogram, cells=65),
    "histogram of 255 cells": partial(_histogram, cells=255),
    "encode in Lab": partial(_encode, to="uint8", space="lab"),
    "encode in Lab to int16": partial(_encode, to="int16", space="lab", n=LAB_BINS),
    "histogram in Lab": partial(_histogram, cells=23, space="lab"),
    "histogram in Lab of 255 cells": partial(_histogram, cells=255, space="lab"),
    **{f"soft encode, k = {k}": partial(_encode_soft, neighbors=k, to=0) for k in (5, 10, 32)},
    **{f"soft encode, k = {k}, to rows": partial(_encode_soft, neighbors=k, to=2) for k in (5, 32)},
    "soft encode, k = 5, in YUV": partial(_encode_soft, neighbors=5, to=0, space="yuv"),
}
OF_LUMA: Calls = {
    "merge": _merge,
    "merge, 16 times as wide": partial(_merge, by=16),
    "merge of images": partial(_merge, images=3),
    "merge in Lab": partial(_merge, space="lab"),
    "merge of images in Lab": partial(_merge, images=3, space="lab"),
}
# Options, of float32 logits alone.
VARIANTS: Calls = {
    "decode, T = 0": partial(_decode, temperature=0.0),
    "decode, uint8 luma": partial(_decode, luma="uint8"),
    "decode, to planes": partial(_decode, channel_axis=0),
    "decode, in Lab": partial(_decode, space="lab"),
    "decode, of probabilities": partial(_decode, from_logits=False),
    "annealed_mean, T = 0": partial(_annealed_mean, temperature=0.0),
    "temporal, to chroma": partial(_temporal, to_chroma=True),
    "temporal, in Lab, of probabilities": partial(_temporal, space="lab", from_logits=False),
    "loss and gradient, k = 5": partial(_soft_loss, neighbors=5),
    "loss and gradient, dense": partial(_soft_loss, neighbors=0),
}
