"""What a competent torch user would write: eager operations, ``torch.compile`` of them, and hand-fused formulations.

Each function takes what the operation needs and returns the function that is timed. "hand-fused" means: written for the
compiler, as one expression a pixel over the n planes, so that no temporary grows with n. Everything runs under
``torch.inference_mode()`` with static shapes. Constants are made on torch's default device, which the caller sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cases import Run
from . import color
from .color import LOG2_E, OFFSET_PAIRS, OFFSETS, bin_offsets, cell, lerp, mean_of_planes

Function = Callable[..., Any]
BLOCK = 8192  # pixels: n = 32 planes of them in float32 stay in a second-level cache


def eager(function: Function, *inputs: Any) -> Run:
    """Call with the same inputs, without autograd."""

    def run() -> Any:
        with torch.inference_mode():
            return function(*inputs)

    return run


def with_grad(function: Function, *inputs: Any) -> Run:
    """Call with the same inputs; the function sees to its own autograd."""
    return lambda: function(*inputs)


def compiled(function: Function, *inputs: Any) -> Run:
    """``torch.compile`` for exactly these shapes; the first call compiles."""
    return eager(torch.compile(function, dynamic=False, fullgraph=True), *inputs)


def tensor(array: Any) -> Tensor:
    """Share memory with a NumPy array; a tensor is taken as it is."""
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else array


def _channels(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return rgb[..., 0].int(), rgb[..., 1].int(), rgb[..., 2].int()


def _cells(rgb: Tensor, cells: int) -> Tensor:
    return cell(*_channels(rgb), cells, torch.clamp_max)


def _luma(rgb: Tensor) -> Tensor:
    y: Tensor = color.luma(*_channels(rgb))
    return y.float() * (1 / 255000)


def encode(bins: Any, weights: np.ndarray) -> Function:
    """Exact integer cells, then one look-up for the label and one for the weight."""
    table = torch.tensor(bins.table.reshape(-1))
    cell_weights = torch.tensor(weights.astype(np.float32))[table.long()]
    cells = bins.cells

    def function(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        index = _cells(rgb, cells)
        return _luma(rgb), table[index], cell_weights[index]

    return function


def encode_all_colors(labels: np.ndarray, weights: np.ndarray) -> Function:
    """One look-up in a table of the labels of all 2^24 colors (16 MB), made outside the clock."""
    table, bin_weights = torch.tensor(labels), torch.tensor(weights.astype(np.float32))

    def function(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r, g, b = _channels(rgb)
        label = table[r * 65536 + g * 256 + b]
        return _luma(rgb), label, bin_weights[label.int()]

    return function


def histogram(cells: int) -> Function:
    return lambda rgb: torch.bincount(_cells(rgb, cells).reshape(-1), minlength=cells * cells).reshape(cells, cells)


def histogram_compiled(cells: int) -> Function:
    """Compiled cells, eager ``torch.bincount`` (it has no compiled form with a fixed size)."""
    index = torch.compile(lambda rgb: _cells(rgb, cells).reshape(-1), dynamic=False)
    return lambda rgb: torch.bincount(index(rgb), minlength=cells * cells).reshape(cells, cells)


def to_rgb(y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    planes = [y + a * u + b * v for a, b in OFFSET_PAIRS]
    return (torch.stack(planes, -1) * 255 + 0.5).clamp(0, 255).to(torch.uint8)


def annealed_softmax(bins: Any, temperature: float, axis: int = 0) -> Function:
    """``softmax(x / T)``, then a matrix product with the bins' colors; (2, H, W) or, for axis -1, (H, W, 2)."""
    colors = torch.tensor(bins.colors)

    def function(x: Tensor) -> Tensor:
        p = torch.softmax(x.float() / temperature, axis)
        return p @ colors if axis == -1 else torch.einsum("nhw,nc->chw", p, colors)

    return function


def decode_softmax(bins: Any, temperature: float, axis: int = 0) -> Function:
    """The straightforward one: :func:`annealed_softmax`, then the color equations."""
    mean = annealed_softmax(bins, temperature, axis)
    return lambda x, y: to_rgb(y, *mean(x).unbind(axis))


