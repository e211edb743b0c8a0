"""How many warps of a kernel a multiprocessor holds, and how many bytes of loads they keep in flight."""

from __future__ import annotations

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
