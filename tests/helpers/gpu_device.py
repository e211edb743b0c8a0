"""A GPU and the CPU with the same face: what test_gpu.py does on a GPU is tried on the CPU as well.

The CPU has one stream, which is always done, and a "graph" there is the call itself, made again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import strategies as make
import torch
from fastcolor.kernels import registry
from numpy.typing import NDArray

_CYCLES_A_SECOND = 1.5e9  # of a GPU's clock, about: a delay may be longer or shorter by a half


class Gpu:
    """The current CUDA device, through torch."""

    name, kind, asynchronous = "cuda", "torch-cuda", True

    def put(self, array: NDArray[Any]) -> Any:
        return make.as_kind(array, self.kind, str(array.dtype))

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """torch's own CUDA graphs, replayed from the third call on."""
        compiled: Callable[..., Any] = torch.compile(function, fullgraph=True, mode="reduce-overhead")
        return compiled

    def stream(self) -> Any:
        return torch.cuda.Stream()

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        return torch.cuda.stream(stream)

    def delay(self, seconds: float) -> None:
        """Keep the current stream busy."""
        torch.cuda._sleep(int(seconds * _CYCLES_A_SECOND))

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def capture(self, call: Callable[[], tuple[Any, ...]]) -> tuple[tuple[Any, ...], Callable[[], None]]:
        """The results of `call`, recorded, and what computes them again in the same memory."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = call()
        return results, graph.replay

    def allocated(self) -> int:
        return torch.cuda.memory_allocated()

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated()


class _Stream:
    def query(self) -> bool:
        return True

    def synchronize(self) -> None: ...

    def wait_stream(self, other: Any) -> None: ...


class Host:
    """The CPU as a device that is always done; what memory torch has there, nothing counts."""

    name, kind, asynchronous = "cpu", "torch", False

    def put(self, array: NDArray[Any]) -> Any:
        return make.as_kind(array, self.kind, str(array.dtype))

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = torch.compile(function, fullgraph=True, backend="eager")
        return compiled

    def stream(self) -> Any:
        return _Stream()

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        return nullcontext(stream)

    def delay(self, seconds: float) -> None: ...

    def synchronize(self) -> None: ...

    def capture(self, call: Callable[[], tuple[Any, ...]]) -> tuple[tuple[Any, ...], Callable[[], None]]:
        results = call()

        def replay() -> None:
            for old, new in zip(results, call(), strict=True):
                old.detach().copy_(new.detach())

        return results, replay


def device_of(backend: str) -> Gpu | Host:
    """Where a backend runs."""
    return Gpu() if "cuda" in registry.BACKENDS[backend].devices else Host()
