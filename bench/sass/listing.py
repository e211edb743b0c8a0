"""A disassembler's listing as instructions, the way a thread goes through them, and what can be counted on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_LINE = re.compile(r"^\s*(?:\{\s*)?/\*[0-9a-f]+\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*(.*?)\s*;")
_LABEL = re.compile(r"^(\.L_\w+):")
_TARGET = re.compile(r"`\((\.L_\w+)\)")
_WIDTH = re.compile(r"\.(?:[US](?=\d))?(256|128|64|32|16|8)\b")
_DOUBLE = re.compile(r"^D(ADD|MUL|FMA|SETP|MNMX|MMA)\b|^MUFU\.\w+64H|^[FI]2[FI]\b.*\.F64")
_REGISTER = re.compile(r"\bR(\d+)\b(\.64)?")
_ENDS = ("EXIT", "RET", "BRX", "BRXU")
_BARRIERS = ("DEPBAR", "LDGDEPBAR", "BAR", "SYNCS")
# Threads a clock and multiprocessor (CUDA C++ Programming Guide, throughput of native arithmetic instructions).
_RATES = {
    "sm_80": {"issue": 128, "fma": 64, "alu": 64, "special": 16, "memory": 32},
    "sm_90": {"issue": 128, "fma": 128, "alu": 64, "special": 16, "memory": 32},
    "sm_120": {"issue": 128, "fma": 128, "alu": 64, "special": 16, "memory": 32},
}
# What is not listed is integer, logic, minimum or comparison: alu; or, with a U, for a warp as a whole.
_PIPES = {
    "fma": "FFMA FADD FMUL HADD2 HMUL2 HFMA2 IMAD",
    "special": "MUFU F2I I2F F2F F2FP I2FP FRND",
    "memory": "LDG STG LDS STS LDC ATOMG ATOMS RED SHFL LDGSTS",
    "none": "BRA BSSY BSYNC EXIT CALL RET BAR WARPSYNC ULDC R2UR S2UR VOTEU",
}
_PIPE_OF = {kind: pipe for pipe, kinds in _PIPES.items() for kind in kinds.split()}


class Instruction(NamedTuple):
    """``@P0 LDG.E.128 R4, [R2.64] ;`` in parts; `target` is the position in the list that a branch goes to."""

    predicate: str
    name: str
    operands: str
    target: int | None = None

    @property
    def kind(self) -> str:
        """The name without its modifiers.

        >>> Instruction("", "LDG.E.EF.128", "").kind
        'LDG'
        """
        return self.name.split(".")[0]

    @property
    def bytes(self) -> int:
        """The width of a load or a store, for one thread.

        >>> [Instruction("", name, "").bytes for name in ("LDG.E.EF.128", "LDG.E", "STG.E.U8", "LDG.E.64.CONSTANT")]
        [16, 4, 1, 8]
        """
        match = _WIDTH.search(self.name)
        return int(match[1]) // 8 if match else 4

    @property
    def double(self) -> bool:
        """Whether it computes in float64.

        >>> [Instruction("", name, "").double for name in ("DFMA", "F2F.F64.F32", "I2F.F64", "MUFU.RCP64H", "FFMA")]
        [True, True, True, True, False]
        """
        return _DOUBLE.match(self.name) is not None


def parse(sass: str) -> list[Instruction]:
    """The instructions of a listing, in order, without padding.

    >>> code = parse("/*0*/ @!P0 BRA `(.L_x_0) ;\\n/*1*/ NOP ;\\n/*2*/ IADD R1, R2 ;\\n.L_x_0:\\n/*3*/ EXIT ;")
    >>> code[0]
    Instruction(predicate='@!P0', name='BRA', operands='`(.L_x_0)', target=2)
    >>> [i.name for i in code]
    ['BRA', 'IADD', 'EXIT']
    """
    rows: list[re.Match[str]] = []
    labels: dict[str, int] = {}
    for line in sass.splitlines():
        label, match = _LABEL.match(line), _LINE.match(line)
        if label:
            labels[label[1]] = len(rows)
        elif match and match[2] != "NOP":
            rows.append(match)
    targets = [match and labels.get(match[1]) for match in (_TARGET.search(m[3]) for m in rows)]
    return [Instruction((m[1] or "").strip(), m[2], m[3], to) for m, to in zip(rows, targets, strict=True)]


def main_path(code: Sequence[Instruction]) -> list[Instruction]:
    """The way with the most exponentials, then with the most 16-byte accesses, then the longest; loops run once.

    Two copies of a loop behind a uniform condition then count as the one that runs, and a narrow path for unaligned
    data does not count. Jumps backward end the way, so that only what lies in order is followed.

    >>> branch = "/*0*/ @P0 BRA `(.L_x_0) ;\\n/*1*/ MUFU.EX2 R0, R1 ;\\n/*2*/ EXIT ;\\n.L_x_0:\\n/*3*/ MUFU.EX2 R0 ;"
    >>> [i.name for i in main_path(parse(branch))]
    ['BRA', 'MUFU.EX2', 'EXIT']
    """
    best: list[tuple[int, int, int]] = [(0, 0, 0)] * (len(code) + 1)
    follow: list[int] = [len(code)] * len(code)
    for k in range(len(code) - 1, -1, -1):
        i = code[k]
        follow[k] = max(_successors(code, k), key=lambda after: best[after], default=len(code))
        exponential, wide = i.name.startswith("MUFU.EX2"), i.kind in ("LDG", "STG") and i.bytes >= 16
        after = best[follow[k]]
        best[k] = (after[0] + exponential, after[1] + wide, after[2] + 1)
    way, at = [], 0
    while at < len(code):
        way.append(code[at])
        at = follow[at]
    return way


def _successors(code: Sequence[Instruction], k: int) -> list[int]:
    """What may run next, forward only."""
    i = code[k]
    if i.kind in _ENDS and not i.predicate:
        return []
    if i.kind != "BRA":
        return [k + 1]
    ahead = [i.target] if i.target is not None and i.target > k else []
    return [*ahead, k + 1] if i.predicate or not i.operands.startswith("`") else ahead


def bytes_in_flight(code: Sequence[Instruction]) -> int:
    """The most bytes of global loads that one thread has under way before it must wait for one of them.

    A thread issues in order and loads come back in order: the first instruction that touches a loaded register waits
    for that load and those before it.

    >>> listing = "/*0010*/ LDG.E.128 R4, [R2.64] ;\\n/*0020*/ LDG.E R8, [R2.64+0x10] ;\\n/*0030*/ FADD R9, R4, R8 ;"
    >>> bytes_in_flight(parse(listing))
    20
    """
    pending: list[tuple[frozenset[int], int]] = []
    most = 0
    for i in code:
        used = _registers(i.operands)
        waits_for = max((k for k, (loaded, _) in enumerate(pending) if loaded & used), default=-1)
        pending = pending[waits_for + 1 :] if i.kind not in _BARRIERS else []
        if i.kind == "LDG":
            first = _REGISTER.match(i.operands)
            start = int(first[1]) if first else 0
            pending.append((frozenset(range(start, start + max(1, i.bytes // 4))), i.bytes))
        elif i.kind == "LDGSTS":
            pending.append((frozenset(), i.bytes))
        most = max(most, sum(size for _, size in pending))
    return most


def _registers(operands: str) -> set[int]:
    """Registers that an instruction touches; a 64-bit address is a pair."""
    return {int(m[1]) + k for m in _REGISTER.finditer(operands) for k in range(2 if m[2] else 1)}


def clocks(kinds: Iterable[str], arch: str) -> tuple[float, str]:
    """Clocks of a multiprocessor for one thread's instructions: the busiest of its pipes decides, and is named.

    >>> clocks(["MUFU"] * 32, "sm_90"), clocks(["FFMA", "UIADD3"], "sm_80"), clocks(["FMNMX"], "sm_90")
    ((2.0, 'special'), (0.015625, 'issue'), (0.015625, 'alu'))
    """
    counts = Counter(_PIPE_OF.get(kind, "none" if kind.startswith("U") else "alu") for kind in kinds)
    counts["issue"] = counts.total()
    return max((counts[name] / rate, name) for name, rate in _RATES[arch].items())


class Figures(NamedTuple):
    """Bytes, and numbers of instructions: ``local`` and ``doubles`` anywhere in the text, the rest on the main path.

    ``clocks`` of a multiprocessor is what its busiest ``pipe`` needs for one thread.
    """

    registers: int
    stack: int
    shared: int
    spills: int
    local: int
    doubles: int
    instructions: int
    loads: dict[int, int]
    stores: dict[int, int]
    ex2: int
    in_flight: int
    clocks: float
    pipe: str


def figures(sass: str, arch: str, *, registers: int, stack: int, shared: int, spills: int) -> Figures:
    """Count the instructions of a kernel; what it takes a thread, and a block of shared memory, is said elsewhere."""
    code = parse(sass)
    way = main_path(code)
    busy, pipe = clocks((i.kind for i in way), arch)
    return Figures(
        registers,
        stack,
        shared,
        spills,
        local=sum(i.kind in ("LDL", "STL") for i in code),
        doubles=sum(i.double for i in code),
        instructions=len(way),
        loads=_widths(way, "LDG", "LDGSTS"),
        stores=_widths(way, "STG"),
        ex2=sum(i.name.startswith("MUFU.EX2") for i in way),
        in_flight=bytes_in_flight(way),
        clocks=busy,
        pipe=pipe,
    )


def _widths(code: Sequence[Instruction], *kinds: str) -> dict[int, int]:
    """How many accesses of each width in bytes, widest first."""
    return dict(sorted(Counter(i.bytes for i in code if i.kind in kinds).items(), reverse=True))
