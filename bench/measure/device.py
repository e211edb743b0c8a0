"""Where a case's arrays live, and all that depends on it: placement, sizes, clocks, memory, the backends that compete.

The suites are written once; this is what they ask.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..cases import Run, Setting
from . import memory
from .clocks import Clock, EnqueueClock, EventClock, WallClock
from .floor import BUFFER_BYTES, QUICK_BUFFER_BYTES, DeviceFloor, Floor

Shape = tuple[int, int]
CUDA_BACKENDS = (("fastcolor", "cupy"), ("fastcolor, Numba CUDA", "numba-cuda"))
# Height and width of a GPU's images: a square, sizes that are no powers of two, the main one last.
CUDA_SIZES = ((1024, 1024), (1000, 1333), (1080, 1920), (2048, 4096))
QUICK_CUDA_SIZES = ((256, 256), (512, 512))
FLUSH = 256 << 20  # bytes, at least, of the buffer that empties the L2
TIMES_L2 = 4  # and at least this many times its size


class Cpu:
    """NumPy arrays, the wall clock, and the backend that fastcolor chooses."""

    gpu = False
    network_images = 1  # in a batch of the suite `network`
    torch_device = "cpu"
    # Name of a candidate, and the backend that it asks fastcolor for; the one that is quoted first.
    ours: tuple[tuple[str, str], ...] = (("fastcolor", "auto"),)

    def sizes(self, quick: bool) -> list[Shape]:
        """Height and width of the images, the main one last."""
        return [(512, 512) if quick else (1024, 1024)]

    def put(self, array: np.ndarray, dtype: str = "", axis: int = 0) -> Any:
        """The array as this device's own, as `dtype`, with its first axis moved to `axis`."""
        return np.ascontiguousarray(np.moveaxis(array, 0, axis), dtype=dtype or array.dtype)

    def host(self, answer: Any) -> Any:
        """An answer as the comparators take it: NumPy arrays; bfloat16 as float32."""
        if isinstance(answer, (tuple, list)):
            return tuple(map(self.host, answer))
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(answer, torch.Tensor):
            answer = answer.detach().float() if answer.dtype == torch.bfloat16 else answer.detach()
            return answer.cpu().numpy()
        return answer.get() if hasattr(answer, "get") else answer

    def clock(self) -> Clock:
        """What times a call."""
        return WallClock()

    def enqueue_clock(self) -> Clock:
        """What times the host's part of a call: several in a row, without waiting for the device."""
        return EnqueueClock(lambda: None)

    def floor(self, setting: Setting) -> Any:
        """The speed of memory under `setting`."""
        return Floor(setting.threads, QUICK_BUFFER_BYTES if setting.quick else BUFFER_BYTES)

    def peak_of(self, run: Run) -> int | None:
        """Bytes that one call takes at most, its result included."""
        return memory.peak_of(run)

    def trim(self) -> None:
        """Before a candidate is set up: nothing to do."""

    def forget(self) -> None:
        """Between cases: code that torch compiled must not count against its limit of recompilations."""
        if dynamo := sys.modules.get("torch._dynamo"):
            dynamo.reset()


class Cuda(Cpu):
    """The current CUDA device: torch tensors, CuPy arrays on the same memory, events as the clock.

    Its libraries are arguments, so that the tests run every line of it without a GPU: NumPy in place of `xp`, CuPy;
    events that read the wall clock in place of `cuda`, `torch.cuda`.
    """

    gpu = True
    network_images = 16

    def __init__(
        self,
        torch_device: str = "cuda",
        xp: Any = None,
        cuda: Any = None,
        ours: Sequence[tuple[str, str]] = CUDA_BACKENDS,
        sizes: Sequence[Shape] = (),
        flush: int = FLUSH,
    ) -> None:
        if xp is None:
            import cupy as xp  # type: ignore[no-redef]
        if cuda is None:
            from torch import cuda
        self.torch_device, self.xp, self.cuda = torch_device, xp, cuda
        self.ours = tuple(ours)
        self._sizes, self._flush_bytes = tuple(sizes), flush
        self._clock: EventClock | None = None

    def sizes(self, quick: bool) -> list[Shape]:
        return list(self._sizes or (QUICK_CUDA_SIZES if quick else CUDA_SIZES))

    def put(self, array: np.ndarray, dtype: str = "", axis: int = 0) -> Any:
        import torch

        there = torch.as_tensor(array, device=self.torch_device)
        there = there.to(getattr(torch, dtype)) if dtype else there
        return there.movedim(0, axis).contiguous()

    def cupy(self, tensor: Any) -> Any:
        """A CuPy array on the memory of a tensor."""
        return self.xp.from_dlpack(tensor)

    def clock(self) -> Clock:
        if self._clock is None:
            self._clock = EventClock(lambda: self.cuda.Event(enable_timing=True), self._flusher())
        return self._clock

    def enqueue_clock(self) -> Clock:
        return EnqueueClock(self.cuda.synchronize)

    def _flusher(self) -> Callable[[], None]:
        import torch

        found = self.cuda.get_device_properties(self.cuda.current_device())
        size = max(self._flush_bytes, TIMES_L2 * getattr(found, "L2_cache_size", 0))
        buffer = torch.empty(size // 4, dtype=torch.float32, device=self.torch_device)

        def flush() -> None:
            buffer.zero_()
            buffer.sum()

        return flush

    def floor(self, setting: Setting) -> Any:
        return DeviceFloor(self.torch_device, QUICK_BUFFER_BYTES if setting.quick else BUFFER_BYTES)

    def peak_of(self, run: Run) -> int | None:
        """By torch's count, and by what CuPy's pool grew."""
        self.trim()
        self.cuda.reset_peak_memory_stats()
        before = self.cuda.memory_allocated() + self._pool_bytes()
        result = run()
        self.cuda.synchronize()
        peak = self.cuda.max_memory_allocated() + self._pool_bytes() - before
        del result
        return max(peak, 0)

    def forget(self) -> None:
        """Compiled code, and memory that the two libraries keep for themselves."""
        super().forget()
        gc.collect()
        self.trim()

    def trim(self) -> None:
        """Give back the memory that torch and CuPy keep for themselves: each may need what the other has."""
        self.cuda.synchronize()
        self.cuda.empty_cache()
        if (pool := self._pool()) is not None:
            pool.free_all_blocks()

    def _pool_bytes(self) -> int:
        pool = self._pool()
        return 0 if pool is None else pool.total_bytes()

    def _pool(self) -> Any:
        return self.xp.get_default_memory_pool() if hasattr(self.xp, "get_default_memory_pool") else None


@cache
def place(name: str) -> Any:
    """The device by its name: "cpu" or "cuda"."""
    return {"cpu": Cpu, "cuda": Cuda}[name]()
