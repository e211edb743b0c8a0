"""``python -m bench sass``: kernels compiled without a GPU, their figures, and the rules that they must keep."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fastcolor.kernels.cupy_cuda.source import source

from . import cubin, hardware, rules
from .code import figures


def main(words: Sequence[str]) -> int:
    """Exit status: 0, 1 if a rule is broken, a kernel does not compile or the tools are missing."""
    args = _parser().parse_args(words)
    try:
        if args.source is None:
            return _table(args.arch or rules.ARCHITECTURES)
        if not args.expressions:
            print("bench: error: which instance? expected for example 'fc::kernel<float, 32>'", file=sys.stderr)
            return 2
        for arch in args.arch or ("sm_90",):
            built = cubin.build(source(args.source), args.expressions, arch, args.option)
            for expression, compiled in built.items():
                if args.dump:
                    print(compiled.sass)
                print(f"{arch}  {expression}\n{_described(compiled, arch, args.threads, args.shared)}")
    except (cubin.ToolsMissing, cubin.CompileError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench sass",
        description="Without arguments: every instance that the host code launches, held to the rules.",
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="decode for kernels/cupy_cuda/decode.cu")
    parser.add_argument("expressions", nargs="*", metavar="EXPRESSION", help="'fc::kernel<float, 32>'")
    parser.add_argument("--arch", nargs="+", choices=rules.ARCHITECTURES, help="default: all; sm_90 for one source")
    parser.add_argument("--threads", type=int, default=128, help="threads a block, for the occupancy")
    parser.add_argument("--shared", type=int, default=0, help="bytes of dynamic shared memory, for the occupancy")
    parser.add_argument("--option", action="append", default=[], help="one more option of NVRTC")
    parser.add_argument("--dump", action="store_true", help="print the machine code")
    return parser


def _table(architectures: Sequence[str]) -> int:
    """Print every instance; the number of those that break a rule decides the exit status."""
    wrong = 0
    for arch in architectures:
        found = rules.check_all(arch)
        width = max(len(str(c.instance)) for c in found)
        print(f"{arch}, {cubin.versions()}")
        print(f"{'':{width}}  registers  warps  KiB in flight  EX2 a pixel  loads; stores")
        for c in found:
            f = c.figures
            ex2 = f.ex2 // max(round(c.instance.pixels), 1)
            numbers = f"{f.registers:9}  {c.warps:5}  {c.in_flight / 1024:13.0f}  {ex2:11}"
            print(f"{c.instance!s:{width}}  {numbers}  {widths(f.loads)}; {widths(f.stores)}")
            for sentence in c.broken:
                print(f"    BROKEN  {sentence}")
            wrong += bool(c.broken)
    print("every rule is kept" if not wrong else f"{wrong} instances break a rule")
    return 1 if wrong else 0


def _described(compiled: cubin.Compiled, arch: str, threads: int, shared: int) -> str:
    f = figures(compiled, arch)
    warps = hardware.resident_warps(arch, f.registers, threads, shared + f.shared)
    flying = hardware.in_flight(arch, f.registers, threads, shared + f.shared, f.in_flight) / 1024
    return (
        f"  registers {f.registers}, stack {f.stack}, spills {f.spills}, static shared {f.shared}, "
        f"instructions {f.instructions}\n"
        f"  loads {widths(f.loads)}; stores {widths(f.stores)}; local {f.local}, float64 {f.doubles}, EX2 {f.ex2}\n"
        f"  {warps} warps an SM, {f.in_flight} B in flight a thread, {flying:.0f} KiB an SM\n"
        f"  {f.clocks:.3g} clocks an SM a thread, decided by {f.pipe}"
    )


def widths(counts: dict[int, int]) -> str:
    """Loads or stores in words.

    >>> widths({16: 33, 4: 1})
    '33 x 16 B + 1 x 4 B'
    """
    return " + ".join(f"{count} x {size} B" for size, count in counts.items()) or "none"
