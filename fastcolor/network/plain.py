"""The cells of the paper's network: convolutions and max pooling down, transposed convolutions up.

Source: Billaut, de Rochemonteix, Thibault, "ColorUNet" (arXiv 1811.03120), Figure 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int) -> list[nn.Module]:
    """3x3 convolution with padding 1, then ReLU."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]


def upsample(inputs: int, outputs: int) -> list[nn.Module]:
    """3x3 transposed convolution of stride 2 that doubles the side exactly, then ReLU."""
    return [nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1), nn.ReLU(inplace=True)]


def down_cell(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, 2x2 max pooling, batch normalisation: (N, inputs, H, W) -> (N, outputs, H/2, W/2)."""
    return nn.Sequential(*conv(inputs, outputs), *conv(outputs, outputs), nn.MaxPool2d(2), nn.BatchNorm2d(outputs))


class DownCells(nn.ModuleList):
    """The way down: luma in blocks of fold x fold pixels as channels, then a cell for each of `widths`."""

    def __init__(self, fold: int, widths: tuple[int, ...]) -> None:
        super().__init__(down_cell(a, b) for a, b in zip((fold**2, *widths[:-1]), widths, strict=True))
        self.fold = fold

    def forward(self, luma: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The deepest map of (N, 1, H, W), and those above it, largest first."""
        x = F.pixel_unshuffle(luma - 0.5, self.fold)
        maps = []
        for cell in self:
            x = cell(x)
            maps.append(x)
        return maps.pop(), maps


class UpCell(nn.Sequential):
    """Transposed and two plain convolutions, batch normalisation; then the skip: (N, outputs + skip, 2H, 2W)."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        layers = [*upsample(inputs, middle), *conv(middle, outputs), *conv(outputs, outputs)]
        super().__init__(*layers, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        return torch.cat([super().forward(x), skip], dim=1)


def up_cells(down: tuple[int, ...], up: tuple[int, ...]) -> tuple[nn.ModuleList, int]:
    """The way up from the deepest of `down`, and the channels at its end."""
    cells, channels = nn.ModuleList(), down[-1]
    for skip, outputs in zip(reversed(down[:-1]), up, strict=True):
        cells.append(UpCell(channels, skip, outputs))
        channels = outputs + skip
    return cells, channels


def head(channels: int, middle: int, bins: int) -> nn.Sequential:
    """The last doubling, and the logits."""
    return nn.Sequential(*upsample(channels, middle), *conv(middle, middle), nn.Conv2d(middle, bins, 1))
