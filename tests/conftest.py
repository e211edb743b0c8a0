"""What every test shares: hypothesis profiles, the tested backends with their arrays, and the rule for a GPU."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each; read when these libraries are loaded, so before the imports
    for _library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
    # torch.compile: no processes of its own, and no trial of what the processor says that it can.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")

from bench.measure.machine import kept

os.environ.setdefault("NUMBA_CACHE_DIR", str(kept("numba")))  # every checkout finds what one has compiled

import gc
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import once
import pytest
import report
import strategies
from cuda_host import backend as cuda_host
from cuda_host.build import available
from fastcolor.kernels import registry

# Compiling takes seconds, so that deadlines say nothing: off once, here, for every profile.
hypothesis.settings.register_profile("dev", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
PROFILE = os.environ.get("FASTCOLOR_HYPOTHESIS_PROFILE", "dev")
hypothesis.settings.load_profile(PROFILE)

REQUIRE_GPU = os.environ.get("FASTCOLOR_REQUIRE_GPU") == "1"
OPS = (
    "encode",
    "encode_soft",
    "decode",
    "annealed_mean",
    "annealed_mean_gradient",
    "confidence",
    "histogram",
    "merge",
    "TemporalSmoother",
    "weighted_cross_entropy",
)

MARKERS = (
    "gpu(backend=None): needs a CUDA device that torch sees, and the backend; FASTCOLOR_REQUIRE_GPU=1 forbids skipping",
    "ops(name, ...): the operations that a test with an argument `backend` needs; it runs for backends that have them",
    "devices(name, ...): a test with an argument `backend` runs for backends that take arrays on these devices",
    "cases(sequence): a test with `backend` and `case` runs for each case whose operation (`case.op`) the backend has",
    "promise(kind, text): a row of docs/robustness.md: what is promised of a kind of input, and this test tries it",
    "arrays(names, values_of): further arguments of a test with `backend` and `kind`, from a function of the kind",
)

# Where single tests or fixtures take long, sorted to the front: the first worker of pytest-xdist begins with them, and
# others take from what comes after (`pytest --durations=30`).
DEAREST = (
    "test_sass.py",
    "test_gpu_page.py",
    "test_rehearsal.py",
    "test_cuda_traffic.py",
    "test_cuda_sanitizers.py",
    "test_cuda_arrays.py",
    "test_numba_cuda.py",
    "test_bench_cuda.py",
    "test_bench.py",
    "test_torch_ops.py",
    "test_agreement.py",
)

cuda_host.register()
once.compile_kernels_once()


# --- which backends ---------------------------------------------------------------------------------------------------


def tested_backends() -> tuple[list[str], dict[str, str]]:
    """FASTCOLOR_TEST_BACKENDS (comma-separated), by default all that run; and why some of those named do not.

    A named one that does not run is an error. On a day with a GPU it does not keep the others from being tested: they
    are, and the run fails at its end.
    """
    explicit = os.environ.get("FASTCOLOR_TEST_BACKENDS")
    if explicit is None:
        return [name for name in registry.BACKENDS if registry.unavailable_because(name) is None], {}
    names = [name.strip() for name in explicit.split(",") if name.strip()]
    if unknown := [name for name in names if name not in registry.BACKENDS]:
        raise pytest.UsageError(
            f"FASTCOLOR_TEST_BACKENDS: expected some of {list(registry.BACKENDS)}, got {unknown[0]!r}"
        )
    if not names:
        raise pytest.UsageError("FASTCOLOR_TEST_BACKENDS: expected at least one backend, got an empty list")
    reasons = {name: str(reason) for name in names if (reason := registry.unavailable_because(name)) is not None}
    running = [name for name in names if name not in reasons]
    if reasons and not (REQUIRE_GPU and running):
        raise pytest.UsageError("; ".join(map(_absent, reasons.items())))
    return running, reasons


def _absent(item: tuple[str, str]) -> str:
    name, reason = item
    return f"FASTCOLOR_TEST_BACKENDS: {name} does not run here: {reason}; leave it out, or mend that"


def lacking(backend: str) -> list[str]:
    """The operations that a backend does not have."""
    return [op for op in OPS if not hasattr(registry.load(backend), op)]


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it in the background; processes inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_BACKENDS], config.stash[_ABSENT] = tested_backends()
    if path := os.environ.get("FASTCOLOR_TEST_REPORT"):
        plugin: Any = (
            report.WorkerReport(config.workeroutput)  # type: ignore[attr-defined]
            if hasattr(config, "workerinput")
            else report.Report(Path(path), config.stash[_BACKENDS], config.stash[_ABSENT])
        )
        config.pluginmanager.register(plugin, "fastcolor-report")


_BACKENDS = pytest.StashKey[list[str]]()
_ABSENT = pytest.StashKey[dict[str, str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.stash[_ABSENT] and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for item in config.stash[_ABSENT].items():
        terminalreporter.write_line(f"NOT TESTED, so this run has failed: {_absent(item)}")


def pytest_report_header(config: pytest.Config) -> list[str]:
    names = config.stash[_BACKENDS]
    lines = [f"fastcolor: backends {', '.join(names) or 'NONE'}; hypothesis profile {PROFILE}"]
    lines += [f"fastcolor: {name} has no {', '.join(lacking(name))}" for name in names if lacking(name)]
    for name in registry.BACKENDS:
        if name not in names:
            reason = registry.unavailable_because(name) or "FASTCOLOR_TEST_BACKENDS does not name it"
            lines.append(f"fastcolor: {name} is not tested: {reason}")
    return lines


# --- a test's arguments -----------------------------------------------------------------------------------------------


def backends_for(item: Any, names: list[str]) -> list[str]:
    """Those of `names` that have the operations and take arrays on the devices of a test's markers."""
    ops = {op for mark in item.iter_markers("ops") for op in mark.args}
    if unknown := ops - set(OPS):
        raise pytest.UsageError(f"ops: expected some of {OPS}, got {sorted(unknown)}")
    devices = {device for mark in item.iter_markers("devices") for device in mark.args} or {"cpu", "cuda"}
    fitting = (name for name in names if devices & set(registry.BACKENDS[name].devices))
    return [name for name in fitting if not ops & set(lacking(name))]


