"""Suites ``decode``, ``decode_confidence``, ``annealed_mean`` and ``confidence``: one pass over the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

from . import bytes as traffic
from . import compare, inputs, peers_numpy
from .cases import Candidate, Case, Check, Run, Setting

T = 0.38
STEP = 37  # the answer is compared on every STEP-th row: a prime, so that no block size hides behind it
ROWS = slice(None, None, STEP)


def _side(setting: Setting) -> int:
    return 512 if setting.quick else 1024


def _rows(answer: Any) -> np.ndarray:
    return np.asarray(answer)[ROWS]


def _plane_rows(answer: Any) -> np.ndarray:
    return np.asarray(answer)[:, ROWS]


def _torch(build: Callable[[Any], Any], mode: str, *arrays: np.ndarray) -> Run:
    """A torch peer on tensors that share the arrays' memory; `mode` is "eager" or "compiled"."""
    from . import peers_torch as p

    return getattr(p, mode)(build(p), *map(p.tensor, arrays))


def decode(setting: Setting) -> Iterator[Case]:
    """Logits and luma to RGB: planar float32 first, then other types, layouts and sizes."""
    side = _side(setting)
    yield _planar(setting, side, "planar float32", main=True)
    if setting.main_only:
        return
    yield _half(side)
    yield _channels_last(side)
    yield _planar(setting, 256, "256x256 float32", main=False)


def _check_rgb(x: np.ndarray, y: np.ndarray, axis: int = 0) -> Check:
    """At most one level apart, and only at rounding ties."""
    part = x[:, ROWS] if axis == 0 else x[ROWS]
    return compare.image(reference.decode(part, y[ROWS], inputs.bins(), temperature=T, axis=axis), pick=_rows)


def _planar(setting: Setting, side: int, name: str, main: bool) -> Case:
    bins = inputs.bins()
    x, y = inputs.logits(side, side), inputs.yuv(side, side)[0]
    blocked = peers_numpy.blocked(peers_numpy.decode(bins, T))
    candidates = [
        Candidate("fastcolor", lambda: lambda: fastcolor.decode(x, y, bins, temperature=T), ours=True),
        Candidate("numpy, blocked", lambda: lambda: blocked(x, y)),
        Candidate("torch eager", lambda: _torch(lambda p: p.decode_softmax(bins, T), "eager", x, y), ("torch",)),
        Candidate(
            "torch.compile, hand-fused",
            lambda: _torch(lambda p: p.decode_planes(bins, T), "compiled", x, y),
            ("torch",),
        ),
    ]
    if main and not setting.main_only:
        whole = peers_numpy.decode(bins, T)
        candidates += [
            Candidate("numpy", lambda: lambda: whole(x, y)),
            Candidate(
                "torch eager, blocked", lambda: _torch(lambda p: p.decode_blocked(bins, T), "eager", x, y), ("torch",)
            ),
            Candidate(
                "torch.compile", lambda: _torch(lambda p: p.decode_softmax(bins, T), "compiled", x, y), ("torch",)
            ),
            Candidate(
                "torch.compile, weighted sums",
                lambda: _torch(lambda p: p.decode_sums(bins, T), "compiled", x, y),
                ("torch",),
            ),
        ]
    return Case(
        suite="decode",
        name=name,
        shape=f"{bins.n}x{side}x{side}",
        dtype="float32",
        layout="planar",
        pixels=side * side,
        traffic=traffic.decode(side * side, bins.n),
        check=_check_rgb(x, y),
        candidates=tuple(candidates),
        main=main,
    )


def _half(side: int) -> Case:
    """float16 logits: the reference decodes the same rounded values."""
    bins = inputs.bins()
    x, y = inputs.logits(side, side).astype(np.float16), inputs.yuv(side, side)[0]
    blocked = peers_numpy.blocked(peers_numpy.decode(bins, T))
    return Case(
        suite="decode",
        name="planar float16",
        shape=f"{bins.n}x{side}x{side}",
        dtype="float16",
        layout="planar",
        pixels=side * side,
        traffic=traffic.decode(side * side, bins.n, logit_bytes=2),
        check=_check_rgb(x, y),
        candidates=(
            Candidate("fastcolor", lambda: lambda: fastcolor.decode(x, y, bins, temperature=T), ours=True),
            Candidate("numpy, blocked", lambda: lambda: blocked(x, y)),
            Candidate("torch eager", lambda: _torch(lambda p: p.decode_softmax(bins, T), "eager", x, y), ("torch",)),
            Candidate(
                "torch.compile, hand-fused",
                lambda: _torch(lambda p: p.decode_planes(bins, T), "compiled", x, y),
                ("torch",),
            ),
        ),
    )


