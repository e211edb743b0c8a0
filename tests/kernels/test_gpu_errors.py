"""What goes wrong around a GPU, without one: stand-ins for CuPy, its arrays and its kernels."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import strategies as make
import torch
from fastcolor.kernels import registry
from fastcolor.kernels.common import cuda_probe, device_arrays

import fastcolor
from fastcolor import reference
from fastcolor.arrays import kinds

N = 4
BINS = make.make_bins(np.random.default_rng(0), N, 5)


class Array:
    """As much of a CuPy array as the public API asks for, over NumPy values."""

    __module__ = "cupy"

    def __init__(self, values: Any, device: int = 0) -> None:
        self.values, self.device = np.asarray(values), SimpleNamespace(id=device)
        self.shape, self.ndim, self.dtype = self.values.shape, self.values.ndim, self.values.dtype
        self.strides, self.data = self.values.strides, SimpleNamespace(ptr=self.values.ctypes.data)

    def astype(self, dtype: str) -> Array:
        return Array(self.values.astype(dtype), Cuda.current)

    def reshape(self, *shape: int) -> Array:
        return Array(self.values.reshape(*shape), self.device.id)


class Cuda:
    """``cupy.cuda``: devices, of which one is current, and a stream."""

    current = 0
    capturing = False

    @staticmethod
    @contextmanager
    def Device(index: int) -> Iterator[None]:
        before, Cuda.current = Cuda.current, index
        yield
        Cuda.current = before

    @staticmethod
    def get_current_stream() -> Any:
        return SimpleNamespace(is_capturing=lambda: Cuda.capturing)


class OutOfMemoryError(MemoryError):
    """``cupy.cuda.memory.OutOfMemoryError``."""


class Smoother:
    """A kernel's state, which runs out of memory when it is told to."""

    fails = False

    def __init__(self, bins: Any, **options: Any) -> None:
        self.bins, self.frames = bins, 0

    def step(self, logits: Array, luma: Array, *, out: Array) -> None:
        if Smoother.fails:
            raise OutOfMemoryError("Out of memory allocating 512 bytes")
        self.frames += 1
        out.values[...] = self.frames

    @property
    def probabilities(self) -> Array:
        return Array(np.full((N, 2, 3), 1 / N, np.float32), 1)


