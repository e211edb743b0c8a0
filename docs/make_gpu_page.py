"""Make the tables in docs/gpu.md: python docs/make_gpu_page.py. No GPU is needed; NVRTC and g++ are.

Bytes are those of the traffic model on the host shim, registers and instructions those of the machine code, times
predictions from published figures. Nothing of it is measured, but for what an H200 said once, which stands beside.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs"), str(ROOT / "tests/helpers")]

from cuda_host import traffic, traffic_cases  # noqa: E402
from fastcolor.kernels.cupy_cuda.source import source  # noqa: E402
from gpu_measured import BEFORE, Code, microseconds  # noqa: E402
from gpu_predictions import GPUS, Gpu, Prediction, predict  # noqa: E402

from bench.sass import cubin, instances  # noqa: E402
from bench.sass.listing import Figures  # noqa: E402
from bench.sass.rules import occupied  # noqa: E402

PAGE = ROOT / "docs/gpu.md"
START, END = "<!-- generated:start -->", "<!-- generated:end -->"
SIZES = (1 << 20, 8 << 20)
ARCHITECTURES = ("sm_80", "sm_90")


class Kernel(NamedTuple):
    """A case of the traffic model with its machine code on one architecture."""

    row: traffic.Row
    launch: instances.Launch
    pixels: int  # of the case
    figures: Figures
    warps: int
    in_flight: int

    @property
    def threads(self) -> int:
        return self.launch.blocks * self.launch.threads


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_block(text, block()), encoding="utf-8")


def with_block(text: str, generated: str) -> str:
    """`text` with what stands between the markers replaced."""
    return re.sub(f"{START}.*?{END}", lambda _: f"{START}\n{generated}\n{END}", text, flags=re.DOTALL)


def block() -> str:
    """Everything between the markers."""
    found = {arch: list(kernels(arch)) for arch in ARCHITECTURES}
    parts = [
        "### What must be in flight",
        *needed_table(),
        "### Bytes",
        *bytes_table(found["sm_90"]),
        f"### Machine code ({cubin.versions()})",
        *code_table(found),
        "### Predicted time, not measured",
        *time_table(found),
        "### Predicted, and measured on an H200 at 55c22d5",
        *measured_table(found["sm_90"]),
        "### Machine code for sm_90: what ran then, and now",
        *before_table(found["sm_90"]),
    ]
    return "\n".join(parts)


@cache
def launches() -> dict[str, tuple[instances.Launch, int]]:
    """The launch that is the work of each case, and the case's pixels."""
    found = {}
    for case in traffic_cases.cases():
        recorder = instances.Recorder()
        with patch.object(traffic.ENGINE, "launch", recorder.launch):
            case.run()
        found[case.name] = recorder.launches[-1], case.pixels  # what comes before it prepares
    return found


def kernels(arch: str) -> Iterator[Kernel]:
    """Every case whose work is one launch, compiled for ``arch``."""
    found: dict[str, Figures] = {}
    for name in {launch.source for launch, _ in launches().values()}:
        expressions = [launch.expression for launch, _ in launches().values() if launch.source == name]
        found |= cubin.figures_of(source(name), expressions, arch)
    for name, (launch, pixels) in launches().items():
        yield kernel(arch, rows()[name], launch, pixels, found[launch.expression])


def kernel(arch: str, row: traffic.Row, launch: instances.Launch, pixels: int, f: Figures) -> Kernel:
    """A case with the machine code that it has on ``arch``."""
    return Kernel(row, launch, pixels, f, *occupied(launch, f, arch))


def in_bfloat16(arch: str, k: Kernel) -> Kernel:
    """A case of float16 logits as one of bfloat16: the same bytes, other arithmetic, no row of its own on the page."""
    launch = k.launch._replace(expression=k.launch.expression.replace("fc::f16", "fc::bf16"))
    (f,) = cubin.figures_of(source(launch.source), [launch.expression], arch).values()
    return kernel(arch, replace(k.row, case=k.row.case.replace("float16", "bfloat16")), launch, k.pixels, f)


@cache
def rows() -> dict[str, traffic.Row]:
    """The traffic of every case, in tenths of a byte: where a table begins in a sector is chance."""
    return {row.case: replace(row, read=round(row.read, 1), write=round(row.write, 1)) for row in traffic.rows()}


def needed_table() -> Iterator[str]:
    yield "| | GB/s, published | multiprocessors | KiB in flight needed in each |"
    yield "|---|---:|---:|---:|"
    for gpu in GPUS:
        yield f"| {gpu.name} | {gpu.bandwidth / 1e9:.0f} | {gpu.multiprocessors} | {gpu.needed / 1024:.1f} |"


