"""The rules that machine code must keep: what is written down here is why a kernel reaches the memory's speed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastcolor.kernels._cuda_source import source

from . import cubin
from .figures import Figures, figures
from .instances import FAST_BINS, Instance, instances
from .occupancy import in_flight, resident_warps

ARCHITECTURES = ("sm_80", "sm_90", "sm_120")
# Bandwidth x latency / multiprocessors, with 1 us of latency under load: 36 KB on an H200 (4800 GB/s, 132), 19 KB on
# an A100 (2039 GB/s, 108), 11 KB on an RTX 5090 (1792 GB/s, 170).
IN_FLIGHT = {"sm_80": 40 << 10, "sm_90": 40 << 10, "sm_120": 20 << 10}


class Expectation(NamedTuple):
    """Numbers of instructions on a thread's way, and bytes in flight; None: no rule.

    All numbers are exact, but that of the loads where a loop brings what is left after whole batches.
    """

    ex2: int | None = None
    wide_loads: int | None = None
    more_loads: bool = False
    wide_stores: int | None = None
    in_flight: int | None = None


class Checked(NamedTuple):
    """An instance on one architecture: what was found, and which rules it breaks."""

    instance: Instance
    arch: str
    figures: Figures
    warps: int
    in_flight: int
    broken: list[str]


def check_all(arch: str, wide_index: bool = False) -> list[Checked]:
    """Every instance, and with `wide_index` those for 2^31 elements and more."""
    chosen = list(instances())
    if wide_index:
        chosen += [i._replace(launch=i.launch.with_wide_index()) for i in chosen]
    return [found for name in _sources(chosen) for found in _check(source(name), name, chosen, arch)]


def check(code: str, chosen: Iterable[Instance], arch: str, options: Iterable[str] = ()) -> Iterator[Checked]:
    """Instances of one source text."""
    chosen = list(chosen)
    expressions = sorted({i.launch.expression for i in chosen})
    compiled = {name: figures(found) for name, found in cubin.build(code, expressions, arch, tuple(options)).items()}
    for i in chosen:
        f = compiled[i.launch.expression]
        needs = (arch, f.registers, i.launch.threads, f.shared + i.launch.shared)
        flying = in_flight(*needs, f.in_flight)
        yield Checked(i, arch, f, resident_warps(*needs), flying, broken(f, expectation(i, arch), flying))


def _sources(chosen: list[Instance]) -> list[str]:
    return list(dict.fromkeys(i.launch.source for i in chosen))


def _check(code: str, name: str, chosen: list[Instance], arch: str) -> Iterator[Checked]:
    return check(code, [i for i in chosen if i.launch.source == name], arch)


def broken(f: Figures, expected: Expectation, flying: int) -> list[str]:
    """What is wrong, one sentence a rule."""
    found = [
        f"{what}: {have}, expected none"
        for what, have in (
            ("bytes of stack", f.stack),
            ("bytes spilled", f.spills),
            ("accesses to local memory", f.local),
            ("float64 instructions", f.doubles),
        )
        if have
    ]
    found += [
        f"{what}: {have}, expected {want}"
        for what, have, want in (
            ("exponentials", f.ex2, expected.ex2),
            ("16-byte loads", _wide_loads(f, expected), expected.wide_loads),
            ("16-byte stores", f.stores.get(16, 0), expected.wide_stores),
        )
        if want is not None and have != want
    ]
    if expected.in_flight is not None and flying < expected.in_flight:
        found.append(f"loads in flight: {flying} bytes a multiprocessor, expected {expected.in_flight} or more")
    return found


def _wide_loads(f: Figures, expected: Expectation) -> int:
    have = f.loads.get(16, 0)
    return min(have, expected.wide_loads or 0) if expected.more_loads else have


# Exponentials a pixel, for n bins: one a bin for the annealed mean; one a bin at T = 1 and one for the ratio of the
# two best for the confidence.
_EX2 = {
    "decode": lambda n: n,
    "decode + confidence": lambda n: 2 * n + 1,
    "annealed_mean": lambda n: n,
    "confidence": lambda n: n + 1,
}


def expectation(instance: Instance, arch: str) -> Expectation:
    """Exact figures for the unrolled instances; the others keep the general rules alone."""
    if instance.n != FAST_BINS:
        return Expectation()
    size, pixels = (4 if instance.logits == "float32" else 2), instance.pixels
    loads = instance.n * size * pixels // 16
    stores = 0
    if "decode" in instance.operation:
        stores += 1  # a loop over what a warp has staged
    if instance.layout == "planar":
        loads += pixels * 4 // 16 if "decode" in instance.operation else 0
        stores += 2 * pixels * size // 16 if instance.operation == "annealed_mean" else 0
        stores += 2 * pixels * 4 // 16 if "confidence" in instance.operation else 0
    return Expectation(
        _EX2[instance.operation](instance.n) * pixels, loads, instance.layout == "last", stores, IN_FLIGHT[arch]
    )
