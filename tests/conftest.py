"""What every test shares: hypothesis profiles, the list of tested backends, and the rule for tests that need a GPU."""

from __future__ import annotations

import os

import hypothesis
import pytest
from fastcolor.kernels import _registry

# Compiling takes seconds, so that deadlines say nothing: off once, here, for every profile.
hypothesis.settings.register_profile("dev", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
PROFILE = os.environ.get("FASTCOLOR_HYPOTHESIS_PROFILE", "dev")
hypothesis.settings.load_profile(PROFILE)

REQUIRE_GPU = os.environ.get("FASTCOLOR_REQUIRE_GPU") == "1"


def tested_backends() -> list[str]:
    """FASTCOLOR_TEST_BACKENDS (comma-separated), each of which must run here; by default all that run."""
    explicit = os.environ.get("FASTCOLOR_TEST_BACKENDS")
    if explicit is None:
        return [name for name in _registry.BACKENDS if _registry.unavailable_because(name) is None]
    names = [name.strip() for name in explicit.split(",") if name.strip()]
    for name in names:
        if name not in _registry.BACKENDS:
            raise pytest.UsageError(
                f"FASTCOLOR_TEST_BACKENDS: expected some of {list(_registry.BACKENDS)}, got {name!r}"
            )
        if (reason := _registry.unavailable_because(name)) is not None:
            raise pytest.UsageError(f"FASTCOLOR_TEST_BACKENDS: {name} does not run here: {reason}")
    if not names:
        raise pytest.UsageError("FASTCOLOR_TEST_BACKENDS: expected at least one backend, got an empty list")
    return names


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "gpu: needs a CUDA device that torch sees; FASTCOLOR_REQUIRE_GPU=1 forbids skipping"
    )
    config.stash[_BACKENDS] = tested_backends()


_BACKENDS = pytest.StashKey[list[str]]()


def pytest_report_header(config: pytest.Config) -> str:
    return f"fastcolor: backends {', '.join(config.stash[_BACKENDS]) or 'NONE'}; hypothesis profile {PROFILE}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `backend` runs once for each tested backend."""
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", metafunc.config.stash[_BACKENDS])


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        if REQUIRE_GPU:
            pytest.fail("FASTCOLOR_REQUIRE_GPU=1, but torch sees no CUDA device")
        pytest.skip("torch sees no CUDA device")
