"""How long a call takes: on the CPU by the wall clock, on a GPU by events around it, and what enqueueing it costs.

A GPU works behind the host's back. Events recorded on its stream before and after the call bracket what the device
did; so that they hold no waiting for the host, the device is given other work first, for longer than the host takes to
enqueue the call, and at least for a millisecond. That other work writes a buffer several times as large as the L2 and
reads it again: the call finds none of its input in the L2, and pays for no write-back of what was there.

Between two events with nothing between them lie some microseconds, as many as a small operation takes on a megapixel:
shares of the speed of memory are quoted for images that are larger.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from ..cases import Run

LEAD = 1e-3  # seconds of flushing before each timed call, at least: what the host may take to enqueue it
SPARE = 2.0  # times what the host was seen to take
MOST_FLUSHES = 64
CALLS = 50  # enqueued in a row: far fewer launches than a stream takes before it makes the host wait


class Clock(Protocol):
    """Calls a function once (or several times)."""

    def time(self, run: Run) -> tuple[float, Any]:
        """Seconds of one call, and its last result."""

    def fitted(self, run: Run) -> Clock:
        """A clock for this function, which is called some times to find out what it asks of the clock."""


class WallClock:
    """``time.perf_counter`` around the call."""

    def time(self, run: Run) -> tuple[float, Any]:
        start = time.perf_counter()
        result = run()
        return time.perf_counter() - start, result

    def fitted(self, run: Run) -> WallClock:
        return self


class EventClock:
    """Two events around the call, after :data:`LEAD` seconds of flushing, or more: see :meth:`fitted`.

    `event` makes what `torch.cuda.Event` is, with timing; `flush` enqueues the work that empties the L2.
    """

    def __init__(self, event: Callable[[], Any], flush: Callable[[], None]) -> None:
        self._event, self._flush = event, flush
        self.flushes = 0
        self._between(flush)  # the first one compiles or loads its kernels
        self._flush_seconds = max(min(self._between(flush)[0] for _ in range(3)), 1e-9)
        self.flushes = self._flushes(LEAD)

    def fitted(self, run: Run) -> EventClock:
        """With a lead that is :data:`SPARE` times what the host takes to enqueue `run` on an idle device."""
        clock = copy.copy(self)
        clock.flushes = self._flushes(max(LEAD, SPARE * min(self._enqueued(run) for _ in range(3))))
        return clock

    def time(self, run: Run) -> tuple[float, Any]:
        for _ in range(self.flushes):
            self._flush()
        return self._between(run)

    def _flushes(self, seconds: float) -> int:
        return min(max(math.ceil(seconds / self._flush_seconds), 1), MOST_FLUSHES)

    def _enqueued(self, run: Run) -> float:
        idle = self._event()
        idle.record()
        idle.synchronize()
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

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

    def fitted(self, run: Run) -> EnqueueClock:
        return self
