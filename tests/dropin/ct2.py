"""CT2 (shuchenweng/CT2) in our words: every pixel a target, bins forbidden by L, a divergence over N H W, T = .38.

``segm/model/utils.py``, ``segm/model/segmenter.py``, ``segm/engine.py``; the search is Time0o's, the weights Caffe's.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.color import rgb2lab
from torch import Tensor

from tests.dropin import caffe, time0o

RANGES = 4  # of L, 25 each


def targets(
    photos: np.ndarray, centers: np.ndarray, prior: np.ndarray, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Dense targets (N, n, H, W) of all pixels and their weights (N, H, W)."""
    return time0o.targets(photos, photos.shape[1:3], centers, prior, dtype)


def allowed(photos: np.ndarray, table: Tensor) -> Tensor:
    """Which bins a pixel may have: a row of `table` (4, n) for each quarter of L; (N, n, H, W)."""
    quarter = np.minimum(rgb2lab(photos)[..., 0] // (100 / RANGES), RANGES - 1).astype(np.int64)
    return table[torch.from_numpy(quarter)].permute(0, 3, 1, 2)


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Divergence over all pixels; a bin of probability 0, forbidden by -inf, adds no ``-z log p``."""
    p = logits.softmax(dim=1)
    log_p = torch.log(p.masked_fill(p == 0, 1))
    return -((target * log_p).sum() + caffe.entropy(target)) / target[:, 0].numel()


def mean_chroma(logits: Tensor, centers: Tensor) -> Tensor:
    """As Time0o's."""
    return time0o.mean_chroma(logits, centers)
