"""A run that is asked to stop finishes its step and writes its checkpoint first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """A list that SIGTERM and Ctrl-C fill; the second Ctrl-C interrupts at once.

    What is under ``with`` ends by itself when it has seen the list. After Ctrl-C it then ends by KeyboardInterrupt, as
    it would have without this.
    """
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in asked:
        raise KeyboardInterrupt
