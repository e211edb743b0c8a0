"""richzhang/colorization, branch caffe, in our words: targets by a tree search, rebalanced gradients, T = 1 / 2.606.

``resources/caffe_traininglayers.py`` and the prototxt files beside it; float64, as there. Written from what the layers
compute; no line is theirs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import ConvexHull, cKDTree
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor

STEP, TOP = 10, 110  # of the grid of points
NEIGHBORS, SIGMA = 10, 5.0  # NNEncLayer; the paper says 5 neighbors
LAM = 0.5  # PriorBoostLayer
NOT_GRAY = 5.0  # NonGrayMaskLayer
EVERY = 4  # targets are taken at each fourth row and column
SCALE = 2.606  # of the logits in the deployed network: T = .3837, not .38


def points() -> np.ndarray:
    """The points of `pts_in_hull.npy`: those whose square of +-10 meets the convex hull of sRGB on ab, (313, 2)."""
    ramp = np.linspace(0, 1, 1001)
    edges = []
    for axis in range(3):
        for others in np.ndindex(2, 2):
            edge = np.empty((len(ramp), 3))
            edge[:, axis], edge[:, axis - 1], edge[:, axis - 2] = ramp, *others
            edges.append(edge)
    ab = rgb2lab(np.concatenate(edges))[:, 1:]
    normals, offsets = np.split(ConvexHull(ab).equations, [2], axis=1)  # n . x + offset <= 0 inside
    axis_points = np.arange(-TOP, TOP + 1, STEP)
    grid = np.stack(np.meshgrid(axis_points, axis_points, indexing="ij"), axis=-1).reshape(-1, 2)
    nearest_corner = grid @ normals.T - STEP * np.abs(normals).sum(axis=1)
    apart = (nearest_corner + offsets.T > 0).any(axis=1)  # an edge of the hull lies between
    apart |= ((grid - STEP > ab.max(axis=0)) | (grid + STEP < ab.min(axis=0))).any(axis=1)  # or a side of the square
    return grid[~apart]


def chroma(photos: np.ndarray) -> np.ndarray:
    """ab of photos (N, H, W, 3) at every fourth pixel: (N, H / 4, W / 4, 2)."""
    return rgb2lab(photos)[:, ::EVERY, ::EVERY, 1:]


def soft(
    ab: np.ndarray, centers: np.ndarray, neighbors: int = NEIGHBORS, sigma: float = SIGMA
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and shares (..., k) by a tree search, nearest first."""
    distances, labels = cKDTree(centers).query(ab, k=neighbors)
    shares = np.exp(-(distances**2) / (2 * sigma**2))
    return labels, shares / shares.sum(axis=-1, keepdims=True)


def dense(labels: np.ndarray, shares: np.ndarray, n: int) -> np.ndarray:
    """Scattered to one row of n a pixel, bins first: (N, n, H, W)."""
    rows = np.zeros((*labels.shape[:-1], n))
    np.put_along_axis(rows, labels, shares, axis=-1)
    return np.moveaxis(rows, -1, 1)


def class_weights(prior: np.ndarray, lam: float = LAM) -> np.ndarray:
    """Inverse of the prior mixed with what is uniform over its bins; a bin of prior 0 makes every weight NaN."""
    uniform = (prior > 0) / np.count_nonzero(prior)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / ((1 - lam) * prior + lam * uniform)
        return weights / (prior * weights).sum()


def pixel_weights(target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """That of the bin with the largest share: (N, H, W)."""
    return weights[target.argmax(axis=1)]


def colored(ab: np.ndarray) -> np.ndarray:
    """Whether an image counts: some pixel is more than 5 from gray, in a or in b; (N,)."""
    return (np.abs(ab) > NOT_GRAY).any(axis=(1, 2, 3))


def targets(photos: np.ndarray, centers: np.ndarray, prior: np.ndarray) -> tuple[Tensor, Tensor]:
    """Dense targets (N, n, h, w) and the weights of the pixels (N, h, w), float64."""
    ab = chroma(photos)
    target = dense(*soft(ab, centers), len(centers))
    weights = pixel_weights(target, class_weights(prior)) * colored(ab)[:, None, None]
    return torch.from_numpy(target), torch.from_numpy(weights)


class Rebalance(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a pixel's weight: the loss that is printed knows of no weight."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(weights)
        return logits.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        return gradient * weights[:, None], None


def entropy(target: Tensor) -> Tensor:
    """``-sum z log z`` of all targets: what separates a cross entropy from a divergence."""
    return -torch.special.xlogy(target, target).sum()


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Softmax cross entropy with soft targets, over the number of images."""
    return -(target * logits.log_softmax(dim=1)).sum() / len(logits)


def mean_chroma(logits: Tensor, centers: np.ndarray, scale: float = SCALE) -> Tensor:
    """Scaled, softmax, then a 1 x 1 convolution with the points: (N, 2, h, w)."""
    kernel = torch.as_tensor(centers.T.copy(), dtype=logits.dtype)[:, :, None, None]
    return torch.nn.functional.conv2d((logits * scale).softmax(dim=1), kernel)


def picture(light: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """L (..., H, W) and ab (..., H, W, 2) to uint8, truncated and not rounded."""
    unit = lab2rgb(np.concatenate([light[..., None], ab], axis=-1))
    return (255 * np.clip(unit, 0, 1)).astype(np.uint8)
