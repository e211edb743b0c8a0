"""The gradient of the annealed mean for CUDA, on the CPU: right in every layout, type and place in memory."""

from __future__ import annotations

import compare
import numpy as np
import pytest
import strategies as make
from cuda_host.backend import ENGINE
from fastcolor.kernels.cupy_cuda import engine, gradient
from guarded import Guarded, at_offset
from strategies import as_dtype, values_of

Array = np.ndarray
# (images, bins, pixels): 32 bins four pixels a thread, one a thread where these do not fit, and any number of bins.
SHAPES = [(2, 32, 480), (1, 32, 35), (3, 33, 81), (2, 5, 300), (2, 255, 120), (2, 32, 1), (1, 1, 40)]
DTYPES = ("float32", "float16", "uint16")  # uint16: the bits of bfloat16
LAYOUTS = ("planar", "adjacent", "last")  # bins far apart, adjacent in memory, and on the last axis


def case(shape: tuple[int, ...], dtype: str = "float32", layout: str = "planar") -> tuple[Array, Array, int]:
    """Slope (2 in place of the bins), logits, and the axis of the bins."""
    rng = np.random.default_rng(shape)
    slope, x = (rng.standard_normal((shape[0], n, shape[2])).astype(np.float32) for n in (2, shape[1]))
    slope, x = as_dtype(slope, dtype), as_dtype(3 * x, dtype)
    if layout == "planar":
        return slope, x, 1
    moved = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    if layout == "adjacent":
        return slope, np.moveaxis(moved, -1, 1), 1
    return np.ascontiguousarray(np.moveaxis(slope, 1, -1)), moved, 2


def run(slope: Array, x: Array, axis: int, temperature: float = 0.38) -> Array:
    """The gradient in the layout of the logits, with a wall around its memory."""
    bins = make.make_bins(np.random.default_rng(x.shape[axis]), x.shape[axis], 17)
    dense = x.flags.c_contiguous
    guarded = Guarded(x.shape if dense else np.moveaxis(x, axis, -1).shape, str(x.dtype), x.ctypes.data % 16)
    out = guarded.array if dense else np.moveaxis(guarded.array, -1, axis)
    out[...] = 7  # what is not written would show
    gradient.annealed_mean_gradient(ENGINE, slope, x, bins, temperature=temperature, axis=axis, out=out)
    guarded.assert_unharmed()
    named = compare.Typed(values_of(out), "bfloat16" if x.dtype == np.uint16 else str(x.dtype))
    compare.assert_annealed_gradient_close(
        named, values_of(slope), values_of(x), bins, temperature=temperature, axis=axis
    )
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_the_references(shape: tuple[int, ...], dtype: str, layout: str) -> None:
    run(*case(shape, dtype, layout))


@pytest.mark.parametrize("temperature", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("n", [32, 9])
def test_any_temperature(n: int, temperature: float) -> None:
    run(*case((1, n, 64)), temperature)


@pytest.mark.parametrize("layout", ["planar", "adjacent"])
def test_float64_is_rounded_to_float32(layout: str) -> None:
    slope, x, axis = case((2, 32, 48), layout=layout)
    expected = run(slope, x, axis)
    out = np.zeros_like(x, dtype=np.float64)
    bins = make.make_bins(np.random.default_rng(32), 32, 17)
    gradient.annealed_mean_gradient(ENGINE, slope, x.astype(np.float64), bins, axis=axis, out=out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 32, 256), (2, 9, 64)], ids=str)
def test_a_place_in_memory_does_not_show(shape: tuple[int, ...], dtype: str) -> None:
    """The slope or the logits off the 16 bytes that the wide path wants."""
    slope, x, axis = case(shape, dtype)
    expected = run(at_offset(slope, 0), at_offset(x, 0), axis)
    for first, second in ((slope.itemsize, 0), (0, x.itemsize)):
        np.testing.assert_array_equal(run(at_offset(slope, first), at_offset(x, second), axis), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [32, 9])
def test_wide_indices_give_the_same(n: int, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = case((2, n, 40), layout=layout)
    expected = run(*arrays)
    monkeypatch.setattr(engine, "_LIMIT_32", 1)
    np.testing.assert_array_equal(run(*arrays), expected)


@pytest.mark.parametrize("layout", ["planar", "adjacent"])
@pytest.mark.parametrize("n", [32, 9])
@pytest.mark.parametrize("what", ["nan", "inf", "-inf", "all -inf", "far", "equal"])
def test_odd_logits(what: str, n: int, layout: str) -> None:
    """Against the reference: NaN where the chroma is NaN, 0 for a bin of probability 0."""
    slope, x, axis = case((1, n, 64), layout=layout)
    odd = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "far": 1e30, "equal": 0, "all -inf": -np.inf}[what]
    x[0, slice(None) if what in ("all -inf", "equal") else 3, ::2] = odd
    with np.errstate(invalid="ignore"):
        run(slope, x, axis)
