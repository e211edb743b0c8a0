"""``python -m bench sass``: kernels compiled without a GPU, their figures, and the rules that they must keep."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fastcolor.kernels._cuda_source import source

from . import cubin, occupancy
from .figures import figures

ARCHITECTURES = ("sm_80", "sm_90", "sm_120")


def main(words: Sequence[str]) -> int:
    """Exit status: 0, 1 if a kernel does not compile or the tools are missing."""
    parser = argparse.ArgumentParser(prog="python -m bench sass", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="decode for kernels/decode.cu")
    parser.add_argument("expressions", nargs="+", metavar="EXPRESSION", help="'fc::kernel<float, 32>'")
    parser.add_argument("--arch", nargs="*", default=["sm_90"], choices=ARCHITECTURES)
    parser.add_argument("--threads", type=int, default=128, help="threads a block, for the occupancy")
    parser.add_argument("--shared", type=int, default=0, help="bytes of dynamic shared memory, for the occupancy")
    parser.add_argument("--option", action="append", default=[], help="one more option of NVRTC")
    parser.add_argument("--dump", action="store_true", help="print the machine code")
    args = parser.parse_args(words)
    try:
        for arch in args.arch:
            for expression, compiled in cubin.build(source(args.source), args.expressions, arch, args.option).items():
                if args.dump:
                    print(compiled.sass)
                print(f"{arch}  {expression}\n{_described(compiled, arch, args.threads, args.shared)}")
    except (cubin.ToolsMissing, cubin.CompileError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    return 0


def _described(compiled: cubin.Compiled, arch: str, threads: int, shared: int) -> str:
    f = figures(compiled)
    warps = occupancy.resident_warps(arch, f.registers, threads, shared + f.shared)
    flying = occupancy.in_flight(arch, f.registers, threads, shared + f.shared, f.in_flight) / 1024
    return (
        f"  registers {f.registers}, stack {f.stack}, spills {f.spills}, static shared {f.shared}, "
        f"instructions {f.instructions}\n"
        f"  loads {_widths(f.loads)}; stores {_widths(f.stores)}; local {f.local}, float64 {f.doubles}, EX2 {f.ex2}\n"
        f"  {warps} warps an SM, {f.in_flight} B in flight a thread, {flying:.0f} KiB an SM"
    )


def _widths(counts: dict[int, int]) -> str:
    return " + ".join(f"{count} x {size} B" for size, count in counts.items()) or "none"
