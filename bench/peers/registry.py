"""Makers of candidates: ours by every backend, and peers of every library, all on the same arrays of one case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..cases import Candidate, Run, Setting
from ..measure import device

Function = Callable[..., Any]


class Peers:
    """Candidates of one case.

    Each method takes a `build` that is called outside the clock and returns a function of the case's arrays; what is
    timed is that function.

    Parameters
    ----------
    setting : Setting
    *arrays : array
        As `put` of the setting's device gave them.
    """

    def __init__(self, setting: Setting, *arrays: Any) -> None:
        self.where, self.arrays = device.place(setting.device), arrays

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

    def numpy(self, name: str, build: Callable[[], Function], **options: Any) -> Candidate:
        """On NumPy arrays, ``build()``."""
        return Candidate(name, lambda: _bound(build(), *self.arrays), **options)

    def torch(self, name: str, build: Callable[[Any], Function], mode: str = "eager", **options: Any) -> Candidate:
        """On torch tensors, ``build(peers_torch)``; `mode` is "eager" or "compiled"."""
        return Candidate(name, lambda: self.where.torch(build, mode, *self.arrays), ("torch",), **options)

    def cupy(self, name: str, build: Callable[[Any, Any], Function], **options: Any) -> Candidate:
        """On CuPy arrays, ``build(peers_cupy, cupy)``."""

        def make() -> Run:
            from . import cupy as peers_cupy

            return _bound(build(peers_cupy, self.where.xp), *self._on_cupy())

        return Candidate(name, make, **options)

    def _on_cupy(self) -> tuple[Any, ...]:
        return tuple(map(self.where.cupy, self.arrays))


def _bound(function: Function, *arguments: Any) -> Run:
    return lambda: function(*arguments)
