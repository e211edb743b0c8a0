"""What a competent torch user would write: eager operations, ``torch.compile`` of them, and hand-fused formulations.

Each function takes the inputs and returns the function that is timed. "hand-fused" means: written for the compiler, as
one expression a pixel over the n planes, so that no temporary grows with n. Everything runs under
``torch.inference_mode()`` with static shapes. Constants are made on torch's default device, which the caller sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from fastcolor.reference import constants as c
from torch import Tensor

from ..cases import Run
from .color import LOG2_E, OFFSETS, bin_offsets

_OFFSETS = OFFSETS.tolist()  # numbers, which the compiler folds into the code
BLOCK = 8192  # pixels: n = 32 planes of them in float32 stay in a second-level cache


def eager(function: Callable[..., Any], *inputs: Any) -> Run:
    """Call with the same inputs, without autograd."""

    def run() -> Any:
        with torch.inference_mode():
            return function(*inputs)

    return run


def with_grad(function: Callable[..., Any], *inputs: Any) -> Run:
    """Call with the same inputs; the function sees to its own autograd."""
    return lambda: function(*inputs)


def compiled(function: Callable[..., Any], *inputs: Any) -> Run:
    """``torch.compile`` for exactly these shapes; the first call compiles."""
    return eager(torch.compile(function, dynamic=False, fullgraph=True), *inputs)


def tensor(array: Any) -> Tensor:
    """Share memory with a NumPy array; a tensor is taken as it is."""
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else array


def _cells(rgb: Tensor, cells: int) -> Tensor:
    r, g, b = (rgb[..., k].int() for k in range(3))
    u_max, v_max = c.U_NUMERATOR_MAX, c.V_NUMERATOR_MAX
    u = torch.div((886 * b - 299 * r - 587 * g + u_max) * cells, 2 * u_max, rounding_mode="floor")
    v = torch.div((701 * r - 587 * g - 114 * b + v_max) * cells, 2 * v_max, rounding_mode="floor")
    return u.clamp_max(cells - 1) * cells + v.clamp_max(cells - 1)


def _luma(rgb: Tensor) -> Tensor:
    r, g, b = (rgb[..., k].int() for k in range(3))
    return (299 * r + 587 * g + 114 * b).float() * (1 / 255000)


def encode(bins: Any, weights: np.ndarray) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Exact integer cells, then one look-up for the label and one for the weight."""
    table = torch.tensor(bins.table.reshape(-1))
    cell_weights = torch.tensor(weights.astype(np.float32))[table.long()]
    cells = bins.cells

    def function(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        index = _cells(rgb, cells)
        return _luma(rgb), table[index], cell_weights[index]

    return function


def encode_all_colors(labels: np.ndarray, weights: np.ndarray) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """One look-up in a table of the labels of all 2^24 colors (16 MB), made outside the clock."""
    table, bin_weights = torch.tensor(labels), torch.tensor(weights.astype(np.float32))

    def function(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r, g, b = (rgb[..., k].int() for k in range(3))
        label = table[r * 65536 + g * 256 + b]
        return _luma(rgb), label, bin_weights[label.int()]

    return function


def histogram(cells: int) -> Callable[[Tensor], Tensor]:
    """Cells, then ``torch.bincount``."""

    def function(rgb: Tensor) -> Tensor:
        return torch.bincount(_cells(rgb, cells).reshape(-1), minlength=cells * cells).reshape(cells, cells)

    return function


def histogram_compiled(cells: int) -> Callable[[Tensor], Tensor]:
    """Compiled cells, eager ``torch.bincount`` (it has no compiled form with a fixed size)."""
    index = torch.compile(lambda rgb: _cells(rgb, cells).reshape(-1), dynamic=False)
    return lambda rgb: torch.bincount(index(rgb), minlength=cells * cells).reshape(cells, cells)


def _to_rgb(y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    planes = [y + a * u + b * v for a, b in _OFFSETS]
    return (torch.stack(planes, -1) * 255 + 0.5).clamp(0, 255).to(torch.uint8)


def annealed_softmax(bins: Any, temperature: float, axis: int = 0) -> Callable[[Tensor], Tensor]:
    """``softmax(x / T)``, then a matrix product with the bins' colors; (2, H, W) or, for axis -1, (H, W, 2)."""
    colors = torch.tensor(bins.colors)

    def function(x: Tensor) -> Tensor:
        p = torch.softmax(x.float() / temperature, axis)
        return p @ colors if axis == -1 else torch.einsum("nhw,nc->chw", p, colors)

    return function


def decode_softmax(bins: Any, temperature: float, axis: int = 0) -> Callable[[Tensor, Tensor], Tensor]:
    """The straightforward one: :func:`annealed_softmax`, then the color equations."""
    mean = annealed_softmax(bins, temperature, axis)

    def function(x: Tensor, y: Tensor) -> Tensor:
        u, v = mean(x).unbind(axis)
        return _to_rgb(y, u, v)

    return function


def decode_blocked(bins: Any, temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
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


def decode_sums(bins: Any, temperature: float, axis: int = 0) -> Callable[[Tensor, Tensor], Tensor]:
    """Hand-fused with reductions: three weighted sums of ``exp((x - max) / T)``."""
    shape = (-1, 1, 1) if axis == 0 else (-1,)
    cu, cv = (torch.tensor(bins.colors[:, k]).reshape(shape) for k in range(2))

    def function(x: Tensor, y: Tensor) -> Tensor:
        x = x.float()
        e = torch.exp((x - x.amax(axis, keepdim=True)) * (1 / temperature))
        scale = 1 / e.sum(axis)
        return _to_rgb(y, (e * cu).sum(axis) * scale, (e * cv).sum(axis) * scale)

    return function


def annealed_planes(bins: Any, temperature: float) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Hand-fused over the planes: a running maximum, then n exponentials accumulated in registers."""
    colors, factor = bins.colors.tolist(), LOG2_E / temperature

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        peak = _peak(x)
        total = u = v = torch.zeros_like(peak)
        for plane, (cu, cv) in zip(x, colors, strict=True):
            e = torch.exp2((plane.float() - peak) * factor)
            total, u, v = total + e, u + e * cu, v + e * cv
        scale = 1 / total
        return u * scale, v * scale

    return function


def annealed_stacked(bins: Any, temperature: float) -> Callable[[Tensor], Tensor]:
    """:func:`annealed_planes` as one (2, H, W) tensor."""
    mean = annealed_planes(bins, temperature)
    return lambda x: torch.stack(mean(x))


def decode_planes(bins: Any, temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    """:func:`annealed_planes`, then the color equations: the strongest formulation that was found."""
    mean = annealed_planes(bins, temperature)
    return lambda x, y: _to_rgb(y, *mean(x))


def _peak(x: Tensor) -> Tensor:
    peak = x[0].float()
    for plane in x[1:]:
        peak = torch.maximum(peak, plane.float())
    return peak


def confidence_topk(x: Tensor) -> tuple[Tensor, Tensor]:
    """``softmax``, then ``topk(2)``."""
    top = torch.topk(torch.softmax(x, 0), 2, dim=0).values
    return top[0], top[0] / top[1]


def confidence_planes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Hand-fused: running first and second maximum, then the sum of exponentials."""
    first = torch.maximum(x[0], x[1])
    second = torch.minimum(x[0], x[1])
    for plane in x[2:]:
        second = torch.maximum(second, torch.minimum(first, plane))
        first = torch.maximum(first, plane)
    total = torch.zeros_like(first)
    for plane in x:
        total = total + torch.exp2((plane - first) * LOG2_E)
    return 1 / total, torch.exp2((first - second) * LOG2_E)


def decode_confidence(decode: Callable[..., Tensor], confidence: Callable[..., Any]) -> Callable[..., Any]:
    """Both on the same logits; compiled together they may share their passes."""
    return lambda x, y: (decode(x, y), *confidence(x))


def merge(chroma: Tensor, luma: Tensor) -> Tensor:
    """``interpolate`` to the full size, then the color equations."""
    y = luma if luma.is_floating_point() else luma.float() * (1 / 255)
    full = torch.nn.functional.interpolate(chroma[None], size=luma.shape, mode="bilinear", align_corners=False)[0]
    return _to_rgb(y, full[0], full[1])


def merge_rows(chroma_shape: tuple[int, ...], luma_shape: tuple[int, ...]) -> Callable[[Tensor, Tensor], Tensor]:
    """Hand-fused: the few low-resolution rows are widened once, as R, G, B offsets; then one lerp an output value."""
    (low_row, high_row, row_t), (low, high, t) = (
        _lerp(have, want) for have, want in zip(chroma_shape[1:], luma_shape, strict=True)
    )
    offsets = torch.tensor((255 * OFFSETS).astype(np.float32))

    def function(chroma: Tensor, luma: Tensor) -> Tensor:
        y = luma.float() * (255.0 if luma.is_floating_point() else 1.0)
        wide = chroma[:, :, low] * (1 - t) + chroma[:, :, high] * t
        rows = torch.einsum("kc,chw->hwk", offsets, wide).contiguous()
        rgb = rows[low_row] * (1 - row_t)[:, None, None] + rows[high_row] * row_t[:, None, None]
        return (rgb + y[..., None] + 0.5).clamp(0, 255).to(torch.uint8)

    return function


def _lerp(have: int, want: int) -> tuple[Tensor, Tensor, Tensor]:
    position = ((torch.arange(want, dtype=torch.float64) + 0.5) * have / want - 0.5).clamp(0, have - 1)
    low = position.long()
    return low, (low + 1).clamp_max(have - 1), (position - low).float()
