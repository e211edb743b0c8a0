"""A stage of a stream in a thread of its own: results in order, a bounded number ahead, errors passed on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

_PATIENCE = 0.05  # seconds between looks at whether the consumer has gone


class _End(NamedTuple):
    """Last item of a queue: the stream is over, or it broke."""

    error: BaseException | None


def prefetch(items: Iterable[T], depth: int) -> Iterator[T]:
    """``iter(items)``, iterated in a thread that runs at most `depth` items ahead of the consumer.

    Stages chain: ``prefetch(stage2(prefetch(stage1(...), k)), k)``. Closing the generator, or leaving it by an
    exception, stops the thread and closes `items` if it is a generator, so that a whole chain ends together.

    Raises
    ------
    BaseException
        Whatever `items` raises, after the items before it.

    Examples
    --------
    >>> list(prefetch(range(5), 2))
    [0, 1, 2, 3, 4]
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    closed = threading.Event()
    thread = threading.Thread(target=_run, args=(items, ready, closed), name="fastcolor-stage", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        closed.set()
        thread.join()


@contextmanager
def closing_stream(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """``iter(items)``, closed at the end if it is a generator: a stage that stops stops the stages before it."""
    iterator = iter(items)
    try:
        yield iterator
    finally:
        if hasattr(iterator, "close"):
            iterator.close()


def _run(items: Iterable[Any], ready: queue.Queue[Any], closed: threading.Event) -> None:
    error = None
    try:
        with closing_stream(items) as iterator:
            for item in iterator:
                if not _put(item, ready, closed):
                    break
                del item  # or a frame would live as long as the wait for the next one
    except BaseException as caught:  # the consumer raises it
        error = caught
    _put(_End(error), ready, closed)


def _put(item: Any, ready: queue.Queue[Any], closed: threading.Event) -> bool:
    """Whether the item was delivered before the consumer closed the stream."""
    while not closed.is_set():
        try:
            ready.put(item, timeout=_PATIENCE)
            return True
        except queue.Full:
            continue
    return False
