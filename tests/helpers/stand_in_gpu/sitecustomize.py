"""A GPU for every Python process that has this folder on its PYTHONPATH: that of the CPU, under the names of the real.

Python imports this file before anything else. torch's tensors for "cuda" lie on the CPU, and what torch.cuda tells is
made up; the backend "cupy" is ``kernels/cupy_cuda`` by way of g++ (:mod:`cuda_host`), with the stand-in of
:mod:`pretended_gpu` for CuPy itself. Sizes and numbers of rounds are tiny: the rehearsal shows that each stage
begins, ends and says what it should, and its figures mean nothing.

As a plugin of pytest (PYTEST_PLUGINS=sitecustomize) it keeps a handful of the tests.
"""

from __future__ import annotations

import dataclasses
import importlib.abc
import importlib.util
import os
import sys
import time
from types import SimpleNamespace

os.environ["FASTCOLOR_PRETENDED"] = "cupy"
sys.path.append(os.path.dirname(os.path.dirname(__file__)))  # tests/helpers
KEPT = ("confidence", "histogram", "decode")  # parts of the names of tests that are kept, as many as EACH of a file
EACH = 3
HUGE = 1 << 27  # elements, from which on an array has no memory


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function with a module when that has been imported."""

    def __init__(self, functions):
        self.functions, self.sought = functions, ""

    def find_spec(self, name, path=None, target=None):
        if name not in self.functions or name == self.sought:  # sought by this very function: others find it
            return None
        self.sought = name
        spec = importlib.util.find_spec(name)
        self.sought = ""
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            self.functions.pop(name)(module)

        spec.loader.exec_module = exec_module
        return spec


# --- torch ------------------------------------------------------------------------------------------------------------


class Event:
    """Reads the wall clock where a CUDA event marks a stream."""

    def __init__(self, enable_timing=False):
        pass

    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return 1e3 * (end.at - self.at)


def torch_has_a_gpu(torch):
    described = SimpleNamespace(
        name="Stand-In GPU",
        major=9,
        minor=0,
        total_memory=1 << 36,
        multi_processor_count=132,
        L2_cache_size=1 << 12,
        uuid="",
    )
    torch.version.cuda = "13.0"
    told = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": lambda index=0: described,
        "synchronize": lambda *_: None,
        "empty_cache": lambda: None,
        "memory_allocated": lambda: 0,
        "max_memory_allocated": lambda: 0,
        "reset_peak_memory_stats": lambda: None,
        "Event": Event,
    }
    for name, value in told.items():
        setattr(torch.cuda, name, value)
    for name in ("as_tensor", "empty", "full", "ones", "rand", "randint", "randn", "tensor", "zeros"):
        setattr(torch, name, on_the_cpu(getattr(torch, name)))
    torch.Tensor.to = on_the_cpu(torch.Tensor.to)
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor
    torch.compile = lambda function=None, **_: function


def on_the_cpu(function):
    """`function` with "cpu" for each "cuda" among its arguments; on no device where it is asked for gigabytes."""

    def call(*given, **named):
        where = "meta" if any(isinstance(value, int) and value > HUGE for value in given) else "cpu"
        given = [where if _is_cuda(value) else value for value in given]
        return function(*given, **{name: where if _is_cuda(value) else value for name, value in named.items()})

    return call


def _is_cuda(value):
    return isinstance(value, str) and value.startswith("cuda")


# --- fastcolor and its bench ------------------------------------------------------------------------------------------


def fastcolor_has_cupy(fastcolor):
    if "bench" in sys.orig_argv and not {"smoke", "sweep"} & set(sys.orig_argv):
        return  # which starts the processes that need it: torch takes seconds to import
    from fastcolor.kernels import registry

    numba_cuda = registry.BACKENDS["numba-cuda"]
    registry.BACKENDS.clear()  # on such a machine nobody shall wait until the CPU's kernels are compiled
    import pretended_gpu

    registry.BACKENDS["numba-cuda"] = numba_cuda
    cupy = sys.modules["cupy"]
    assert pretended_gpu.NAME in registry.BACKENDS
    cupy.cuda.set_allocator = lambda _: None
    cupy.cuda.runtime = SimpleNamespace(driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000)
    cupy.cuda.nvrtc = SimpleNamespace(getVersion=lambda: (13, 0))


def small_images(device):
    import numpy

    fake = device.Cuda.__init__

    def init(self, *_, **__):
        from torch import cuda

        fake(self, "cpu", numpy, cuda, (("fastcolor", "cupy"),), ((24, 37), (40, 52)), flush=1 << 12)
        self.network_images = 1

    device.Cuda.__init__ = init
    device.BUFFER_BYTES = 1 << 12


def few_kernels(compile):
    every = compile.wanted
    compile.wanted = lambda: [wanted for wanted in every() if wanted[0] == "merge"][:1]


def few_cases(module):
    """Every fifth; that which FASTCOLOR_STAND_IN_FAULT names is never right."""
    planted = os.environ.get("FASTCOLOR_STAND_IN_FAULT")
    module.EVERY = tuple(
        dataclasses.replace(case, check=never_right) if case.name == planted else case for case in module.EVERY[::5]
    )


def never_right(*_):
    raise AssertionError("planted")


AFTER = {
    "torch": torch_has_a_gpu,
    "fastcolor": fastcolor_has_cupy,
    "gpu_cases_lab": few_cases,
    "gpu_device": lambda module: setattr(module, "Gpu", module.Host),
    "bench.measure.device": small_images,
    "bench.measure.clocks": lambda module: vars(module).update(LEAD=1e-6, CALLS=2),
    "bench.measure.timing": lambda module: vars(module).update(GPU=module.Budget(0.001, 1, 1)),
    "bench.suites.sizes": lambda module: vars(module).update(TINY=16),
    "bench.suites.pixels": lambda module: vars(module).update(SWEPT=((8, 16),), PIXELS=(1, 4), WIDEST={"float32": 4}),
    "bench.gpu_day.compile": few_kernels,
}
sys.meta_path.insert(0, AfterImport(AFTER))


def pytest_collection_modifyitems(config, items):
    kept, of_file = [], {}
    for item in items:
        named = any(word in item.name for word in KEPT) and item.get_closest_marker("gpu") is None
        if named and of_file.get(item.path, 0) < EACH:
            of_file[item.path] = of_file.get(item.path, 0) + 1
            kept.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
