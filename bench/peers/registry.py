"""Makers of candidates: ours by every backend, and peers of every library, all on the same arrays of one case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..cases import Candidate, Run, Setting
from ..measure import device
from .arrays import Arrays

Function = Callable[..., Any]


class Peers:
    """Candidates of one case, on `arrays`, which are put on the setting's device.

    Each method takes a `build` that is called outside the clock and returns a function of the case's arrays; what is
    timed is that function. `options` are those of a candidate.
    """

    def __init__(self, setting: Setting, *arrays: Any) -> None:
        self.where = device.place(setting.device)
        self.arrays = tuple(map(self.where.put, arrays))

    def ours(self, build: Callable[[str], Function], note: str = "", second: bool = False, **options: Any) -> Any:
        """``build(backend)`` for the device's first backend; `second`: for its others too, which have the operation."""
        names = self.where.ours if second else self.where.ours[:1]
        return [self._ours(name + note, backend, build, lambda: self.arrays, options) for name, backend in names]

    def ours_on_cupy(self, build: Callable[[str], Function]) -> list[Candidate]:
        """The first of :meth:`ours` on CuPy arrays; nothing on the CPU."""
        name, backend = self.where.ours[0]
        return [self._ours(f"{name}, CuPy arrays", backend, build, self._on_cupy, {})] if self.where.gpu else []

    def _ours(self, name: str, backend: str, build: Any, arrays: Callable[[], Any], options: Any) -> Candidate:
        return Candidate(name, lambda: _bound(build(backend), *arrays()), ours=True, backend=backend, **options)

    def numpy(self, name: str, build: Callable[[Any], Function], **options: Any) -> Candidate:
        """On NumPy arrays, ``build(peers)`` with the peers in array code."""
        return Candidate(name, lambda: _bound(build(Arrays(np)), *self.arrays), **options)

    def torch(self, name: str, build: Callable[[Any], Function], mode: str = "eager", **options: Any) -> Candidate:
        """On torch tensors, ``build(peers.torch)``; `mode` is "eager", "with_grad" or "compiled"."""

        def make() -> Run:
            import torch

            from . import torch as peers

            with torch.device(self.where.torch_device):  # where the constants of the function are made
                function = build(peers)
            run: Run = getattr(peers, mode)(function, *map(peers.tensor, self.arrays))
            return run

        return Candidate(name, make, ("torch",), **options)

    def cupy(self, name: str, build: Callable[[Any], Function], **options: Any) -> Candidate:
        """On CuPy arrays, ``build(peers)`` with array code, some of it fused."""

        def make() -> Run:
            from .cupy import Fused

            return _bound(build(Fused(self.where.xp)), *self._on_cupy())

        return Candidate(name, make, **options)

    def other(self, name: str, module: str, build: Callable[..., Run], *more: Any, **options: Any) -> Candidate:
        """Of another library: ``build(*arrays, *more)`` is what is timed."""
        return Candidate(name, lambda: build(*self.arrays, *more), (module,), **options)

    def _on_cupy(self) -> tuple[Any, ...]:
        return tuple(map(self.where.cupy, self.arrays))


def _bound(function: Function, *arguments: Any) -> Run:
    return lambda: function(*arguments)
