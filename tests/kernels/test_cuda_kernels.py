"""All CUDA kernels on the host shim, where their own edges are: blocks, addresses, orders of threads, wide indices."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import compare
import numpy as np
import pytest
import strategies as make
from cuda_host import exercise
from cuda_host.backend import ENGINE
from cuda_host.host_module import HostModule
from fastcolor.kernels.common import device_arrays
from fastcolor.kernels.cupy_cuda import decode as cuda_decode
from fastcolor.kernels.cupy_cuda import engine as cuda_engine
from fastcolor.kernels.cupy_cuda import gradient as cuda_gradient
from fastcolor.kernels.cupy_cuda import loss as cuda_loss
from guarded import at_offset


@pytest.mark.parametrize("offset", [0, 8, 16])
def test_right_and_within_their_memory_at_block_edges(offset: int) -> None:
    """A block takes 128 threads of 1, 4 or 8 pixels."""
    exercise.run((1, 2, 31, 32, 127, 128, 129, 511, 512, 513, 1023, 1024, 1028), (offset,))


@pytest.mark.parametrize("order", [-1, 1, 2, 3])
def test_the_order_of_threads_and_blocks_does_not_matter(order: int) -> None:
    exercise.run((260, 1030), (0,), order=order)


def test_wide_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_engine, "_LIMIT_32", 0)
    wanted = {names[0] for _, names in exercise.instances((132,), (0,))}
    assert {name for name in wanted if "u32" in name} == set()
    exercise.run((132, 520), (0, 8))


def test_a_write_beyond_the_result_would_be_seen() -> None:
    for stray in (-1, 12):
        result = exercise.target((3,), "float32", 8)
        check = exercise.Check(partial(compare.assert_close, "zeros", result, np.zeros(3), 0), (result,), 8)
        check()
        memory = result
        while memory.base is not None:
            memory = memory.base
        memory[8 + stray] = 0
        with pytest.raises(AssertionError, match="canaries"):
            check()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("share = inverse * over;", "share = inverse;", "gradient: "),
        ("-target.times(k, lanes.bin(k), scaled)", "0.0f", "gradient: "),
        ("(1.0f / 255.0f)", "(past < 64 ? 1.0f / 64.0f : 1.0f / 255.0f)", "(rgb|probabilities): "),
    ],
)
def test_a_wrong_value_would_be_seen(old: str, new: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that a sum over the bins does not show, and one in a ring of bytes."""
    rewritten = []

    def module(*, code: str, **settings: Any) -> HostModule:
        rewritten.append(old in code)
        return HostModule(code=code.replace(old, new), **settings)

    monkeypatch.setattr(exercise, "HostModule", module)
    with pytest.raises(AssertionError, match=says):
        exercise.run((132,), (0,))
    assert any(rewritten)


def test_an_instance_is_compiled_once_for_each_device_and_when_it_is_first_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []

    def raw_module(*, name_expressions: tuple[str, ...], **_: Any) -> Any:
        compiled.extend(name_expressions)
        return SimpleNamespace(get_function=lambda name: lambda *args, **options: None)

    engine = cuda_engine.Engine(raw_module, nullcontext)
    assert not compiled
    device = 0
    monkeypatch.setattr(device_arrays, "device_index", lambda array: device)
    for device, new in ((0, 1), (0, 0), (1, 1), (0, 0), (1, 0)):  # noqa: B007
        before = len(compiled)
        cuda_decode.confidence(engine, np.zeros((32, 4, 8), np.float32))
        assert len(compiled) - before == new
    for x in (np.zeros((32, 4, 8), np.float16), np.zeros((31, 4, 8), np.float32)):  # another dtype, another n
        cuda_decode.confidence(engine, x)
    assert len(compiled) == 4
    assert len(set(compiled)) == 3


# --- wide and narrow instances ----------------------------------------------------------------------------------------

BINS = make.make_bins(np.random.default_rng(0), 32, 9)
PLANES = (16, 8)  # pixels by the eight


