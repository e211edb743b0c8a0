"""Strategies of arrays: shapes, memory layouts, logits, images and bins.

Hypothesis draws the choices (simple ones first, so that failures shrink to them); the numbers come from a NumPy
generator with a drawn seed, which is a hundred times faster than drawing them one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcolor.kernels.common.host import bfloat16_bits
from fastcolor.reference import ColorBins
from fastcolor.reference.constants import U_MAX, V_MAX
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]
UNIT = (-1 / 256, 1 + 1 / 256)  # what RGB and luma of [0, 1] may be, with the allowance for rounding
MAX_LOGITS = 300_000  # bins x pixels: what the float64 reference does in about ten milliseconds

sides = st.sampled_from([1, 2, 3, 5, 7, 0, 31, 32, 33, 64, 257])
seeds = st.integers(0, 2**32 - 1)
generators = seeds.map(np.random.default_rng)
temperatures = st.sampled_from([0.38, 1.0, 0.0, 0.05, 0.1, 0.2, 0.5, 0.7, 2.0, 4.0, 10.0])
lams = st.sampled_from([0.2, 0.5, 1.0, 0.0, 1e-3])
cell_counts = st.sampled_from([17, 3, 2, 1, 4, 5, 10, 11, 16, 31, 33, 65, 100, 170, 254, 255])
bin_counts = st.sampled_from([32, 1, 2, 3, 4, 7, 8, 9, 16, 31, 33, 64, 100, 255])


@st.composite
def shapes(draw: st.DrawFn, max_pixels: int = 10_000) -> tuple[int, int]:
    """(H, W) with the sizes at which vector loops end: 0, 1, odd, a multiple of 32 and one off it."""
    height, width = draw(sides), draw(sides)
    return height, min(width, max_pixels // max(height, 1))


# --- memory layouts ---------------------------------------------------------------------------------------------------

LAYOUTS = (
    "contiguous",
    "transposed",
    "bins_last",
    "sliced",
    "reversed",
    "broadcast",
    "offset",
    "unaligned",
    "readonly",
)


def lay_out(array: Array, layout: str) -> Array:
    """`array` with another memory layout; the values stay, but for ``broadcast``, which repeats the first of an axis.

    >>> lay_out(np.zeros((4, 6), np.float32), "transposed").strides
    (4, 16)
    """
    if layout == "contiguous":
        return np.array(array, order="C")  # ascontiguousarray would give a scalar a dimension
    if layout == "transposed":
        return np.array(array, order="F")
    if layout == "bins_last":  # the third axis from the end adjacent in memory: torch's channels_last
        if array.ndim == 0:
            return array.copy()
        axis = max(array.ndim - 3, 0)
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, axis, -1)), -1, axis)
    if layout == "sliced":
        return _in_larger_buffer(array)
    if layout == "reversed":
        flip: Any = (*(slice(None, None, -1),) * array.ndim, ...)
        return np.array(array[flip], order="C")[flip]
    if layout == "broadcast":
        axis = array.ndim - 1
        return np.broadcast_to(array.take([0], axis) if array.size and array.ndim else array, array.shape)
    if layout == "offset":
        return _at_byte(array, array.itemsize)
    if layout == "unaligned":
        return _at_byte(array, 1)
    if layout == "readonly":
        array = np.array(array, order="C")
        array.setflags(write=False)
        return array
    raise ValueError(f"layout: expected one of {LAYOUTS}, got {layout!r}")


def _in_larger_buffer(array: Array) -> Array:
    """Every second element of a larger buffer whose other elements would be noticed."""
    poison = np.nan if array.dtype.kind == "f" else 199
    buffer = np.full([2 * size + 3 for size in array.shape], poison, array.dtype)
    inner: Any = (*(slice(1, 1 + 2 * size, 2) for size in array.shape), ...)  # ... keeps a scalar an array
    view: Array = buffer[inner]
    view[...] = array
    return view


def _at_byte(array: Array, offset: int) -> Array:
    buffer = np.zeros(array.nbytes + offset, np.uint8)
    view: Array = np.ndarray(array.shape, array.dtype, buffer.data, offset)
    view[...] = array
    return view


# --- bfloat16, which NumPy lacks --------------------------------------------------------------------------------------


def bits_of(x: Array) -> Array:
    """bfloat16 as the bits in uint16, rounded to nearest."""
    return bfloat16_bits(x).reshape(x.shape)


def values_of(x: Array) -> Array:
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.uint16 else x


def as_dtype(x: Array, dtype: str) -> Array:
    return bits_of(x) if dtype == "uint16" else x.astype(dtype)


# --- logits -----------------------------------------------------------------------------------------------------------

LOGITS = (
    "normal1", "flat", "normal3", "normal10", "normal0.01", "shifted", "one_peak", "two_peaks", "huge", "masked",
    "masked_finite", "all_masked", "nan", "inf", "mixed",
)  # fmt: skip
FINITE_LOGITS = LOGITS[: LOGITS.index("masked")]
logit_kinds = st.sampled_from(LOGITS)


def make_logits(rng: np.random.Generator, kind: str, n: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Logits (n, *shape) of a named kind; values are exact in float16, so that every dtype carries the same ones.

    But for ``masked_finite``: masks by large negative numbers are -inf in float16.
    """
    x = _logits(rng, kind, n, shape)
    if kind == "masked_finite":
        return x.astype(np.float32).astype(np.float64)
    return np.clip(x, -60000, 60000, where=np.isfinite(x), out=x).astype(np.float16).astype(np.float64)


