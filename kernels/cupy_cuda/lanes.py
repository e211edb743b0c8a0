"""How the lanes of a warp share out a pixel's logits, all of which they hold: the layouts of ``lanes.cuh``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .engine import scalar_type
from .tile import THREADS, Pass

FEW = 32  # planes that one lane holds
_PLANES, _BINS = 20, 8  # that a lane holds of more planes, and of a row
_ROWS = (
    (16, 8),
    (32, 4),
    (64, 2),
)  # bytes that a lane holds of a row, and so many rows at once, else one: as in lanes.cuh


def lanes(run: Pass, instance: Callable[[str], str], in_memory: Iterable[Any], most: int = 8) -> tuple[str, int]:
    """The instance of a kernel, ``instance(layout)``, that fits the logits of `run`, and its blocks.

    `in_memory` are all arrays that it reads or writes by more than one pixel, or bin of a row, at a time; its registers
    suffice for `most` pixels of a plane.
    """
    n, size = run.n, run.x.itemsize
    least = -(-n // _BINS) if run.last else 1 if n <= FEW else -(-n // _PLANES)
    wide = 16 // size if run.last else run.widths["planar"] if least == 1 else min(most, 16 // size)
    group = min(32, max(4 if run.last else 1, 1 << (least - 1).bit_length()))

    def held(each: int) -> int:
        """Bins a lane, whole packs of a row."""
        return each * -(-n // (each * group)) if run.last else -(-n // group)

    def layout(each: int) -> str:
        words = scalar_type(run.x), group, held(each), each, run.index
        return f"fc::{'Rows' if run.last else 'Planes'}<{', '.join(map(str, words))}>"

    def expression(each: int) -> str:
        return instance(layout(each))

    each = run.engine.pixels_each(run.x, run.name, expression, wide, n if run.last else run.count, in_memory)
    pixels = each if not run.last else next((rows for bytes_, rows in _ROWS if held(each) * size <= bytes_), 1)
    return expression(each), -(-run.pixels // (THREADS // group * pixels))