def fake_kernels() -> ModuleType:
    """Each operation of the reference, on Arrays, written into `out`; no histogram."""
    kernels = ModuleType("fake_kernels")

    def filling(function: Callable[..., Any], arrays: int, made: int) -> Callable[..., Any]:
        def kernel(*arguments: Any, out: Any, **options: Any) -> None:
            assert all(isinstance(array, Array) for array in arguments[:arrays]), "arrays come as they are"
            options.pop("label_dtype", None)
            results = function(*(array.values for array in arguments[:arrays]), *arguments[arrays:], **options)
            for target, values in zip(*((out, results) if made > 1 else ((out,), (results,))), strict=True):
                target.values[...] = values

        return kernel

    kernels.encode = filling(reference.encode, 1, 3)  # type: ignore[attr-defined]
    kernels.annealed_mean = filling(reference.annealed_mean, 1, 1)  # type: ignore[attr-defined]
    kernels.confidence = filling(reference.confidence, 1, 2)  # type: ignore[attr-defined]
    kernels.decode = filling(reference.decode, 2, 1)  # type: ignore[attr-defined]
    kernels.merge = filling(reference.merge, 2, 1)  # type: ignore[attr-defined]
    kernels.TemporalSmoother = Smoother  # type: ignore[attr-defined]
    return kernels


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if CuPy ran here, on two devices."""
    cupy = ModuleType("cupy")
    cupy.ndarray, cupy.cuda = Array, Cuda  # type: ignore[attr-defined]
    cupy.empty = lambda shape, dtype: Array(np.full(shape, 99, dtype), Cuda.current)  # type: ignore[attr-defined]
    cupy.zeros = lambda shape, dtype: Array(np.zeros(shape, dtype), Cuda.current)  # type: ignore[attr-defined]
    with with_backend(monkeypatch, cupy, registry.Backend("cupy", "fake_kernels", ("cuda",), lambda: None, "")):
        yield


@contextmanager
def with_backend(monkeypatch: pytest.MonkeyPatch, cupy: Any, backend: registry.Backend) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "fake_kernels", fake_kernels())
    monkeypatch.setattr(Cuda, "capturing", False)
    monkeypatch.setattr(Smoother, "fails", False)
    monkeypatch.setitem(registry.BACKENDS, "cupy", backend)
    monkeypatch.delitem(registry.BACKENDS, "numba-cuda")
    for cached in (registry.unavailable_because, registry.load, device_arrays._library_of):
        cached.cache_clear()
    yield
    for cached in (registry.unavailable_because, registry.load, device_arrays._library_of):
        cached.cache_clear()


def logits(device: int = 0, dtype: str = "float32") -> Array:
    return Array(np.random.default_rng(1).standard_normal((N, 2, 3)).astype(dtype), device)


def luma(device: int = 0, dtype: str = "float32") -> Array:
    return Array(np.full((2, 3), 0.5, dtype), device)


# --- CuPy arrays in, CuPy arrays out ----------------------------------------------------------------------------------


def test_results_lie_where_the_arguments_do(gpu: None) -> None:
    """On the second device, while the first is current; each result is an Array of the operation's values."""
    x, y, rgb = logits(1), luma(1, "float64"), Array(np.full((2, 3, 3), 128, np.uint8), 1)
    results = [
        *fastcolor.encode(rgb, BINS),
        fastcolor.annealed_mean(x, BINS),
        *fastcolor.confidence(x),
        fastcolor.decode(x, y, BINS),
        fastcolor.merge(Array(0.4 * np.tanh(x.values[:2]), 1), y),
        fastcolor.TemporalSmoother(BINS).step(x, y),
    ]
    for result in results:
        assert isinstance(result, Array)
        assert kinds.look(result).device == "cuda:1"
    np.testing.assert_array_equal(results[6].values, reference.decode(x.values, y.values, BINS))
    assert Cuda.current == 0


def test_the_smoother_gives_what_its_kernel_makes(gpu: None) -> None:
    smoother = fastcolor.TemporalSmoother(BINS)
    smoother.step(logits(1), luma(1))
    assert isinstance(smoother.probabilities, Array)


def test_without_pixels_nothing_is_launched(gpu: None) -> None:
    empty = Array(np.zeros((0, 3, 3), np.uint8), 1)
    assert [part.shape for part in fastcolor.encode(empty, BINS)] == [(0, 3)] * 3


# --- the wrong device -------------------------------------------------------------------------------------------------

