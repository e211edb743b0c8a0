"""Suites ``temporal`` and ``merge``: video frames, and a photograph's full-resolution luma."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

from .. import bytes as traffic
from ..cases import Candidate, Case, Check, Setting
from ..measure import device
from ..peers import other
from ..peers.color import Smoother
from ..peers.registry import Peers
from . import compare, inputs
from .decode import ROWS, T, rows
from .sizes import Size, sizes

ALPHA, WINDOW = 0.2, 20
FRAMES = WINDOW + 3  # before the check: the ring has wrapped around, and old frames are being subtracted
UINT8_LEVELS = 3  # what a ring of 255 steps may cost, of 255
MANY = 2 << 20  # pixels from which on only rings of bytes compete: one of float32 takes 2.7 GB a megapixel


def temporal(setting: Setting) -> Iterator[Case]:
    """Smoothing and decoding of a stream, window 20, in the steady state."""
    if device.place(setting.device).gpu:
        for size in sizes(setting, "stream"):
            yield _temporal(setting, size)
    else:
        height, width = (180, 320) if setting.quick else (540, 960)
        yield _temporal(setting, Size(height, width, f"{width}x{height}", main=True))


def _temporal(setting: Setting, size: Size) -> Case:
    bins = inputs.bins()
    frames = [inputs.logits(size.height, size.width, seed) for seed in (0, 1)]
    luma = inputs.yuv(size.height, size.width)[0]
    exact, coarse = _temporal_checks(frames, luma)
    make = Peers(setting, *frames, luma)
    settings, shape = (bins, T, ALPHA, WINDOW), frames[0].shape

    def ours(ring: str, **options: Any) -> list[Candidate]:
        def build(backend: str) -> Callable[..., Any]:
            smoother = fastcolor.TemporalSmoother(
                bins, alpha=ALPHA, window=WINDOW, temperature=T, ring=ring, backend=backend
            )
            return _alternating(smoother.step)

        made: list[Candidate] = make.ours(build, f", {ring} ring", **options)
        return made

    def torch_peer(name: str, step: str, ring: str, **options: Any) -> Candidate:
        def build(_: Any) -> Callable[..., Any]:
            import torch

            from ..peers import temporal as p

            function = getattr(p, step)(*settings, **({"levels": 255} if ring == "uint8" else {}))
            if step != "step_eager":  # the ring's frames are separate tensors, so that one graph serves all
                function = torch.compile(function, dynamic=False, fullgraph=True)
            past = [torch.zeros(shape, dtype=getattr(torch, ring)) for _ in range(WINDOW + 1)]
            return _alternating(Smoother(function, torch.zeros(shape), past))

        return make.torch(f"{name}{ring} ring", build, **options)

    def cupy_peer(p: Any) -> Callable[..., Any]:
        past = [p.xp.zeros(shape, np.float32) for _ in range(WINDOW + 1)]
        return _alternating(Smoother(p.step(*settings), p.xp.zeros(shape, np.float32), past))

    candidates = ours("uint8", check=coarse)
    if size.pixels < MANY:
        candidates += [
            *ours("float16", check=coarse),
            *ours("float32"),
            torch_peer("torch eager, ", "step_eager", "float32"),
            torch_peer("torch.compile, ", "step_wide", "float32"),
        ]
        candidates += [make.cupy("CuPy, fused steps, float32 ring", cupy_peer)] if make.where.gpu else []
    if not setting.main_only:  # it takes longest of all to compile, and is no faster than the one before on a CPU
        candidates.append(torch_peer("torch.compile, hand-fused, ", "step_planes", "uint8", check=coarse))
    array = f"{bins.n}x{size.height}x{size.width} float32 planar"
    moved = traffic.temporal(size.pixels, bins.n, ring_bytes=1)
    return size.case("temporal", array, moved, exact, candidates, calls=FRAMES)


def _alternating(step: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Each call is one frame: the first and the second take turns."""
    calls = iter(range(1 << 62))
    return lambda first, second, luma: step(second if next(calls) % 2 else first, luma)


def _temporal_checks(frames: list[np.ndarray], luma: np.ndarray) -> tuple[Check, Check]:
    """The last frame before timing against the reference's: exact rings, and rings of few bits."""
    smoother = reference.TemporalSmoother(inputs.bins(), alpha=ALPHA, window=WINDOW, temperature=T)
    parts = [frame[:, ROWS] for frame in frames]
    for frame in range(FRAMES):
        expected = smoother.step(parts[frame % 2], luma[ROWS])
    return compare.image(expected, pick=rows), compare.image(expected, UINT8_LEVELS, ties=1.0, pick=rows)


def merge(setting: Setting) -> Iterator[Case]:
    """256x256 chroma on a large luma: float32 as a network's pipeline has it, uint8 as a photograph has it."""
    chroma = np.ascontiguousarray(inputs.yuv(256, 256)[1:])
    gpu = device.place(setting.device).gpu
    height, width = (1500, 2000) if setting.quick else (3000, 4000)
    for size in sizes(setting, "luma") if gpu else [Size(height, width, "luma", main=True)]:
        unit = inputs.yuv(size.height, size.width)[0].copy()
        inputs.yuv.cache_clear()
        for luma in (unit, reference.to_uint8(unit)):
            main = luma.dtype == np.float32
            if main or not (setting.main_only or size.host):
                name = f"{luma.dtype} {size.name}"
                yield _merge(setting, chroma, luma, size._replace(name=name, main=size.main and main))


def _merge(setting: Setting, chroma: np.ndarray, luma: np.ndarray, size: Size) -> Case:
    make = Peers(setting, chroma, luma)
    shapes = chroma.shape, luma.shape
    full = reference.upsample(chroma, *luma.shape)[:, ROWS]
    unit = luma[ROWS] / 255.0 if luma.dtype == np.uint8 else luma[ROWS].astype(np.float64)
    candidates = [
        *make.ours(lambda backend: lambda c, y: fastcolor.merge(c, y, backend=backend)),
        make.torch("torch.compile", lambda p: p.merge, "compiled"),
        make.torch("torch.compile, hand-fused", lambda p: p.merge_rows(*shapes), "compiled"),
    ]
    if size.main or make.where.gpu:
        candidates.append(make.torch("torch eager", lambda p: p.merge, slow=True))
    if make.where.gpu:
        candidates.append(make.cupy("CuPy, rows and a fused lerp", lambda p: p.merge(*shapes)))
    else:
        eight = "chroma quantised to 8 bits and cut off at half of V's range"
        candidates += [
            make.numpy("numpy, row by row", lambda p: p.merge(*shapes)),
            make.other("OpenCV", "cv2", other.merge_opencv),
            make.other("OpenCV, 8 bits", "cv2", other.merge_opencv_uint8, inexact=eight),
        ]
        candidates += [make.other("scikit-image", "skimage", other.merge_skimage, slow=True)] if size.main else []
    array = f"2x256x256 on {size.height}x{size.width} {luma.dtype} planar"
    moved = traffic.merge(size.pixels, 256 * 256, luma.dtype.itemsize)
    check = compare.image(reference.join(unit, np.moveaxis(full, 0, -1)), pick=rows)
    return size.case("merge", array, moved, check, candidates)
