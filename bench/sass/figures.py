"""What a kernel's machine code says: loads and stores by width, exponentials, stack, bytes of loads in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from . import cubin, listing, path, pipes


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


def figures(compiled: cubin.Compiled, arch: str) -> Figures:
    """Count the instructions of a compiled kernel."""
    code = listing.parse(compiled.sass)
    way = path.main_path(code)
    return Figures(
        compiled.registers,
        compiled.stack,
        compiled.shared,
        compiled.spills,
        sum(i.kind in ("LDL", "STL") for i in code),
        sum(i.double for i in code),
        len(way),
        _widths(way, ("LDG", "LDGSTS")),
        _widths(way, ("STG",)),
        sum(i.name.startswith("MUFU.EX2") for i in way),
        path.bytes_in_flight(way),
        *pipes.clocks(way, arch),
    )


def _widths(code: Sequence[listing.Instruction], kinds: tuple[str, ...]) -> dict[int, int]:
    """How many accesses of each width in bytes, widest first."""
    return dict(sorted(Counter(i.bytes for i in code if i.kind in kinds).items(), reverse=True))