def rows_of(item: Any, backends: list[str]) -> Iterator[tuple[Any, ...]]:
    """(backend, kind, ...): each backend with the arrays that lie where it runs, and the values of ``arrays``."""
    mark = item.get_closest_marker("arrays")
    for backend in backends:
        for kind in (kind for device in registry.BACKENDS[backend].devices for kind in strategies.KINDS_ON[device]):
            for values in mark.args[1](kind) if mark else [()]:
                yield (backend, kind, *(values if isinstance(values, tuple) else (values,)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `backend` runs for each that fits it, one with `kind` as well for each kind of array."""
    if "backend" not in metafunc.fixturenames:
        return
    backends = backends_for(metafunc.definition, metafunc.config.stash[_BACKENDS])
    if "case" in metafunc.fixturenames:
        (cases,) = metafunc.definition.get_closest_marker("cases").args
        rows = [(backend, case) for backend in backends for case in cases if case.op not in lacking(backend)]
        metafunc.parametrize(["backend", "case"], rows, ids=[f"{backend}-{case.name}" for backend, case in rows])
        return
    if "kind" not in metafunc.fixturenames:
        metafunc.parametrize("backend", backends)
        return
    mark = metafunc.definition.get_closest_marker("arrays")
    further = [name.strip() for name in mark.args[0].split(",")] if mark else []
    metafunc.parametrize(["backend", "kind", *further], list(rows_of(metafunc.definition, backends)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of which no tested backend has the operation are deselected, and so counted, not skipped.

    Those of the CUDA sources on the CPU (test_cuda_*) skip without a compiler; registering the backend has failed by
    now if FASTCOLOR_REQUIRE_TOOLS=1.
    """
    if not available():
        for item in items:
            if item.path.name.startswith("test_cuda_"):
                item.add_marker(pytest.mark.skip(reason="g++ is not installed"))
    without = [item for item in items if "backend" in getattr(item, "fixturenames", ()) and _has_no_row(item)]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: DEAREST.index(item.path.name) if item.path.name in DEAREST else len(DEAREST))


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through torch's modules again and again."""
    gc.freeze()


def _has_no_row(item: Any) -> bool:
    return "backend" not in item.callspec.params or not isinstance(item.callspec.params["backend"], str)


def pytest_runtest_setup(item: pytest.Item) -> None:
    mark = item.get_closest_marker("gpu")
    if mark is not None and (reason := no_gpu(mark.kwargs.get("backend"))):
        if REQUIRE_GPU:
            pytest.fail(f"FASTCOLOR_REQUIRE_GPU=1, but {reason}")
        pytest.skip(reason)


def no_gpu(backend: str | None) -> str | None:
    """Why a test that needs a GPU, and perhaps a backend on it, cannot run."""
    import torch

    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    error = registry.unavailable_because(backend) if backend else None
    return error and f"{backend} does not run here: {error}"