CPU = np.zeros((N, 2, 3), np.float32)
WRONG: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    (
        "a CUDA array for the CPU backend",
        lambda: fastcolor.annealed_mean(logits(), BINS, backend="numba"),
        fastcolor.BackendUnavailableError,
        r"^backend: no backend for 'numba' takes arrays on device 'cuda:0'; it takes those on cpu: move the array",
    ),
    (
        "a CPU array for the GPU backend",
        lambda: fastcolor.annealed_mean(CPU, BINS, backend="cupy"),
        fastcolor.BackendUnavailableError,
        r"^backend: no backend for 'cupy' takes arrays on device 'cpu'; it takes those on cuda: move the array there",
    ),
    (
        "a frame on the CPU for the GPU backend",
        lambda: fastcolor.TemporalSmoother(BINS, backend="cupy").step(CPU, CPU[0]),
        fastcolor.BackendUnavailableError,
        r"^backend: no backend for 'cupy' takes arrays on device 'cpu'",
    ),
    (
        "two devices",
        lambda: fastcolor.decode(logits(0), luma(1), BINS),
        ValueError,
        r"^luma: expected device 'cuda:0' like logits, got 'cuda:1'; arrays are never moved unasked",
    ),
    (
        "out on another device",
        lambda: fastcolor.decode(logits(0), luma(0), BINS, out=Array(np.zeros((2, 3, 3), np.uint8), 1)),
        ValueError,
        r"^out: expected device 'cuda:0' like input, got 'cuda:1'",
    ),
    (
        "luma on the CPU",
        lambda: fastcolor.decode(logits(0), np.zeros((2, 3), np.float32), BINS),
        TypeError,
        r"^luma: expected the same kind of array as logits \(cupy\), got numpy.ndarray",
    ),
    (
        "an operation that the backend lacks",
        lambda: fastcolor.histogram(Array(np.zeros((2, 3, 3), np.uint8)), 5, backend="cupy"),
        fastcolor.BackendUnavailableError,
        r"^backend: cupy has no histogram; choose another backend",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_device(gpu: None, call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_frames_that_change_their_device(gpu: None) -> None:
    smoother = fastcolor.TemporalSmoother(BINS)
    smoother.step(logits(0), luma(0))
    with pytest.raises(ValueError, match=r"^logits: expected device 'cuda:0' like the frames before, got 'cuda:1'"):
        smoother.step(logits(1), luma(1))


def test_a_film_is_not_captured(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    smoother = fastcolor.TemporalSmoother(BINS)
    monkeypatch.setattr(Cuda, "capturing", True)
    with pytest.raises(RuntimeError, match=r"^TemporalSmoother: expected a frame to add now, got one to be recorded"):
        smoother.step(logits(), luma())
    with pytest.raises(RuntimeError, match="no frame has been seen"):
        smoother.probabilities  # noqa: B018


@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_a_backend_is_not_tried_within_a_capture(gpu: None, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """The probe's own kernel would spoil the graph; and what is raised is not taken for an answer about the backend."""
    with monkeypatch.context() as patch:
        if library == "cupy":
            patch.setattr(Cuda, "capturing", True)
        else:
            patch.setattr(torch.cuda, "is_initialized", lambda: True)
            patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        with pytest.raises(RuntimeError, match=r"^backend: expected 'cupy' to be used before a CUDA graph is captured"):
            fastcolor.confidence(logits())
    fastcolor.confidence(logits())


def test_a_cupy_that_finds_no_driver_captures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for its stream is an error there; the reason that the user needs is the probe's."""

    def no_driver() -> Any:
        raise RuntimeError("cudaErrorInsufficientDriver")

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(get_current_stream=no_driver)))
    cuda_probe.check_no_capture("cupy")


# --- streams ----------------------------------------------------------------------------------------------------------


class Launches:
    """As much of ``cupy.cuda`` as a launch asks for: which device and stream are current."""

    def __init__(self) -> None:
        self.state: list[tuple[str, int]] = [("device", 0), ("stream", 0)]
        self.Stream = SimpleNamespace(from_external=self._taken, null=self._current("stream", 0))
        self.function = SimpleNamespace(CNumpyArray=list)
        self.runtime = SimpleNamespace(getDevice=lambda: self.current("device"))

    def current(self, what: str) -> int:
        return next(number for name, number in reversed(self.state) if name == what)

    def get_current_stream(self) -> Any:
        return SimpleNamespace(ptr=self.current("stream"))

    def Device(self, index: int) -> Any:
        return self._current("device", index)

    def _taken(self, theirs: Any) -> Any:
        version, handle = theirs.__cuda_stream__()
        assert version == 0
        return self._current("stream", handle)

    @contextmanager
    def _current(self, what: str, number: int) -> Iterator[None]:
        self.state.append((what, number))
        yield
        assert self.state.pop() == (what, number)


class TensorOnSecond:
    __module__ = "torch"
    device = torch.device("cuda:1")


@pytest.fixture
def launching(monkeypatch: pytest.MonkeyPatch) -> tuple[Launches, Any]:
    """What is current, and the kernel module that reads it."""
    launches = Launches()
    cupy = ModuleType("cupy")
    cupy.cuda, cupy.RawModule = launches, dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.delitem(sys.modules, "fastcolor.kernels.cupy_cuda.ops", raising=False)
    kernels = importlib.import_module("fastcolor.kernels.cupy_cuda.ops")
    monkeypatch.delitem(sys.modules, "fastcolor.kernels.cupy_cuda.ops")
    return launches, kernels


@pytest.mark.parametrize("handle", [0, 77])
def test_a_launch_is_on_torchs_current_stream_read_at_each_call(
    monkeypatch: pytest.MonkeyPatch, handle: int, launching: tuple[Launches, Any]
) -> None:
    launches, kernels = launching
    before = list(launches.state)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=handle))
    with kernels.ENGINE.context(TensorOnSecond()):
        assert launches.state == [*before, ("device", 1), ("stream", handle)]
    assert launches.state == before


