"""The gradient of the annealed mean in the logits: by a kernel, or by torch operations on parts of the image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _array, _run
from ._array import native
from ._dispatch import choose
from ._run_loss import logits_and_room

# Logits worked on at a time: on the CPU they stay in the caches, on a GPU they keep it busy.
_PART = {"cpu": 1 << 18, "cuda": 1 << 24}


def annealed_mean_gradient(
    gradient: Tensor, logits: Tensor, bins: Any, temperature: float, axis: int, backend: str
) -> Tensor:
    """``d / d x_b = f_b (c_b - chroma) . g / T`` with ``f = softmax(x / T)`` and g the gradient in the chroma.

    Float32 arithmetic, as in the operation itself; of the size of the logits it allocates the result alone.

    Parameters
    ----------
    gradient : Tensor, 2 on `axis`
    logits : Tensor, n on `axis`
    bins : ColorBins
    temperature : float
        T > 0.
    axis : int
    backend : str

    Returns
    -------
    Tensor
        Shape, dtype and memory layout of the logits; NaN where the chroma is NaN.
    """
    logits, result = logits_and_room(logits, axis)
    if not logits.numel():
        return result
    kernels = choose(backend, _array.device(logits), "annealed_mean")
    if hasattr(kernels, "annealed_mean_gradient"):
        arrays = native(gradient), native(logits), bins
        kernels.annealed_mean_gradient(*arrays, temperature=temperature, axis=axis, out=native(result))
        return result
    g, x, out = (torch.movedim(t, axis, 0).unsqueeze(-1) for t in (gradient, logits, result))
    # The colors on the device of the logits without a copy from the host, which a CUDA graph could not hold.
    modes = torch.eye(len(x), device=x.device)
    u, v = _run.annealed_mean(modes, bins, 0.0, 0, backend).view(2, -1, *[1] * (x.ndim - 1))
    along = max(range(1, x.ndim), key=lambda dim: x.shape[dim])
    rows = max(1, _PART.get(x.device.type, 1 << 20) * x.shape[along] // x.numel())
    for g_part, x_part, out_part in zip(*(t.split(rows, along) for t in (g, x, out)), strict=True):
        out_part.copy_(_part(g_part.float(), x_part.float(), u, v, min(1 / temperature, 1e38)))
    return result


def _part(g: Tensor, x: Tensor, u: Tensor, v: Tensor, scale: float) -> Tensor:
    """The formula with the n bins on axis 0; all in float32."""
    f = torch.softmax((x - x.amax(0, keepdim=True)).mul_(scale), 0)
    slope = torch.addcmul(u * g[0], v, g[1])  # c_b . g
    mean = (f * slope).sum(0, keepdim=True)  # chroma . g
    return slope.sub_(mean).mul_(f).mul_(scale)
