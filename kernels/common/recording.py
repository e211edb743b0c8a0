"""What the host code of CUDA kernels does in a call, written down: to do it again takes no thought (``arrays.plans``).

While a thread has a recording open, each launch is noted with its arrays, and so is memory of the call's own. Whoever
opened it holds all these arrays until it is closed, so that no address stands for two of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .device_arrays import empty, zeros


class Launch(NamedTuple):
    """``function<<<blocks, threads, shared>>>(*values)``; args as :meth:`Engine.launch` takes them."""

    function: Any
    blocks: int
    threads: int
    args: tuple[Any, ...]
    values: tuple[Any, ...]
    shared: int


class Recording:
    """What happened since it was opened.

    Attributes
    ----------
    engine : Engine or None
        Of the launches.
    launches : list of Launch
    scratch : list of array
        Memory that launches use among themselves.
    zeroed : list of array
        Those that were zero before the launches.
    kept : list of array
        Those that outlive the call: tables of bins, the state of a film.
    owners : list
        Who holds the memory of those.
    afterwards : list of callable
        What the host does after the launches: it counts frames.
    """

    def __init__(self) -> None:
        self.engine: Any = None
        self.launches: list[Launch] = []
        self.scratch: list[Any] = []
        self.zeroed: list[Any] = []
        self.kept: list[Any] = []
        self.owners: list[Any] = []
        self.afterwards: list[Callable[[], None]] = []


class _Thread(threading.local):
    recording: Recording | None = None


_thread = _Thread()


def current() -> Recording | None:
    """The recording that is open on this thread."""
    return _thread.recording


@contextmanager
def opened() -> Iterator[Recording]:
    """A recording of what this thread does."""
    assert _thread.recording is None, "one at a time"
    _thread.recording = Recording()
    try:
        yield _thread.recording
    finally:
        _thread.recording = None


def keep(array: Any, owner: Any = None) -> Any:
    """`array`, which outlives the call as long as its `owner` does, by default itself."""
    if (recording := current()) is not None:
        recording.kept.append(array)
        recording.owners.append(array if owner is None else owner)
    return array


def spoil() -> None:
    """Say that what was written down so far is not the whole call: its launches read what something else has made."""
    if (recording := current()) is not None:
        recording.launches.clear()


def scratch(like: Any, count: int, dtype: str) -> Any:
    """Memory for launches of this call alone, which nothing else may read or write."""
    array = empty(like, (count,), dtype)
    if (recording := current()) is not None:
        recording.scratch.append(array)
    return array


def zeroed(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """A result that is zero before the launches."""
    array = zeros(like, shape, dtype)
    if (recording := current()) is not None:
        recording.zeroed.append(array)
    return array


def afterwards(function: Callable[[], None]) -> None:
    """Call it now, and whenever the launches of this call are made again."""
    function()
    if (recording := current()) is not None:
        recording.afterwards.append(function)
