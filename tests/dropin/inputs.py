"""What both ways get: photographs, colors at random, logits; and the bounds on float32 that comparisons allow."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

import numpy as np
import torch
from compare import u
from compare_lab import AB_ERROR
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor

from tests.dropin.page import program

SIDE = 64
TARGETS = SIDE // 4  # pixels a side of logits and targets

DISTANCE_ERROR = float(np.hypot(*AB_ERROR))  # in ab, of a uint8 color in float32


@cache
def photos() -> np.ndarray:
    """Three photographs, colors at random, and a gray image: (5, 64, 64, 3) uint8."""
    images = []
    for name in ("aitzgorri.jpg", "picos_de_europa.jpg", "stream.jpg"):
        with as_file(files("fastcolor.data") / "samples" / name) as path, Image.open(path) as opened:
            images.append(np.asarray(opened.convert("RGB").resize((SIDE, SIDE))))
    rng = np.random.default_rng(5)
    images.append(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    images.append(np.repeat(rng.integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8), 3, axis=-1))
    return np.stack(images)


def few() -> np.ndarray:
    """Every fourth pixel of these: where each pixel is a target, those that are targets elsewhere."""
    return np.ascontiguousarray(photos()[:, ::4, ::4])


@cache
def colors() -> np.ndarray:
    """Every fifth level of each channel, with both ends, and 2^18 colors at random: (P, 3) uint8."""
    ramp = np.arange(0, 256, 5, dtype=np.uint8)  # 255 is one
    cube = np.stack(np.meshgrid(ramp, ramp, ramp, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.concatenate([cube, np.random.default_rng(6).integers(0, 256, (1 << 18, 3), dtype=np.uint8)])


def logits(n: int = 313) -> Tensor:
    """(5, n, 16, 16), float32, of a spread as trained networks have it."""
    return 3 * torch.randn(len(photos()), n, TARGETS, TARGETS, generator=torch.Generator().manual_seed(0))


def centers() -> np.ndarray:
    """The points of the page's bins, as the published file has them."""
    return program().bins.colors.astype(np.int64)


def prior() -> np.ndarray:
    """That of the page's bins; none is zero."""
    return program().bins.prior


def share_bound(labels: np.ndarray, shares: np.ndarray, sigma: float) -> np.ndarray:
    """How far shares (N, k, h, w) may be from those of exact ab.

    ``ln s_j`` moves by that of ``(d_0^2 - d_j^2) / 2 σ^2``, which is linear in ab: by ``|c_j - c_0| e / σ^2``; by the
    same of all others through their sum. Exponential, sum and quotient: 3 u and 4 u for each of k terms.
    """
    points = centers()[labels]  # (N, k, h, w, 2)
    moved = np.linalg.norm(points - points[:, :1], axis=-1) * DISTANCE_ERROR / sigma**2
    return shares * (moved + (shares * moved).sum(axis=1, keepdims=True) + 4 * (labels.shape[1] + 1) * u)


def undecided(photos: np.ndarray, neighbors: int) -> np.ndarray:
    """Pixels (N, h, w) whose k-th and next nearest points are as far within what float32 tells apart.

    Equal distances stand in no order: black, say, has four points at 20. Which of them is a neighbor is chance there.
    """
    ab = rgb2lab(photos)[..., 1:]
    squares = np.sort(((ab[..., None, :] - centers()) ** 2).sum(-1), axis=-1)[..., neighbors - 1 : neighbors + 1]
    return np.diff(np.sqrt(squares))[..., 0] <= 2 * DISTANCE_ERROR
