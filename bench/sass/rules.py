"""The rules that machine code must keep: what is written down here is why a kernel reaches the memory's speed.

Exact for the unrolled kernels; for all others no stack, no spills, no local memory and no float64. Printed, with what
the compiler made of each kernel, by ``python -m bench sass``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from fastcolor.kernels.cupy_cuda.source import source

from . import cubin
from .calls import AT_WIDTHS, OF_LOGITS, RINGS
from .instances import FAST_BINS, SHAPE, Instance, Launch, instances
from .listing import Figures

# Warps, blocks and bytes of shared memory of a multiprocessor (CUDA C++ Programming Guide, compute capabilities). Each
# gives registers to a warp by 256, in four partitions of 16384, and keeps 1 KiB of shared memory a block.
HOLDS = {"sm_80": (64, 32, 164 << 10), "sm_90": (64, 32, 228 << 10), "sm_120": (48, 24, 100 << 10)}
ARCHITECTURES = tuple(HOLDS)
# Bandwidth x latency / multiprocessors, with 1 us of latency under load, of the fastest GPU of an architecture: A100
# (2039 GB/s, 108), H200 (4800 GB/s, 132), RTX 5090 (1792 GB/s, 170). Kernels that hold a row of logits in registers do
# so in order to have more than that.
NEEDED = {"sm_80": 19 << 10, "sm_90": 36 << 10, "sm_120": 11 << 10}
HELD_IN_REGISTERS = 40 << 10
_RING_BYTES = dict(zip(RINGS, (4, 2, 1), strict=True))


class Expectation(NamedTuple):
    """Numbers of instructions on a thread's way, and bytes in flight; what is not said has no rule.

    Loads and stores are counted by their width in bytes. All numbers are exact, but those of loads and stores where
    `loops` says that a loop or a rare branch may bring more. Exponentials are counted a pixel; there may be two right
    numbers.
    """

    ex2: tuple[int, ...] = ()
    loads: Mapping[int, int] = {}
    stores: Mapping[int, int] = {}
    loops: bool = False
    in_flight: int = 0
    doubles: bool = False


class Checked(NamedTuple):
    """An instance: what was found, warps and bytes in flight in a multiprocessor, and which rules it breaks."""

    instance: Instance
    figures: Figures
    warps: int
    in_flight: int
    broken: list[str]


def check_all(arch: str, wide_index: bool = False) -> list[Checked]:
    """Every instance; with `wide_index` also those for 2^31 elements and more, of float32 and uint8 on main paths."""
    chosen = list(instances())
    if wide_index:
        ruled = [i for i in chosen if i.dtype in ("float32", "uint8") and expectation(i, arch).loads]
        wide = {i: i.launch.expression.replace("fc::u32", "fc::u64") for i in ruled if "fc::u32" in i.launch.expression}
        chosen += [i._replace(launch=i.launch._replace(expression=wide[i])) for i in wide]
    found: list[Checked] = []
    for name in dict.fromkeys(i.launch.source for i in chosen):
        found += check(source(name), [i for i in chosen if i.launch.source == name], arch)
    return found


def check(code: str, chosen: list[Instance], arch: str) -> Iterator[Checked]:
    """Instances of one source text."""
    found = cubin.figures_of(code, [i.launch.expression for i in chosen], arch)
    for i in chosen:
        f = found[i.launch.expression]
        warps, flying = occupied(i.launch, f, arch)
        yield Checked(i, f, warps, flying, broken(f, expectation(i, arch), i.pixels, flying))


def occupied(launch: Launch, f: Figures, arch: str) -> tuple[int, int]:
    """Warps of a launch that a multiprocessor holds, and bytes of loads that they have under way together."""
    warps = resident_warps(arch, f.registers, launch.threads, f.shared + launch.shared)
    return warps, warps * 32 * f.in_flight


def resident_warps(arch: str, registers: int, threads: int, shared: int = 0) -> int:
    """Warps at a time, for blocks of ``threads`` that take ``shared`` bytes (static and dynamic) each.

    >>> resident_warps("sm_90", registers=168, threads=128), resident_warps("sm_90", registers=32, threads=256)
    (12, 64)
    """
    most, blocks, memory = HOLDS[arch]
    warps = -(-threads // 32)
    by_registers = 16384 // (-(-registers * 32 // 256) * 256) * 4 // warps
    return min(by_registers, memory // (shared + 1024), blocks, most // warps) * warps


def broken(f: Figures, expected: Expectation, pixels: float, flying: int) -> list[str]:
    """What is wrong, one sentence a rule."""
    unwanted = {
        "bytes of stack": f.stack,
        "bytes spilled": f.spills,
        "accesses to local memory": f.local,
        "float64 instructions": 0 if expected.doubles else f.doubles,
    }
    found = [f"{what}: {have}, expected none" for what, have in unwanted.items() if have]
    if expected.ex2 and f.ex2 / pixels not in expected.ex2:
        wanted = " or ".join(map(str, expected.ex2))
        found.append(f"exponentials: {f.ex2 / pixels:g} a pixel, expected {wanted}")
    for what, have, expect in (("loads", f.loads, expected.loads), ("stores", f.stores, expected.stores)):
        for width, want in expect.items():
            number = have.get(width, 0)
            if number < want or (number > want and not expected.loops):
                found.append(f"{width}-byte {what}: {number}, expected {want}")
    if flying < expected.in_flight:
        found.append(f"loads in flight: {flying} bytes a multiprocessor, expected {expected.in_flight} or more")
    return found


def expectation(instance: Instance, arch: str) -> Expectation:
    """Exact figures for n = 32 and for images; the general rules alone for all else."""
    if not instance.operation:  # not of the host code
        return Expectation()
    if instance.launch.source in ("encode", "encode_soft", "histogram"):
        return _of_image(instance, arch)
    if instance.launch.source == "merge":
        size = 4 if instance.dtype == "float32" else 1
        return Expectation(loads={16: int(instance.pixels) * size // 16}, stores={16: 1})
    if instance.launch.kernel == "loss_begin":
        return Expectation(loads={16: 4}, loops=True, in_flight=NEEDED[arch])
    if instance.n != FAST_BINS or instance.operation not in (*OF_LOGITS, *AT_WIDTHS):
        return Expectation()
    of_source = {"decode": _decode, "temporal": _temporal, "loss": _loss, "gradient": _gradient}
    size, pixels = 4 if instance.dtype == "float32" else 2, int(instance.pixels)
    return of_source[instance.launch.source](instance, arch, instance.n, pixels, size)


def _staged(ex2: tuple[int, ...], loads: int, stores: int, arch: str) -> Expectation:
    """Channels-last: a warp stages a tile in shared memory, 16 bytes at a time, in a loop."""
    return Expectation(ex2, {16: loads}, {16: stores}, loops=True, in_flight=NEEDED[arch])


def _decode(instance: Instance, arch: str, n: int, pixels: int, size: int) -> Expectation:
    """One exponential a bin for the annealed mean; one a bin at T = 1, and one for the ratio, for the confidence."""
    operation = instance.operation.partition(",")[0]
    rgb, confidence = "decode" in operation, "confidence" in operation
    ex2 = (n * (operation != "confidence") + (n + 1) * confidence,)
    if instance.layout == "last":
        return _staged(ex2, n * size // 16, int(rgb), arch)
    streamed = instance.launch.kernel == "decode_streamed"
    loads, stores = Counter({size * pixels: 16 if streamed else n}), Counter({16: int(rgb)})  # a loop over RGB
    loads[4 * pixels] += rgb  # luma
    stores[size * pixels] += 2 * (operation == "annealed_mean")
    stores[4 * pixels] += 2 * confidence
    if streamed:  # two groups of planes; 35 KiB of 36 for 2-byte logits; sm_80 has the stores behind a jump back
        return Expectation((), loads, in_flight=35 * NEEDED[arch] // 36)
    # Where stores are narrow, the compiler may keep two copies of them.
    return Expectation(ex2, loads, stores, loops=size * pixels < 16, in_flight=HELD_IN_REGISTERS)


def _temporal(instance: Instance, arch: str, n: int, pixels: int, size: int) -> Expectation:
    """One exponential a bin for the softmax, one more where the compiler does not keep them, one for p^(1/T), and one a
    group of bins, whose maximum may rise. Of the sums each frame reads and writes all, of the ring one frame's worth.
    """
    group = 4 if arch == "sm_120" and instance.layout == "planar" else 8  # as in temporal.cu
    ex2 = (2 * n + n // group, 3 * n + n // group)
    if instance.layout == "last":
        return _staged(ex2, n * size // 16, 1, arch)
    ring = next(size for name, size in _RING_BYTES.items() if f"{name} ring" in instance.operation)
    loads, stores = Counter({16: 1}), Counter({16: 1})  # luma; a loop over the RGB that a warp has staged
    for width in (4 * pixels, ring * pixels):
        loads[width] += n
        stores[width] += n
    loads[size * pixels] += n
    return Expectation(ex2, loads, stores, loops=True, in_flight=HELD_IN_REGISTERS)


def _loss(instance: Instance, arch: str, n: int, pixels: int, size: int) -> Expectation:
    """One exponential a bin, which the gradient has again; beside the logits a loop over what divides the loss."""
    gradient, width = "gradient" in instance.operation, size * pixels if instance.layout == "planar" else 16
    each, needed = n * pixels * size // width, HELD_IN_REGISTERS if instance.layout == "planar" else NEEDED[arch]
    return Expectation((n,), {width: each}, {width: each * gradient}, loops=True, in_flight=needed)


def _gradient(instance: Instance, arch: str, n: int, pixels: int, size: int) -> Expectation:
    """As the loss with its gradient; what comes from above, two values a pixel, is read as planes of logits are."""
    width = size * pixels
    if instance.layout == "last":
        return _staged((n,), n * width // 16, n * width // 16, arch)
    return Expectation((n,), {width: n + 2}, {width: n}, in_flight=HELD_IN_REGISTERS)


def _of_image(instance: Instance, arch: str) -> Expectation:
    """Three words of R, G, B a lane; luma, weights and staged labels leave by 16 bytes, those of float64 by 8.

    The k bins and shares of a pixel leave one by one. With 32 of them in registers arithmetic decides, and fewer loads
    are under way.
    """
    stores = {}
    if instance.launch.source == "encode" and instance.dtype != "float64":
        label = next((size for name, size in (("int64", 8), ("int16", 2)) if name in instance.operation), 1)
        stores = {16: int(-(-instance.pixels * label // 16) + 2 * instance.pixels // 4)}
    needed = 0 if "k = 32" in instance.operation else NEEDED[arch]
    loads = 6 if instance.launch.source == "histogram" else 3  # the next tile comes while one is counted
    return Expectation((), {16: loads}, stores, in_flight=needed, doubles=_doubles(instance))


def _doubles(instance: Instance) -> bool:
    """Float64 where the RGB is, and where labels of levels in Lab must be those of exact arithmetic: a few colors in
    ten thousand lie too close to the edge of a cell for float32, and are computed once more (``to_lab.cuh``).
    """
    exact = instance.launch.source in ("encode", "histogram") and "fc::LabGrid" in instance.launch.expression
    return instance.dtype == "float64" or (exact and instance.dtype == "uint8")


def main(words: Sequence[str]) -> int:
    """Exit status: 0, 1 if a rule is broken, a kernel does not compile or the tools are missing."""
    parser = argparse.ArgumentParser(
        prog="python -m bench sass",
        description="Without arguments: every instance that the host code launches, held to the rules.",
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="decode for kernels/cupy_cuda/decode.cu")
    parser.add_argument("expressions", nargs="*", metavar="EXPRESSION", help="'fc::kernel<float, 32>'")
    parser.add_argument("--arch", nargs="+", choices=ARCHITECTURES, help="default: all; sm_90 for one source")
    parser.add_argument("--threads", type=int, default=128, help="threads a block of SOURCE, for the occupancy")
    parser.add_argument("--shared", type=int, default=0, help="bytes of dynamic shared memory, for the occupancy")
    parser.add_argument("--dump", action="store_true", help="print the machine code of SOURCE")
    args = parser.parse_args(words)
    if args.source and not args.expressions:
        parser.error("which instance? expected for example 'fc::kernel<float, 32>'")
    shape = SHAPE[0] * SHAPE[1] // args.threads, args.threads, args.shared
    own = [Instance("", "", "", 0, Launch(args.source, e, *shape)) for e in args.expressions]
    wrong = 0
    try:
        for arch in args.arch or (["sm_90"] if own else ARCHITECTURES):
            print(f"{arch}, {cubin.versions()}")
            wrong += _print_table(list(check(source(args.source), own, arch)) if own else check_all(arch))
            if own and args.dump:
                print(*(sass for sass, _ in cubin.build(source(args.source), args.expressions, arch).values()))
    except (cubin.ToolsMissing, cubin.CompileError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    print(f"{wrong} instances break a rule" if wrong else "every rule is kept")
    return int(wrong > 0)


def _print_table(found: Sequence[Checked]) -> int:
    """A line an instance; gives the number of those that break a rule."""
    names = [str(c.instance) if c.instance.operation else c.instance.launch.expression for c in found]
    width = max(map(len, names))
    print(f"{'':{width}}  registers  warps  KiB in flight  EX2 a pixel  clocks a thread     loads; stores")
    for name, c in zip(names, found, strict=True):
        f, ex2 = c.figures, c.figures.ex2 // max(round(c.instance.pixels), 1)
        numbers = f"{f.registers:9}  {c.warps:5}  {c.in_flight / 1024:13.0f}  {ex2:11}  {f.clocks:6.3g} {f.pipe:12}"
        print(f"{name:{width}}  {numbers}  {_widths(f.loads)}; {_widths(f.stores)}")
        for sentence in c.broken:
            print(f"    BROKEN  {sentence}")
    return sum(bool(c.broken) for c in found)


def _widths(counts: Mapping[int, int]) -> str:
    """Loads or stores in words.

    >>> _widths({16: 33, 4: 1})
    '33 x 16 B + 1 x 4 B'
    """
    return " + ".join(f"{count} x {size} B" for size, count in counts.items()) or "none"
