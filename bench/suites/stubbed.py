"""A backend that goes through the CUDA host code and launches nothing: what a call costs the host, without a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from fastcolor.kernels import registry
from fastcolor.kernels.cupy_cuda.engine import Engine

from ..cases import Check, Verdict

NAME = "cuda-stub"
LATEST = 64  # launches


class Launch(NamedTuple):
    """``name<<<grid, block, shared, stream>>>(*args)``, that did not happen."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    args: Any
    stream: Any

    def addresses(self) -> set[int]:
        """What may be one."""
        return {int(value) for value in self.args if isinstance(value, (int, np.uint64))}


LAUNCHES: deque[Launch] = deque(maxlen=LATEST)


class RawModule:
    """In place of CuPy's: what is called is written down."""

    def __init__(self, **_: Any) -> None: ...

    def get_function(self, name: str) -> Callable[..., None]:
        def launch(grid: Any, block: Any, args: Any, *, shared_mem: int = 0, stream: object = None) -> None:
            LAUNCHES.append(Launch(name, grid, block, shared_mem, args, stream))

        return launch


ENGINE = Engine(RawModule, lambda _: nullcontext())


def with_backend(build: Callable[[str], Any]) -> Any:
    """``build(NAME)``, from now on a backend among the others, whose operations this module has."""
    from fastcolor.kernels.cupy_cuda.operations import operations  # which older checkouts lack

    globals().update(operations(ENGINE))
    registry.BACKENDS[NAME] = registry.Backend(NAME, __name__, ("cpu",), lambda: None, "")
    return build(NAME)


def launched(arrays: tuple[np.ndarray, ...], launches: int = 1) -> Check:
    """That the latest launches got the addresses of all arguments and results, and came after as many of the same."""

    def check(answer: Any) -> Verdict:
        results = answer if isinstance(answer, tuple) else (answer,)
        wanted = {array.ctypes.data for array in (*arrays, *results)}
        *before, last = list(LAUNCHES)[-2 * launches :]
        found = last.addresses().union(*(one.addresses() for one in before[launches:]))
        missing = len(wanted - found) / len(wanted)
        names = [one.name for one in (*before, last)]
        return Verdict(not missing and names == 2 * names[launches:], missing, missing, "addresses of the launches")

    return check


def loss_on(backend: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which has a loss in it, where the loss chooses that backend."""
    from fastcolor.arrays import run_gradient

    def call(*arrays: Any) -> Any:
        run_gradient.BACKEND = backend
        try:
            return function(*arrays)
        finally:
            run_gradient.BACKEND = "auto"

    return call
