"""Look-up tables in a GPU's memory: copied once, kept while something may still read them.

They are found by content, so that equal bins share one copy, and bins that were changed in place have another.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np

from .device_arrays import device_index, from_numpy, is_capturing, library, synchronize

LIMIT = 64
_recent: dict[tuple[Any, ...], Any] = {}
_captured: dict[tuple[Any, ...], Any] = {}  # a CUDA graph reads them whenever it is replayed: never dropped
_lock = Lock()


def on_device(table: np.ndarray, like: Any) -> Any:
    """`table`, as an array of the library and on the device of `like`.

    Raises
    ------
    RuntimeError
        If it would have to be copied while a CUDA graph is being captured.
    """
    key = (library(like).__name__, device_index(like), table.shape, table.tobytes())
    capturing = is_capturing(like)
    with _lock:
        found = _captured.get(key, _recent.get(key))
        if found is None:
            found = _recent[key] = _copy(table, like, capturing)
        elif capturing:
            _captured[key] = found
    return found


def _copy(table: np.ndarray, like: Any, capturing: bool) -> Any:
    if capturing:
        raise RuntimeError(
            "bins: expected their table to be on the GPU already, got their first use while a CUDA graph is captured; "
            "call the operation with these bins once before the capture"
        )
    while len(_recent) >= LIMIT:
        synchronize(_recent.pop(next(iter(_recent))))  # whatever reads it is done before its memory is used again
    # In a thread of its own: while torch warms up a CUDA graph, what the calling thread allocates becomes the graph's.
    with ThreadPoolExecutor(1) as other:
        copied = other.submit(from_numpy, like, np.ascontiguousarray(table)).result()
    synchronize(copied)  # it will be read on other streams than the one that copies
    return copied
