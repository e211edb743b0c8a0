"""The GPU: torch tensors, CuPy arrays on the same memory, events as the clock.

Its libraries are arguments, so that the tests run every line of it without a GPU: NumPy in place of CuPy, tensors on
the CPU, and events that read the wall clock.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..cases import Run, Setting
from .clocks import Clock, EnqueueClock, EventClock
from .device import Place, Shape
from .floor import BUFFER_BYTES, QUICK_BUFFER_BYTES, DeviceFloor, Reads

BACKENDS = (("fastcolor", "cupy"), ("fastcolor, Numba CUDA", "numba-cuda"))
SIZES = ((1024, 1024), (2048, 4096))
QUICK_SIZES = ((256, 256), (512, 512))
FLUSH = 256 << 20  # bytes, at least, of the buffer that empties the L2
TIMES_L2 = 4  # and at least this many times its size


class Cuda(Place):
    """One CUDA device, the current one.

    Parameters
    ----------
    torch_device : str
    xp : module, optional
        CuPy.
    cuda : module, optional
        `torch.cuda`.
    ours, sizes : optional
        In place of :data:`BACKENDS` and :data:`SIZES`.
    flush : int, optional
        In place of :data:`FLUSH`.
    """

    gpu = True
    network_images = 16

    def __init__(
        self,
        torch_device: str = "cuda",
        xp: Any = None,
        cuda: Any = None,
        ours: Sequence[tuple[str, str]] = BACKENDS,
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
        """Height and width of the images, the main one last."""
        return list(self._sizes or (QUICK_SIZES if quick else SIZES))

    def put(self, array: np.ndarray, dtype: str = "", axis: int = 0) -> Any:
        """A tensor on the device, as `dtype`, with its first axis moved to `axis`."""
        import torch

        there = torch.as_tensor(array, device=self.torch_device)
        there = there.to(getattr(torch, dtype)) if dtype else there
        return there.movedim(0, axis).contiguous()

    def cupy(self, tensor: Any) -> Any:
        """A CuPy array on the memory of a tensor."""
        return self.xp.from_dlpack(tensor)

    def clock(self) -> Clock:
        """Events, with the L2 flushed."""
        if self._clock is None:
            self._clock = EventClock(lambda: self.cuda.Event(enable_timing=True), self._flusher())
        return self._clock

    def enqueue_clock(self) -> Clock:
        """Host time of enqueueing a call."""
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

    def floor(self, setting: Setting) -> Reads:
        """The speed of the device's memory."""
        return DeviceFloor(self.torch_device, QUICK_BUFFER_BYTES if setting.quick else BUFFER_BYTES)

    def peak_of(self, run: Run) -> int | None:
        """Bytes that one call takes at most, its result included: by torch's count, and by what CuPy's pool grew."""
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
