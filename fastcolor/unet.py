"""ColorUNet: the network of the paper's Figure 2, from a luma image to n logits per pixel.

The default :class:`UNetConfig` is the paper's network, 142,016 parameters at 32 bins. Deeper and wider ones are the
same class with longer tuples. With ``output_stride=2`` the last upsampling is left out: the logits have half the
side of the luma, which costs little quality (chroma is upsampled to the full luma anyway) and half the time.

Source: Billaut, de Rochemonteix, Thibault, "ColorUNet" (arXiv 1811.03120), Figure 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class UNetConfig:
    """Widths and depth of a :class:`ColorUNet`; the defaults are the paper's.

    Parameters
    ----------
    bins : int
        n, the number of logits per pixel.
    down : tuple of int
        Output channels of the down cells, first cell first. The side of the image is halved by each.
    up : tuple of int
        Output channels of the up cells, deepest first: one fewer than `down`.
    head : int
        Channels of the last 3x3 convolution, before the 1x1 convolution to the logits.
    output_stride : int
        1: logits at the size of the input. 2: logits at half of it.
    """

    bins: int = 32
    down: tuple[int, ...] = (16, 32, 64)
    up: tuple[int, ...] = (32, 32)
    head: int = 16
    output_stride: int = 1

    def __post_init__(self) -> None:
        if len(self.up) != len(self.down) - 1 or not self.up:
            raise ValueError(f"up: expected {len(self.down) - 1} widths (one fewer than down), got {self.up}")
        if self.output_stride not in (1, 2):
            raise ValueError(f"output_stride: expected 1 or 2, got {self.output_stride}")


def conv(inputs: int, outputs: int) -> list[nn.Module]:
    """3x3 convolution with padding 1, then ReLU."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]


def upsample(inputs: int, outputs: int) -> list[nn.Module]:
    """3x3 transposed convolution of stride 2 that doubles the side exactly, then ReLU."""
    return [nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1), nn.ReLU(inplace=True)]


def down_cell(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, 2x2 max pooling, batch normalisation: (N, inputs, H, W) -> (N, outputs, H/2, W/2)."""
    return nn.Sequential(*conv(inputs, outputs), *conv(outputs, outputs), nn.MaxPool2d(2), nn.BatchNorm2d(outputs))


def up_cell(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    """Transposed and two plain convolutions, batch normalisation: (N, inputs, H, W) -> (N, outputs, 2H, 2W)."""
    layers = [*upsample(inputs, middle), *conv(middle, outputs), *conv(outputs, outputs)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs))


class ColorUNet(nn.Module):
    """``logits = head(up(... concat(up(down(...)), skip)))``: luma (N, 1, H, W) in [0, 1] -> logits (N, n, H/s, W/s)."""

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        down = config.down
        self.down = nn.ModuleList(down_cell(a, b) for a, b in zip((1, *down[:-1]), down, strict=True))
        self.up = nn.ModuleList()
        channels = down[-1]
        for skip, outputs in zip(reversed(down[:-1]), config.up, strict=True):
            self.up.append(up_cell(channels, skip, outputs))
            channels = outputs + skip
        enter = upsample if config.output_stride == 1 else conv
        last = nn.Conv2d(config.head, config.bins, 1)
        if config.output_stride == 1:
            self.head = nn.Sequential(*enter(channels, config.head), *conv(config.head, config.head), last)
        else:
            self.head = nn.Sequential(*enter(channels, config.head), last)

    def forward(self, luma: Tensor) -> Tensor:
        x = luma - 0.5
        skips = []
        for cell in self.down:
            x = cell(x)
            skips.append(x)
        skips.pop()
        for cell in self.up:
            x = torch.cat([cell(x), skips.pop()], dim=1)
        return self.head(x)