def _logits(rng: np.random.Generator, kind: str, n: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    x = rng.standard_normal((n, *shape))
    if kind.startswith("normal"):
        return x * float(kind.removeprefix("normal"))
    if kind == "flat":
        return np.full((n, *shape), rng.choice([0.0, -3.5, 12.0]))
    if kind == "shifted":  # far from zero: exp overflows or underflows in float32 unless the maximum goes first
        return x + rng.choice([-200.0, -90.0, 90.0, 200.0], shape)
    if kind == "one_peak":
        return _raise(x, rng.integers(0, n, shape), 25.0)
    if kind == "two_peaks":  # an exact tie
        first, second = rng.integers(0, n, (2, *shape))
        x = np.minimum(x, 2.0)
        np.put_along_axis(x, first[None], 4.0, 0)
        np.put_along_axis(x, second[None], 4.0, 0)
        return x
    if kind == "huge":
        return x * 1e4
    if kind == "masked":
        x[rng.random(x.shape) < 0.5] = -np.inf
        np.put_along_axis(x, rng.integers(0, n, shape)[None], 1.0, 0)  # every pixel keeps a bin
        return x
    if kind == "masked_finite":  # as in `masked_fill(mask, torch.finfo(dtype).min)`
        x[rng.random(x.shape) < 0.3] = rng.choice([-3.4028234663852886e38, -1e30, -1e20, -1e12, -1e5])
        if rng.random() < 0.3:
            np.put_along_axis(x, rng.integers(0, n, shape)[None], rng.choice([1e9, 1e30, 3e38]), 0)
        return x
    if kind == "all_masked":
        x[:, rng.random(shape) < 0.3] = -np.inf
        return x
    if kind in ("nan", "inf"):
        x[rng.random(x.shape) < 0.5 / n] = np.nan if kind == "nan" else np.inf
        return x
    if kind == "mixed":  # a different kind at each pixel: a block of a kernel sees all of them at once
        kinds = rng.integers(0, len(LOGITS) - 1, shape)
        for index, other in enumerate(LOGITS[:-1]):
            x = np.where(kinds == index, _logits(rng, other, n, shape), x)
        return x
    raise ValueError(f"kind: expected one of {LOGITS}, got {kind!r}")


def _raise(x: NDArray[np.float64], peaks: Array, by: float) -> NDArray[np.float64]:
    np.put_along_axis(x, peaks[None], np.take_along_axis(x, peaks[None], 0) + by, 0)
    return x


# --- images and bins --------------------------------------------------------------------------------------------------

IMAGES = ("uniform", "gray", "near_gray", "extremes", "constant")
image_kinds = st.sampled_from(IMAGES)


def make_rgb(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """uint8 RGB (*shape, 3)."""
    rgb = rng.integers(0, 256, (*shape, 3))
    if kind == "gray":
        rgb[...] = rgb[..., :1]
    elif kind == "near_gray":
        rgb = np.clip(rgb[..., :1] + rng.integers(-2, 3, rgb.shape), 0, 255)
    elif kind == "extremes":
        rgb = 255 * (rgb > 127)
    elif kind == "constant":
        rgb[...] = rng.integers(0, 256, 3)
    return rgb.astype(np.uint8)


class RandomBins(ColorBins):
    """Color bins that a failing test can print on one line."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"<{self.n} random bins over {self.cells} x {self.cells} cells>")


def make_bins(rng: np.random.Generator, n: int, cells: int) -> ColorBins:
    """A random table, colors over the whole rectangle and a prior with a few zeros."""
    table = rng.integers(0, n, (cells, cells)).astype(np.uint8)
    colors = (rng.uniform(-1, 1, (n, 2)) * (U_MAX, V_MAX)).astype(np.float32)
    prior = rng.exponential(size=n) * (rng.random(n) < 0.9)
    prior[0] += 1e-3
    return RandomBins(table, colors, prior / prior.sum())


@st.composite
def bins(draw: st.DrawFn) -> ColorBins:
    return make_bins(draw(generators), draw(bin_counts), draw(cell_counts))


# --- arrays of any library, on any device -----------------------------------------------------------------------------

KINDS_ON: dict[str, tuple[str, ...]] = {"cpu": ("numpy", "torch"), "cuda": ("torch-cuda", "cupy")}
KINDS = tuple(kind for kinds in KINDS_ON.values() for kind in kinds)
TORCH_LAYOUTS = ("contiguous", "transposed", "bins_last", "sliced", "broadcast", "offset")


def has_bfloat16(kind: str) -> bool:
    return kind.startswith("torch")


def layouts_of(kind: str) -> st.SearchStrategy[str]:
    """torch has no negative strides and no read-only tensors; a GPU has no access across an element's alignment."""
    return st.sampled_from(LAYOUTS if kind == "numpy" else TORCH_LAYOUTS)


def as_kind(array: Array, kind: str, dtype: str, layout: str = "contiguous") -> Any:
    """`array` cast to `dtype`, as an array of a kind in ``KINDS`` with the given layout."""
    if kind == "numpy":
        with np.errstate(over="ignore"):
            return lay_out(array.astype(dtype), layout)
    tensor = _tensor(array, dtype, layout)
    if kind == "torch":
        return tensor
    if kind == "torch-cuda":
        return place(tensor, "cuda")
    if kind == "cupy":
        import cupy

        return place_in(cupy, tensor)
    raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}")


def _tensor(array: Array, dtype: str, layout: str) -> Any:
    import torch

    tensor = torch.from_numpy(np.array(array, order="C")).to(getattr(torch, dtype))
    if layout == "broadcast":
        return tensor[..., :1].expand(tensor.shape) if tensor.numel() and tensor.ndim else tensor
    # NumPy has no bfloat16: its bits are laid out as integers of the same size.
    bits = tensor.view(torch.int16) if dtype == "bfloat16" else tensor
    return torch.from_numpy(lay_out(bits.numpy(), layout)).view(tensor.dtype)


def elements_of(tensor: Any) -> tuple[Any, int]:
    """All elements from the first to the last of a CPU tensor, and how many past 16-byte alignment it starts."""
    extent = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    extent = extent if tensor.numel() else 0
    return tensor.as_strided((extent,), (1,)), tensor.data_ptr() % 16 // tensor.element_size()


def place(tensor: Any, device: str) -> Any:
    """A CPU tensor on another device, with its strides, the memory between its elements and its misalignment."""
    import torch

    memory, start = elements_of(tensor)
    there = torch.zeros(start + len(memory), dtype=tensor.dtype, device=device)
    there[start:] = memory.to(device)
    return there.as_strided(tensor.shape, tensor.stride(), start)


def place_in(library: Any, tensor: Any) -> Any:
    """:func:`place` as an array of a library with NumPy's names."""
    memory, start = elements_of(tensor)
    there = library.zeros(start + len(memory), memory.numpy().dtype)
    there[start:] = library.asarray(memory.numpy())
    strides = tuple(step * tensor.element_size() for step in tensor.stride())
    return library.lib.stride_tricks.as_strided(there[start:], tuple(tensor.shape), strides)


def memory_of(array: Any) -> bytes:
    """The bytes of the whole buffer that an array is a view of."""
    if isinstance(array, np.ndarray):
        while isinstance(array.base, np.ndarray):
            array = array.base
        return array.tobytes()
    if type(array).__module__.startswith("cupy"):
        import cupy

        buffer = array.data.mem
        return cupy.ndarray((buffer.size,), cupy.uint8, cupy.cuda.MemoryPointer(buffer, 0)).get().tobytes()
    import torch

    storage = array.untyped_storage()
    return torch.empty(0, dtype=torch.uint8, device=array.device).set_(storage).cpu().numpy().tobytes()
