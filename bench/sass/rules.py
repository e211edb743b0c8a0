"""The rules that machine code must keep: what is written down here is why a kernel reaches the memory's speed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastcolor.kernels.cupy_cuda.source import source

from .expectations import Expectation, expectation
from .figures import Figures
from .instances import Instance, instances
from .occupancy import in_flight, resident_warps
from .store import figures_of

ARCHITECTURES = ("sm_80", "sm_90", "sm_120")


class Checked(NamedTuple):
    """An instance on one architecture: what was found, and which rules it breaks."""

    instance: Instance
    arch: str
    figures: Figures
    warps: int
    in_flight: int
    broken: list[str]


def check_all(arch: str, wide_index: bool = False) -> list[Checked]:
    """Every instance; with `wide_index` also those for 2^31 elements and more, of float32 and uint8 on main paths."""
    chosen = list(instances())
    if wide_index:
        ruled = [i for i in chosen if i.dtype in ("float32", "uint8") and expectation(i, arch).loads]
        wide = [i._replace(launch=i.launch.with_wide_index()) for i in ruled]
        chosen += [i for i in wide if "fc::u64" in i.launch.expression]
    return [found for name in _sources(chosen) for found in _check(source(name), name, chosen, arch)]


def check(code: str, chosen: Iterable[Instance], arch: str, options: Iterable[str] = ()) -> Iterator[Checked]:
    """Instances of one source text."""
    chosen = list(chosen)
    found = figures_of(code, [i.launch.expression for i in chosen], arch, tuple(options))
    for i in chosen:
        f = found[i.launch.expression]
        needs = (arch, f.registers, i.launch.threads, f.shared + i.launch.shared)
        flying = in_flight(*needs, f.in_flight)
        yield Checked(i, arch, f, resident_warps(*needs), flying, broken(f, expectation(i, arch), i.pixels, flying))


def _sources(chosen: list[Instance]) -> list[str]:
    return list(dict.fromkeys(i.launch.source for i in chosen))


def _check(code: str, name: str, chosen: list[Instance], arch: str) -> Iterator[Checked]:
    return check(code, [i for i in chosen if i.launch.source == name], arch)


def broken(f: Figures, expected: Expectation, pixels: float, flying: int) -> list[str]:
    """What is wrong, one sentence a rule."""
    found = [
        f"{what}: {have}, expected none"
        for what, have in (
            ("bytes of stack", f.stack),
            ("bytes spilled", f.spills),
            ("accesses to local memory", f.local),
            ("float64 instructions", 0 if expected.doubles else f.doubles),
        )
        if have
    ]
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
