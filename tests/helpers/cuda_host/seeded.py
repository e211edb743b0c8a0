"""Bugs put into kernels and launches on purpose: each must be caught, or what finds none would mean nothing.

``python -m cuda_host.seeded SANITIZER`` runs each in a child process and prints its exit status and its last words.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
from fastcolor.kernels.cupy_cuda import decode as cuda_decode
from fastcolor.kernels.cupy_cuda import encode as cuda_encode
from fastcolor.kernels.cupy_cuda import encode_soft as cuda_encode_soft
from fastcolor.kernels.cupy_cuda import loss as cuda_loss
from fastcolor.kernels.cupy_cuda import merge as cuda_merge
from fastcolor.kernels.cupy_cuda.engine import Engine

from .exercise import BINS, CELLS, FEW_BINS, MANY_BINS, bins_of, lab_bins, placed, rng
from .host_module import HostModule

PIXELS = 260  # more than one block, a tail
ROW = 203  # bins that lanes share


@dataclass(frozen=True)
class Bug:
    """What runs it on an engine, which sanitizer must speak up, and a part of what it says."""

    run: Callable[[Engine], object]
    sanitizer: str
    says: str
    change: Callable[[tuple[Any, ...]], tuple[Any, ...]] = lambda args: args
    rewrite: Callable[[str], str] = lambda code: code
    short: int = 0  # bytes of dynamic shared memory

    def __call__(self) -> None:
        def module(code: str, **settings: Any) -> HostModule:
            return HostModule(code=self.rewrite(code), **settings)

        self.run(_Changed(module, self))


class _Changed(Engine):
    """Launches with the arguments that a bug wants."""

    def __init__(self, module: Callable[..., Any], bug: Bug) -> None:
        super().__init__(module, nullcontext)
        self.bug = bug

    def launch(
        self, like: Any, name: str, expression: str, blocks: int, threads: int, args: tuple[Any, ...], shared: int = 0
    ) -> None:
        super().launch(like, name, expression, blocks, threads, self.bug.change(args), max(0, shared - self.bug.short))


def replaced(index: int, value: Callable[[Any], Any]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Another argument number `index`."""
    return lambda args: (*args[:index], value(args[index]), *args[index + 1 :])


def instead(old: str, new: str, after: str = "") -> Callable[[str], str]:
    """The text with the first `old` behind `after` replaced."""

    def rewrite(code: str) -> str:
        place = code.index(old, code.index(after))
        return code[:place] + new + code[place + len(old) :]

    return rewrite


def decode(engine: Engine, n: int = BINS, last: bool = False) -> object:
    x = placed(rng.standard_normal((1, PIXELS, n) if last else (n, 1, PIXELS)).astype(np.float32))
    return cuda_decode.decode(
        engine, x, placed(rng.random((1, PIXELS), np.float32)), bins_of(n), axis=-1 if last else 0
    )


def annealed_mean(engine: Engine, pixels: int = PIXELS) -> object:
    """In words of several pixels."""
    x = placed(rng.standard_normal((BINS, 1, pixels)).astype(np.float32))
    return cuda_decode.annealed_mean(engine, x, bins_of(BINS), axis=0)


def decode_as_if_whole(engine: Engine) -> object:
    """One pixel too many for words of several."""
    engine.pixels_each = lambda like, name, instance, most, *_: most  # type: ignore[method-assign]
    return annealed_mean(engine, PIXELS + 1)


def encode_neutral(engine: Engine) -> object:
    """Pixels of the middle cell."""
    return cuda_encode.encode(engine, placed(np.full((1, PIXELS, 3), 255, np.uint8)), bins_of(BINS))


def encode_colors(engine: Engine) -> object:
    """Several warps, and so many bins that few read the same weight: ThreadSanitizer forgets all but four accesses."""
    return cuda_encode.encode(engine, placed(rng.integers(0, 256, (1, 1100, 3)).astype(np.uint8)), bins_of(250))


def encode_soft(engine: Engine) -> object:
    """Several warps; in rows, which a warp brings together."""
    rgb = placed(rng.integers(0, 256, (1, 1100, 3)).astype(np.uint8))
    return cuda_encode_soft.encode_soft(engine, rgb, lab_bins(BINS), neighbors=5, axis=-1)


def histogram(engine: Engine) -> object:
    return cuda_encode.histogram(engine, placed(rng.integers(0, 256, (1, 6000, 3)).astype(np.uint8)), CELLS)


