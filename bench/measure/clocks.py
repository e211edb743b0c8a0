"""How long a call takes: on the CPU by the wall clock, on a GPU by events around it, and what enqueueing it costs.

A GPU works behind the host's back. Events recorded on its stream before and after the call bracket what the device
did; so that they hold no waiting for the host, the device is given about a millisecond of other work first, and the
host has enqueued the call before its turn comes. That other work writes a buffer several times as large as the L2 and
reads it again: the call finds none of its input in the L2, and pays for no write-back of what was there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from ..cases import Run

LEAD = 1e-3  # seconds of flushing before each timed call: what the host may take to enqueue it
MOST_FLUSHES = 64
CALLS = 50  # enqueued in a row: far fewer launches than a stream takes before it makes the host wait


class Clock(Protocol):
    """Calls a function once (or several times)."""

    def time(self, run: Run) -> tuple[float, Any]:
        """Seconds of one call, and its last result."""


class WallClock:
    """``time.perf_counter`` around the call."""

    def time(self, run: Run) -> tuple[float, Any]:
        start = time.perf_counter()
        result = run()
        return time.perf_counter() - start, result


class EventClock:
    """Two events around the call, after :data:`LEAD` seconds of flushing.

    `event` makes what `torch.cuda.Event` is, with timing; `flush` enqueues the work that empties the L2.
    """

    def __init__(self, event: Callable[[], Any], flush: Callable[[], None]) -> None:
        self._event, self._flush = event, flush
        self.flushes = 0
        self._between(flush)  # the first one compiles or loads its kernels
        took = min(self._between(flush)[0] for _ in range(3))
        self.flushes = min(max(math.ceil(LEAD / max(took, 1e-9)), 1), MOST_FLUSHES)

    def time(self, run: Run) -> tuple[float, Any]:
        for _ in range(self.flushes):
            self._flush()
        return self._between(run)

    def _between(self, run: Run) -> tuple[float, Any]:
        start, stop = self._event(), self._event()
        start.record()
        result = run()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) / 1e3, result


class EnqueueClock:
    """Host time a call: :data:`CALLS` in a row without waiting for the device, from an idle one.

    `synchronize` waits until the device is idle; off the clock, before and after.
    """

    def __init__(self, synchronize: Callable[[], object]) -> None:
        self._synchronize = synchronize

    def time(self, run: Run) -> tuple[float, Any]:
        self._synchronize()
        start = time.perf_counter()
        for _ in range(CALLS):
            result = run()
        took = time.perf_counter() - start
        self._synchronize()
        return took / CALLS, result
