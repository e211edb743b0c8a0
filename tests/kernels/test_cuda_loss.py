"""The loss for CUDA, on the CPU: right in every layout, type and place in memory, and never outside its arrays."""

from __future__ import annotations

import math
from typing import Any

import compare
import numpy as np
import pytest
from cuda_host.backend import ENGINE
from fastcolor.kernels.cupy_cuda import loss as cuda_loss
from fastcolor.kernels.numba_cpu import loss as loss_cpu
from guarded import Guarded, at_offset
from strategies import as_dtype, values_of

Array = np.ndarray
# (images, bins, pixels): 32 bins four pixels a thread, one a thread where these do not fit, and any number of bins.
SHAPES = [(2, 32, 480), (1, 32, 35), (3, 33, 81), (2, 5, 900), (2, 255, 120), (2, 32, 1), (1, 17, 16), (3, 1, 40)]
DTYPES = ("float32", "float16", "uint16")  # uint16: the bits of bfloat16
ONE = np.ones(1, np.float32)


def as_layout(x: Array, layout: str) -> Array:
    return x if layout == "planar" else np.ascontiguousarray(np.moveaxis(x, 1, -1)).transpose(0, 2, 1)


def case(shape: tuple[int, ...], dtype: str = "float32", layout: str = "planar", seed: int = 0) -> tuple[Array, ...]:
    """Logits, labels and weights, some of which are 0."""
    rng = np.random.default_rng((seed, *shape))
    x = as_layout(as_dtype((3 * rng.standard_normal(shape)).astype(np.float32), dtype), layout)
    pixels = (shape[0], shape[2])
    weights = rng.random(pixels, np.float32) * (rng.random(pixels) > 0.2)
    weights.flat[0] = 0.5
    return x, rng.integers(0, shape[1], pixels).astype(np.uint8), weights


def scale_of(weights: Array) -> Array:
    return np.array([1 / weights.sum(dtype=np.float64)], np.float32)


def run(x: Array, labels: Array, weights: Array, scale: Array | None = None) -> tuple[Array, Array]:
    """Loss, and gradient in the layout of the logits, with a wall around its memory."""
    planar = x.flags.c_contiguous
    guarded = Guarded(x.shape if planar else np.moveaxis(x, 1, -1).shape, str(x.dtype), x.ctypes.data % 16)
    gradient = guarded.array if planar else np.moveaxis(guarded.array, -1, 1)
    scale = scale_of(weights) if scale is None else scale
    loss = cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, scale, gradient=gradient)
    guarded.assert_unharmed()
    alone = cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, scale)
    np.testing.assert_array_equal(alone, loss, "the loss without its gradient is another")
    assert loss.shape == ()
    assert loss.dtype == np.float32
    return loss, gradient


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_loss_and_gradient_are_the_references(shape: tuple[int, ...], dtype: str, layout: str) -> None:
    x, labels, weights = case(shape, dtype, layout)
    loss, gradient = run(x, labels, weights)
    named = compare.Typed(values_of(gradient), "bfloat16" if dtype == "uint16" else dtype)
    compare.assert_loss_close(loss, named, values_of(x), labels, weights)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_types_of_labels(shape: tuple[int, ...], dtype: str) -> None:
    x, labels, weights = case(shape)
    expected = run(x, labels, weights)
    for ours, theirs in zip(run(x, labels.astype(dtype), weights), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 32, 256), (1, 32, 512), (2, 9, 64)], ids=str)
