"""The loss for CUDA, on the CPU: right in every layout, type and place in memory, and never outside its arrays."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import partial
from typing import Any

import compare
import numpy as np
import pytest
from cuda_host.backend import ENGINE
from cuda_host.host_module import HostModule
from fastcolor.kernels.cupy_cuda import engine
from fastcolor.kernels.cupy_cuda import loss as cuda_loss
from fastcolor.kernels.cupy_cuda.engine import Engine
from fastcolor.kernels.cupy_cuda.source import source
from fastcolor.kernels.numba_cpu import loss as loss_cpu
from guarded import Guarded, at_offset
from strategies import as_dtype, values_of

Array = np.ndarray
# (images, bins, pixels): two pixels a lane, one where these do not fit, and bins for one lane and for many.
SHAPES = [(2, 32, 480), (1, 32, 35), (3, 33, 81), (2, 5, 900), (2, 255, 120), (2, 32, 1), (1, 17, 16), (3, 1, 40)]
DTYPES = ("float32", "float16", "uint16")  # uint16: the bits of bfloat16


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


def run(x: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
    """Loss, and gradient in the layout of the logits, with a wall around its memory."""
    guarded, gradient = guarded_like(x)
    options = {"over": weights, "number": 0.0}
    loss = cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, gradient=gradient, **options)
    guarded.assert_unharmed()
    alone = cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, **options)
    np.testing.assert_array_equal(alone, loss, "the loss without its gradient is another")
    assert loss.shape == ()
    assert loss.dtype == np.float32
    return loss, gradient


def guarded_like(x: Array) -> tuple[Guarded, Array]:
    planar = x.flags.c_contiguous
    guarded = Guarded(x.shape if planar else np.moveaxis(x, 1, -1).shape, str(x.dtype), x.ctypes.data % 16)
    return guarded, guarded.array if planar else np.moveaxis(guarded.array, -1, 1)


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
    with np.errstate(invalid="ignore"):
        expected = loss_cpu.weighted_cross_entropy(x, labels, weights, over=weights, number=0.0, gradient=theirs)
    assert float(loss) == pytest.approx(expected, rel=1e-6, nan_ok=True)
    np.testing.assert_allclose(gradient, theirs, rtol=0, atol=1e-6 / weights.sum())


@pytest.mark.parametrize("n", [32, 7])
def test_nothing_weighs_nothing(n: int) -> None:
    x, labels, weights = case((1, n, 40))
    loss, gradient = run(x, labels, 0 * weights)
    assert loss == 0
    assert not gradient.any()


# --- sums over a launch -----------------------------------------------------------------------------------------------

_SUMS = """
namespace fc {
__global__ void sum_of_blocks(const float *x, Call *call, float *total) {
    call->add_up<THREADS>(threadIdx.x ? 0.0f : load(x + blockIdx.x), total);
}
__global__ void scale_of(const Call *call, float *scale) {
    *scale = call->scale();
}
}"""


@pytest.mark.parametrize("order", [0, -1, 7])
@pytest.mark.parametrize("place", [0, 1, 127, -1])
@pytest.mark.parametrize("count", [1, 2, 127, 129, 5000])
def test_sums_of_blocks_are_added_as_in_float64(count: int, place: int, order: int) -> None:
    """A large one, which would swallow all others in float32, among those of any thread, the last ones too.

    The two sums hold 48 bits, so that what is left is the rounding of their sum; whichever block comes last.
    """
    sums = np.random.default_rng(count).random(count, np.float32)
    sums[min(place, count - 1)] = 2**24
    call, loss = np.zeros(cuda_loss.CALL + count, np.float32), np.empty(1, np.float32)
    module = HostModule(
        code=source("loss") + _SUMS, name_expressions=("fc::sum_of_blocks", "fc::scale_of"), order=order
    )
    args = tuple(np.uint64(array.ctypes.data) for array in (sums, call, loss))
    module.get_function("fc::sum_of_blocks")((count,), (128,), args)
    exact = math.fsum(map(float, sums))
    assert abs(float(loss[0]) - exact) <= compare.u * exact


@pytest.mark.parametrize("offset", [0, 4])
@pytest.mark.parametrize("count", [0, 1, 3, 300, 70_001])
def test_the_divisor_is_added_as_in_float64(count: int, offset: int) -> None:
    over = at_offset(np.random.default_rng(count).random(count, np.float32), offset)
    over[count // 2 : count // 2 + 1] = 2**24
    call, scale = np.full(cuda_loss.CALL, 7, np.float32), np.empty(1, np.float32)
    args = over, np.uint64(count), np.float32(0.5), None, call
    ENGINE.launch(call, "loss", "fc::loss_begin", cuda_loss.PARTS, cuda_loss.SUMMERS, args)
    exact = math.fsum(map(float, over)) + 0.5
    parts = call[: 2 * cuda_loss.PARTS].astype(np.float64).sum()
    assert abs(parts - exact) <= 2.0**-44 * exact
    module = HostModule(code=source("loss") + _SUMS, name_expressions=("fc::sum_of_blocks", "fc::scale_of"))
    module.get_function("fc::scale_of")((1,), (128,), tuple(np.uint64(array.ctypes.data) for array in (call, scale)))
    assert float(scale[0]) == pytest.approx(1 / exact, rel=2 * compare.u)


# --- the factor from above --------------------------------------------------------------------------------------------


def backward(x: Array, labels: Array, weights: Array, factor: float, before: float = 1.0) -> Array:
    """The gradient in two steps, the first of which expects the factor `before`."""
    guarded, gradient = guarded_like(x)
    cuda_loss._last_factor(x)[...] = before
    options: dict[str, Any] = {"shares": None, "gradient": gradient}
    _, call = cuda_loss.loss_forward(ENGINE, x, labels, weights, over=weights, number=0.0, **options)
    cuda_loss.loss_backward(ENGINE, call, np.array([factor], np.float32), x, labels, weights, **options)
    np.testing.assert_array_equal(cuda_loss._last_factor(x), np.float32(factor), "the next call's guess")
    guarded.assert_unharmed()
    return gradient


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 32, 40), "float32"), ((1, 32, 64), "float16"), ((2, 40, 16), "uint16")]
)
@pytest.mark.parametrize("factor", [1.0, 2.0**16, 1 / 3, 0.0, -0.0, -1.5, np.inf, np.nan])
def test_a_factor_has_the_same_bits_whether_it_was_expected_or_not(
    factor: float, shape: tuple[int, ...], dtype: str, layout: str
) -> None:
    arrays = case(shape, dtype, layout)
    x, labels, weights = arrays
    with np.errstate(all="ignore"):
        once = np.full_like(x, 7)
        given = np.array([factor], np.float32)
        options: dict[str, Any] = {"over": weights, "number": 0.0, "gradient": once}
        cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, factor=given, **options)
        for before in (1.0, factor, 3.0, np.nan):
            assert backward(*arrays, factor, before).tobytes() == once.tobytes()
        if dtype == "float32" and abs(factor) < np.inf:
            one = backward(*arrays, 1.0)
            np.testing.assert_allclose(
                once, np.float32(factor) * one, rtol=4 * compare.u, atol=4 * compare.u * abs(factor)
            )
    assert not np.moveaxis(once, 1, -1)[weights == 0].any(), (
        "a pixel without weight has no gradient, whatever the factor"
    )


def test_a_factor_that_was_expected_touches_nothing() -> None:
    x, labels, weights = case((1, 32, 64))
    gradient, factor = np.zeros_like(x), np.array([3], np.float32)
    cuda_loss._last_factor(x)[...] = 3
    options: dict[str, Any] = {"shares": None, "gradient": gradient}
    _, call = cuda_loss.loss_forward(ENGINE, x, labels, weights, over=None, number=1.0, **options)
    gradient[...] = 7
    cuda_loss.loss_backward(ENGINE, call, factor, x, labels, weights, **options)
    assert (gradient == 7).all()


def test_small_gradients_of_halves_do_not_underflow_before_their_factor() -> None:
    """Those of 2^25 pixels are below the smallest half; GradScaler's 2^16 comes before they are rounded."""
    x, labels, weights = case((1, 32, 64), "float16")
    weights[0] = 1
    options: dict[str, Any] = {"number": 2.0**25, "gradient": np.empty_like(x)}
    cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, **options)
    assert np.abs(options["gradient"]).max() < 2.0**-24
    wide = {**options, "gradient": np.empty_like(x, np.float32)}
    cuda_loss.weighted_cross_entropy(ENGINE, x.astype(np.float32), labels, weights, **wide)
    factor = np.array([2**16], np.float32)
    cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, factor=factor, **options)
    expected = 2.0**16 * wide["gradient"]
    np.testing.assert_allclose(options["gradient"], expected, rtol=2.0**-10, atol=2.0**-24)
    assert (options["gradient"] != 0).mean() > 0.9


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("n", [32, 100])
def test_the_order_of_blocks_does_not_show(n: int, layout: str) -> None:
    arrays = case((2, n, 1000), layout=layout)
    found = set()
    for order in (0, -1, 5):
        shuffled = Engine(partial(HostModule, order=order), nullcontext)
        gradient = np.empty_like(arrays[0])
        loss = cuda_loss.weighted_cross_entropy(shuffled, *arrays, over=arrays[2], number=0.0, gradient=gradient)
        found.add((loss.tobytes(), gradient.tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("n", [32, 7, 100])
def test_wide_indices_give_the_same(n: int, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = case((2, n, 40), layout=layout)
    expected = run(*arrays)
    monkeypatch.setattr(engine, "_LIMIT_32", 1)
    for ours, theirs in zip(run(*arrays), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_gradient_in_another_layout_is_refused() -> None:
    x, labels, weights = case((2, 32, 40))
    for gradient in (as_layout(np.empty_like(x), "channels_last"), np.empty((2, 32, 80), np.float32)[..., ::2]):
        with pytest.raises(ValueError, match="gradient: expected"):
            cuda_loss.weighted_cross_entropy(ENGINE, x, labels, weights, gradient=gradient)
