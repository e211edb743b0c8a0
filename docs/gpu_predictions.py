"""How long a kernel should take by published figures: a prediction, to be compared with measurements."""

from __future__ import annotations

from typing import NamedTuple

# Of a load while the memory is busy: about twice what it is on an idle GPU, so that nothing is flattered.
LATENCY = 1e-6


class Gpu(NamedTuple):
    """Published figures: bytes/s, multiprocessors, Hz (the one behind the published float32 peak)."""

    name: str
    arch: str
    bandwidth: float
    multiprocessors: int
    clock: float

    @property
    def needed(self) -> float:
        """Bytes that must be in flight in each multiprocessor to keep the memory busy: bandwidth x latency."""
        return self.bandwidth * LATENCY / self.multiprocessors


GPUS = (
    Gpu("A100 40GB", "sm_80", 1555e9, 108, 1.41e9),
    Gpu("A100 80GB", "sm_80", 2039e9, 108, 1.41e9),
    Gpu("H100 SXM", "sm_90", 3352e9, 132, 1.98e9),
    Gpu("H200", "sm_90", 4800e9, 132, 1.98e9),
)


class Prediction(NamedTuple):
    """Seconds, the share of the time that the memory alone would need, and what decides: memory, latency or a pipe."""

    seconds: float
    share: float
    bound: str


def predict(gpu: Gpu, moved: float, in_flight: float, clocks: float, pipe: str) -> Prediction:
    """The slowest of three bounds: bandwidth, bytes in flight over the latency (Little's law), the busiest pipe; to it
    comes one latency, for the first loads and the last stores.

    For ``moved`` bytes, ``in_flight`` bytes a multiprocessor, and ``clocks`` of one multiprocessor for all pixels.

    >>> h100 = GPUS[2]
    >>> p = predict(h100, moved=135e6, in_flight=192 << 10, clocks=2.8e6, pipe="issue")
    >>> round(p.seconds * 1e6, 1), round(p.share, 2), p.bound
    (41.3, 0.98, 'memory')
    """
    memory = moved / gpu.bandwidth
    bounds = {
        "memory": memory,
        "latency": memory * gpu.needed / in_flight,
        pipe: clocks / (gpu.multiprocessors * gpu.clock),
    }
    bound = max(bounds, key=lambda name: bounds[name])
    seconds = bounds[bound] + LATENCY
    return Prediction(seconds, memory / seconds, bound)
