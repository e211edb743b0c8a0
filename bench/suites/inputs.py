"""Deterministic inputs: a bundled photograph, and logits such as a trained network gives for it."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

PHOTO = "picos_de_europa.jpg"
DESCRIPTION = f"{PHOTO}, resized; logits: -|c_b - c|^2 / (2 0.06^2) + N(0, 1)"
SPREAD = 0.06  # chroma units: how sharply the logits prefer the bin of the pixel's own color


@lru_cache(maxsize=1)
def bins() -> Any:
    """The bundled bins: what users decode with."""
    return fastcolor.ColorBins.default()


@lru_cache(maxsize=4)
def photo(height: int, width: int) -> np.ndarray:
    """The sample photograph, Lanczos to height x width: RGB uint8, contiguous."""
    from PIL import Image

    with as_file(files("fastcolor.data") / "samples" / PHOTO) as path, Image.open(path) as opened:
        resized = opened.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return np.array(resized)  # a writable copy: torch refuses to share read-only memory


@lru_cache(maxsize=4)
def yuv(height: int, width: int) -> np.ndarray:
    """Luma and chroma of the photograph: (3, H, W) float32."""
    return np.ascontiguousarray(np.moveaxis(reference.rgb_to_yuv(photo(height, width)), -1, 0), dtype=np.float32)


@lru_cache(maxsize=4)
def logits(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Logits (n, H, W), float32, with the photograph's colors as modes, and noise. Shared: not to be written to."""
    _, u, v = yuv(height, width)
    rng = np.random.default_rng(seed)
    out = np.empty((bins().n, height, width), np.float32)
    for plane, (cu, cv) in zip(out, bins().colors, strict=True):
        rng.standard_normal(dtype=np.float32, out=plane)
        plane -= ((u - cu) ** 2 + (v - cv) ** 2) * np.float32(0.5 / SPREAD**2)
    return out


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """The float32 values that `dtype` ("float32", "float16", "bfloat16") makes of `values`, ties to even.

    >>> rounded(np.array([1.0, 0.3], np.float32), "bfloat16").tolist()
    [1.0, 0.30078125]
    """
    if dtype == "bfloat16":  # which NumPy lacks: the upper half of a float32
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return values.astype(dtype).astype(np.float32)
