"""The operations whose traffic is counted: n = 32 on the main path, arrays aligned as torch and CuPy allocate them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from fastcolor.kernels import _cuda_decode

from bench import bytes as models
from fastcolor import reference

from .traffic import Array, Case, aligned

HEIGHT, WIDTH, BINS = 64, 256, 32
PIXELS = HEIGHT * WIDTH
LOGITS = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
LAYOUTS = {"planar": 0, "channels-last": -1}


def cases() -> Iterator[Case]:
    """All of them, operation by operation."""
    rng = np.random.default_rng(4)
    bins = _bins(rng)
    yield from _decoding(rng, bins)


def _bins(rng: np.random.Generator) -> reference.ColorBins:
    colors = (rng.uniform(-1, 1, (BINS, 2)) * [0.4, 0.6]).astype(np.float32)
    prior = rng.random(BINS) + 0.01
    return reference.ColorBins(rng.integers(0, BINS, (65, 65)).astype(np.uint8), colors, prior / prior.sum())


def _logits(rng: np.random.Generator, dtype: str, axis: int) -> Array:
    shape = (HEIGHT, WIDTH, BINS) if axis else (BINS, HEIGHT, WIDTH)
    x = aligned(shape, LOGITS[dtype])
    values = rng.standard_normal(shape).astype(np.float32)
    x[...] = values.view(np.uint32) >> 16 if dtype == "bfloat16" else values
    return x


def _decoding(rng: np.random.Generator, bins: Any) -> Iterator[Case]:
    luma = aligned((HEIGHT, WIDTH), np.float32)
    rgb = aligned((HEIGHT, WIDTH, 3), np.uint8)
    maps = aligned((HEIGHT, WIDTH), np.float32), aligned((HEIGHT, WIDTH), np.float32)
    for dtype, kind in LOGITS.items():
        for layout, axis in LAYOUTS.items():
            x = _logits(rng, dtype, axis)
            chroma = aligned((HEIGHT, WIDTH, 2) if axis else (2, HEIGHT, WIDTH), kind)
            bytes_each = x.itemsize
            what = f"{layout}, {dtype}"
            yield Case(
                f"decode, {what}",
                lambda engine, x=x, axis=axis: _cuda_decode.decode(engine, x, luma, bins, axis=axis, out=rgb),
                (x, luma, rgb),
                PIXELS,
                models.decode(PIXELS, BINS, bytes_each),
            )
            yield Case(
                f"decode with confidence, {what}",
                lambda engine, x=x, axis=axis: _cuda_decode.decode(
                    engine, x, luma, bins, axis=axis, confidence=True, out=(rgb, *maps)
                ),
                (x, luma, rgb, *maps),
                PIXELS,
                models.decode(PIXELS, BINS, bytes_each, confidence=True),
            )
            yield Case(
                f"annealed mean, {what}",
                lambda engine, x=x, axis=axis, chroma=chroma: _cuda_decode.annealed_mean(
                    engine, x, bins, axis=axis, out=chroma
                ),
                (x, chroma),
                PIXELS,
                models.annealed_mean(PIXELS, BINS, bytes_each),
            )
            yield Case(
                f"confidence, {what}",
                lambda engine, x=x, axis=axis: _cuda_decode.confidence(engine, x, axis=axis, out=maps),
                (x, *maps),
                PIXELS,
                models.confidence(PIXELS, BINS, bytes_each),
            )