def frame(dtype: str = "float32") -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((32, *PLANES)).astype(dtype), rng.random(PLANES, dtype=np.float32)


def zeros(*shape: int, dtype: str = "float32") -> Any:
    return np.zeros((*shape, *PLANES), dtype)


def decode_to_planes(engine: Any, x: Any, luma: Any, *out: Any) -> None:
    cuda_decode.decode(engine, x, luma, BINS, axis=0, channel_axis=0, confidence=True, out=out)


def annealed_mean(engine: Any, x: Any, out: Any) -> None:
    cuda_decode.annealed_mean(engine, x, BINS, axis=0, out=out)


def loss(engine: Any, x: Any, labels: Any, weights: Any, gradient: Any) -> None:
    batch = x[None], labels[None], weights[None]
    cuda_loss.weighted_cross_entropy(engine, *batch, gradient=gradient[None])


def gradient(engine: Any, slope: Any, x: Any, out: Any) -> None:
    cuda_gradient.annealed_mean_gradient(engine, slope, x, BINS, axis=0, out=out)


def calls(dtype: str = "float32") -> dict[str, tuple[Any, list[Any]]]:
    """Operations on planes, with arrays that they read or write 16 bytes at a time."""
    x, luma = frame(dtype)
    return {
        "decode": (decode_to_planes, [x, luma, zeros(3, dtype="uint8"), zeros(), zeros()]),
        "annealed mean": (annealed_mean, [x, zeros(2, dtype=dtype)]),
        "loss": (loss, [x, zeros(dtype="uint8"), luma, zeros(32, dtype=dtype)]),
        "gradient of the annealed mean": (gradient, [x[:2], x, zeros(32, dtype=dtype)]),
    }


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", calls())
def test_each_array_off_the_16_bytes_takes_the_narrow_instance(name: str, dtype: str) -> None:
    """And gives the same: a GPU would stop at a word that is not aligned, and so does the shim."""
    call, arrays = calls(dtype)[name]
    expected = [at_offset(array, 0) for array in arrays]
    call(ENGINE, *expected)
    for moved in range(len(arrays)):
        placed = [at_offset(array, array.itemsize * (k == moved)) for k, array in enumerate(arrays)]
        call(ENGINE, *placed)
        for ours, theirs in zip(placed, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


class Idle(cuda_engine.Engine):
    """Compiles and launches nothing, and writes down what it would compile."""

    def __init__(self) -> None:
        self.compiled: list[str] = []
        super().__init__(self._raw_module, nullcontext)

    def _raw_module(self, *, name_expressions: tuple[str, ...], **_: Any) -> Any:
        self.compiled.extend(name_expressions)
        return SimpleNamespace(get_function=lambda name: lambda *args, **options: None)


def test_a_first_use_within_a_capture_is_an_error_and_a_second_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, x = Idle(), frame()[0]
    with monkeypatch.context() as patch:
        patch.setattr(device_arrays, "is_capturing", lambda array: True)
        with pytest.raises(RuntimeError, match=r"^decode: expected its kernel to be compiled before a CUDA graph"):
            annealed_mean(engine, x, zeros(2))
        assert not engine.compiled
    annealed_mean(engine, x, zeros(2))
    monkeypatch.setattr(device_arrays, "is_capturing", lambda array: True)
    annealed_mean(engine, x, zeros(2))


@pytest.mark.parametrize("name", calls())
def test_a_capture_may_bring_arrays_to_aligned_memory(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As torch.compile's own CUDA graphs do with their inputs, which the calls before it have seen elsewhere."""
    engine = Idle()
    call, arrays = calls()[name]
    call(engine, *[at_offset(array, array.itemsize) for array in arrays])
    monkeypatch.setattr(device_arrays, "is_capturing", lambda array: True)
    call(engine, *[at_offset(array, 0) for array in arrays])
    call(engine, *[at_offset(array, array.itemsize) for array in arrays])