def many_tiles(engine: Engine) -> object:
    """More than one for a warp."""
    with patch.object(cuda_encode, "BLOCKS", 1):
        return histogram(engine)


def merge(engine: Engine) -> object:
    luma = placed(rng.random((1, 1, PIXELS), np.float32))
    return cuda_merge.merge(engine, placed(np.zeros((1, 2, 1, 7), np.float32)), luma)


def loss(engine: Engine) -> object:
    x = placed(rng.standard_normal((1, BINS, 1, PIXELS)).astype(np.float32))
    labels, weights = np.zeros((1, 1, PIXELS), np.uint8), np.ones((1, 1, PIXELS), np.float32)
    return cuda_loss.weighted_cross_entropy(engine, x, placed(labels), placed(weights), over=placed(weights[0, 0]))


def loss_of_lanes(engine: Engine, n: int, last: bool) -> object:
    """Bins that lanes share out unevenly."""
    shape = (1, 1, PIXELS, n) if last else (1, n, 1, PIXELS)
    x, gradient = (placed(rng.standard_normal(shape).astype(np.float32)) for _ in range(2))
    x, gradient = (np.moveaxis(array, -1, 1) if last else array for array in (x, gradient))
    labels, weights = np.zeros((1, 1, PIXELS), np.uint8), np.ones((1, 1, PIXELS), np.float32)
    return cuda_loss.weighted_cross_entropy(engine, x, placed(labels), placed(weights), gradient=gradient)


def alone(body: str) -> Callable[[Engine], object]:
    """One thread of a kernel of its own, with 64 bytes at `x`."""

    def run(engine: Engine) -> None:
        code = f"__global__ void test(unsigned char *x) {{ {body} }}"
        x = placed(np.zeros(64, np.uint8))
        test = HostModule(code=code, name_expressions=("test",)).get_function("test")
        test((1,), (1,), (np.uint64(x.ctypes.data),))

    return run