def test_a_place_in_memory_does_not_show(shape: tuple[int, ...], dtype: str) -> None:
    """Each of the arrays off the 16 bytes that the wide path wants; sums over other blocks may round otherwise."""
    arrays = case(shape, dtype)
    loss, gradient = run(*[at_offset(array, 0) for array in arrays])
    for moved in range(3):
        offsets = [array.itemsize if k == moved else 0 for k, array in enumerate(arrays)]
        placed = [at_offset(array, offset) for array, offset in zip(arrays, offsets, strict=True)]
        other_loss, other_gradient = run(*placed)
        np.testing.assert_array_equal(other_gradient, gradient)
        assert float(other_loss) == pytest.approx(float(loss), rel=16 * compare.u)


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("n", [32, 7])
def test_the_same_bits_at_every_call(n: int, layout: str) -> None:
    arrays = case((2, n, 1000), layout=layout)
    first, second = run(*arrays), run(*arrays)
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("n", [32, 7])
@pytest.mark.parametrize("label", [-1, "n", 255, 1 << 32, -(1 << 40) + 3])
def test_a_label_that_is_no_bin_is_told_by_the_loss_alone(label: Any, n: int, layout: str) -> None:
    x, labels, weights = case((2, n, 100), layout=layout)
    labels, weights = labels.astype(np.int64), weights + np.float32(0.1)
    expected = run(x, labels, weights)[1]
    labels[1, 50] = n if label == "n" else label
    loss, gradient = run(x, labels, weights)
    assert np.isnan(loss)
    rest = np.delete(np.arange(200), 150)
    flat, same = (np.moveaxis(g, 1, -1).reshape(200, n) for g in (gradient, expected))
    np.testing.assert_array_equal(flat[rest], same[rest])
    assert np.isfinite(flat[150]).all()


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("n", [32, 20])
@pytest.mark.parametrize("weight", [0.0, 0.7])
@pytest.mark.parametrize("what", ["label has -inf", "another has -inf", "nan", "inf", "all -inf", "far", "equal"])
def test_odd_logits_give_what_the_cpu_gives(what: str, weight: float, n: int, layout: str) -> None:
    x, labels, weights = case((1, n, 64))
    weights[0, 9] = weight
    label = int(labels[0, 9])
    index = {"label has -inf": label, "another has -inf": label - 1, "nan": 3, "inf": 3}.get(what, slice(None))
    x[0, index, 9] = {"nan": np.nan, "inf": np.inf, "far": 1e4 * x[0, :, 9], "equal": 1.5}.get(what, -np.inf)
    loss, gradient = run(as_layout(x, layout), labels, weights)
    theirs = np.empty_like(x)
    scale = scale_of(weights)
    with np.errstate(invalid="ignore"):
        expected = loss_cpu.weighted_cross_entropy(x, labels, weights, scale, gradient=theirs)
    assert float(loss) == pytest.approx(expected, rel=1e-6, nan_ok=True)
    np.testing.assert_allclose(gradient, theirs, rtol=0, atol=1e-6 * scale[0])


@pytest.mark.parametrize("n", [32, 7])
def test_nothing_weighs_nothing(n: int) -> None:
    x, labels, weights = case((1, n, 40))
    loss, gradient = run(x, labels, 0 * weights, np.zeros(1, np.float32))
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("place", [0, 1, cuda_loss.SUMMERS - 1, -1])
@pytest.mark.parametrize("count", [1, 2, cuda_loss.SUMMERS - 1, cuda_loss.SUMMERS, cuda_loss.SUMMERS + 1, 5000])
def test_sums_of_blocks_are_added_as_in_float64(count: int, place: int) -> None:
    """A large one, which would swallow all others in float32, among those of any thread, the last ones too.

    The two sums hold 48 bits, so that what is left is the rounding of their sum.
    """
    sums = np.random.default_rng(count).random(count, np.float32)
    sums[min(place, count - 1)] = 2**24
    loss = np.empty((), np.float32)
    args = np.uint64(sums.ctypes.data), np.uint32(count), np.uint64(loss.ctypes.data)
    ENGINE.launch(sums, "loss", "fc::loss_total", 1, cuda_loss.SUMMERS, args)
    exact = math.fsum(map(float, sums))
    assert abs(float(loss) - exact) <= compare.u * exact


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "offset"), [((2, 32, 16), 0), ((1, 5, 3), 0), ((2, 3, 700), 1), ((3, 32, 5000), 0)])
def test_a_gradient_is_scaled_in_place(shape: tuple[int, ...], offset: int, dtype: str) -> None:
    gradient = as_dtype(np.random.default_rng(0).standard_normal(shape).astype(np.float32), dtype)
    guarded = Guarded(shape, str(gradient.dtype), offset * gradient.itemsize)
    guarded.array[...] = gradient
    factor = np.array([-1.7], np.float32)
    assert cuda_loss.scale_unless_one(ENGINE, guarded.array, factor) is guarded.array
    expected = as_dtype((values_of(gradient).astype(np.float32) * factor), dtype)
    np.testing.assert_array_equal(guarded.array, expected)
    guarded.assert_unharmed()


def test_a_factor_of_one_touches_nothing() -> None:
    """A product would make a signalling NaN a quiet one."""
    gradient = np.full((1, 32, 64), 0x7F800123, np.uint32).view(np.float32)
    before = gradient.tobytes()
    cuda_loss.scale_unless_one(ENGINE, gradient, ONE)
    assert gradient.tobytes() == before


def test_a_gradient_in_another_layout_is_refused() -> None:
    x, labels, weights = case((2, 32, 40))
    for gradient in (as_layout(np.empty_like(x), "channels_last"), np.empty((2, 32, 80), np.float32)[..., ::2]):
        with pytest.raises(ValueError, match="gradient: expected"):
            cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, ONE, gradient=gradient)
