"""The way a thread goes through a kernel, and how many bytes of loads it has under way on it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .listing import Instruction

_REGISTER = re.compile(r"\bR(\d+)\b(\.64)?")
_ENDS = ("EXIT", "RET", "BRX", "BRXU")
_BARRIERS = ("DEPBAR", "LDGDEPBAR", "BAR", "SYNCS")


def main_path(code: Sequence[Instruction]) -> list[Instruction]:
    """The way with the most exponentials, then with the most 16-byte accesses, then the longest; loops run once.

    Two copies of a loop behind a uniform condition then count as the one that runs, and a narrow path for unaligned
    data does not count. Jumps backward end the way, so that only what lies in order is followed.

    >>> from .listing import parse
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
    return [*ahead, k + 1] if i.conditional else ahead


def bytes_in_flight(code: Sequence[Instruction]) -> int:
    """The most bytes of global loads that one thread has under way before it must wait for one of them.

    A thread issues in order and loads come back in order: the first instruction that touches a loaded register waits
    for that load and those before it.

    >>> from .listing import parse
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
