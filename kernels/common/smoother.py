"""What temporal smoothing is in every backend: its numbers, frames that are counted, results that are filled.

Why the numbers are so stands in ``numba_cpu/temporal.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastcolor.reference.constants import DEFAULT_ALPHA, DEFAULT_TEMPERATURE, DEFAULT_WINDOW

from .device_arrays import contiguous_like, deliver, empty
from .recording import afterwards

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


class Smoother:
    """``rgb_t = decode(log p̂_t)`` with ``p̂_t = sum_{i=0..window} softmax(x_{t-i}) exp(-α i)``, by recursion.

    A pixel whose logits are invalid (NaN, +inf, or -inf in every bin) is black in that frame and counts as probability
    zero in every bin for the frames that follow. A backend adds `_advance` and `_normalised`.

    Parameters
    ----------
    bins : ColorBins
    alpha, window, temperature : see the public class
    ring : {"float32", "float16", "uint8"}
        Storage of past probabilities.
    from_logits : bool
        False if frames are probabilities, of any scale.
    """

    def __init__(
        self,
        bins: Any,
        *,
        alpha: float = DEFAULT_ALPHA,
        window: int = DEFAULT_WINDOW,
        temperature: float = DEFAULT_TEMPERATURE,
        ring: str = "float32",
        from_logits: bool = True,
    ) -> None:
        self.bins, self.window, self.temperature, self.ring = bins, window, temperature, ring
        self.from_logits = from_logits
        rules = self._rules = recursion(alpha, window, ring)
        # As Numba's kernels take them.
        self._numbers = np.float32(rules.decay), np.float32(rules.leaving), rules.exact, rules.refresh
        self.reset()

    def reset(self) -> None:
        """Forget all past frames."""
        self._frame = 0
        self._shape: tuple[int, ...] = ()
        self._sums: Any = None
        self._past: Any = None

    def step(self, logits: Any, luma: Any, *, out: Any = None) -> Any:
        """Add the logits (n, H, W) of a frame and decode it with luma (H, W): RGB (H, W, 3), uint8."""
        out = empty(logits, (*luma.shape, 3), "uint8") if out is None else out
        rgb = contiguous_like(out)
        self._add(logits, luma, rgb, None)
        return deliver(out, rgb)

    def chroma(self, logits: Any, *, out: Any = None) -> Any:
        """Add the logits (n, H, W) of a frame: the chroma (2, H, W) of its annealed mean, float32."""
        out = empty(logits, (2, *logits.shape[1:]), "float32") if out is None else out
        chroma = contiguous_like(out)
        self._add(logits, None, None, chroma)
        return deliver(out, chroma)

    @property
    def probabilities(self) -> Any:
        """``p̂ / sum_b p̂``, shape (n, H, W), float32; NaN where no frame had a valid pixel."""
        if self._frame == 0:
            raise RuntimeError("probabilities: expected at least one step() before; no frame has been seen")
        return self._normalised()

    def _add(self, logits: Any, *others: Any) -> None:
        if self._frame == 0:
            self._shape = tuple(logits.shape)
        self._advance(logits, *others)
        afterwards(self._count)

    def _count(self) -> None:
        self._frame += 1

    def _advance(self, logits: Any, luma: Any, rgb: Any, chroma: Any) -> None:
        """One frame forward, into `rgb` or `chroma`. Frame 0 makes the state; one that fails leaves it as it was."""
        raise NotImplementedError

    def _normalised(self) -> Any:
        """The sums over their own sum."""
        raise NotImplementedError
