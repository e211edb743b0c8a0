"""SIGTERM, and the end of the terminal, stop a command as Ctrl-C does: by an exception, so that it clears up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPED = 128  # plus the signal's number is the exit status, as a shell reports it
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows lacks one


class Stopped(KeyboardInterrupt):
    """Raised where the command is when a signal comes; what handles Ctrl-C handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, frame: object) -> None:
    raise Stopped(number)


@contextmanager
def stopping() -> Iterator[None]:
    """Raise :class:`Stopped` at SIGTERM and SIGHUP; not in a thread, which gets none, and not one that is ignored."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let what is under ``with`` come to its end, whatever signals come: Ctrl-C is often pressed twice."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *_ENDING):
            before[number] = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def told(stop: KeyboardInterrupt) -> tuple[str, int]:
    """What a command says when it was stopped, and its exit status."""
    number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
    why = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    return f"{why}; nothing half-written is left", STOPPED + number
