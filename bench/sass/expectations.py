"""What the machine code of an instance should hold: exact for the unrolled kernels, nothing special for the others."""

from __future__ import annotations

from typing import NamedTuple

from .instances import FAST_BINS, RINGS, Instance

# Bandwidth x latency / multiprocessors, with 1 us of latency under load, of the fastest GPU of an architecture: A100
# (2039 GB/s, 108), H200 (4800 GB/s, 132), RTX 5090 (1792 GB/s, 170). Kernels that hold a row of logits in registers do
# so in order to have more than that.
NEEDED = {"sm_80": 19 << 10, "sm_90": 36 << 10, "sm_120": 11 << 10}
HELD_IN_REGISTERS = 40 << 10
_RING_BYTES = dict(zip(RINGS, (4, 2, 1), strict=True))


class Expectation(NamedTuple):
    """Numbers of instructions on a thread's way, and bytes in flight; None: no rule.

    All numbers are exact, but those of loads and stores where `loops` says that a loop or a rare branch may bring more.
    Exponentials are counted a pixel; there may be two right numbers.
    """

    ex2: tuple[int, ...] = ()
    wide_loads: int | None = None
    loops: bool = False
    wide_stores: int | None = None
    in_flight: int = 0
    doubles: bool = False


def expectation(instance: Instance, arch: str) -> Expectation:
    """Exact figures for n = 32 and for images; the general rules alone for other n and for what finishes a pass."""
    if instance.launch.source in ("encode", "histogram"):
        return _of_image(instance, arch)
    if instance.launch.source == "merge":
        return Expectation((), int(instance.dtype == "float32"), wide_stores=1)
    if instance.n != FAST_BINS or instance.launch.kernel in ("loss_total", "scale_unless_one"):
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
        return Expectation((ex2,), loads, loops=True, wide_stores=stores, in_flight=NEEDED[arch])
    loads += pixels * 4 // 16 * rgb
    stores += 2 * pixels * size // 16 * (instance.operation == "annealed_mean") + 2 * pixels * 4 // 16 * confidence
    return Expectation((ex2,), loads, wide_stores=stores, in_flight=HELD_IN_REGISTERS)


def _temporal(instance: Instance, arch: str) -> Expectation:
    """One exponential a bin for the softmax, one more where the compiler does not keep them, one for p^(1/T), and one a
    group of bins, whose maximum may rise. Sums and ring move by 16 bytes where four pixels of a type have as many.
    """
    n, pixels = instance.n, int(instance.pixels)
    if instance.layout == "last":
        groups, loads = n // 8, n * _logit_bytes(instance) * pixels // 16
        return Expectation((2 * n + groups, 3 * n + groups), loads, loops=True, in_flight=NEEDED[arch])
    groups = n // 4
    ring = next(size for name, size in _RING_BYTES.items() if f"{name} ring" in instance.operation)
    loads = 1 + n + sum(n for size in (_logit_bytes(instance), ring) if size * pixels == 16)  # luma and sums, too
    return Expectation((2 * n + groups, 3 * n + groups), loads, loops=True, in_flight=HELD_IN_REGISTERS)


def _loss(instance: Instance, arch: str) -> Expectation:
    """One exponential a bin for the sum, and one more for the gradient where the compiler does not keep the first.

    Four pixels of 2-byte logits move by 8 bytes.
    """
    n, pixels, gradient = instance.n, int(instance.pixels), "gradient" in instance.operation
    ex2 = (n, 2 * n) if gradient else (n,)
    words = n * _logit_bytes(instance) * pixels // 16
    if instance.layout == "last":
        return Expectation(ex2, words, loops=True, wide_stores=int(gradient), in_flight=NEEDED[arch])
    words *= _logit_bytes(instance) == 4
    labels = 0 if gradient else 8 * pixels // 16
    return Expectation(ex2, words + 1 + labels, wide_stores=words * gradient, in_flight=HELD_IN_REGISTERS)


def _gradient(instance: Instance, arch: str) -> Expectation:
    """As the loss with its gradient; what comes from above, two values a pixel, is read as the logits are."""
    n, pixels = instance.n, int(instance.pixels)
    words = n * _logit_bytes(instance) * pixels // 16
    if instance.layout == "last":
        return Expectation((n, 2 * n), words, loops=True, wide_stores=1, in_flight=NEEDED[arch])
    wide = _logit_bytes(instance) == 4
    return Expectation((n, 2 * n), (words + 2) * wide, wide_stores=words * wide, in_flight=HELD_IN_REGISTERS)


def _of_image(instance: Instance, arch: str) -> Expectation:
    """Three words of R, G, B a lane; luma, weights and staged labels leave by 16 bytes, those of float64 by 8."""
    stores = None
    if instance.operation.startswith("encode") and instance.dtype != "float64":
        label = 8 if "int64" in instance.operation else 1
        stores = int(-(-instance.pixels * label // 16) + 2 * instance.pixels // 4)
    return Expectation((), 3, wide_stores=stores, in_flight=NEEDED[arch], doubles=instance.dtype == "float64")


def _logit_bytes(instance: Instance) -> int:
    return 4 if instance.dtype == "float32" else 2
