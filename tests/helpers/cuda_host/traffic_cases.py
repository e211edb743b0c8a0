"""The operations whose traffic is counted: n = 32 on the main path, and some of many bins; arrays are aligned as torch
and CuPy allocate them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from fastcolor.kernels.cupy_cuda import decode as cuda_decode
from fastcolor.kernels.cupy_cuda import encode as cuda_encode
from fastcolor.kernels.cupy_cuda import encode_soft as cuda_encode_soft
from fastcolor.kernels.cupy_cuda import gradient as cuda_gradient
from fastcolor.kernels.cupy_cuda import loss
from fastcolor.kernels.cupy_cuda import merge as cuda_merge
from fastcolor.kernels.cupy_cuda import temporal as cuda_smoother

from bench import bytes as models
from fastcolor import reference

from .traffic import ENGINE, Array, Case, aligned

HEIGHT, WIDTH, BINS, CELLS = 64, 256, 32, 65
PIXELS = HEIGHT * WIDTH
LOGITS = ("float32", "float16")  # bfloat16 differs from float16 in arithmetic only
LAYOUTS = {"planar": 0, "channels-last": -1}


def cases() -> Iterator[Case]:
    """All of them, operation by operation."""
    rng = np.random.default_rng(4)
    bins = _bins(rng)
    yield from _encoding(rng, bins)
    yield from _encoding_lab(rng)
    yield from _decoding(rng, bins)
    yield from _gradients(rng, bins)
    yield from _smoothing(rng, bins)
    yield from _merging(rng)
    yield from _losses(rng)
    yield from _of_many_bins(rng)


def _bins(rng: np.random.Generator, n: int = BINS) -> reference.ColorBins:
    colors = (rng.uniform(-1, 1, (n, 2)) * [0.4, 0.6]).astype(np.float32)
    prior = rng.random(n) + 0.01
    table = rng.integers(0, n, (CELLS, CELLS)).astype(np.uint8 if n <= 255 else np.uint16)
    return reference.ColorBins(table, colors, prior / prior.sum())


def _logits(rng: np.random.Generator, dtype: str, axis: int, n: int = BINS, height: int = HEIGHT) -> Array:
    shape = (height, WIDTH, n) if axis else (n, height, WIDTH)
    x = aligned(shape, dtype)
    x[...] = rng.standard_normal(shape)
    return x


def _encoding(rng: np.random.Generator, bins: Any) -> Iterator[Case]:
    luma, weights = aligned((HEIGHT, WIDTH), np.float32), aligned((HEIGHT, WIDTH), np.float32)
    for layout, axis in {"interleaved": -1, "planar": 0}.items():
        rgb = aligned((HEIGHT, WIDTH, 3) if axis else (3, HEIGHT, WIDTH), np.uint8)
        rgb[...] = rng.integers(0, 256, rgb.shape)
        for dtype in ("uint8", "int64"):
            labels = aligned((HEIGHT, WIDTH), dtype)
            yield Case(
                f"encode, {layout}, {dtype} labels",
                lambda rgb=rgb, axis=axis, labels=labels: cuda_encode.encode(
                    ENGINE, rgb, bins, channel_axis=axis, label_dtype=str(labels.dtype), out=(luma, labels, weights)
                ),
                (rgb, luma, labels, weights),
                PIXELS,
                models.encode(PIXELS, labels.itemsize),
            )
        yield Case(
            f"histogram, {layout}",
            lambda rgb=rgb, axis=axis: cuda_encode.histogram(ENGINE, rgb, CELLS, channel_axis=axis),
            (rgb,),
            PIXELS,
            models.histogram(PIXELS, CELLS),
        )


def _encoding_lab(rng: np.random.Generator) -> Iterator[Case]:
    """313 bins, and colors such as a photograph has: those near gray, few of all cells."""
    bins = reference.bins_of_centers(reference.zhang_centers())
    rgb = aligned((HEIGHT, WIDTH, 3), np.uint8)
    rgb[...] = rng.integers(90, 165, rgb.shape)
    luma, weights = aligned((HEIGHT, WIDTH), np.float32), aligned((HEIGHT, WIDTH), np.float32)
    labels = aligned((HEIGHT, WIDTH), np.int16)
    yield Case(
        "encode in Lab, n = 313, int16 labels",
        lambda: cuda_encode.encode(ENGINE, rgb, bins, label_dtype="int16", out=(luma, labels, weights)),
        (rgb, luma, labels, weights),
        PIXELS,
        models.encode(PIXELS, labels.itemsize),
    )
    yield Case(
        "histogram in Lab",
        lambda: cuda_encode.histogram(ENGINE, rgb, bins.cells, space="lab"),
        (rgb,),
        PIXELS,
        models.histogram(PIXELS, bins.cells),
    )
    for neighbors, axis, where in ((5, 0, "planes"), (10, 0, "planes"), (5, 2, "rows")):
        shape = (neighbors, HEIGHT, WIDTH) if axis == 0 else (HEIGHT, WIDTH, neighbors)
        out = luma, aligned(shape, np.int16), aligned(shape, np.float32), weights
        yield Case(
            f"soft encode in Lab, n = 313, k = {neighbors} in {where}",
            lambda neighbors=neighbors, axis=axis, out=out: cuda_encode_soft.encode_soft(
                ENGINE, rgb, bins, neighbors=neighbors, axis=axis, out=out
            ),
            (rgb, *out),
            PIXELS,
            models.encode_soft(PIXELS, neighbors),
        )


def _gradients(rng: np.random.Generator, bins: Any) -> Iterator[Case]:
    for dtype in LOGITS:
        for layout, axis in LAYOUTS.items():
            x, gradient = _logits(rng, dtype, axis), _logits(rng, dtype, axis)
            slope = aligned((HEIGHT, WIDTH, 2) if axis else (2, HEIGHT, WIDTH), dtype)
            slope[...] = 1
            yield Case(
                f"gradient of the annealed mean, {layout}, {dtype}",
                lambda slope=slope, x=x, axis=axis, gradient=gradient: cuda_gradient.annealed_mean_gradient(
                    ENGINE, slope, x, bins, axis=axis, out=gradient
                ),
                (x, slope, gradient),
                PIXELS,
                models.Traffic(x.nbytes + slope.nbytes, gradient.nbytes),
            )


def _smoothing(rng: np.random.Generator, bins: Any) -> Iterator[Case]:
    luma = aligned((HEIGHT, WIDTH), np.float32)
    rgb = aligned((HEIGHT, WIDTH, 3), np.uint8)
    for dtype in LOGITS:
        for layout, axis in LAYOUTS.items():
            x = _logits(rng, dtype, axis)
            frame = np.moveaxis(x, axis, 0)
            for ring in ("float32", "float16", "uint8") if dtype == "float32" else ("uint8",):
                smoother = cuda_smoother.TemporalSmoother(ENGINE, bins, window=3, ring=ring)
                smoother.step(frame, luma, out=rgb)
                smoother._sums, smoother._past = map(_realigned, (smoother._sums, smoother._past))
                yield Case(
                    f"smoothing, {layout}, {dtype}, {ring} ring",
                    lambda smoother=smoother, frame=frame: smoother.step(frame, luma, out=rgb),
                    (x, luma, rgb, smoother._sums, smoother._past),
                    PIXELS,
                    models.temporal(PIXELS, BINS, np.dtype(ring).itemsize, x.itemsize),
                )


def _realigned(array: Array) -> Array:
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


def _merging(rng: np.random.Generator) -> Iterator[Case]:
    for what, dtype, space, images in (
        ("merge", "float32", "yuv", 1),
        ("merge", "uint8", "yuv", 1),
        ("merge of 2 images", "float32", "yuv", 2),
        ("merge in Lab", "float32", "lab", 1),
    ):
        luma, rgb = aligned((images, HEIGHT, WIDTH), dtype), aligned((images, HEIGHT, WIDTH, 3), np.uint8)
        chroma = aligned((images, 2, HEIGHT // 8, WIDTH // 8), np.float32)
        yield Case(
            f"{what}, {dtype} luma",
            lambda chroma=chroma, luma=luma, space=space, rgb=rgb: cuda_merge.merge(
                ENGINE, chroma, luma, space=space, out=rgb
            ),
            (luma, rgb),
            luma.size,
            models.merge(luma.size, chroma.size // 2, luma.itemsize),
        )


def _decoding(rng: np.random.Generator, bins: Any) -> Iterator[Case]:
    luma = aligned((HEIGHT, WIDTH), np.float32)
    rgb = aligned((HEIGHT, WIDTH, 3), np.uint8)
    maps = aligned((HEIGHT, WIDTH), np.float32), aligned((HEIGHT, WIDTH), np.float32)
    for dtype in LOGITS:
        for layout, axis in LAYOUTS.items():
            x = _logits(rng, dtype, axis)
            chroma = aligned((HEIGHT, WIDTH, 2) if axis else (2, HEIGHT, WIDTH), dtype)
            bytes_each = x.itemsize
            what = f"{layout}, {dtype}"
            yield Case(
                f"decode, {what}",
                lambda x=x, axis=axis: cuda_decode.decode(ENGINE, x, luma, bins, axis=axis, out=rgb),
                (x, luma, rgb),
                PIXELS,
                models.decode(PIXELS, BINS, bytes_each),
            )
            yield Case(
                f"decode with confidence, {what}",
                lambda x=x, axis=axis: cuda_decode.decode(
                    ENGINE, x, luma, bins, axis=axis, confidence=True, out=(rgb, *maps)
                ),
                (x, luma, rgb, *maps),
                PIXELS,
                models.decode(PIXELS, BINS, bytes_each, confidence=True),
            )
            yield Case(
                f"annealed mean, {what}",
                lambda x=x, axis=axis, chroma=chroma: cuda_decode.annealed_mean(ENGINE, x, bins, axis=axis, out=chroma),
                (x, chroma),
                PIXELS,
                models.annealed_mean(PIXELS, BINS, bytes_each),
            )
            yield Case(
                f"confidence, {what}",
                lambda x=x, axis=axis: cuda_decode.confidence(ENGINE, x, axis=axis, out=maps),
                (x, *maps),
                PIXELS,
                models.confidence(PIXELS, BINS, bytes_each),
            )


def _losses(rng: np.random.Generator) -> Iterator[Case]:
    labels, weights = aligned((1, HEIGHT, WIDTH), np.uint8), aligned((1, HEIGHT, WIDTH), np.float32)
    labels[...] = rng.integers(0, BINS, labels.shape)
    weights[...] = 1
    for dtype in LOGITS:
        for layout, axis in LAYOUTS.items():
            x, gradient = _logits(rng, dtype, axis)[None], _logits(rng, dtype, axis)[None]
            views = [np.moveaxis(array, -1, 1) if axis else array for array in (x, gradient)]
            yield Case(
                f"weighted cross entropy, {layout}, {dtype}",
                lambda views=views: loss.weighted_cross_entropy(
                    ENGINE, views[0], labels, weights, over=weights, gradient=views[1]
                ),
                (x, gradient, labels, weights),
                PIXELS,
                models.cross_entropy(PIXELS, BINS, logit_bytes=x.itemsize),
            )


def _of_many_bins(rng: np.random.Generator) -> Iterator[Case]:
    """Rows of 320 bins begin with a sector; those of 313 share one with the next row, which the cache brings once."""
    height, pixels = 4, 4 * WIDTH
    luma, rgb = aligned((height, WIDTH), np.float32), aligned((height, WIDTH, 3), np.uint8)
    weights = aligned((1, height, WIDTH), np.float32)
    weights[...] = 1
    for n, axis in ((313, 0), (320, -1)):
        bins, layout = _bins(rng, n), "channels-last" if axis else "planar"
        labels = aligned((1, height, WIDTH), np.int16)
        labels[...] = n // 2
        for dtype in LOGITS:
            x, gradient = (_logits(rng, dtype, axis, n, height) for _ in range(2))
            yield Case(
                f"decode, n = {n}, {layout}, {dtype}",
                lambda x=x, axis=axis, bins=bins: cuda_decode.decode(ENGINE, x, luma, bins, axis=axis, out=rgb),
                (x, luma, rgb),
                pixels,
                models.decode(pixels, n, x.itemsize),
            )
            views = [np.moveaxis(array, axis, 0)[None] for array in (x, gradient)]
            yield Case(
                f"weighted cross entropy, n = {n}, {layout}, {dtype}",
                lambda views=views, labels=labels: loss.weighted_cross_entropy(
                    ENGINE, views[0], labels, weights, over=weights, gradient=views[1]
                ),
                (x, gradient, labels, weights),
                pixels,
                models.cross_entropy(pixels, n, 2, x.itemsize),
            )
