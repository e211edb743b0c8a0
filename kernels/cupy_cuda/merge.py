"""Merge on a GPU: the launch of ``merge.cu``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..common import face
from ..common.device_arrays import contiguous
from .engine import Engine, index_type, scalar_type

THREADS = 256  # as in merge.cu


@face.merge
def merge(engine: Engine, chroma: Any, luma: Any, space: str, rgb: Any) -> None:
    images, height, width = luma.shape
    with engine.context(luma):
        chroma, luma = contiguous(chroma), contiguous(luma)
        sizes = ((chroma.shape[2], height), (chroma.shape[3], width))
        groups = (16, 8) if luma.itemsize == 1 else (8,)
        group = next((group for group in groups if _is_wide(*sizes[1], group)), 4)
        blocks = -(-height * width // (group * THREADS))
        farthest = max((2 * want + 2) * have + 2 * want for have, want in sizes)
        most = images * max(3 * (height * width + group * THREADS), chroma.shape[2] * chroma.shape[3] * 2)
        index = index_type(max(most, farthest))
        integer = np.uint32 if index == "fc::u32" else np.uint64
        rows, columns = (axis(*size, group, integer) for size in sizes)
        args = (chroma, rows, columns, luma, integer(height * width), rgb, np.uint32(blocks))
        kinds = (scalar_type(luma), group, str(space == "lab").lower(), str(images > 1).lower(), index)
        engine.launch(luma, "merge", f"fc::merge<{', '.join(map(str, kinds))}>", images * blocks, THREADS, args)


@lru_cache(maxsize=256)
def axis(have: int, want: int, group: int, integer: Any = np.uint32) -> Any:
    """``fc::Axis``: where `want` pixels lie between `have` samples, in integers.

    Examples
    --------
    >>> a = axis(2, 3, 4)[0]
    >>> [4 * int(a["scale"]) >> int(a["shift"]), 6 * int(a["scale"]) >> int(a["shift"])]
    [0, 1]
    """
    names = ("have", "want", "first", "first_rest", "step", "step_rest")
    kinds = [*((name, integer) for name in names), ("scale", "u4"), ("shift", "u4"), ("unit", "f4"), ("wide", "u4")]
    places = (*divmod(have + want, 2 * want), *divmod(2 * have, 2 * want))
    values = (have, want, *places, *_reciprocal(2 * want), 0.5 / want, _is_wide(have, want, group))
    return np.array([values], np.dtype(kinds, align=True))


def _is_wide(have: int, want: int, group: int) -> bool:
    """Whether `group` pixels in a row lie among three samples, and positions are exact in float32."""
    return have >= 3 and (group - 1) * have < want and 2 * (want + have) <= 1 << 24


def _reciprocal(divisor: int) -> tuple[int, int]:
    """(m, s) with ``n // divisor = n m >> s`` for 0 <= n < 2^31 and divisors below 2^32.

    m is 2^s / divisor rounded up to an integer above, which makes the quotient too large by less than n / 2^s, and
    that is at most 1 / divisor. 64-bit instances divide, so that only the low bits of m matter for larger divisors.
    """
    shift = 31 + (divisor - 1).bit_length()
    return ((1 << shift) // divisor + 1) & 0xFFFFFFFF, shift
