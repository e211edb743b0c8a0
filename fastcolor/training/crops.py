"""Random resized crops of a whole batch, on any device: what Pillow's resize makes of a box, as two small matrices.

``out = A_y image A_x^T`` for each sample, where row i of A has the triangle filter of output pixel i over the pixels
of the image, as wide as the reduction, cut at the image's edge and scaled to sum 1. A flip is A_x upside down. So a
batch of crops of different places, sizes and shapes is two batched matrix products, without a loop over samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .fast import whole_float32


def resample(images: Tensor, extent: Tensor, near: Tensor, far: Tensor, flip: Tensor, size: int) -> Tensor:
    """The boxes of `images`, resized to `size` as Pillow's BILINEAR does, with the same rounding to whole numbers.

    Parameters
    ----------
    images : (N, H, 3, W) uint8
        Rows of three channels, so that both products take them as they lie.
    extent : (N, 2) float
        Width and height of the part that is image; the rest is not looked at.
    near, far : (N, 2) float
        Corners of the boxes as (x, y), inside the image.
    flip : (N,) bool
    size : int

    Returns
    -------
    (N, size, 3, size) uint8
    """
    n, height, _, width = images.shape
    across = _matrix(0, extent, near, far, size, width)
    across = torch.where(flip[:, None, None], across.flip(1), across)
    down = _matrix(1, extent, near, far, size, height)
    with whole_float32():
        rows = torch.bmm(images.reshape(n, height * 3, width).to(across.dtype), across.mT)
        out = torch.bmm(down, rows.view(n, height, 3 * size))
    return out.add_(0.5).to(torch.uint8).view(n, size, 3, size)


def _matrix(axis: int, extent: Tensor, near: Tensor, far: Tensor, size: int, length: int) -> Tensor:
    """(N, size, length): the weight of each pixel of the image in each pixel of the result, along `axis`."""
    start, scale = near[:, axis, None], (far - near)[:, axis, None] / size
    steps = torch.arange(max(size, length), device=near.device, dtype=near.dtype) + 0.5
    center = start + scale * steps[:size]
    distance = (center[:, :, None] - steps[:length]).abs_()
    weights = distance.div_(scale.clamp_min(1)[:, :, None]).neg_().add_(1).clamp_min_(0)
    weights.mul_(steps[:length] < extent[:, axis, None, None])
    return weights.div_(weights.sum(2, keepdim=True))


def mean_of_blocks(rgb: Tensor, fold: int) -> Tensor:
    """(N, S, 3, S) uint8 to (N, S / fold, 3, S / fold): rounded means of fold x fold pixels, as Pillow's reduce."""
    if fold == 1:
        return rgb
    n, size = len(rgb), rgb.shape[1] // fold
    rows = rgb.view(n, size, fold, 3, size, fold).sum(2, dtype=torch.int16)
    total = rows.sum(4, dtype=torch.int16)  # one axis at a time: torch is eight times as fast so on the CPU
    return ((total + fold * fold // 2) // (fold * fold)).to(torch.uint8)
