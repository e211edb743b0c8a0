"""Peers in CIE Lab with torch, for :meth:`bench.peers.registry.Peers.torch`: eager, or written for the compiler.

Each takes what the operation needs and returns the function that is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from fastcolor.reference import constants as c
from torch import Tensor

from .lab import CELL, LINEAR, TO_XYZ

Function = Callable[..., Any]
XYZ_ROWS = TO_XYZ.tolist()  # numbers, which a compiler folds into the code
RGB_ROWS = (np.linalg.inv(np.array(c.SRGB_TO_XYZ)) * np.array(c.XYZ_WHITE)).tolist()
AROUND = 2  # cells to either side of a pixel's own, among which its nearest centers are sought


def to_lab(rgb: Tensor, linear: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L, a and b of uint8 colors in the dtype of `linear`, the curve of sRGB."""
    r, g, b = (linear[rgb[..., k].int()] for k in range(3))
    t = [rm * r + gm * g + bm * b for rm, gm, bm in XYZ_ROWS]
    x, y, z = (torch.where(v > c.LAB_THRESHOLD, v ** (1 / 3), c.LAB_SLOPE * v + c.LAB_OFFSET) for v in t)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _cells(value: Tensor) -> Tensor:
    return ((value + c.AB_MAX) * (1 / CELL)).int()


def encode(bins: Any, weights: np.ndarray, dtype: torch.dtype = torch.float32) -> Function:
    """Lab, cells of ten by truncation, then look-ups."""
    linear, table = torch.tensor(LINEAR, dtype=dtype), torch.tensor(bins.table.reshape(-1).astype(np.int16))
    bin_weights, cells = torch.tensor(weights.astype(np.float32)), bins.cells

    def function(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        light, a, b = to_lab(rgb, linear)
        labels = table[_cells(a) * cells + _cells(b)]
        return light.float(), labels, bin_weights[labels.int()]

    return function


def _shares(squares: Tensor, sigma: float) -> Tensor:
    e = torch.exp(squares * (-0.5 / sigma**2))
    return e / e.sum(dim=0)


def soft_cdist(bins: Any, weights: np.ndarray, neighbors: int, sigma: float) -> Function:
    """All distances, then ``topk`` (Time0o and CT2 sort all of them, and scatter the shares to n floats a pixel)."""
    linear, centers = torch.tensor(LINEAR, dtype=torch.float32), torch.tensor(bins.colors)
    bin_weights = torch.tensor(weights.astype(np.float32))

    def function(rgb: Tensor) -> tuple[Tensor, ...]:
        light, a, b = to_lab(rgb, linear)
        distances = torch.cdist(
            centers, torch.stack([a, b], -1).reshape(-1, 2), compute_mode="donot_use_mm_for_euclid_dist"
        )
        nearest, labels = distances.topk(neighbors, dim=0, largest=False)
        labels = labels.reshape(neighbors, *light.shape)
        return light, labels.short(), _shares(nearest.reshape(labels.shape) ** 2, sigma), bin_weights[labels[0]]

    return function


def soft_window(bins: Any, weights: np.ndarray, neighbors: int, sigma: float) -> Function:
    """The centers of the 25 cells around a pixel's, then ``topk``."""
    linear, edge = torch.tensor(LINEAR, dtype=torch.float32), bins.cells + 2 * AROUND
    table = np.full((edge, edge), -1, np.int64)
    table[tuple(((bins.colors + c.AB_MAX) / CELL).astype(int).T + AROUND)] = np.arange(bins.n)
    labels_of, bin_weights = torch.tensor(table.reshape(-1)), torch.tensor(weights.astype(np.float32))
    around = torch.tensor([(i, j) for i in range(2 * AROUND + 1) for j in range(2 * AROUND + 1)]).T.reshape(2, -1, 1, 1)

    def function(rgb: Tensor) -> tuple[Tensor, ...]:
        light, a, b = to_lab(rgb, linear)
        i, j = _cells(a) + around[0], _cells(b) + around[1]  # (25, H, W)
        numbers = labels_of[i * edge + j]
        edges = c.AB_MAX + CELL * (AROUND - 0.5)
        squares = (a + edges - CELL * i) ** 2 + (b + edges - CELL * j) ** 2
        nearest, places = torch.where(numbers < 0, torch.inf, squares).topk(neighbors, dim=0, largest=False)
        labels = numbers.gather(0, places)
        return light, labels.short(), _shares(nearest, sigma), bin_weights[labels[0]]

    return function


def _weighted(losses: Tensor, weights: Tensor) -> Tensor:
    return (losses * weights).sum() / weights.sum()


def loss_dense(x: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """``F.cross_entropy`` with the share of every bin."""
    return _weighted(F.cross_entropy(x, target, reduction="none"), weights)


def loss_gather(x: Tensor, labels: Tensor, weights: Tensor, shares: Tensor) -> Tensor:
    """``log_softmax``, of which k are gathered."""
    return _weighted(-(shares * x.log_softmax(1).gather(1, labels)).sum(1), weights)


def loss_logsumexp(x: Tensor, labels: Tensor, weights: Tensor, shares: Tensor) -> Tensor:
    """``logsumexp`` less k gathered logits: no n-wide temporary in the forward."""
    return _weighted(x.logsumexp(1) - (shares * x.gather(1, labels)).sum(1), weights)


def mean_conv(bins: Any, temperature: float) -> Function:
    """Zhang et al.: softmax of the scaled logits, then a 1 x 1 convolution with the centers; (N, n, h, w)."""
    kernel = torch.tensor(bins.colors.T.copy())[:, :, None, None]
    return lambda x: F.conv2d((x * (1 / temperature)).softmax(1), kernel)


def mean_einsum(bins: Any, temperature: float) -> Function:
    """Time0o: softmax, then a sum over the bins."""
    colors = torch.tensor(bins.colors)
    return lambda x: torch.einsum("nqhw,qc->nchw", (x / temperature).softmax(1), colors)


def mean_sums(bins: Any, temperature: float) -> Function:
    """Hand-fused with reductions: three weighted sums of ``exp((x - max) / T)``."""
    a, b = (torch.tensor(bins.colors[:, k]).reshape(1, -1, 1, 1) for k in range(2))

    def function(x: Tensor) -> Tensor:
        e = torch.exp((x - x.amax(1, keepdim=True)) * (1 / temperature))
        return torch.stack([(e * a).sum(1), (e * b).sum(1)], 1) / e.sum(1, keepdim=True)

    return function


def decode(bins: Any, temperature: float) -> Function:
    """Chroma, ``interpolate`` to the size of L, Lab to RGB, rounded to uint8; x (n, h, w), L (H, W)."""
    mean = mean_sums(bins, temperature)
    knee = float(np.cbrt(c.LAB_THRESHOLD))

    def function(x: Tensor, light: Tensor) -> Tensor:
        a, b = F.interpolate(mean(x[None]), size=light.shape, mode="bilinear", align_corners=False)[0]
        y = (light + 16) * (1 / 116)
        parts = [
            torch.where(f > knee, f * f * f, (f - c.LAB_OFFSET) / c.LAB_SLOPE) for f in (y + a / 500, y, y - b / 200)
        ]
        planes = [sum(m * t for m, t in zip(row, parts, strict=True)).clamp(0, 1) for row in RGB_ROWS]
        encoded = [torch.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055) for v in planes]
        return (torch.stack(encoded, -1) * 255 + 0.5).to(torch.uint8)

    return function
