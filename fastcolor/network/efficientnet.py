"""EfficientNet-Lite0 as the way down of a U-Net: luma in, the deepest map and four skips out.

Inverted residuals with ReLU6 and without squeeze and excitation, of width and depth 1. Two things differ from the
classifier: the stem has one channel, whose weights are the sum of those of R, G and B (equal for a gray image), and
padding is symmetric whatever the size, by which each layer of stride 2 shifts its map by half a pixel of its input.

Sources: Tan, Le, "EfficientNet" (arXiv 1905.11946), table 1; Sandler et al., "MobileNetV2" (arXiv 1801.04381), figure
3; Huang et al., "Deep Networks with Stochastic Depth" (arXiv 1603.09382), equation 4. The Lite variant:
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Stage(NamedTuple):
    """A row of table 1: `repeats` blocks, the first of them with `stride`."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    repeats: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
STEM = 32  # channels behind the stem
SKIPS = {0: 16, 2: 24, 4: 40, 10: 112}  # the last block at strides 2, 4, 8 and 16, and its channels
DEEPEST = STAGES[-1].channels


def conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, linear: bool = False
) -> nn.Sequential:
    """Convolution, batch normalisation with the constants of the original, and ReLU6 unless `linear`."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*layers) if linear else nn.Sequential(*layers, nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """``x + project(depthwise(expand(x)))``, without ``x +`` where stride or channels change.

    `drop` is the probability that a sample of a training batch skips the block, if there is ``x +``; the others are
    scaled by 1 / (1 - drop), so that nothing changes in evaluation.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand = nn.Identity() if expansion == 1 else conv_norm(inputs, middle, 1)
        self.depthwise = conv_norm(middle, middle, kernel, stride, groups=middle)
        self.project = conv_norm(middle, outputs, 1, linear=True)
        self.residual = stride == 1 and inputs == outputs
        self.drop = 0.0

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        if not self.residual:
            return y
        if self.training and self.drop:
            kept = torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop
            y = y * (kept / (1 - self.drop)).to(y.dtype)
        return x + y


class EfficientNetLite0(nn.Module):
    """The stem and the 16 blocks; 3.4 million parameters, with random weights as it is made.

    Examples
    --------
    >>> deepest, skips = EfficientNetLite0()(torch.zeros(1, 1, 64, 96))
    >>> deepest.shape, [tuple(skip.shape[1:]) for skip in skips]
    (torch.Size([1, 320, 2, 3]), [(16, 32, 48), (24, 16, 24), (40, 8, 12), (112, 4, 6)])
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_norm(1, STEM, 3, stride=2)
        self.blocks = nn.ModuleList()
        inputs = STEM
        for expansion, kernel, stride, outputs, repeats in STAGES:
            for number in range(repeats):
                self.blocks.append(InvertedResidual(inputs, outputs, expansion, kernel, 1 if number else stride))
                inputs = outputs

    def set_drop(self, deepest: float) -> None:
        """Stochastic depth: block i of 0 to 15 is skipped with ``deepest * i / 15`` if it is residual, as 15 is not."""
        for number, block in enumerate(self.blocks):
            assert isinstance(block, InvertedResidual)  # a ModuleList has any
            block.drop = deepest * number / (len(self.blocks) - 1)

    def forward(self, luma: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Maps (N, 320, H/32, W/32) and skips, largest first, of (N, 1, H, W) in [0, 1], sides multiples of 32."""
        x = self.stem(luma * (255 / 128) - 127 / 128)  # (byte - 127) / 128, as the public weights were trained with
        skips = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in SKIPS:
                skips.append(x)
        return x, skips
