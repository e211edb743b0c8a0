"""What an architecture's multiprocessor has: how many warps it holds, what a thread's instructions cost, and how long
a kernel should take by published figures: a prediction, to be compared with measurements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Multiprocessor(NamedTuple):
    """What one multiprocessor of an architecture has (CUDA C++ Programming Guide, compute capabilities)."""

    warps: int
    blocks: int
    shared: int
    registers: int = 65536


MULTIPROCESSORS = {
    "sm_80": Multiprocessor(warps=64, blocks=32, shared=164 << 10),
    "sm_90": Multiprocessor(warps=64, blocks=32, shared=228 << 10),
    "sm_120": Multiprocessor(warps=48, blocks=24, shared=100 << 10),
}
# A multiprocessor gives registers to a warp by 256, in four partitions, and keeps 1 KiB of shared memory a block.
_REGISTER_UNIT, _PARTITIONS, _RESERVED = 256, 4, 1024


def resident_warps(arch: str, registers: int, threads: int, shared: int = 0) -> int:
    """Warps at a time, for blocks of ``threads`` that take ``shared`` bytes (static and dynamic) each.

    >>> resident_warps("sm_90", registers=168, threads=128), resident_warps("sm_90", registers=32, threads=256)
    (12, 64)
    """
    has = MULTIPROCESSORS[arch]
    warps = -(-threads // 32)
    per_warp = -(-registers * 32 // _REGISTER_UNIT) * _REGISTER_UNIT
    by_registers = has.registers // _PARTITIONS // per_warp * _PARTITIONS // warps
    by_shared = has.shared // (shared + _RESERVED)
    return min(by_registers, by_shared, has.blocks, has.warps // warps) * warps


def in_flight(arch: str, registers: int, threads: int, shared: int, bytes_per_thread: int) -> int:
    """Bytes of loads under way in a multiprocessor: warps x 32 x what one thread has under way.

    >>> in_flight("sm_90", registers=168, threads=128, shared=0, bytes_per_thread=32 * 16) >> 10
    192
    """
    return resident_warps(arch, registers, threads, shared) * 32 * bytes_per_thread


# Threads a clock and multiprocessor (CUDA C++ Programming Guide, throughput of native arithmetic instructions).
RATES = {
    "sm_80": {"issue": 128, "fma": 64, "alu": 64, "special": 16, "memory": 32},
    "sm_90": {"issue": 128, "fma": 128, "alu": 64, "special": 16, "memory": 32},
    "sm_120": {"issue": 128, "fma": 128, "alu": 64, "special": 16, "memory": 32},
}
_PIPES = {
    "fma": ("FFMA", "FADD", "FMUL", "HADD2", "HMUL2", "HFMA2", "IMAD"),
    "special": ("MUFU", "F2I", "I2F", "F2F", "F2FP", "I2FP", "FRND"),
    "memory": ("LDG", "STG", "LDS", "STS", "LDC", "ATOMG", "ATOMS", "RED", "SHFL", "LDGSTS"),
    "none": ("BRA", "BSSY", "BSYNC", "EXIT", "CALL", "RET", "BAR", "WARPSYNC", "ULDC", "R2UR", "S2UR", "VOTEU"),
}
_PIPE_OF = {kind: pipe for pipe, kinds in _PIPES.items() for kind in kinds}


def pipe(kind: str) -> str:
    """The pipe that runs an instruction; what is not listed is integer, logic, minimum or comparison.

    >>> [pipe(kind) for kind in ("FFMA", "FMNMX", "MUFU", "LDG", "UIADD3")]
    ['fma', 'alu', 'special', 'memory', 'none']
    """
    return _PIPE_OF.get(kind, "none" if kind.startswith("U") else "alu")


def clocks(kinds: Iterable[str], arch: str) -> tuple[float, str]:
    """Clocks of a multiprocessor for one thread's instructions: the busiest of its pipes decides, and is named.

    >>> clocks(["MUFU"] * 32, "sm_90")
    (2.0, 'special')
    """
    counts = Counter(map(pipe, kinds))
    counts["issue"] = counts.total()
    return max((counts[name] / rate, name) for name, rate in RATES[arch].items())


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
