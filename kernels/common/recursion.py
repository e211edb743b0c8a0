"""The numbers of the smoothing recursion, the same in every backend; why they are so stands in `_numba_temporal`."""

from __future__ import annotations

import math
from dataclasses import dataclass

REFRESH = 256  # frames between two sums of the past from the ring, where these are wanted
SLOW_FADE = 0.05  # below this α, rounding errors of the recursion would live for hundreds of frames


@dataclass(frozen=True)
class Recursion:
    """``s_t = p_t + decay s_{t-1} - leaving p_{t-window-1}``.

    Attributes
    ----------
    decay, leaving : float
    exact : bool
        Add p as the ring rounds it, so that what leaves later is exactly what came; else p itself.
    refresh : bool
        Sum the past anew from the ring now and then.
    least : float
        Half of what one valid frame of the window adds to the sum over all bins: below it there was none.
    """

    decay: float
    leaving: float
    exact: bool
    refresh: bool
    least: float


def recursion(alpha: float, window: int, ring: str) -> Recursion:
    """The recursion of a decay `alpha`, a `window` and a storage `ring`.

    Examples
    --------
    >>> recursion(0.2, 0, "uint8").decay
    0.0
    """
    # A window of 0 is the frame alone: no recursion, and no rounding residue of what has left.
    decay = math.exp(-alpha) if window > 0 else 0.0
    leaving = math.exp(-alpha * (window + 1)) if window > 0 else 0.0
    exact = leaving > 0.5  # the smaller of the two errors
    return Recursion(
        decay=decay,
        leaving=leaving,
        exact=exact,
        refresh=alpha < SLOW_FADE and (exact or ring == "float32"),
        least=0.5 * math.exp(-alpha * window),
    )
