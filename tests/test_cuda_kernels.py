"""All CUDA kernels on the host shim, where their own edges are: blocks, addresses, orders of threads, wide indices."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_host import exercise
from fastcolor.kernels import _cuda_engine


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
