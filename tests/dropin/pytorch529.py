"""richzhang/colorization-pytorch in our words: 23 x 23 bins, hard labels, a plain mean, T = 1.

``util/util.py`` and ``models/pix2pix_model.py``; float32 with a conversion to Lab of its own, as there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

AB_NORM = AB_MAX = 110.0
QUANT = 10.0
ROW = 2 * AB_MAX / QUANT + 1  # 23 bins a row
EVERY = 4
MATRIX = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)


def chroma(photos: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """ab over 110 of photos (N, H, W, 3), every operation in `dtype`: (N, 2, H, W)."""
    c = torch.from_numpy(photos).to(dtype) / 255
    linear = torch.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    xyz = torch.stack([sum(m * linear[..., k] for k, m in enumerate(row)) for row in MATRIX], dim=-1)
    t = xyz / torch.tensor(WHITE, dtype=dtype)
    x, y, z = torch.where(t > 0.008856, t ** (1 / 3), 7.787 * t + 16 / 116).unbind(-1)
    return torch.stack([500 * (x - y), 200 * (y - z)], dim=1) / AB_NORM


def labels(ab: Tensor) -> Tensor:
    """Number of the nearest point, 23 i + j, counted as a float: (N, 1, h, w)."""
    cells = torch.round((ab[:, :, ::EVERY, ::EVERY] * AB_NORM + AB_MAX) / QUANT)  # half to even
    return cells[:, :1] * ROW + cells[:, 1:]


def loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross entropy of hard labels, the mean over all pixels."""
    return torch.nn.functional.cross_entropy(logits, label[:, 0].long())


def mean_chroma(logits: Tensor) -> Tensor:
    """Softmax over 529, as a 23 x 23 map; its mean row and mean column: (N, 2, h, w), in units of 110."""
    p = logits.softmax(dim=1)
    n, _, height, width = p.shape
    maps = p.view(n, int(ROW), int(ROW), height, width)
    axis = (torch.arange(int(ROW)) * QUANT - AB_MAX).to(p.dtype) / AB_NORM
    a = (maps.sum(dim=2) * axis.view(-1, 1, 1)).sum(dim=1)
    b = (maps.sum(dim=1) * axis.view(-1, 1, 1)).sum(dim=1)
    return torch.stack([a, b], dim=1)


def mode_chroma(logits: Tensor) -> Tensor:
    """The point of the largest logit, in units of 110. Meant is this; its division gives b = -110 since torch 1.5."""
    index = logits.argmax(dim=1)
    row = int(ROW)
    return torch.stack([index // row, index % row], dim=1) * QUANT / AB_NORM - AB_MAX / AB_NORM
