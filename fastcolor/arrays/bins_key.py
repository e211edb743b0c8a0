"""Color bins as text, for torch's operators, whose arguments are tensors, numbers and text.

The text holds the content, not a handle: a compiled or exported program needs no object of the process that made it,
and equal bins are one constant.
"""

from __future__ import annotations

import base64
import math
import zlib
from functools import cache
from typing import Any

import numpy as np

from ..reference.bins import ColorBins, as_table, space_of
from ..reference.constants import MAX_BINS, MAX_CELLS

_FIELDS = (("table", "<u2"), ("colors", "<f4"), ("prior", "<f8"))


def key_of(bins: Any) -> str:
    """The text of `bins`; a :class:`fastcolor.ColorBins` has it ready, which torch.compile needs.

    Examples
    --------
    >>> bins = ColorBins(np.zeros((3, 3), np.uint8), np.zeros((1, 2), np.float32), np.ones(1))
    >>> from_key(key_of(bins)).table.shape
    (3, 3)
    """
    key: str | None = getattr(bins, "_key", None)
    return make_key(bins) if key is None else key


def make_key(bins: Any) -> str:
    """``"space n K content"``."""
    content = b"".join(np.ascontiguousarray(getattr(bins, name), dtype).tobytes() for name, dtype in _FIELDS)
    text = base64.b85encode(zlib.compress(content)).decode()
    return f"{space_of(bins)} {len(bins.colors)} {len(bins.table)} {text}"


@cache
def from_key(key: str) -> ColorBins:
    """The bins that :func:`make_key` described: one object for each text, which kernels know by it."""
    space, count, side, text = key.split(" ")
    n, cells = int(count), int(side)
    if not (1 <= n <= MAX_BINS and 1 <= cells <= MAX_CELLS):
        raise ValueError(f"expected the text of color bins, got one of {n} bins of {cells} x {cells} cells")
    shapes = (cells, cells), (n, 2), (n,)
    sizes = [math.prod(shape) * np.dtype(dtype).itemsize for shape, (_, dtype) in zip(shapes, _FIELDS, strict=True)]
    content = zlib.decompressobj().decompress(base64.b85decode(text), sum(sizes))  # never more, whatever is in it
    arrays, start = [], 0
    for shape, size, (_, dtype) in zip(shapes, sizes, _FIELDS, strict=True):
        arrays.append(np.frombuffer(content[start : start + size], dtype).reshape(shape))
        start += size
    table = as_table(arrays[0], n)
    table.flags.writeable = False
    bins = ColorBins(table, arrays[1], arrays[2], space=space)
    object.__setattr__(bins, "_key", key)  # their arrays are read-only, as those of fastcolor.ColorBins
    return bins
