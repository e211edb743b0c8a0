"""A run that is asked to stop finishes its step and writes its checkpoint first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = [
    signal.Signals[name] for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
]  # no HUP: Windows


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that stop a run wait until the end of this; to processes that are begun meanwhile they do not come."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def asked_to_stop(alone: bool) -> Iterator[list[int]]:
    """A list that SIGTERM, Ctrl-C and the end of the terminal fill; the second Ctrl-C interrupts at once.

    What is under ``with`` ends by itself when it has seen the list, and the signal then does what it would have done
    without this; where that is to kill, SystemExit is raised, with the exit status of a process that it killed. Signals
    do what they always do if the process is not `alone`, for the others would wait for it, and in a thread, which gets
    none. One that is ignored stays so.
    """
    asked: list[int] = []
    if not alone or threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    heard = [number for number in STOPPING if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked and signal.getsignal(asked[0]) is signal.SIG_DFL:
        raise SystemExit(128 + asked[0])
    if asked:
        signal.raise_signal(asked[0])
