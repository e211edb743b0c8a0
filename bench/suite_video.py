"""Suites ``temporal`` and ``merge``: video frames, and a photograph's full-resolution luma."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

from . import bytes as traffic
from . import compare, inputs, peers_numpy, peers_other
from .cases import Candidate, Case, Check, Run, Setting
from .suite_decode import ROWS, T, _rows

ALPHA, WINDOW = 0.2, 20
FRAMES = WINDOW + 3  # before the check: the ring has wrapped around, and old frames are being subtracted
UINT8_LEVELS = 3  # what a ring of 255 steps may cost, of 255


def temporal(setting: Setting) -> Iterator[Case]:
    """Smoothing and decoding of a 960x540 stream, window 20, in the steady state."""
    height, width = (180, 320) if setting.quick else (540, 960)
    bins, pixels = inputs.bins(), height * width
    frames = [inputs.logits(height, width, seed) for seed in (0, 1)]
    luma = inputs.yuv(height, width)[0]
    exact, coarse = _temporal_checks(frames, luma)

    def ours(ring: str) -> Run:
        smoother = fastcolor.TemporalSmoother(bins, alpha=ALPHA, window=WINDOW, temperature=T, ring=ring)
        calls = iter(range(1 << 62))
        return lambda: smoother.step(frames[next(calls) % 2], luma)

    def torch_peer(kind: str) -> Run:
        import torch

        from . import peers_temporal as p

        settings = (bins, T, ALPHA, WINDOW)
        steps: dict[str, tuple[Any, torch.dtype]] = {
            "eager": (lambda: p.step_eager(*settings), torch.float32),
            "wide": (lambda: p.compile_step(p.step_wide(*settings)), torch.float32),
            "planes": (lambda: p.compile_step(p.step_planes(*settings, levels=255)), torch.uint8),
        }
        step, dtype = steps[kind]
        smoother = p.Smoother(step(), frames[0].shape, WINDOW, dtype)
        return p.running(smoother, [torch.from_numpy(frame) for frame in frames], torch.from_numpy(luma))

    candidates = [
        Candidate("fastcolor, uint8 ring", lambda: ours("uint8"), ours=True, check=coarse),
        Candidate("fastcolor, float16 ring", lambda: ours("float16"), ours=True, check=coarse),
        Candidate("fastcolor, float32 ring", lambda: ours("float32"), ours=True),
        Candidate("torch eager, float32 ring", lambda: torch_peer("eager"), ("torch",)),
        Candidate("torch.compile, float32 ring", lambda: torch_peer("wide"), ("torch",)),
    ]
    if not setting.main_only:  # it takes longest of all to compile, and is no faster than the one before
        hand_fused = "torch.compile, hand-fused, uint8 ring"
        candidates.append(Candidate(hand_fused, lambda: torch_peer("planes"), ("torch",), check=coarse))
    yield Case(
        suite="temporal",
        name="960x540" if not setting.quick else "320x180",
        shape=f"{bins.n}x{height}x{width}",
        dtype="float32",
        layout="planar",
        pixels=pixels,
        traffic=traffic.temporal(pixels, bins.n, ring_bytes=1),
        check=exact,
        calls=FRAMES,
        main=True,
        candidates=tuple(candidates),
    )


def _temporal_checks(frames: list[np.ndarray], luma: np.ndarray) -> tuple[Check, Check]:
    """The last frame before timing against the reference's: exact rings, and rings of few bits."""
    smoother = reference.TemporalSmoother(inputs.bins(), alpha=ALPHA, window=WINDOW, temperature=T)
    parts = [frame[:, ROWS] for frame in frames]
    for frame in range(FRAMES):
        expected = smoother.step(parts[frame % 2], luma[ROWS])
    return compare.image(expected, pick=_rows), compare.image(expected, UINT8_LEVELS, ties=1.0, pick=_rows)


def merge(setting: Setting) -> Iterator[Case]:
    """256x256 chroma on a 12-megapixel luma: float32 as a network's pipeline has it, uint8 as a photograph has it."""
    height, width = (1500, 2000) if setting.quick else (3000, 4000)
    chroma = np.ascontiguousarray(inputs.yuv(256, 256)[1:])
    unit = inputs.yuv(height, width)[0].copy()
    inputs.yuv.cache_clear()
    for luma, name in ((unit, "float32 luma"), (reference.to_uint8(unit), "uint8 luma")):
        main = luma.dtype == np.float32
        if main or not setting.main_only:
            yield _merge(chroma, luma, name, main)


def _merge(chroma: np.ndarray, luma: np.ndarray, name: str, main: bool) -> Case:
    height, width = luma.shape

    def torch_peer(kind: str) -> Run:
        from . import peers_torch as p

        arrays = p.tensor(chroma), p.tensor(luma)
        if kind == "hand-fused":
            return p.compiled(p.merge_rows(chroma.shape, luma.shape), *arrays)
        return (p.eager if kind == "eager" else p.compiled)(p.merge, *arrays)

    rows = peers_numpy.merge(chroma.shape, luma.shape)
    full = reference.upsample(chroma, height, width)[:, ROWS]
    candidates = [
        Candidate("fastcolor", lambda: lambda: fastcolor.merge(chroma, luma), ours=True),
        Candidate("numpy, row by row", lambda: lambda: rows(chroma, luma)),
        Candidate("torch.compile", lambda: torch_peer("compiled"), ("torch",)),
        Candidate("torch.compile, hand-fused", lambda: torch_peer("hand-fused"), ("torch",)),
        Candidate("OpenCV", lambda: peers_other.merge_opencv(chroma, luma), ("cv2",)),
        Candidate(
            "OpenCV, 8 bits",
            lambda: peers_other.merge_opencv_uint8(chroma, luma),
            ("cv2",),
            inexact="chroma quantised to 8 bits and cut off at half of V's range",
        ),
    ]
    if main:
        candidates += [
            Candidate("torch eager", lambda: torch_peer("eager"), ("torch",), slow=True),
            Candidate("scikit-image", lambda: peers_other.merge_skimage(chroma, luma), ("skimage",), slow=True),
        ]
    return Case(
        suite="merge",
        name=name,
        shape=f"2x256x256 on {height}x{width}",
        dtype=str(luma.dtype),
        layout="planar",
        pixels=height * width,
        traffic=traffic.merge(height * width, 256 * 256, luma.dtype.itemsize),
        check=compare.image(reference.join(_unit_rows(luma), np.moveaxis(full, 0, -1)), pick=_rows),
        candidates=tuple(candidates),
        main=main,
    )


def _unit_rows(luma: np.ndarray) -> np.ndarray:
    return luma[ROWS] / 255.0 if luma.dtype == np.uint8 else luma[ROWS].astype(np.float64)
