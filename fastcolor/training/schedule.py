"""Learning rates over the steps of a run, as multiples of the peak."""

from __future__ import annotations

import math

SCHEDULES = ("two-step", "cosine", "hold-decay")


def rate(step: float, steps: int, *, schedule: str, warmup: int = 0, decay: int = 0) -> float:
    """The learning rate of a step, relative to the peak.

    Parameters
    ----------
    step, steps : float, int
        Step 0 .. steps - 1 of the run, or a place between them where the clock says how far it is.
    schedule : {"two-step", "cosine", "hold-decay"}
        "two-step" (the paper decays once; this does twice): 1, then 0.1 from 60 % of the run, 0.01 from 85 %.
        "cosine": half a cosine from 1 to 0. "hold-decay": 1, then linearly to 0 over the last `decay` steps: a run can
        be resumed with more or fewer `steps` without having lost its way.
    warmup : int
        The first steps rise linearly.
    decay : int

    Examples
    --------
    >>> [rate(step, 100, schedule="two-step") for step in (0, 60, 85)]
    [1.0, 0.1, 0.01]
    >>> [rate(step, 100, schedule="hold-decay", decay=50) for step in (0, 50, 75)]
    [1.0, 1.0, 0.5]
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule: expected one of {', '.join(SCHEDULES)}, got {schedule!r}")
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    if schedule == "two-step":
        return rise * (1.0 if step < 0.6 * steps else 0.1 if step < 0.85 * steps else 0.01)
    if schedule == "cosine":
        return rise * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / steps)))
    return rise * (min(1.0, max(0.0, (steps - step) / decay)) if decay else 1.0)