_SHORT_TABLE = placed(np.zeros(CELLS * CELLS // 2, np.uint8))  # up to the cell of neutral colors
ADDRESS = "address,undefined"
BUGS = {
    "too many pixels": Bug(decode, ADDRESS, "heap-buffer-overflow", change=replaced(2, lambda pixels: pixels + 4)),
    "a short table": Bug(
        encode_neutral,
        ADDRESS,
        "heap-buffer-overflow",
        change=replaced(4, lambda _: np.uint64(_SHORT_TABLE.ctypes.data)),
    ),
    "a misaligned pointer to words": Bug(
        annealed_mean, ADDRESS, "which is no multiple", change=replaced(0, lambda x: np.uint64(x.ctypes.data + 4))
    ),
    "a misaligned word": Bug(
        alone("*reinterpret_cast<uint4 *>(x + 4) = uint4{1, 2, 3, 4};"), ADDRESS, "misaligned address"
    ),
    "a size that is no multiple": Bug(decode_as_if_whole, ADDRESS, "which is no multiple"),
    "one element beyond": Bug(alone("x[64] = 1;"), ADDRESS, "heap-buffer-overflow"),
    "too little dynamic shared memory": Bug(
        lambda engine: decode(engine, FEW_BINS, last=True), ADDRESS, "heap-buffer-overflow", short=16
    ),
    "too little static shared memory": Bug(
        decode,
        ADDRESS,
        "global-buffer-overflow",
        rewrite=instead("[THREADS / WARP]", "[THREADS / WARP - 1]", after="decode_planar("),
    ),
    "a conversion out of range": Bug(
        alone("*x = (unsigned)(-1.0f - *x);"), ADDRESS, "outside the range of representable values"
    ),
    "a shift too far": Bug(alone("*x = 1 << (*x + 32);"), ADDRESS, "shift exponent 32 is too large"),
    "no barrier before RGB is sent": Bug(
        decode, "thread", "data race", rewrite=instead("__syncwarp();", "", after="FC_DEVICE void send_staged(")
    ),
    "no barrier before merged RGB is sent": Bug(
        merge, "thread", "data race", rewrite=instead("__syncwarp();", "", after="FC_DEVICE void send_staged(")
    ),
    "no barrier after the rows have come": Bug(
        lambda engine: decode(engine, last=True),
        "thread",
        "data race",
        rewrite=instead("__syncthreads();", "", after="FC_DEVICE void fill_rows("),
    ),
    "no barrier after the colors have come": Bug(
        lambda engine: decode(engine, FEW_BINS, last=True),
        "thread",
        "data race",
        rewrite=instead("__syncthreads();", "", after="FC_DEVICE Staged staged("),
    ),
    "a row beyond the last": Bug(
        lambda engine: loss_of_lanes(engine, BINS, last=True),
        ADDRESS,
        "heap-buffer-overflow",
        rewrite=instead("return has(v) && ", "return true || ", after="struct Rows"),
    ),
    "a lane's bins beyond the row": Bug(
        lambda engine: loss_of_lanes(engine, ROW, last=True),
        ADDRESS,
        "heap-buffer-overflow",
        rewrite=instead("last(bin(H - E) < n)", "last(true)", after="struct Rows"),
    ),
    "a lane's planes beyond the last": Bug(
        lambda engine: loss_of_lanes(engine, ROW, last=False),
        ADDRESS,
        "heap-buffer-overflow",
        rewrite=instead("last(LANES == 1 || bin(H - 1) < n)", "last(true)", after="struct Planes"),
    ),
    "no barrier before the scale": Bug(
        loss, "thread", "data race", rewrite=instead("__syncthreads();", "", after="FC_DEVICE float scale()")
    ),
    "no barrier before all blocks are summed": Bug(
        loss, "thread", "data race", rewrite=instead("__syncthreads();", "", after="last = atomicAdd")
    ),
    "no barrier between the warps of a sum": Bug(
        loss, "thread", "data race", rewrite=instead("__syncthreads();", "", after="FC_DEVICE Exact total_of_block(")
    ),
    "a group of bins beyond the last row": Bug(
        lambda engine: decode(engine, MANY_BINS, last=True),
        ADDRESS,
        "heap-buffer-overflow",
        rewrite=instead("row + !same < rows ? ", "row + !same < LANES ? ", after="FC_DEVICE void each_row("),
    ),
    "planes beyond the last": Bug(
        lambda engine: decode(engine, FEW_BINS),
        ADDRESS,
        "heap-buffer-overflow",
        rewrite=instead("if (k < left) {", "if (k <= left) {", after="some(const Logit *from"),
    ),
    "no barrier after the weights": Bug(
        encode_colors, "thread", "data race", rewrite=instead("__syncthreads();", "", after="encode(const T *rgb")
    ),
    "no barrier after linear light": Bug(
        encode_soft, "thread", "data race", rewrite=instead("__syncthreads();", ";", after="encode_soft(const T *rgb")
    ),
    "no barrier before shares are sent": Bug(
        encode_soft, "thread", "data race", rewrite=instead("__syncwarp();", "", after="float *staged = ")
    ),
    "too few candidates": Bug(
        encode_soft,
        ADDRESS,
        "heap-buffer-overflow",
        rewrite=instead("at < end", "at < end + 9999999", after="struct Nearest"),
    ),
    "no barrier after the tile of RGB": Bug(
        histogram, "thread", "data race", rewrite=instead("__syncwarp();", "", after="FC_DEVICE void count_tiles(")
    ),
    "no barrier before the next tile": Bug(
        many_tiles, "thread", "data race", rewrite=instead("__syncwarp();", "", after="count_tile<PLANAR>(tile,")
    ),
    "no barrier after the counts are cleared": Bug(
        histogram, "thread", "data race", rewrite=instead("__syncthreads();", "", after="local[k] = {0, 0, 0, 0};")
    ),
    "no barrier after counting": Bug(
        histogram,
        "thread",
        "data race",
        rewrite=instead("__syncthreads();", "", after="const Local mine("),
    ),
    "no barrier before the sum": Bug(
        loss, "thread", "data race", rewrite=instead("__syncthreads();", "", after="FC_DEVICE void add_up(")
    ),
}


def in_child(bug: Callable[[], None]) -> tuple[int, str]:
    """Exit status and error output of a child process that runs `bug`; 0 if nothing stopped it."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 2)
            try:
                bug()
                os._exit(0)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}".encode())
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return status, output.read().decode(errors="replace")


if __name__ == "__main__":
    json.dump({name: in_child(bug) for name, bug in BUGS.items() if bug.sanitizer == sys.argv[1]}, sys.stdout)
