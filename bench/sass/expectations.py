"""What the machine code of an instance should hold: exact for the unrolled kernels, nothing special for the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from .calls import OF_LOGITS, RINGS
from .instances import FAST_BINS, Instance

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


def expectation(instance: Instance, arch: str) -> Expectation:
    """Exact figures for n = 32 and for images; the general rules alone for all else."""
    if instance.launch.source in ("encode", "histogram"):
        return _of_image(instance, arch)
    if instance.launch.source == "merge":
        return Expectation(loads={16: 2 * (instance.dtype == "float32")}, stores={16: 1})
    plain = instance.n == FAST_BINS and instance.operation in OF_LOGITS
    if not plain or instance.launch.kernel in ("loss_total", "scale_unless_one"):
        return Expectation()
    of_source = {"decode": _decode, "temporal": _temporal, "loss": _loss, "gradient": _gradient}
    return of_source[instance.launch.source](instance, arch)


def _decode(instance: Instance, arch: str) -> Expectation:
    """One exponential a bin for the annealed mean; one a bin at T = 1, and one for the ratio, for the confidence."""
    n, pixels, size = instance.n, int(instance.pixels), _logit_bytes(instance)
    rgb, confidence = "decode" in instance.operation, "confidence" in instance.operation
    ex2 = n * (instance.operation != "confidence") + (n + 1) * confidence
    loads, stores = n * size * pixels // 16, int(rgb)  # a loop over what a warp has staged
    if instance.layout == "last":
        return Expectation((ex2,), {16: loads}, {16: stores}, loops=True, in_flight=NEEDED[arch])
    loads += pixels * 4 // 16 * rgb
    stores += 2 * pixels * size // 16 * (instance.operation == "annealed_mean") + 2 * pixels * 4 // 16 * confidence
    return Expectation((ex2,), {16: loads}, {16: stores}, in_flight=HELD_IN_REGISTERS)


def _temporal(instance: Instance, arch: str) -> Expectation:
    """One exponential a bin for the softmax, one more where the compiler does not keep them, one for p^(1/T), and one a
    group of bins, whose maximum may rise. Of the sums each frame reads and writes all, of the ring one frame's worth.
    """
    group = 4 if arch == "sm_120" and instance.layout == "planar" else 8  # as in temporal.cu
    n, pixels, size = instance.n, int(instance.pixels), _logit_bytes(instance)
    ex2 = (2 * n + n // group, 3 * n + n // group)
    if instance.layout == "last":
        return Expectation(ex2, {16: n * size // 16}, {16: 1}, loops=True, in_flight=NEEDED[arch])
    ring = next(size for name, size in _RING_BYTES.items() if f"{name} ring" in instance.operation)
    loads, stores = Counter({16: 1}), Counter({16: 1})  # luma; a loop over the RGB that a warp has staged
    for width in (4 * pixels, ring * pixels):
        loads[width] += n
        stores[width] += n
    loads[size * pixels] += n
    return Expectation(ex2, loads, stores, loops=True, in_flight=HELD_IN_REGISTERS)


def _loss(instance: Instance, arch: str) -> Expectation:
    """One exponential a bin for the sum, and one more for the gradient where the compiler does not keep the first."""
    n, pixels, gradient = instance.n, int(instance.pixels), "gradient" in instance.operation
    ex2, width = (n, 2 * n) if gradient else (n,), _logit_bytes(instance) * pixels
    if instance.layout == "last":
        return Expectation(ex2, {16: n * width // 16}, {16: int(gradient)}, loops=True, in_flight=NEEDED[arch])
    loads = Counter({16: 1 if gradient else 3})  # weights, and labels of int64
    loads[width] += n
    return Expectation(ex2, loads, {width: n * gradient}, in_flight=HELD_IN_REGISTERS)


def _gradient(instance: Instance, arch: str) -> Expectation:
    """As the loss with its gradient; what comes from above, two values a pixel, is read as the logits are."""
    n, width = instance.n, _logit_bytes(instance) * int(instance.pixels)
    if instance.layout == "last":
        return Expectation((n, 2 * n), {16: n * width // 16}, {16: 1}, loops=True, in_flight=NEEDED[arch])
    return Expectation((n, 2 * n), {width: n + 2}, {width: n}, in_flight=HELD_IN_REGISTERS)


def _of_image(instance: Instance, arch: str) -> Expectation:
    """Three words of R, G, B a lane; luma, weights and staged labels leave by 16 bytes, those of float64 by 8."""
    stores = {}
    if instance.operation.startswith("encode") and instance.dtype != "float64":
        label = 8 if "int64" in instance.operation else 1
        stores = {16: int(-(-instance.pixels * label // 16) + 2 * instance.pixels // 4)}
    return Expectation((), {16: 3}, stores, in_flight=NEEDED[arch], doubles=instance.dtype == "float64")


def _logit_bytes(instance: Instance) -> int:
    return 4 if instance.dtype == "float32" else 2