def bytes_table(found: list[Kernel]) -> Iterator[str]:
    yield "| operation (n = 32 where none is said) | least read | read | least written | written | beyond the least |"
    yield "|---|---:|---:|---:|---:|---:|"
    for k in found:
        r = k.row
        excess = max(r.excess, 0)
        yield f"| {r.case} | {r.least_read:.1f} | {r.read:.1f} | {r.least_write:.1f} | {r.write:.1f} | {excess:.0%} |"


def code_table(found: dict[str, list[Kernel]]) -> Iterator[str]:
    yield (
        "| operation (n = 32 where none is said) | pixels a thread | registers | shared, KiB a block | warps an SM "
        "| 16-byte loads | 16-byte stores | EX2 a pixel | in flight, KiB an SM |"
    )
    yield "|---|" + "---:|" * 8
    for a, b in zip(*(found[arch] for arch in ARCHITECTURES), strict=True):
        pixels = a.pixels / a.threads
        shared = (b.figures.shared + b.launch.shared) / 1024
        yield (
            f"| {a.row.case} | {pixels:g} | {_both(a.figures.registers, b.figures.registers)} | {shared:.1f} "
            f"| {_both(a.warps, b.warps)} "
            f"| {_both(a.figures.loads.get(16, 0), b.figures.loads.get(16, 0))} "
            f"| {_both(a.figures.stores.get(16, 0), b.figures.stores.get(16, 0))} "
            f"| {_both(round(a.figures.ex2 / pixels), round(b.figures.ex2 / pixels))} "
            f"| {_both(a.in_flight >> 10, b.in_flight >> 10)} |"
        )


def _both(a: int, b: int) -> str:
    """One number, or that of sm_80 and that of sm_90."""
    return f"{a}" if a == b else f"{a}, {b}"


def time_table(found: dict[str, list[Kernel]]) -> Iterator[str]:
    yield (
        "| operation (n = 32 where none is said), predicted us for 1 / 8 MP | "
        + " | ".join(gpu.name for gpu in GPUS)
        + " |"
    )
    yield "|---|" + "---:|" * len(GPUS)
    for position in range(len(found["sm_80"])):
        cells = [_times(gpu, found[gpu.arch][position]) for gpu in GPUS]
        yield f"| {found['sm_80'][position].row.case} | " + " | ".join(cells) + " |"


def measured_table(found: list[Kernel]) -> Iterator[str]:
    """What is predicted is the code as it is now; what was measured, as it was then."""
    h200 = next(gpu for gpu in GPUS if gpu.name == "H200")
    yield "| operation (n = 32), us for 1 / 8 MP | predicted, now | measured, then |"
    yield "|---|---:|---:|"
    for kernel in found:
        if times := microseconds().get(kernel.row.case):
            yield f"| {kernel.row.case} | {_times(h200, kernel)} | {' / '.join(f'{us:.3g}' for us in times)} |"


def before_table(found: list[Kernel]) -> Iterator[str]:
    yield "| operation (n = 32) | pixels a thread | registers | warps an SM | in flight, KiB an SM |"
    yield "|---|" + "---:|" * 4
    for kernel in found:
        if before := BEFORE.get(kernel.row.case):
            now = Code(kernel.pixels // kernel.threads, kernel.figures.registers, kernel.warps, kernel.in_flight >> 10)
            cells = " | ".join(f"{old} -> {new}" for old, new in zip(before, now, strict=True))
            yield f"| {kernel.row.case} | {cells} |"


def _times(gpu: Gpu, kernel: Kernel) -> str:
    if kernel.launch.source == "histogram":
        return "-"  # atomics in shared memory decide, and how often they collide depends on the picture
    small, large = (prediction(gpu, kernel, pixels) for pixels in SIZES)
    limit = "" if large.bound == "memory" else f", {large.bound}"
    return f"{_microseconds(small)} / {_microseconds(large)} ({small.share:.0%} / {large.share:.0%}{limit})"


def prediction(gpu: Gpu, kernel: Kernel, pixels: int) -> Prediction:
    """For an image of so many pixels."""
    moved = (kernel.row.read + kernel.row.write) * pixels
    clocks = kernel.figures.clocks * kernel.threads * pixels / kernel.pixels
    return predict(gpu, moved, kernel.in_flight, clocks, kernel.figures.pipe)


def _microseconds(p: Prediction) -> str:
    us = p.seconds * 1e6
    return f"{us:.0f}" if us >= 100 else f"{us:.3g}"


if __name__ == "__main__":
    main()
