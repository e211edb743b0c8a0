"""What a benchmark is made of: a case (one operation on one input) and the candidates that compete in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from .bytes import Traffic

Run = Callable[[], Any]
# Kinds of CUDA kernels for planes of 32 bins, and the pixels a thread of each that a sweep on a GPU tries.
PLANAR, STREAMED = (("planar", 1), ("planar", 2), ("planar", 4)), (("streamed", 4),)


def at_width(kind: str, pixels: int) -> AbstractContextManager[Any]:
    """Within it every operation takes planes of 32 bins by such kernels. Plans made before know nothing of it."""
    from fastcolor.kernels.cupy_cuda import tile

    def first(widths: dict[str, int]) -> dict[str, int]:  # the first kind is taken, where an operation has several
        return {kind: pixels, **{other: count for other, count in widths.items() if other != kind}}

    every = {what: {key: first(widths) for key, widths in of.items()} for what, of in tile.WIDTHS.items()}
    return patch.dict(tile.WIDTHS, every)


# "tuned" keeps freed memory in the process: no page faults on big temporaries, which is half of some ratios.
MALLOC = {
    "default": {},
    "tuned": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4000000000"},
}


@dataclass(frozen=True)
class Setting:
    """How one worker process measures."""

    threads: int = 1  # of torch, OpenCV, OpenBLAS and fastcolor alike
    malloc: str = "default"  # or "tuned"; see MALLOC
    quick: bool = False  # smaller images and fewer rounds: does it work, not how fast is it
    device: str = "cpu"  # or "cuda"
    without: str = ""  # candidates whose names contain it are left out
    budget: float = 0.0  # seconds after which no new case begins; 0 for no end
    shape: tuple[int, int] | None = None  # height and width of the images whose cases are made; None: of all

    @property
    def main_only(self) -> bool:
        """Several threads are reported, not gated: for the main cases alone."""
        return self.threads > 1

    @property
    def plain(self) -> bool:
        """One thread under the default allocator: what need not be repeated runs here."""
        return (self.threads, self.malloc) == (1, "default")

    def of(self, suite: str) -> str:
        """A suite under this setting, in words."""
        return suite if self.device != "cpu" else f"{suite}, {self}"

    def __str__(self) -> str:
        return f"{self.threads} thread{'s' * (self.threads > 1)}, malloc {self.malloc}"


@dataclass(frozen=True)
class Verdict:
    """What a comparison with the reference found."""

    ok: bool
    mismatch: float  # share of the compared values outside the tolerance
    worst: float  # largest deviation, in the unit that `tolerance` names
    tolerance: str


Check = Callable[[Any], Verdict]


@dataclass(frozen=True)
class Candidate:
    """One way to do the operation of a case; ``make()`` is set-up outside the clock, and returns what is timed."""

    name: str
    make: Callable[[], Run]
    needs: tuple[str, ...] = ()  # modules without which it is skipped, with a note
    ours: bool = False
    share: float = 1.0  # part of the case's pixels that it works on (slow ones get a crop; MP/s are scaled)
    slow: bool = False  # only run at one thread under the default allocator
    inexact: str = ""  # why a known approximation is timed although its answer is outside the tolerance
    check: Check | None = None  # in place of the case's own, for a crop
    backend: str = "auto"  # what it asks fastcolor for; where that does not run it is skipped, with the reason


@dataclass(frozen=True)
class Case:
    """One operation on one input; shape, dtype and layout are those of the largest input, for the table."""

    suite: str
    name: str
    shape: str
    dtype: str
    layout: str
    pixels: int
    traffic: Traffic  # bytes that any implementation must read and write
    check: Check  # compares an answer with `fastcolor.reference`
    candidates: tuple[Candidate, ...]
    calls: int = 2  # before the check and the clock; a stateful operation needs as many as reach its steady state
    main: bool = False  # the case that the README and the goals quote
    host: bool = False  # the time is what the host takes for a call, and not what a GPU or the pixels take
