"""Time0o/colorful-colorization in our words: targets by all distances, a divergence over N, T = .38.

``colorization/modules/*.py``; the weights and their way into the gradient are those of the Caffe layers.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.color import rgb2lab
from torch import Tensor

from tests.dropin import caffe

NEIGHBORS, SIGMA = 5, 5.0
TEMPERATURE = 0.38
LOW, STEP, CELLS = -115.0, 10.0, 23


def chroma(photos: np.ndarray, size: tuple[int, int]) -> Tensor:
    """ab of photos (N, H, W, 3), nearest pixels of the size of the logits: (N, 2, h, w), float64."""
    ab = torch.from_numpy(rgb2lab(photos)[..., 1:]).permute(0, 3, 1, 2)
    return torch.nn.functional.interpolate(ab, size=size)


def hard(ab: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Truncated cells of a grid, then a look-up: -1 where the cell is no bin; ab (..., 2)."""
    table = np.full((CELLS, CELLS), -1)
    table[tuple(((centers - LOW) / STEP).astype(int).T)] = np.arange(len(centers))
    i, j = np.moveaxis(((ab - LOW) / STEP).astype(np.int64), -1, 0)
    return table[i, j]


def soft(ab: Tensor, centers: Tensor) -> Tensor:
    """All distances, a sort of all of them, and a dense target: (N, 2, h, w) to (N, n, h, w)."""
    rows = ab.permute(0, 2, 3, 1).reshape(-1, 2)
    nearest = torch.cdist(centers, rows).argsort(dim=0)[:NEIGHBORS]  # (k, P)
    squares = ((centers[nearest] - rows) ** 2).sum(dim=-1)
    shares = torch.exp(-squares / (2 * SIGMA**2))
    target = rows.new_zeros(len(centers), len(rows)).scatter_(0, nearest, shares / shares.sum(dim=0))
    n, _, height, width = ab.shape
    return target.view(-1, n, height, width).transpose(0, 1)


def targets(
    photos: np.ndarray,
    size: tuple[int, int],
    centers: np.ndarray,
    prior: np.ndarray,
    dtype: torch.dtype = torch.float64,  # theirs has float32, which finds other neighbors where two are as far
) -> tuple[Tensor, Tensor]:
    """Dense targets (N, n, h, w) and the weights of the pixels (N, h, w)."""
    target = soft(chroma(photos, size).to(dtype), torch.from_numpy(centers).to(dtype))
    return target, torch.from_numpy(caffe.class_weights(prior)).to(dtype)[target.argmax(dim=1)]


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Divergence of the targets and the softmax, over the number of images."""
    return caffe.loss(logits, target) - caffe.entropy(target) / len(logits)


def mean_chroma(logits: Tensor, centers: Tensor) -> Tensor:
    """``exp(x / T)`` over its sum, the maximum not subtracted: float32 ends at logits of 33.7. (N, 2, h, w)."""
    e = torch.exp(logits / TEMPERATURE)
    return torch.einsum("nqhw,qc->nchw", e / e.sum(dim=1, keepdim=True), centers)
