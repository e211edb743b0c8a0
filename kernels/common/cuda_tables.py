"""Look-up tables in a GPU's memory: copied once, kept while something may still read them.

They are found by content, so that equal bins share one copy, and bins that were changed in place have another; large
ones by a name that stands for their content, for to read a hundred kilobytes takes longer than a launch.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Any

import numpy as np

from .device_arrays import device_index, from_numpy, is_capturing, library, synchronize
from .recording import keep

LIMIT = 64


class Table:
    """An array that whoever reads it owns together: its memory is used again when all who read are done."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __del__(self) -> None:
        with suppress(Exception):  # at the end of the process there is nothing left to wait for
            if is_capturing(self.array):  # no time to wait
                _of_graphs.append(self.array)
            else:
                synchronize(self.array)


_recent: dict[tuple[Any, ...], Table] = {}
_lasting: dict[tuple[Any, ...], Table] = {}
_of_graphs: list[Any] = []  # read whenever a CUDA graph is replayed
_lock = Lock()


def on_device(table: np.ndarray, like: Any, name: Hashable = None, lasting: bool = False) -> Any:
    """`table`, as an array of the library and on the device of `like`.

    `name`, if given, is that of no other content. A `lasting` one is the same as long as the process lives.

    Raises
    ------
    RuntimeError
        If it would have to be copied while a CUDA graph is being captured.
    """
    content = (table.shape, table.tobytes()) if name is None else name
    key = (library(like).__name__, device_index(like), content)
    with _lock:
        found = _lasting.get(key) or _recent.pop(key, None) or Table(_copy(table, like))
        if lasting or is_capturing(like):
            _lasting[key] = found
        else:
            _recent[key] = found  # the latest is the last to go
    return keep(found.array, found)


def captured(tables: Iterable[Any]) -> None:
    """A CUDA graph that is being captured reads them."""
    _of_graphs.extend(tables)


def _copy(table: np.ndarray, like: Any) -> Any:
    if is_capturing(like):
        raise RuntimeError(
            "bins: expected their table to be on the GPU already, got their first use while a CUDA graph is captured; "
            "call the operation with these bins once before the capture"
        )
    while len(_recent) >= LIMIT:
        del _recent[next(iter(_recent))]  # if nobody else owns it, whatever reads it is done before its memory is free
    # In a thread of its own: while torch warms up a CUDA graph, what the calling thread allocates becomes the graph's.
    with ThreadPoolExecutor(1) as other:
        copied = other.submit(from_numpy, like, np.ascontiguousarray(table)).result()
    synchronize(copied)  # it will be read on other streams than the one that copies
    return copied
