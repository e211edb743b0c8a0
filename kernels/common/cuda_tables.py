"""Look-up tables in a GPU's memory: copied once, kept while something may still read them.

They are found by content, so that equal bins share one copy, and bins that were changed in place have another; large
ones by a name that stands for their content, for to read a hundred kilobytes takes longer than a launch.
"""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np

from .device_arrays import device_index, from_numpy, is_capturing, library, synchronize
from .recording import keep

LIMIT = 64
_recent: dict[tuple[Any, ...], Any] = {}
_captured: dict[tuple[Any, ...], Any] = {}  # a CUDA graph reads them whenever it is replayed: never dropped
_lock = Lock()


def on_device(table: np.ndarray, like: Any, name: Hashable = None) -> Any:
    """`table`, as an array of the library and on the device of `like`.

    `name`, if given, is that of no other content.

    Raises
    ------
    RuntimeError
        If it would have to be copied while a CUDA graph is being captured.
    """
    content = (table.shape, table.tobytes()) if name is None else name
    key = (library(like).__name__, device_index(like), content)
    capturing = is_capturing(like)
    with _lock:
        found = _captured.get(key, _recent.get(key))
        if found is None:
            found = _recent[key] = _copy(table, like, capturing)
        elif capturing:
            _captured[key] = found
    return keep(found)


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
