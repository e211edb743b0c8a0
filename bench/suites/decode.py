"""Suites ``decode``, ``decode_confidence``, ``annealed_mean`` and ``confidence``: one pass over the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import fastcolor
from fastcolor import reference

from .. import bytes as traffic
from ..cases import Candidate, Case, Check, Setting
from ..measure import device
from ..peers.arrays import blocked
from ..peers.color import both
from ..peers.registry import Peers
from . import compare, inputs
from .sizes import Size, sizes

T = 0.38
STEP = 37  # the answer is compared on every STEP-th row: a prime, so that no block size hides behind it
ROWS = slice(None, None, STEP)
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
NARROW = 256  # pixels a side of the CPU's second size


def rows(answer: Any) -> np.ndarray:
    return np.asarray(answer)[ROWS]


def _plane_rows(answer: Any) -> np.ndarray:
    return np.asarray(answer)[:, ROWS]


class Logits(NamedTuple):
    """Logits of one case: their size, dtype, and the axis of the bins (0: planar, -1: channels-last)."""

    size: Size
    dtype: str = "float32"
    axis: int = 0

    @property
    def values(self) -> np.ndarray:
        """Planar, before any rounding to the dtype."""
        return inputs.logits(self.size.height, self.size.width)

    @property
    def luma(self) -> np.ndarray:
        return inputs.yuv(self.size.height, self.size.width)[0]

    @property
    def sample(self) -> np.ndarray:
        """Every :data:`STEP`-th row of the logits, planar, as the dtype rounds them."""
        return inputs.rounded(self.values[:, ROWS], self.dtype)

    @property
    def decoded(self) -> Any:
        """The reference's RGB of the sample; answers are at most one level apart, and only at rounding ties."""
        return reference.decode(self.sample, self.luma[ROWS], inputs.bins(), temperature=T)

    def peers(self, setting: Setting, luma: bool = True) -> Peers:
        """Makers of candidates on these logits and, by choice, the luma."""
        logits = device.place(setting.device).put(self.values, self.dtype, self.axis)
        return Peers(setting, logits, *([self.luma] if luma else []))

    def case(self, suite: str, moved: traffic.Traffic, check: Check, candidates: list[Candidate]) -> Case:
        n, (height, width) = inputs.bins().n, self.size[:2]
        if self.axis == 0:
            array = f"{n}x{height}x{width} {self.dtype} planar"
        else:
            array = f"{height}x{width}x{n} {self.dtype} channels-last"
        return self.size.case(suite, array, moved, check, candidates)


def decode(setting: Setting) -> Iterator[Case]:
    """Logits and luma to RGB: planar float32, other types, layouts and sizes."""
    for case in _every(setting) if device.place(setting.device).gpu else _few(setting):
        yield _decode(setting, case)


def _few(setting: Setting) -> Iterator[Logits]:
    """On the CPU: the main case, then a type, a layout and a size that differ from it."""
    (main,) = sizes(setting, "planar float32")
    yield Logits(main)
    if not setting.main_only:
        other = main._replace(main=False)
        yield Logits(other._replace(name="planar float16"), "float16")
        yield Logits(other._replace(name="channels-last float32"), axis=-1)
        yield Logits(Size(NARROW, NARROW, f"{NARROW}x{NARROW} float32"))


def _every(setting: Setting) -> Iterator[Logits]:
    """On a GPU: every type in both layouts in every size; the host's time for planar float32."""
    for axis, layout in ((0, "planar"), (-1, "channels-last")):
        for dtype in BYTES:
            plain = (axis, dtype) == (0, "float32")
            for size in sizes(setting, f"{layout} {dtype}"):
                if plain or not size.host:
                    yield Logits(size._replace(main=size.main and plain), dtype, axis)


def _decode(setting: Setting, case: Logits) -> Case:
    bins, axis, n = inputs.bins(), case.axis, inputs.bins().n
    make = case.peers(setting)

    def ours(backend: str) -> Callable[..., Any]:
        return lambda x, y: fastcolor.decode(x, y, bins, temperature=T, axis=axis, backend=backend)

    eager = make.torch("torch eager", lambda p: p.decode_softmax(bins, T, axis))
    plain = make.torch("torch.compile", lambda p: p.decode_softmax(bins, T, axis), "compiled")
    sums = make.torch("torch.compile, weighted sums", lambda p: p.decode_sums(bins, T, axis), "compiled")
    planes = make.torch("torch.compile, hand-fused", lambda p: p.decode_planes(bins, T), "compiled")
    in_blocks = make.torch("torch eager, blocked", lambda p: p.decode_blocked(bins, T))
    whole = make.numpy("numpy", lambda p: p.decode(bins, T))
    numpy = make.numpy("numpy, blocked", lambda p: blocked(p.decode(bins, T)))
    fused = make.cupy("CuPy, fused planes", lambda p: p.decode_planes(bins, T))
    arrays = make.cupy("CuPy", lambda p: p.decode(bins, T, axis))

    main = case.size.main and not setting.main_only
    if make.where.gpu:
        peers = [eager, plain] + ([planes] if axis == 0 else [sums]) + ([sums] if main else [])
        if case.dtype != "bfloat16":  # which CuPy lacks
            peers += [arrays] + ([fused] if axis == 0 else [])
    else:
        peers = [numpy, eager, planes] if axis == 0 else [eager, plain, sums]
        peers += [whole, in_blocks, plain, sums] if main else []
    candidates = make.ours(ours, second=True) + (make.ours_on_cupy(ours) if case.size.host or main else []) + peers
    moved = traffic.decode(case.size.pixels, n, BYTES[case.dtype])
    return case.case("decode", moved, compare.image(case.decoded, pick=rows), candidates)


