"""All CUDA kernels on the host shim, where their own edges are: blocks, addresses, orders of threads, wide indices."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_host import exercise
from fastcolor.kernels import _arrays, _cuda_decode, _cuda_engine


@pytest.mark.parametrize("offset", [0, 8, 16])
def test_right_and_within_their_memory_at_block_edges(offset: int) -> None:
    """A block takes 128 threads of 1, 4 or 8 pixels."""
    exercise.run((1, 2, 31, 32, 127, 128, 129, 511, 512, 513, 1023, 1024, 1028), (offset,))


@pytest.mark.parametrize("order", [-1, 1, 2, 3])
def test_the_order_of_threads_and_blocks_does_not_matter(order: int) -> None:
    exercise.run((260, 1030), (0,), order=order)


def test_wide_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cuda_engine, "_LIMIT_32", 0)
    wanted = {names[0] for _, names in exercise.instances((132,), (0,))}
    assert {name for name in wanted if "u32" in name} == set()
    exercise.run((132, 520), (0, 8))


def test_a_write_beyond_the_result_would_be_seen() -> None:
    for stray in (-1, 12):
        check = exercise.Check(exercise.target((3,), "float32", 8), 0, 0.0, 8)
        check()
        memory = check.result
        while memory.base is not None:
            memory = memory.base
        memory[8 + stray] = 0
        with pytest.raises(AssertionError, match="canaries"):
            check()
    with pytest.raises(AssertionError, match="from the reference"):
        exercise.Check(np.ones(3, np.float32), 0, 0.5)()


def test_an_instance_is_compiled_once_for_each_device_and_when_it_is_first_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []

    def raw_module(*, name_expressions: tuple[str, ...], **_: Any) -> Any:
        compiled.extend(name_expressions)
        return SimpleNamespace(get_function=lambda name: lambda *args, **options: None)

    engine = _cuda_engine.Engine(raw_module, nullcontext)
    assert not compiled
    device = 0
    monkeypatch.setattr(_arrays, "device_index", lambda array: device)
    for device, new in ((0, 1), (0, 0), (1, 1), (0, 0), (1, 0)):  # noqa: B007
        before = len(compiled)
        _cuda_decode.confidence(engine, np.zeros((32, 4, 8), np.float32))
        assert len(compiled) - before == new
    for x in (np.zeros((32, 4, 8), np.float16), np.zeros((31, 4, 8), np.float32)):  # another dtype, another n
        _cuda_decode.confidence(engine, x)
    assert len(compiled) == 4
    assert len(set(compiled)) == 3