def _channels_last(side: int) -> Case:
    """Bins adjacent in memory, as a channels-last network gives them."""
    bins = inputs.bins()
    x = np.ascontiguousarray(np.moveaxis(inputs.logits(side, side), 0, -1))
    y = inputs.yuv(side, side)[0]
    return Case(
        suite="decode",
        name="channels-last float32",
        shape=f"{side}x{side}x{bins.n}",
        dtype="float32",
        layout="channels-last",
        pixels=side * side,
        traffic=traffic.decode(side * side, bins.n),
        check=_check_rgb(x, y, axis=-1),
        candidates=(
            Candidate("fastcolor", lambda: lambda: fastcolor.decode(x, y, bins, temperature=T, axis=-1), ours=True),
            Candidate(
                "torch eager", lambda: _torch(lambda p: p.decode_softmax(bins, T, -1), "eager", x, y), ("torch",)
            ),
            Candidate(
                "torch.compile", lambda: _torch(lambda p: p.decode_softmax(bins, T, -1), "compiled", x, y), ("torch",)
            ),
            Candidate(
                "torch.compile, weighted sums",
                lambda: _torch(lambda p: p.decode_sums(bins, T, -1), "compiled", x, y),
                ("torch",),
            ),
        ),
    )


def _confidence_checks(x: np.ndarray, first: int) -> list[Check]:
    top, ratio = reference.confidence(x[:, ROWS], axis=0)
    return [
        compare.close(top, absolute=1e-5, pick=compare.part(first, _rows)),
        compare.close(ratio, relative=2e-5, pick=compare.part(first + 1, _rows)),
    ]


def decode_confidence(setting: Setting) -> Iterator[Case]:
    """RGB, top probability and its ratio to the second, in one call."""
    side, bins = _side(setting), inputs.bins()
    x, y = inputs.logits(side, side), inputs.yuv(side, side)[0]
    expected = reference.decode(x[:, ROWS], y[ROWS], bins, temperature=T)
    blocked = peers_numpy.blocked(peers_numpy.decode_confidence(bins, T), outputs=3)

    def torch_peer(decode: str, confidence: str, mode: str) -> Candidate:
        name = {"eager": "torch softmax + topk", "compiled": "torch.compile, hand-fused"}[mode]

        def build(p: Any) -> Any:
            return p.decode_confidence(getattr(p, decode)(bins, T), getattr(p, confidence))

        return Candidate(name, lambda: _torch(build, mode, x, y), ("torch",))

    yield Case(
        suite="decode_confidence",
        name="planar float32",
        shape=f"{bins.n}x{side}x{side}",
        dtype="float32",
        layout="planar",
        pixels=side * side,
        traffic=traffic.decode(side * side, bins.n, confidence=True),
        check=compare.every([compare.image(expected, pick=compare.part(0, _rows)), *_confidence_checks(x, 1)]),
        main=True,
        candidates=(
            Candidate(
                "fastcolor", lambda: lambda: fastcolor.decode(x, y, bins, temperature=T, confidence=True), ours=True
            ),
            Candidate("numpy, blocked", lambda: lambda: blocked(x, y)),
            torch_peer("decode_softmax", "confidence_topk", "eager"),
            torch_peer("decode_planes", "confidence_planes", "compiled"),
        ),
    )


def annealed_mean(setting: Setting) -> Iterator[Case]:
    """Chroma alone."""
    side, bins = _side(setting), inputs.bins()
    x = inputs.logits(side, side)
    whole = peers_numpy.annealed_mean(bins, T)
    expected = reference.annealed_mean(x[:, ROWS], bins, temperature=T, axis=0)
    yield Case(
        suite="annealed_mean",
        name="planar float32",
        shape=f"{bins.n}x{side}x{side}",
        dtype="float32",
        layout="planar",
        pixels=side * side,
        traffic=traffic.annealed_mean(side * side, bins.n),
        check=compare.close(expected, absolute=1e-6, pick=_plane_rows),
        main=True,
        candidates=(
            Candidate("fastcolor", lambda: lambda: fastcolor.annealed_mean(x, bins, temperature=T), ours=True),
            Candidate("numpy", lambda: lambda: whole(x)),
            Candidate("torch eager", lambda: _torch(lambda p: p.annealed_softmax(bins, T), "eager", x), ("torch",)),
            Candidate(
                "torch.compile, hand-fused",
                lambda: _torch(lambda p: p.annealed_stacked(bins, T), "compiled", x),
                ("torch",),
            ),
        ),
    )


def confidence(setting: Setting) -> Iterator[Case]:
    """The two confidence maps alone."""
    side, n = _side(setting), inputs.bins().n
    x = inputs.logits(side, side)
    yield Case(
        suite="confidence",
        name="planar float32",
        shape=f"{n}x{side}x{side}",
        dtype="float32",
        layout="planar",
        pixels=side * side,
        traffic=traffic.confidence(side * side, n),
        check=compare.every(_confidence_checks(x, 0)),
        main=True,
        candidates=(
            Candidate("fastcolor", lambda: lambda: fastcolor.confidence(x), ours=True),
            Candidate("numpy", lambda: lambda: peers_numpy.confidence(x)),
            Candidate("torch softmax + topk", lambda: _torch(lambda p: p.confidence_topk, "eager", x), ("torch",)),
            Candidate(
                "torch.compile, hand-fused", lambda: _torch(lambda p: p.confidence_planes, "compiled", x), ("torch",)
            ),
        ),
    )
