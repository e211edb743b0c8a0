"""Conversions to Lab that colorizers use, each with the grid of ten: which give the labels of the definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from skimage.color import rgb2lab

import fastcolor
from fastcolor import ColorBins
from tests.dropin import pytorch529, time0o


def _skimage(dtype: type) -> Callable[[np.ndarray], np.ndarray]:
    return lambda rgb: rgb2lab((rgb / 255).astype(dtype))[..., 1:]


def _torch(dtype: torch.dtype) -> Callable[[np.ndarray], np.ndarray]:
    def convert(rgb: np.ndarray) -> np.ndarray:
        ab: np.ndarray = pytorch529.chroma(rgb[None, None], dtype)[0, :, 0].T.numpy() * pytorch529.AB_NORM
        return ab

    return convert


def _opencv(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, :, 1:]


def _opencv_uint8(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb[None], cv2.COLOR_RGB2LAB)[0, :, 1:].astype(np.float32) - 128


# ab of colors (P, 3), uint8.
CODES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "scikit-image `rgb2lab`, float64 (Zhang et al., Time0o, CT2)": _skimage(np.float64),
    "scikit-image `rgb2lab`, float32": _skimage(np.float32),
    "torch, float32 (colorization-pytorch)": _torch(torch.float32),
    "OpenCV `COLOR_RGB2LAB`, float32": _opencv,
    "OpenCV `COLOR_RGB2LAB`, uint8 less 128 (foamliu)": _opencv_uint8,
}


def wrong(colors: np.ndarray) -> Iterator[tuple[str, int]]:
    """Names, ours first, and how many of the colors have another label than in the float64 reference."""
    bins = ColorBins.zhang()
    right = fastcolor.reference.encode(colors, bins)[1]
    yield "fastcolor", int((fastcolor.encode(colors, bins)[1] != right).sum())
    for name, convert in CODES.items():
        yield name, int((time0o.hard(convert(colors), bins.colors) != right).sum())
