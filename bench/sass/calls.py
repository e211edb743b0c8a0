"""A call of every operation of the CUDA kernels, as their host code is called, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from fastcolor.kernels.cupy_cuda import decode as cuda_decode
from fastcolor.kernels.cupy_cuda import encode as cuda_encode
from fastcolor.kernels.cupy_cuda import gradient as cuda_gradient
from fastcolor.kernels.cupy_cuda import loss, temporal
from fastcolor.kernels.cupy_cuda import merge as cuda_merge
from fastcolor.kernels.cupy_cuda.engine import Engine

from fastcolor import ColorBins

RINGS = ("float32", "float16", "uint8")


def bins_of(n: int) -> ColorBins:
    """Any n bins on 17 x 17 cells."""
    table = (np.arange(17 * 17) % n).astype(np.uint8).reshape(17, 17)
    return ColorBins(table, np.zeros((n, 2), np.float32), np.full(n, 1 / n))


def _luma(x: Any, axis: int, dtype: str = "float32") -> Any:
    return np.zeros((*x.shape[:axis], *x.shape[axis + 1 :]), dtype)


def _decode(engine: Engine, x: Any, axis: int, bins: ColorBins, *, luma: str = "float32", **options: Any) -> None:
    cuda_decode.decode(engine, x, _luma(x, axis, luma), bins, axis=axis, **options)


def _annealed_mean(engine: Engine, x: Any, axis: int, bins: ColorBins, *, temperature: float = 0.38) -> None:
    cuda_decode.annealed_mean(engine, x, bins, axis=axis, temperature=temperature)


def _confidence(engine: Engine, x: Any, axis: int, bins: ColorBins) -> None:
    cuda_decode.confidence(engine, x, axis=axis)


def _temporal(engine: Engine, x: Any, axis: int, bins: ColorBins, *, ring: str) -> None:
    smoother = temporal.TemporalSmoother(engine, bins, ring=ring, window=2)
    smoother.step(np.moveaxis(x, axis, 0), _luma(x, axis))


def _temporal_chroma(engine: Engine, x: Any, axis: int, bins: ColorBins) -> None:
    smoother = temporal.TemporalSmoother(engine, bins, window=2)
    smoother.chroma(np.moveaxis(x, axis, 0))
    _ = smoother.probabilities


def _loss(engine: Engine, x: Any, axis: int, bins: ColorBins, *, gradient: bool, labels: str = "uint8") -> None:
    batch, weights, scale = np.moveaxis(x, axis, 0)[None], _luma(x, axis)[None], np.ones(1, np.float32)
    target = np.zeros_like(batch) if gradient else None
    loss.weighted_cross_entropy(engine, batch, weights.astype(labels), weights, scale, gradient=target)
    if target is not None:
        loss.scale_unless_one(engine, target, scale)


def _gradient(engine: Engine, x: Any, axis: int, bins: ColorBins) -> None:
    slope = np.zeros((*x.shape[:axis], 2, *x.shape[axis + 1 :]), x.dtype)
    cuda_gradient.annealed_mean_gradient(engine, slope, x, bins, axis=axis, out=np.zeros_like(x))


def _encode(engine: Engine, rgb: Any, axis: int, bins: ColorBins, *, label_dtype: str) -> None:
    cuda_encode.encode(engine, rgb, bins, channel_axis=axis, label_dtype=label_dtype)


def _histogram(engine: Engine, rgb: Any, axis: int, bins: ColorBins, *, cells: int) -> None:
    cuda_encode.histogram(engine, rgb, cells, channel_axis=axis)


def merge(engine: Engine, luma: Any) -> None:
    """Chroma of an eighth of the size onto `luma`, as of a network that sees a small photograph."""
    height, width = luma.shape
    cuda_merge.merge(engine, np.zeros((2, height // 8, width // 8), np.float32), luma)


OF_LOGITS: dict[str, Callable[..., None]] = {
    "decode": partial(_decode, confidence=False),
    "decode + confidence": partial(_decode, confidence=True),
    "annealed_mean": _annealed_mean,
    "confidence": _confidence,
    **{f"temporal, {ring} ring": partial(_temporal, ring=ring) for ring in RINGS},
    "gradient of annealed_mean": _gradient,
    "loss and gradient": partial(_loss, gradient=True),
    "loss": partial(_loss, gradient=False, labels="int64"),
}
OF_IMAGES: dict[str, Callable[..., None]] = {
    "encode": partial(_encode, label_dtype="uint8"),
    "encode to int64": partial(_encode, label_dtype="int64"),
    "histogram": partial(_histogram, cells=65),
    "histogram of 255 cells": partial(_histogram, cells=255),
}
VARIANTS: dict[str, Callable[..., None]] = {
    "decode, T = 0": partial(_decode, temperature=0.0),
    "decode, uint8 luma": partial(_decode, luma="uint8"),
    "decode, to planes": partial(_decode, channel_axis=0),
    "annealed_mean, T = 0": partial(_annealed_mean, temperature=0.0),
    "temporal, to chroma": _temporal_chroma,
}