def test_a_plan_reads_the_stream_of_the_arrays_library_on_the_current_device(
    monkeypatch: pytest.MonkeyPatch, launching: tuple[Launches, Any]
) -> None:
    launches, kernels = launching
    stream, streams = kernels.ENGINE.stream, iter((0, 77))
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda index: next(streams) + index, raising=False)
    on_second = Array(np.zeros(1), 1)
    assert stream(TensorOnSecond()) is None
    assert stream(on_second) is None
    with launches.Device(1):
        assert [stream(TensorOnSecond()).ptr for _ in range(2)] == [1, 78]
        for number in (0, 5):
            with launches._current("stream", number):
                assert stream(on_second).ptr == number


def test_what_launches_share_is_read_once(launching: tuple[Launches, Any]) -> None:
    """As CuPy takes an array of size one, whatever it is made of."""
    hold, structure = launching[1].ENGINE.hold, np.zeros(1, [("u", np.float32), ("v", np.int32)])
    assert hold(np.float32(2)) == [np.float32(2)]
    assert hold(structure) == [structure[0]]


# --- out of memory ----------------------------------------------------------------------------------------------------


def test_out_of_memory_is_told_and_forgotten(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own error comes through; a first frame that failed does not fix the shape of the film."""
    smoother = fastcolor.TemporalSmoother(BINS)
    monkeypatch.setattr(Smoother, "fails", True)
    with pytest.raises(OutOfMemoryError):
        smoother.step(logits(), luma())
    monkeypatch.setattr(Smoother, "fails", False)
    smaller = Array(logits().values[:, :1]), Array(luma().values[:1])
    assert smoother.step(*smaller).values.max() == 1
    monkeypatch.setattr(Smoother, "fails", True)
    with pytest.raises(OutOfMemoryError):
        smoother.step(*smaller)
    monkeypatch.setattr(Smoother, "fails", False)
    assert smoother.step(*smaller).values.max() == 2, "the frame that failed was not counted"


def test_out_of_memory_while_the_result_is_made(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def empty(shape: Any, dtype: Any) -> None:
        raise OutOfMemoryError("Out of memory allocating 18 bytes")

    monkeypatch.setattr(sys.modules["cupy"], "empty", empty)
    with pytest.raises(OutOfMemoryError):
        fastcolor.decode(logits(), luma(), BINS)


# --- the probe --------------------------------------------------------------------------------------------------------


class CUDARuntimeError(RuntimeError):
    """``cupy.cuda.runtime.CUDARuntimeError``."""


def fake_cupy(
    *,
    version: int = 14,
    driver: int = 13000,
    runtime: int = 13000,
    devices: int | Exception = 1,
    compiler: int | Exception = 13,
    answer: int | Exception = 42,
) -> ModuleType:
    """A CuPy whose parts answer so, or raise."""

    def tell(value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    cupy = ModuleType("cupy")
    cupy.__version__ = f"{version}.0.0"  # type: ignore[attr-defined]
    cupy.cuda = SimpleNamespace(  # type: ignore[attr-defined]
        Stream=SimpleNamespace(**({"from_external": None} if version >= 14 else {})),
        runtime=SimpleNamespace(
            driverGetVersion=lambda: driver,
            runtimeGetVersion=lambda: runtime,
            getDeviceCount=lambda: tell(devices),
            CUDARuntimeError=CUDARuntimeError,
        ),
        nvrtc=SimpleNamespace(getVersion=lambda: (tell(compiler), 0)),
    )
    cupy.zeros = lambda shape, dtype: SimpleNamespace(get=lambda: [answer])  # type: ignore[attr-defined]
    launch = SimpleNamespace(get_function=lambda name: lambda *arguments: tell(answer))
    cupy.RawModule = lambda **options: launch  # type: ignore[attr-defined]
    return cupy


PROBES: list[tuple[str, dict[str, Any], str]] = [
    ("an old CuPy", {"version": 13}, r"^CuPy 13\.0\.0 is older than 14; pip install 'fastcolor\[cuda13\]'"),
    (
        "no driver",
        {"driver": 0},
        r"^there is no NVIDIA driver; install one, and in a container start it with --gpus all",
    ),
    (
        "an old driver",
        {"driver": 12040},
        r"^the NVIDIA driver is for CUDA 12\.4 and this CuPy for CUDA 13; update the driver, or pip install "
        "cupy-cuda12x in its place",
    ),
    ("no GPU", {"devices": 0}, r"^the NVIDIA driver sees no GPU; is CUDA_VISIBLE_DEVICES right\?"),
    (
        "no device",
        {"devices": CUDARuntimeError("cudaErrorNoDevice")},
        r"^the NVIDIA driver sees no GPU \(cudaErrorNoDevice\); is CUDA_VISIBLE_DEVICES right\?",
    ),
    (
        "no compiler",
        {"compiler": OSError("libnvrtc.so.13 not found")},
        r"^CuPy finds no NVRTC, the compiler; pip install 'fastcolor\[cuda13\]'",
    ),
    (
        "a compiler of another CUDA",
        {"runtime": 12090, "driver": 13000, "answer": RuntimeError("invalid image")},
        r"^a kernel does not run \(RuntimeError: invalid image\); CuPy for CUDA 12 has loaded NVRTC of CUDA 13, which "
        r"another package brought; pip uninstall cupy-cuda12x, then pip install cupy-cuda13x",
    ),
    (
        "torch of another CUDA",
        {"runtime": 12090, "compiler": 12, "answer": RuntimeError("no image")},
        r"^a kernel does not run .*; CuPy for CUDA 12 beside torch for CUDA 13: pip uninstall cupy-cuda12x, then",
    ),
    (
        "a kernel that fails",
        {"answer": RuntimeError("x")},
        r"^a kernel does not run .* `fastcolor doctor` lists versions",
    ),
    ("a wrong answer", {"answer": 41}, r"^a kernel that writes 42 wrote 41; `fastcolor doctor` lists versions"),
]


@pytest.mark.parametrize(("parts", "message"), [row[1:] for row in PROBES], ids=[row[0] for row in PROBES])
def test_what_is_in_the_way(parts: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the probe; in the status of the backend; and from an operation, which does not go anywhere else instead."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    cupy = fake_cupy(**parts)
    cupy.ndarray = Array  # type: ignore[attr-defined]
    backend = registry.Backend("cupy", "fake_kernels", ("cuda",), cuda_probe.probe_cupy, "")
    with with_backend(monkeypatch, cupy, backend):
        with pytest.raises(RuntimeError, match=message):
            cuda_probe.probe_cupy()
        within = message.removeprefix("^")
        for name in ("auto", "cupy"):
            with pytest.raises(
                fastcolor.BackendUnavailableError,
                match=rf"^backend: cupy \(cuda\): not available: RuntimeError: {within}",
            ):
                fastcolor.annealed_mean(logits(), BINS, backend=name)
        assert fastcolor.backends()["cupy"].reason.startswith("RuntimeError: ")
        with pytest.raises(fastcolor.BackendUnavailableError, match="not available"):
            fastcolor.TemporalSmoother(BINS, backend="cupy")


@pytest.mark.parametrize(("cuda", "extra"), [(None, "cuda13"), ("12.8", "cuda12"), ("13.0", "cuda13")])
def test_without_cupy_the_extra_fits_torch(cuda: str | None, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=rf"^CuPy is not installed; pip install 'fastcolor\[{extra}\]'"):
        cuda_probe.probe_cupy()


def test_the_probe_passes_where_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    cuda_probe.probe_cupy()
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(runtime=12090, driver=13000, compiler=13))
    cuda_probe.probe_cupy()  # a mix that works; the doctor warns of it
