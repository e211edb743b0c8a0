"""A disassembler's listing as instructions."""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE = re.compile(r"^\s*(?:\{\s*)?/\*[0-9a-f]+\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*(.*?)\s*;")
_LABEL = re.compile(r"^(\.L_\w+):")
_TARGET = re.compile(r"`\((\.L_\w+)\)")
_WIDTH = re.compile(r"\.(?:[US](?=\d))?(256|128|64|32|16|8)\b")
_DOUBLE = re.compile(r"^D(ADD|MUL|FMA|SETP|MNMX|MMA)\b|^MUFU\.\w+64H|^[FI]2[FI]\b.*\.F64")


class Instruction(NamedTuple):
    """``@P0 LDG.E.128 R4, [R2.64] ;`` in parts; ``target`` is the position in the list that a branch goes to."""

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

    @property
    def conditional(self) -> bool:
        """Whether a branch may also fall through."""
        return bool(self.predicate) or not self.operands.startswith("`")


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
    return [Instruction((m[1] or "").strip(), m[2], m[3], _target(m[3], labels)) for m in rows]


def _target(operands: str, labels: dict[str, int]) -> int | None:
    match = _TARGET.search(operands)
    return labels.get(match[1]) if match else None
