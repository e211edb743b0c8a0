"""Threads for serial kernels: cut a range of blocks over a small pool. The kernels release the GIL.

Numba's own threading layers were measured and left out: omp changes torch's thread count and stalls for milliseconds
when a core is busy, workqueue costs 100 us a call, and tbb is one more dependency.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

# Below this many pixels, handing work over costs more than a second thread brings.
PARALLEL_PIXELS = 1 << 18

_lock = threading.Lock()
_threads: int | None = None
_pool: tuple[int, int, ThreadPoolExecutor] | None = None  # process id, workers, pool


def get_num_threads() -> int:
    """Number of threads that large images are cut over: what was set, else the CPUs this process may use.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    if _threads is not None:
        return _threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(threads: int) -> None:
    """Set the number of threads of this process; 1 runs everything in the calling thread.

    Examples
    --------
    >>> set_num_threads(get_num_threads())
    """
    global _threads
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"threads: expected an int, got {type(threads).__name__}")
    if threads < 1:
        raise ValueError(f"threads: expected at least 1, got {threads}")
    _threads = threads


def run_blocks(kernel: Callable[..., Any], blocks: int, pixels: int, *args: Any) -> list[Any]:
    """``[kernel(lo, hi, *args)]`` over consecutive parts [lo, hi) of range(blocks): one part if `pixels` is small."""
    parts = min(get_num_threads(), blocks) if pixels >= PARALLEL_PIXELS else 1
    if parts <= 1:
        return [kernel(0, blocks, *args)]
    ranges = list(pairwise(blocks * part // parts for part in range(parts + 1)))
    futures: list[Future[Any]] = []
    try:
        _hand_over(futures, kernel, ranges[1:], args)
        done = [kernel(lo, hi, *args) for lo, hi in (ranges[0], *ranges[1 + len(futures) :])]
    finally:
        _wait(futures)
    return [done[0], *(future.result() for future in futures), *done[1:]]


def _hand_over(
    futures: list[Future[Any]], kernel: Callable[..., Any], ranges: list[tuple[int, int]], args: tuple[Any, ...]
) -> None:
    """As many of the first parts as other threads take: in a process that is about to end none, and we do them all."""
    pool = None
    try:
        pool = _workers(len(ranges))
        for lo, hi in ranges:
            futures.append(pool.submit(kernel, lo, hi, *args))
    except BaseException as error:  # a signal's, or "cannot schedule new futures after interpreter shutdown"
        if pool is not None:  # a part may lie in its queue, or run, although it was not given back to us
            try:
                pool.shutdown()  # which waits
            except BaseException:  # a second Ctrl-C
                pool.shutdown()
                raise
            _anew()
        if not isinstance(error, RuntimeError):
            raise


def _wait(futures: list[Future[Any]]) -> None:
    """Until all are over, whatever comes, Ctrl-C too: none may still write into the caller's memory when we return."""
    try:
        for future in futures:
            future.exception()  # which it tells and does not raise
    finally:
        if not all(future.done() for future in futures):
            _wait(futures)


def _workers(count: int) -> ThreadPoolExecutor:
    """The pool of this process, made on first use; a forked child makes its own: threads do not survive a fork."""
    from concurrent.futures import ThreadPoolExecutor  # here: it cannot be imported when the interpreter shuts down

    global _pool
    with _lock:
        if _pool is None or _pool[0] != os.getpid() or _pool[1] < count:
            _pool = (os.getpid(), count, ThreadPoolExecutor(count, thread_name_prefix="fastcolor"))
        return _pool[2]


def _anew() -> None:
    """No pool as yet; and a lock held by another thread at a fork would never be released in the child."""
    global _lock, _pool
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_anew)
