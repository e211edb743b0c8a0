"""Luma as old photographs and poor files have it: each fault befalls a share of the samples of a batch.

Labels are those of the clean colors: the network learns what a faded, grainy print would have looked like. What befalls
which sample, and how much, is drawn on the host; only samples that are befallen are computed, on their device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

FILM = (0.5, 1.0, 0.8)  # mean sensitivity to R, G and B: films of old see red less than the eye does
# The luminance table of JPEG at quality 50 (ITU-T T.81, table K.1), rows of frequencies.
JPEG_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
JPEG_SHIFT = 128 / 255  # what the transform is of the difference to


def mixture(y: Tensor, rgb: Tensor, source: torch.Generator, share: Tensor, *uniform: Tensor) -> Tensor:
    """``lerp(Y, m_r R + m_g G + m_b B, share)``: the channels as a film weighs them, exponential around its means."""
    parts = [-f * torch.log(u.clamp_min(1e-6)) for f, u in zip(FILM, uniform, strict=True)]
    weights = torch.cat(parts, 1) / sum(parts)
    return torch.lerp(y, (rgb * weights).sum(1, keepdim=True), share)


def gamma(y: Tensor, rgb: Tensor, source: torch.Generator, logarithm: Tensor) -> Tensor:
    """``Y^g``."""
    return y.clamp(1e-4, 1) ** logarithm.exp()


def fading(y: Tensor, rgb: Tensor, source: torch.Generator, black: Tensor, white: Tensor) -> Tensor:
    """``black + (white - black) Y``."""
    return black + (white - black) * y


def vignetting(y: Tensor, rgb: Tensor, source: torch.Generator, loss: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """``Y (1 - loss r^2)``, r the distance from about the middle, 1 at the nearest edge."""
    height, width = y.shape[-2:]
    x = torch.linspace(-1, 1, width, device=y.device) - across
    far = x * x + (torch.linspace(-1, 1, height, device=y.device)[:, None] - down) ** 2
    return y * (1 - loss * far.clamp_max(2))


def blur(y: Tensor, rgb: Tensor, source: torch.Generator, amount: Tensor, sigma: Tensor) -> Tensor:
    """``Y + amount (G_sigma * Y - Y)``, a Gaussian of five taps each way; it sharpens where `amount` < 0."""
    taps = [torch.exp(-0.5 * (k / sigma) ** 2) for k in (2, 1, 0, 1, 2)]
    soft, total = y, sum(taps)
    for axis, border in ((-1, (2, 2, 0, 0)), (-2, (0, 0, 2, 2))):
        padded = F.pad(soft, border, mode="replicate")
        soft = sum(tap * padded.narrow(axis, k, y.shape[axis]) for k, tap in enumerate(taps)) / total  # type: ignore[assignment]
    return torch.lerp(y, soft, amount)


def grain(y: Tensor, rgb: Tensor, source: torch.Generator, sigma: Tensor) -> Tensor:
    """``Y + sigma N``."""
    return y + sigma * torch.randn(y.shape, generator=source, device=y.device)


def coarse_grain(y: Tensor, rgb: Tensor, source: torch.Generator, sigma: Tensor) -> Tensor:
    """Grains two pixels wide."""
    half = (*y.shape[:2], *(-(-side // 2) for side in y.shape[-2:]))
    noise = F.interpolate(torch.randn(half, generator=source, device=y.device), scale_factor=2, mode="bilinear")
    return y + 1.6 * sigma * noise[..., : y.shape[-2], : y.shape[-1]]  # interpolation takes that much of the deviation


def jpeg(y: Tensor, rgb: Tensor, source: torch.Generator, coarseness: Tensor) -> Tensor:
    """Blocks of 8 x 8, their cosine transform rounded to multiples of `coarseness` times :data:`JPEG_TABLE`."""
    height, width = y.shape[-2:]
    y = F.pad(y.clamp(0, 1), (0, -width % 8, 0, -height % 8), mode="replicate")
    cosines, table = (constant.to(y.device) for constant in _jpeg_constants())
    step = (table * coarseness[..., None, None]).clamp_min(1) / 255
    blocks = (y - JPEG_SHIFT).unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    rounded = torch.round(cosines @ blocks @ cosines.T / step) * step
    coded = (cosines.T @ rounded @ cosines).transpose(3, 4).flatten(4, 5).flatten(2, 3) + JPEG_SHIFT
    return coded[..., :height, :width]


@cache
def _jpeg_constants() -> tuple[Tensor, Tensor]:
    """The orthonormal cosine transform of length 8, and the table."""
    k = torch.arange(8.0)
    cosines = torch.cos(math.pi / 8 * (k + 0.5) * k[:, None]) / 2
    cosines[0] /= math.sqrt(2)
    return cosines, torch.tensor(JPEG_TABLE, dtype=torch.float32)


class Fault(NamedTuple):
    """What befalls `share` of the samples at full strength, with numbers drawn uniformly from `ranges`."""

    share: float
    apply: Callable[..., Tensor]  # (Y, RGB, random source, the numbers as (N, 1, 1, 1)) to Y
    ranges: tuple[tuple[float, float], ...]


FAULTS = (  # in the order of their making: the film and its age, lens and scanner, grain, the file
    Fault(0.15, mixture, ((0.1, 0.8), (0, 1), (0, 1), (0, 1))),
    Fault(0.5, gamma, ((-0.4, 0.4),)),
    Fault(0.4, fading, ((-0.06, 0.12), (0.85, 1.08))),
    Fault(0.12, vignetting, ((0.05, 0.25), (-0.4, 0.4), (-0.4, 0.4))),
    Fault(0.15, blur, ((0.4, 1.0), (0.4, 1.6))),
    Fault(0.3, blur, ((-0.8, 0.0), (0.4, 1.6))),
    Fault(0.4, grain, ((0.0, 0.02),)),
    Fault(0.4, coarse_grain, ((0.0, 0.02),)),
    Fault(0.05, grain, ((0.02, 0.06),)),
    Fault(0.2, jpeg, ((0.3, 2.0),)),
)


def degrade(luma: Tensor, rgb: Tensor, strength: float, rng: np.random.Generator, source: torch.Generator) -> Tensor:
    """The luma of a batch with each of :data:`FAULTS` in its share of the samples, times `strength`; clipped to [0, 1].

    Parameters
    ----------
    luma : (N, 1, H, W) float32 in [0, 1]
        Left as it is.
    rgb : (N, 3, H, W) float32 in [0, 1]
        The colors that it is of.
    strength : float
        In [0, 1].
    rng : numpy Generator
        Says which and how much.
    source : torch Generator, on the device of `luma`
        Of the grain.
    """
    luma, device = luma.clone(), luma.device
    for fault in FAULTS:
        befallen = np.flatnonzero(rng.random(len(luma)) < strength * fault.share)
        low, high = np.array(fault.ranges, np.float32).T
        numbers = low + (high - low) * rng.random((len(luma), len(low)), dtype=np.float32)
        if len(befallen):
            index = torch.from_numpy(befallen).to(device)
            amounts = torch.from_numpy(numbers[befallen]).to(device)[:, :, None, None].split(1, 1)
            luma[index] = fault.apply(luma[index], rgb[index], source, *amounts)
    return luma.clamp_(0, 1)