def _each_size(of: Callable[[Setting, Logits], Case]) -> Callable[[Setting], Iterator[Case]]:
    """A suite of planar float32 logits: its case in every size."""
    return lambda setting: (of(setting, Logits(size)) for size in sizes(setting, "planar float32"))


def confidence_checks(x: np.ndarray, first: int, pick: Callable[[Any], Any] = rows) -> list[Check]:
    """Of the two maps, which stand in an answer from `first` on."""
    top, ratio = reference.confidence(x, axis=0)
    return [
        compare.close(top, absolute=1e-5, pick=compare.part(first, pick)),
        compare.close(ratio, relative=2e-5, pick=compare.part(first + 1, pick)),
    ]


@_each_size
def decode_confidence(setting: Setting, case: Logits) -> Case:
    """RGB, top probability and its ratio to the second, in one call."""
    bins, make = inputs.bins(), case.peers(setting)

    def ours(backend: str) -> Callable[..., Any]:
        return lambda x, y: fastcolor.decode(x, y, bins, temperature=T, confidence=True, backend=backend)

    def fused(p: Any) -> Callable[..., Any]:
        return both(p.decode_planes(bins, T), p.confidence_planes)

    def arrays(p: Any) -> Callable[..., Any]:
        return both(p.decode(bins, T), p.confidence)

    candidates = [
        *make.ours(ours),
        make.torch("torch softmax + topk", lambda p: both(p.decode_softmax(bins, T), p.confidence_topk)),
        make.torch("torch.compile, hand-fused", fused, "compiled"),
    ]
    if make.where.gpu:
        candidates += [make.cupy("CuPy", arrays), make.cupy("CuPy, fused planes", fused)]
    else:
        candidates.append(make.numpy("numpy, blocked", lambda p: blocked(arrays(p), outputs=3)))
    picture = compare.image(case.decoded, pick=compare.part(0, rows))
    moved = traffic.decode(case.size.pixels, bins.n, confidence=True)
    return case.case(
        "decode_confidence", moved, compare.every([picture, *confidence_checks(case.sample, 1)]), candidates
    )


@_each_size
def annealed_mean(setting: Setting, case: Logits) -> Case:
    bins, make = inputs.bins(), case.peers(setting, luma=False)
    expected = reference.annealed_mean(case.sample, bins, temperature=T, axis=0)

    def ours(backend: str) -> Callable[..., Any]:
        return lambda x: fastcolor.annealed_mean(x, bins, temperature=T, backend=backend)

    candidates = [
        *make.ours(ours, second=True),
        make.torch("torch eager", lambda p: p.annealed_softmax(bins, T)),
        make.torch("torch.compile, hand-fused", lambda p: p.annealed_stacked(bins, T), "compiled"),
    ]
    if make.where.gpu:
        candidates.append(make.cupy("CuPy", lambda p: p.annealed_mean(bins, T)))
        candidates.append(make.cupy("CuPy, fused planes", lambda p: p.annealed_planes(bins, T)))
    else:
        candidates.append(make.numpy("numpy", lambda p: p.annealed_mean(bins, T)))
    check = compare.close(expected, absolute=2e-6 if make.where.gpu else 1e-6, pick=_plane_rows)  # fast exp on a GPU
    return case.case("annealed_mean", traffic.annealed_mean(case.size.pixels, bins.n), check, candidates)


@_each_size
def confidence(setting: Setting, case: Logits) -> Case:
    make = case.peers(setting, luma=False)
    candidates = [
        *make.ours(lambda backend: lambda x: fastcolor.confidence(x, backend=backend)),
        make.torch("torch softmax + topk", lambda p: p.confidence_topk),
        make.torch("torch.compile, hand-fused", lambda p: p.confidence_planes, "compiled"),
    ]
    if make.where.gpu:
        candidates.append(make.cupy("CuPy", lambda p: p.confidence))
        candidates.append(make.cupy("CuPy, fused planes", lambda p: p.confidence_planes))
    else:
        candidates.append(make.numpy("numpy", lambda p: p.confidence))
    moved = traffic.confidence(case.size.pixels, inputs.bins().n)
    return case.case("confidence", moved, compare.every(confidence_checks(case.sample, 0)), candidates)
