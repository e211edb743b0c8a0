"""What a benchmark is made of: a case (one operation on one input) and the candidates that compete in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .bytes import Traffic

Run = Callable[[], Any]


@dataclass(frozen=True)
class Setting:
    """How one worker process measures.

    Attributes
    ----------
    threads : int
        Of torch, OpenCV, OpenBLAS and fastcolor alike.
    malloc : str
        "default" or "tuned"; see :data:`bench.runner.MALLOC`.
    quick : bool
        Smaller images and fewer rounds: does it work, not how fast is it.
    device : str
        "cpu" or "cuda".
    """

    threads: int = 1
    malloc: str = "default"
    quick: bool = False
    device: str = "cpu"

    @property
    def main_only(self) -> bool:
        """Several threads are reported, not gated: for the main cases alone."""
        return self.threads > 1


@dataclass(frozen=True)
class Verdict:
    """What a comparison with the reference found.

    Attributes
    ----------
    ok : bool
    mismatch : float
        Share of the compared values outside the tolerance.
    worst : float
        Largest deviation, in the unit that `tolerance` names.
    tolerance : str
    """

    ok: bool
    mismatch: float
    worst: float
    tolerance: str


Check = Callable[[Any], Verdict]


@dataclass(frozen=True)
class Candidate:
    """One way to do the operation of a case.

    Attributes
    ----------
    name : str
    make : callable
        Set-up, outside the clock; returns the function of no argument that is timed.
    needs : tuple of str
        Modules without which it is skipped, with a note.
    ours : bool
        True for fastcolor.
    share : float
        Part of the case's pixels that it works on (slow ones get a crop; MP/s are scaled).
    slow : bool
        Only run at one thread under the default allocator.
    inexact : str
        Why a known approximation is timed although its answer is outside the tolerance; empty for all others.
    check : callable, optional
        In place of the case's own, for a crop.
    backend : str
        What it asks fastcolor for; where that backend does not run it is skipped, with the reason.
    """

    name: str
    make: Callable[[], Run]
    needs: tuple[str, ...] = ()
    ours: bool = False
    share: float = 1.0
    slow: bool = False
    inexact: str = ""
    check: Check | None = None
    backend: str = "auto"


@dataclass(frozen=True)
class Case:
    """One operation on one input.

    Attributes
    ----------
    suite, name : str
    shape, dtype, layout : str
        Of the largest input, for the table.
    pixels : int
    traffic : Traffic
        Bytes that any implementation must read and write: see :mod:`bench.bytes`.
    check : callable
        Compares an answer with `fastcolor.reference`.
    candidates : tuple of Candidate
    calls : int
        Calls before the answer is checked and timing begins; a stateful operation needs as many as reach its
        steady state.
    main : bool
        True for the case that the README and the goals quote.
    host : bool
        True where the time is what the host takes to enqueue a call for a GPU, and not what the GPU takes.
    """

    suite: str
    name: str
    shape: str
    dtype: str
    layout: str
    pixels: int
    traffic: Traffic
    check: Check
    candidates: tuple[Candidate, ...]
    calls: int = 2
    main: bool = False
    host: bool = False
