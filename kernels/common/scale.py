"""From a temperature to the factor in front of the logits, for exponentials of base 2."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

LOG2E = 1.4426950408889634


@lru_cache(maxsize=256)
def log2_scale(temperature: float, unit: float = LOG2E) -> np.float32:
    """`unit` / T, kept where ``-inf * scale`` and clamping bounds stay finite; inf for the mode.

    `unit` is log2(e) for logits, 1 for logarithms of base 2.
    """
    if temperature == 0:
        return np.float32(np.inf)
    return np.float32(min(max(unit / temperature, 1e-30), 1e38))
