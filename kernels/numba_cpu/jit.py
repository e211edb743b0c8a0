"""One way to compile a kernel: nopython, without the GIL, kept on the disk (:mod:`fastcolor.kernels.cache`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from ..cache import ByContent, cache_folder


def jit(function: Callable[..., Any] | None = None, *, inline: bool = False) -> Any:
    """``numba.njit(nogil=True, cache=True)`` with our cache folder; no fast-math, so NaN and infinities hold.

    Parameters
    ----------
    function : callable
        The kernel, or None when used as ``@jit(inline=True)``.
    inline : bool
        Always inline into the caller and keep no cache entry of its own: for helpers.
    """
    if function is None:
        return lambda wrapped: jit(wrapped, inline=inline)
    if inline:
        return numba.njit(function, nogil=True, forceinline=True)
    dispatcher: Any = numba.njit(function, nogil=True)
    if (folder := cache_folder()) is not None:
        dispatcher._cache = ByContent(function, folder)
    return dispatcher


def probe() -> None:
    """Compile and run something; raises if Numba does not work here."""
    # Cached like the kernels: compiling anew would cost more than half of the time to the first result.
    if jit(_increment)(np.float32(1)) != 2:
        raise RuntimeError("numba compiled a kernel that gives a wrong answer")


def _increment(x: Any) -> Any:
    return x + 1
