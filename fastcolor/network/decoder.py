"""The way up from EfficientNet-Lite0: a bottom that knows the whole picture, and cells that add the skips."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional as F

from .efficientnet import conv_norm


class Bottom(nn.Module):
    """``dropout(relu6(norm(conv3x3(x) + context(mean x))))``: (N, inputs, h, w) -> (N, outputs, h, w).

    The mean over the picture tells every pixel what it is a part of; dropout is of whole channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.context = nn.Conv2d(inputs, outputs, 1)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.dropout = nn.Dropout2d(0.0)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        return self.dropout(F.relu6(self.norm(self.conv(x) + self.context(mean))))


class SumCell(nn.Module):
    """``conv3x3(relu6(norm(double(deep x) + side skip)))``: (N, inputs, h, w) -> (N, outputs, 2h, 2w).

    The 1x1 convolution runs before the doubling (nearest neighbor), at a quarter of the work.
    """

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.side = nn.Conv2d(skip, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.conv = conv_norm(outputs, outputs, 3)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        doubled = F.interpolate(self.deep(x), scale_factor=2.0, mode="nearest")
        return self.conv(F.relu6(self.norm(doubled + self.side(skip))))


def sum_cells(inputs: int, skips: Iterable[int], up: tuple[int, ...]) -> nn.ModuleList:
    """A cell for each of `up`, deepest first; `skips` are the channels of the skips, largest map first."""
    cells = nn.ModuleList()
    for skip, outputs in zip(reversed(list(skips)), up, strict=True):
        cells.append(SumCell(inputs, skip, outputs))
        inputs = outputs
    return cells
