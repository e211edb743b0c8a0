"""What an NVIDIA H200 said at commit 55c22d5, by the names of the page's cases: microseconds for 1 and 8 MP, and the
machine code for sm_90 that it ran.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).resolve().parent.parent / "bench/results/all--nvidia-h200--cuda.json"
SIZES = ("1024x1024", "2048x4096")
# Suite, and case before its size.
_CASES = {
    "encode, interleaved, uint8 labels": ("encode", "uint8 photo"),
    "histogram, interleaved": ("histogram", "uint8 photo"),
    "decode, planar, float32": ("decode", "planar float32"),
    "decode with confidence, planar, float32": ("decode_confidence", "planar float32"),
    "annealed mean, planar, float32": ("annealed_mean", "planar float32"),
    "confidence, planar, float32": ("confidence", "planar float32"),
    "decode, channels-last, float32": ("decode", "channels-last float32"),
    "decode, planar, float16": ("decode", "planar float16"),
    "decode, channels-last, float16": ("decode", "channels-last float16"),
    "merge, float32 luma": ("merge", "float32 luma"),
    "merge, uint8 luma": ("merge", "uint8 luma"),
}


class Code(NamedTuple):
    """An instance on one architecture."""

    pixels: int  # a thread
    registers: int
    warps: int
    in_flight: int  # KiB a multiprocessor


BEFORE = {
    "histogram, interleaved": Code(64, 64, 32, 48),
    "merge, uint8 luma": Code(8, 45, 40, 70),
    "decode, planar, float32": Code(4, 146, 12, 192),
    "decode with confidence, planar, float32": Code(4, 238, 8, 132),
    "annealed mean, planar, float32": Code(4, 140, 12, 192),
    "confidence, planar, float32": Code(4, 168, 12, 192),
    "decode, planar, float16": Code(8, 206, 8, 132),
    "decode with confidence, planar, float16": Code(8, 217, 8, 136),
    "annealed mean, planar, float16": Code(8, 168, 12, 192),
    "confidence, planar, float16": Code(8, 184, 8, 128),
}


def microseconds() -> dict[str, tuple[float, ...]]:
    """Of each case that was timed, 1 and 8 MP."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
    timed = {(r["suite"], r["case"]): 1e6 * r["median_s"] for r in results if r["candidate"] == "fastcolor"}
    return {name: tuple(timed[suite, f"{case}, {size}"] for size in SIZES) for name, (suite, case) in _CASES.items()}
