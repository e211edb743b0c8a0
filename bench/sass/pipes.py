"""How many clocks a multiprocessor needs for the instructions of a thread: the busiest of its pipes decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .listing import Instruction

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


def pipe(instruction: Instruction) -> str:
    """The pipe that runs it; what is not listed is integer, logic, minimum or comparison.

    >>> [pipe(Instruction("", name, "")) for name in ("FFMA.FTZ", "FMNMX", "MUFU.EX2", "LDG.E.128", "UIADD3")]
    ['fma', 'alu', 'special', 'memory', 'none']
    """
    kind = instruction.kind
    return _PIPE_OF.get(kind, "none" if kind.startswith("U") else "alu")


def clocks(way: Iterable[Instruction], arch: str) -> tuple[float, str]:
    """Clocks of a multiprocessor for one thread's way, and the pipe that needs them.

    >>> clocks([Instruction("", "MUFU.EX2", "")] * 32, "sm_90")
    (2.0, 'special')
    """
    counts = Counter(pipe(i) for i in way)
    counts["issue"] = counts.total()
    return max((counts[name] / rate, name) for name, rate in RATES[arch].items())
