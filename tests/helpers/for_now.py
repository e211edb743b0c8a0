"""Which backends do not yet have what a test needs: to be emptied, and deleted with the fixtures that use it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def only_numba(backend: str) -> None:
    """Bins beyond 255, probabilities and soft targets are on the CPU first."""
    if backend not in ("numba", "cuda-host"):
        pytest.skip(f"{backend} does not have it yet")
