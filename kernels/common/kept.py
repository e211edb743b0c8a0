"""What is derived from bins, computed once for each content: a call on a small image would take longer over it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

MOST = 64  # values, the oldest of which make room
_values: dict[Hashable, Any] = {}


def kept(bins: Any, what: Hashable, derive: Callable[[], Any]) -> Any:
    """``derive()``, or what it gave for bins of the same class and content, and the same `what`.

    Bins with a key are known by their content, which cannot change: :class:`fastcolor.ColorBins`, and what torch's
    operators make of its text. Anything else is derived anew.

    Examples
    --------
    >>> kept(None, "zero", int)
    0
    """
    place = name_of(bins, what)
    if place is None:
        return derive()
    try:
        return _values[place]
    except KeyError:
        value = derive()
    for oldest in list(_values)[: max(len(_values) + 1 - MOST, 0)]:
        _values.pop(oldest, None)  # another thread may have been faster
    _values[place] = value
    return value


def name_of(bins: Any, what: Hashable) -> tuple[Any, ...] | None:
    """What stands for the content of `bins` and for `what` is derived from them; None if bins have no key."""
    key = getattr(bins, "_key", None)
    return None if key is None else (key, type(bins), what)
