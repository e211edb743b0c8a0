"""Time of a run: what has passed over all its processes, one after another, and how a budget of minutes is kept.

With a budget the share of the time that has passed stands for the share of the steps that were done, so that the rate
falls to 0 when the time ends, however fast the machine is. What is done last (a validation, the model, a checkpoint) is
measured each time, and its time is kept free.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VALIDATIONS = 8  # of a run with a budget, evenly spaced
ROWS = 40  # of its log
MARGIN = 1.2  # what is done last may take so many times as long as it did before


class Clock:
    """The clock of one process of a run.

    Parameters
    ----------
    minutes : float
        The budget of the whole run; 0 for a run of so many steps.
    started : float, optional
        When this process started, by ``time.monotonic()``; now by default.
    before : dict
        What an earlier process of the run left: :attr:`state` in its checkpoint.
    """

    def __init__(self, minutes: float, started: float | None = None, before: dict[str, Any] | None = None) -> None:
        before = before or {}
        self._zero = (time.monotonic() if started is None else started) - before.get("seconds", 0.0)
        self.budget = 60.0 * minutes
        self.begin: float | None = before.get("begin")
        self.closing = before.get("closing", 0.0)
        self._step = 0.0
        self._mark: float | None = None

    @property
    def seconds(self) -> float:
        """Time that has passed, that of earlier processes up to their last checkpoint included."""
        return time.monotonic() - self._zero

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s" + (f" of {self.budget:g} s" if self.budget else "")

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the clock."""
        return {"seconds": self.seconds, "begin": self.begin, "closing": self.closing}

    @property
    def end(self) -> float:
        """When the last step is to be done: what comes after it keeps its time."""
        return self.budget - MARGIN * self.closing

    def place(self, step: int, steps: int) -> float:
        """Where the schedule of `steps` stands: at `step`, or with a budget where the time is."""
        if not self.budget:
            return step
        now = self.seconds
        if self.begin is None:  # what was needed to get ready is no part of the schedule
            self.begin = now
        if self._mark is None:
            self._mark = now
        return steps * (min(1.0, (now - self.begin) / (self.end - self.begin)) if now < self.end else 1.0)

    def tick(self) -> None:
        """Steps were done, on the device too: the longest that it took of late from one call to the next is kept free.

        Call it where the device has been waited for. Between two calls this process may be ahead of it by less than
        the steps that are kept free.
        """
        if self._mark is not None:
            now = self.seconds
            self._step = max(0.9 * self._step, now - self._mark)
            self._mark = now

    def over(self, step: int, steps: int) -> bool:
        """Whether there is no step, or no time for what :meth:`tick` has seen, left."""
        return self.seconds + self._step >= self.end if self.budget else step >= steps

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around what is done at the end and now and then before it; the device is to be waited for first."""
        before = time.monotonic()
        yield
        self.closing = time.monotonic() - before
        self._mark = None  # no step took this long


class Every:
    """True once every so many steps or seconds, whichever comes first; None is never.

    Parameters
    ----------
    steps : int, optional
    seconds : float, optional
    now : float
        Seconds of the clock when it begins to count.
    """

    def __init__(self, steps: int | None, seconds: float | None, now: float) -> None:
        self.steps, self.seconds, self.last = steps, seconds, now

    def due(self, step: int, now: float) -> bool:
        """Whether it is time; if so it counts anew."""
        late = self.seconds is not None and now - self.last >= self.seconds
        if late or (self.steps is not None and step % self.steps == 0):
            self.last = now
            return True
        return False


def validations(clock: Clock, epoch: int, asked: int | None) -> Every:
    """When to validate: every so many steps as asked, or each epoch, or at even times of a budget."""
    if asked is None and clock.budget:
        return parts(clock, VALIDATIONS)
    return Every(asked or epoch, None, clock.seconds)


def parts(clock: Clock, count: int) -> Every:
    """So many times in a budget, and never without one."""
    return Every(None, clock.budget / count if clock.budget else None, clock.seconds)
