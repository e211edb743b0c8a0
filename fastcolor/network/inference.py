"""From the luma of a photograph to logits: resample to a shape the network knows, run it, in bfloat16 if it helps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .unet import ColorUNet

MAX_STRETCH = 2.0  # the most that one side is shrunk against the other on the way to a square


def network_shape(height: int, width: int, size: int, multiple: int) -> tuple[int, int]:
    """(h, w) that the network runs at: about size x size pixels, no more than the photograph has, in whole multiples.

    Sides are rounded to the nearest multiple, one at least, so that there is nothing to pad.

    The network is trained on squares whose objects are stretched both ways, and is at its best on them: photographs up
    to 2:1 become squares, longer ones keep half of their aspect. Chroma is stretched back by the merge.

    Examples
    --------
    >>> network_shape(3000, 4000, 192, 64), network_shape(3000, 4000, 192, 32), network_shape(500, 3000, 192, 32)
    ((192, 192), (192, 192), (96, 320))
    """
    aspect = width / height
    aspect = aspect / min(MAX_STRETCH, aspect) if aspect > 1 else aspect * min(MAX_STRETCH, 1 / aspect)
    side = min(size, math.sqrt(height * width))
    sides = side / math.sqrt(aspect), side * math.sqrt(aspect)
    rows, columns = (max(1, round(length / multiple)) * multiple for length in sides)
    return rows, columns


def network_input(luma: NDArray[Any], size: int, multiple: int) -> NDArray[np.float32]:
    """Luma (H, W), uint8 or float32 in [0, 1], resampled by Lanczos to its :func:`network_shape`.

    Examples
    --------
    >>> network_input(np.zeros((300, 400), np.uint8), 192, 64).shape
    (192, 192)
    """
    unit = luma.astype(np.float32) / np.float32(255) if luma.dtype == np.uint8 else luma.astype(np.float32)
    height, width = network_shape(unit.shape[0], unit.shape[1], size, multiple)
    if unit.shape != (height, width):
        unit = np.asarray(Image.fromarray(unit).resize((width, height), Image.Resampling.LANCZOS))
    return np.clip(unit, 0.0, 1.0)


@torch.inference_mode()
def predict(model: ColorUNet, luma: NDArray[np.float32], *, mirror: bool = False) -> Tensor:
    """``model(luma)`` of a batch (N, H, W) or of one image (H, W): planar float32 logits (N, n, h, w) or (n, h, w).

    On the CPU the network runs in bfloat16 and channels-last memory, which costs less than 0.02 dB. The result is on
    the device of the model. With `mirror` they are the mean of those of the image and of its mirror image, turned back:
    twice the work. Sides should be multiples of the fold then, as those of :func:`network_shape` are.
    """
    device = next(model.parameters()).device
    batch = torch.from_numpy(np.ascontiguousarray(luma).reshape(-1, 1, *luma.shape[-2:])).to(device)
    logits = _logits(model, batch)
    if mirror:
        logits = (logits + _logits(model, batch.flip(-1)).flip(-1)) / 2
    logits = _planar(logits)
    return logits if luma.ndim == 3 else logits[0]


def _logits(model: ColorUNet, batch: Tensor) -> Tensor:
    with torch.autocast(batch.device.type, torch.bfloat16):
        logits: Tensor = model(batch.contiguous(memory_format=torch.channels_last))
    return logits.float()


def _planar(logits: Tensor) -> Tensor:
    """Channels-last logits in planar memory: torch turns matrices, of pixels and bins, faster than whole batches."""
    planar = torch.empty_like(logits, memory_format=torch.contiguous_format)
    for image, pixels in zip(planar, logits.permute(0, 2, 3, 1).flatten(1, 2), strict=True):
        image.flatten(1).copy_(pixels.t())
    return planar
