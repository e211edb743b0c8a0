"""A GPU for every Python process that has this folder on its PYTHONPATH: that of the CPU, under the names of the real.

Python imports this file before anything else. torch's tensors for "cuda" lie on the CPU, and what torch.cuda tells is
made up; the backend "cupy" is ``kernels/cupy_cuda`` by way of g++ (:mod:`cuda_host`), with the stand-in of
:mod:`pretended_gpu` for CuPy itself. Sizes and numbers of rounds are tiny: the rehearsal shows that each stage begins,
ends and says what it should, and its figures mean nothing.

As a plugin of pytest (PYTEST_PLUGINS=sitecustomize) it keeps a handful of the tests.
"""

from __future__ import annotations

import dataclasses
import importlib.abc
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

os.environ["FASTCOLOR_PRETENDED"] = "cupy"
sys.path.append(os.path.dirname(os.path.dirname(__file__)))  # tests/helpers
KEPT, EACH = ("confidence", "histogram", "decode"), 3  # names of tests that are kept, so many of a file
HUGE = 1 << 27  # elements, from which on an array has no memory


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function with a module when that has been imported."""

    def __init__(self, functions: dict[str, Callable[[Any], object]]) -> None:
        self.functions, self.sought = functions, ""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.functions or name == self.sought:  # sought by this very function: others find it
            return None
        self.sought = name
        spec: Any = importlib.util.find_spec(name)
        self.sought = ""
        run = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            self.functions.pop(name)(module)

        spec.loader.exec_module = exec_module
        return spec


def given(**values: Any) -> Callable[[Any], object]:
    """What sets attributes of a module."""
    return lambda module: vars(module).update(values)


# --- torch ------------------------------------------------------------------------------------------------------------


class Event:
    """Reads the wall clock where a CUDA event marks a stream."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None: ...

    def elapsed_time(self, end: Event) -> float:
        return 1e3 * (end.at - self.at)


DESCRIBED = SimpleNamespace(
    name="Stand-In GPU",
    major=9,
    minor=0,
    total_memory=1 << 36,
    multi_processor_count=132,
    L2_cache_size=1 << 12,
    uuid="",
)


def torch_has_a_gpu(torch: Any) -> None:
    torch.version.cuda = "13.0"
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_properties = lambda index=0: DESCRIBED
    torch.cuda.Event = Event
    for name in ("current_device", "memory_allocated", "max_memory_allocated"):
        setattr(torch.cuda, name, lambda: 0)
    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
        setattr(torch.cuda, name, lambda *_: None)
    for name in ("as_tensor", "empty", "full", "ones", "rand", "randint", "randn", "tensor", "zeros"):
        setattr(torch, name, on_the_cpu(getattr(torch, name)))
    torch.Tensor.to = on_the_cpu(torch.Tensor.to)
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor


def on_the_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with "cpu" for each "cuda" among its arguments; on no device where it is asked for gigabytes."""

    def call(*args: Any, **named: Any) -> Any:
        where = "meta" if any(isinstance(value, int) and value > HUGE for value in args) else "cpu"
        here = {name: where if _is_cuda(value) else value for name, value in named.items()}
        return function(*(where if _is_cuda(value) else value for value in args), **here)

    return call


def _is_cuda(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("cuda")


# --- fastcolor, its bench and its tests -------------------------------------------------------------------------------


def fastcolor_has_cupy(fastcolor: Any) -> None:
    """No backend of the CPU beside it: on such a machine nobody shall wait until those kernels are compiled."""
    if "bench" in sys.orig_argv and not {"smoke", "sweep"} & set(sys.orig_argv):
        return  # which starts the processes that need it: torch takes seconds to import
    from fastcolor.kernels import registry

    numba_cuda = registry.BACKENDS["numba-cuda"]
    registry.BACKENDS.clear()
    import pretended_gpu

    assert list(registry.BACKENDS) == [pretended_gpu.NAME]
    registry.BACKENDS["numba-cuda"] = numba_cuda
    cuda = sys.modules["cupy"].cuda
    cuda.set_allocator = lambda _: None
    cuda.runtime = SimpleNamespace(driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000)
    cuda.nvrtc = SimpleNamespace(getVersion=lambda: (13, 0))


def small_images(device: Any) -> None:
    made = device.Cuda.__init__

    def init(self: Any) -> None:
        import numpy
        from torch import cuda

        made(self, "cpu", numpy, cuda, (("fastcolor", "cupy"),), ((24, 37), (40, 52)), flush=1 << 12)
        self.network_images = 1

    device.Cuda.__init__ = init
    device.BUFFER_BYTES = 1 << 12


def one_kernel(compiling: Any) -> None:
    every = compiling.wanted
    compiling.wanted = lambda: [wanted for wanted in every() if wanted[0] == "merge"][:1]


def few_cases(cases: Any) -> None:
    """Every fifth; that which FASTCOLOR_STAND_IN_FAULT names is never right."""
    planted = os.environ.get("FASTCOLOR_STAND_IN_FAULT")
    few = cases.EVERY[::5]
    cases.EVERY = tuple(dataclasses.replace(c, check=never_right) if c.name == planted else c for c in few)


def never_right(*_: Any) -> None:
    raise AssertionError("planted")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    kept: list[Any] = []
    for item in items:
        named = any(word in item.name for word in KEPT) and item.get_closest_marker("gpu") is None
        if named and sum(other.path == item.path for other in kept) < EACH:
            kept.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


AFTER = {
    "torch": torch_has_a_gpu,
    "fastcolor": fastcolor_has_cupy,
    "gpu_cases_lab": few_cases,
    "gpu_device": lambda module: setattr(module, "Gpu", module.Host),
    "bench.measure.device": small_images,
    "bench.measure.clocks": given(LEAD=1e-6, CALLS=2),
    "bench.measure.timing": lambda module: setattr(module, "GPU", module.Budget(0.001, 1, 1)),
    "bench.suites.sizes": given(TINY=16),
    "bench.suites.pixels": given(SWEPT=((8, 16),), TYPES=("float32",)),
    "bench.gpu_day.compile": one_kernel,
}
sys.meta_path.insert(0, AfterImport(AFTER))
