"""Where a case's arrays live, and all that depends on it: placement, sizes, clocks, memory, the backends that compete.

The suites are written once; this is what they ask.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..cases import Run, Setting
from . import memory
from .clocks import Clock, WallClock
from .floor import BUFFER_BYTES, QUICK_BUFFER_BYTES, Floor, Reads

Shape = tuple[int, int]


class Place:
    """What the devices have in common.

    Attributes
    ----------
    gpu : bool
    torch_device : str
    ours : tuple of (str, str)
        Name of a candidate, and the backend that it asks fastcolor for; the one that is quoted first.
    network_images : int
        In a batch of the suite `network`.
    """

    gpu = False
    network_images = 1
    torch_device = "cpu"
    ours: tuple[tuple[str, str], ...] = (("fastcolor", "auto"),)

    def torch(self, build: Callable[[Any], Callable[..., Any]], mode: str, *arrays: Any) -> Run:
        """A torch peer on `arrays`: ``build(peers_torch)`` gives the function, `mode` is "eager" or "compiled"."""
        import torch

        from ..peers import torch as peers_torch

        with torch.device(self.torch_device):  # where the constants of the function are made
            function = build(peers_torch)
        run: Run = getattr(peers_torch, mode)(function, *map(peers_torch.tensor, arrays))
        return run

    def host(self, answer: Any) -> Any:
        """An answer as the comparators take it: NumPy arrays; bfloat16 as float32."""
        if isinstance(answer, (tuple, list)):
            return tuple(map(self.host, answer))
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(answer, torch.Tensor):
            answer = answer.detach().float() if answer.dtype == torch.bfloat16 else answer.detach()
            return answer.cpu().numpy()
        return answer.get() if hasattr(answer, "get") else answer

    def trim(self) -> None:
        """Before a candidate is set up: nothing to do."""

    def forget(self) -> None:
        """Between cases: code that torch compiled must not count against its limit of recompilations."""
        if dynamo := sys.modules.get("torch._dynamo"):
            dynamo.reset()


class Cpu(Place):
    """NumPy arrays, the wall clock, and the backend that fastcolor chooses."""

    def sizes(self, quick: bool) -> list[Shape]:
        """Height and width of the images, the main one last."""
        return [(512, 512) if quick else (1024, 1024)]

    def put(self, array: np.ndarray, dtype: str = "", axis: int = 0) -> Any:
        """The array as this device's own, as `dtype`, with its first axis moved to `axis`."""
        return np.ascontiguousarray(np.moveaxis(array, 0, axis), dtype=dtype or array.dtype)

    def clock(self) -> Clock:
        """What times a call."""
        return WallClock()

    def floor(self, setting: Setting) -> Reads:
        """The speed of memory under `setting`."""
        return Floor(setting.threads, QUICK_BUFFER_BYTES if setting.quick else BUFFER_BYTES)

    def peak_of(self, run: Run) -> int | None:
        """Bytes that one call takes at most, its result included."""
        return memory.peak_of(run)


@cache
def place(name: str) -> Any:
    """The device by its name: "cpu" or "cuda"."""
    if name == "cpu":
        return Cpu()
    from .device_cuda import Cuda

    return Cuda()
