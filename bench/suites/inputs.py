"""Deterministic inputs: a bundled photograph, and logits such as a trained network gives for it."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

PHOTO = "picos_de_europa.jpg"
DESCRIPTION = f"{PHOTO}, resized; logits: -|c_b - c|^2 / (2 0.06^2) + N(0, 1), in ab 15 in place of 0.06"
SPREAD = 0.06  # chroma units: how sharply the logits prefer the bin of the pixel's own color
SPREAD_LAB = 15.0  # of ab: networks are less sure among 313 bins
PRIOR_SIDE = 64  # pixels a side of the photograph that the prior of the 313 is counted on


@lru_cache(maxsize=1)
def bins() -> Any:
    """The bundled bins: what users decode with."""
    return fastcolor.ColorBins.default()


@lru_cache(maxsize=1)
def zhang() -> Any:
    """The 313 bins of Zhang et al. in ab, with the soft prior of the photograph."""
    bins = fastcolor.ColorBins.zhang()
    return fastcolor.ColorBins.zhang(reference.soft_prior(photo(PRIOR_SIDE, PRIOR_SIDE), bins))


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


@lru_cache(maxsize=2)
def lab_logits(images: int, side: int) -> np.ndarray:
    """Logits (N, 313, side, side) of the photograph in ab, float32, with other noise for each image."""
    ab = reference.rgb_to_lab(photo(side, side))[..., 1:]
    squares = ((ab[..., None, :] - zhang().colors) ** 2).sum(axis=-1)  # (side, side, 313)
    modes = np.moveaxis(squares, -1, 0) * (-0.5 / SPREAD_LAB**2)
    noise = np.random.default_rng(0).standard_normal((images, *modes.shape), dtype=np.float32)
    return noise + modes.astype(np.float32)


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """The float32 values that `dtype` ("float32", "float16", "bfloat16") makes of `values`, ties to even.

    >>> rounded(np.array([1.0, 0.3], np.float32), "bfloat16").tolist()
    [1.0, 0.30078125]
    """
    if dtype == "bfloat16":  # which NumPy lacks: the upper half of a float32
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return values.astype(dtype).astype(np.float32)