def decode_blocked(bins: Any, temperature: float) -> Function:
    """Eager softmax and matrix product on blocks of pixels that fit a cache."""
    offsets = torch.tensor(bin_offsets(bins))

    def function(x: Tensor, y: Tensor) -> Tensor:
        planes, luma = x.reshape(len(x), -1), y.reshape(-1)
        out = torch.empty((luma.numel(), 3), dtype=torch.uint8, device=y.device)
        for i in range(0, luma.numel(), BLOCK):
            p = torch.softmax(planes[:, i : i + BLOCK].float() * (1 / temperature), 0)
            rgb = torch.addmm(luma[None, i : i + BLOCK], offsets, p)
            out[i : i + BLOCK] = rgb.mul_(255).add_(0.5).clamp_(0, 255).T
        return out.reshape(*y.shape, 3)

    return function


def decode_sums(bins: Any, temperature: float, axis: int = 0) -> Function:
    """Hand-fused with reductions: three weighted sums of ``exp((x - max) / T)``."""
    shape = (-1, 1, 1) if axis == 0 else (-1,)
    cu, cv = (torch.tensor(bins.colors[:, k]).reshape(shape) for k in range(2))

    def function(x: Tensor, y: Tensor) -> Tensor:
        x = x.float()
        e = torch.exp((x - x.amax(axis, keepdim=True)) * (1 / temperature))
        scale = 1 / e.sum(axis)
        return to_rgb(y, (e * cu).sum(axis) * scale, (e * cv).sum(axis) * scale)

    return function


def _annealed_planes(bins: Any, temperature: float) -> Function:
    colors, factor = bins.colors.tolist(), LOG2_E / temperature
    return lambda x: mean_of_planes(torch, [plane.float() for plane in x], colors, factor)


def annealed_stacked(bins: Any, temperature: float) -> Function:
    """Hand-fused over the planes, into one (2, H, W) tensor."""
    mean = _annealed_planes(bins, temperature)
    return lambda x: torch.stack(mean(x))


def decode_planes(bins: Any, temperature: float) -> Function:
    """Hand-fused over the planes, then the color equations: the strongest formulation that was found."""
    mean = _annealed_planes(bins, temperature)
    return lambda x, y: to_rgb(y, *mean(x))


def confidence_topk(x: Tensor) -> tuple[Tensor, Tensor]:
    top = torch.topk(torch.softmax(x, 0), 2, dim=0).values
    return top[0], top[0] / top[1]


def confidence_planes(x: Tensor) -> tuple[Tensor, Tensor]:
    return color.confidence_of_planes(torch, tuple(x))


def merge(chroma: Tensor, luma: Tensor) -> Tensor:
    """``interpolate`` to the full size, then the color equations."""
    y = luma if luma.is_floating_point() else luma.float() * (1 / 255)
    full = torch.nn.functional.interpolate(chroma[None], size=luma.shape, mode="bilinear", align_corners=False)[0]
    return to_rgb(y, full[0], full[1])


def merge_rows(chroma_shape: tuple[int, ...], luma_shape: tuple[int, ...]) -> Function:
    """Hand-fused: the few low-resolution rows are widened once, as R, G, B offsets; then one lerp an output value."""
    axes = map(lerp, chroma_shape[1:], luma_shape)
    (low_row, high_row, row_t), (low, high, t) = (map(torch.tensor, axis) for axis in axes)
    offsets = torch.tensor((255 * OFFSETS).astype(np.float32))

    def function(chroma: Tensor, luma: Tensor) -> Tensor:
        y = luma.float() * (255.0 if luma.is_floating_point() else 1.0)
        wide = chroma[:, :, low] * (1 - t) + chroma[:, :, high] * t
        rows = torch.einsum("kc,chw->hwk", offsets, wide).contiguous()
        rgb = rows[low_row] * (1 - row_t)[:, None, None] + rows[high_row] * row_t[:, None, None]
        return (rgb + y[..., None] + 0.5).clamp(0, 255).to(torch.uint8)

    return function
