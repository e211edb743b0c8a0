"""How far the mean color lies from the label's: what a network is judged by, beside what it is trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from ..bins import ColorBins
from ..ops import annealed_mean

_SOFT = 3e-3  # below a level of uint8 a distance counts as its square does: its slope has no corner at 0


def mean_distance(logits: Tensor, labels: Tensor, mask: Tensor, bins: ColorBins) -> Tensor:
    """``mean of sqrt(|m - c|^2 + e^2) - e`` over the mask, m = annealed_mean(logits) at T = 1, c the label's color.

    Cross entropy is content with any wrong bin that is as improbable as another; this tells near from far. It is a
    distance and no square, so that a photograph that cannot be guessed does not outweigh those that can.

    Parameters
    ----------
    logits : Tensor, shape (N, n, H, W)
        Any float dtype; gradients flow into them.
    labels : Tensor, shape (N, H, W)
        Whole numbers below n.
    mask : Tensor, shape (N, H, W), bool
        Pixels that count, one at least.
    bins : ColorBins

    Returns
    -------
    Tensor
        A scalar, float32, in units of chroma.

    Examples
    --------
    >>> bins = ColorBins.default()
    >>> labels = torch.tensor([[[3, 5]]])
    >>> sure = torch.nn.functional.one_hot(labels, bins.n).permute(0, 3, 1, 2) * 40.0
    >>> mask = torch.ones(1, 1, 2, dtype=torch.bool)
    >>> [round(mean_distance(sure.roll(shift, 1), labels, mask, bins).item(), 4) > 0 for shift in (0, 1)]
    [False, True]
    """
    colors = torch.tensor(bins.colors, device=logits.device)
    mean = annealed_mean(logits.float(), bins, temperature=1.0)
    far = (mean.permute(0, 2, 3, 1) - colors[labels.long()]).square().sum(-1)
    distance = torch.sqrt(far + _SOFT**2) - _SOFT
    return (distance * mask).sum() / mask.sum()
