"""What a kernel's machine code says: loads and stores by width, exponentials, stack, bytes of loads kept in flight."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from .cubin import Compiled

_LINE = re.compile(r"^\s*(?:\{\s*)?/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*(.*?)\s*;")
_DOUBLE = re.compile(r"^D(ADD|MUL|FMA|SETP|MNMX|MMA)\b|^MUFU\.\w+64H|^[FI]2[FI]\b.*\.F64")
_WIDTH = re.compile(r"\.(?:[US](?=\d))?(256|128|64|32|16|8)\b")
_REGISTER = re.compile(r"\bR(\d+)\b(\.64)?")
_BARRIERS = ("DEPBAR", "LDGDEPBAR", "BAR", "SYNCS")


class Instruction(NamedTuple):
    """``@P0 LDG.E.128 R4, [R2.64] ;`` as its parts."""

    predicate: str
    name: str
    operands: str

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


class Figures(NamedTuple):
    """What the rules speak of. Loads, stores and exponentials are instructions in the text: a loop counts once."""

    registers: int
    stack: int
    shared: int
    spills: int
    instructions: int
    loads: dict[int, int]
    stores: dict[int, int]
    local: int
    doubles: int
    ex2: int
    in_flight: int


def figures(compiled: Compiled) -> Figures:
    """Count the instructions of a compiled kernel."""
    code = list(instructions(compiled.sass))
    return Figures(
        compiled.registers,
        compiled.stack,
        compiled.shared,
        compiled.spills,
        len(code),
        _widths(code, ("LDG", "LDGSTS")),
        _widths(code, ("STG",)),
        sum(i.kind in ("LDL", "STL") for i in code),
        sum(_DOUBLE.match(i.name) is not None for i in code),
        sum(i.name.startswith("MUFU.EX2") for i in code),
        bytes_in_flight(code),
    )


def instructions(sass: str) -> Iterator[Instruction]:
    """The instructions of a listing, in order, without the padding behind the end.

    >>> [i.name for i in instructions("/*0080*/ @!P0 EXIT ;\\n.L_x_0:\\n/*0090*/ NOP ;\\n/*00a0*/ IADD R1, R2, R3 ;")]
    ['EXIT', 'IADD']
    """
    for line in sass.splitlines():
        match = _LINE.match(line)
        if match and match[2] != "NOP":
            yield Instruction((match[1] or "").strip(), match[2], match[3])


def _widths(code: list[Instruction], kinds: tuple[str, ...]) -> dict[int, int]:
    """How many accesses of each width, widest first."""
    return dict(sorted(Counter(i.bytes for i in code if i.kind in kinds).items(), reverse=True))


def bytes_in_flight(code: list[Instruction]) -> int:
    """The most bytes of global loads that one thread has under way before it must wait for one of them.

    A thread issues in order and loads come back in order: the first instruction that touches a loaded register waits
    for that load and those before it. Loops count as written, so this is a lower bound.

    >>> listing = "/*0010*/ LDG.E.128 R4, [R2.64] ;\\n/*0020*/ LDG.E R8, [R2.64+0x10] ;\\n/*0030*/ FADD R9, R4, R8 ;"
    >>> bytes_in_flight(list(instructions(listing)))
    20
    """
    pending: list[tuple[frozenset[int], int]] = []
    most = 0
    for i in code:
        used = _registers(i.operands)
        waits_for = max((k for k, (loaded, _) in enumerate(pending) if loaded & used), default=-1)
        pending = pending[waits_for + 1 :]
        if i.kind in _BARRIERS or (i.kind in ("EXIT", "BRA", "RET") and not i.predicate):
            pending = []
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
