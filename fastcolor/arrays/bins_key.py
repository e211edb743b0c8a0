"""Color bins as text, for torch's operators, whose arguments are tensors, numbers and text.

The text holds the content, not a handle: a compiled or exported program needs no object of the process that made it,
and equal bins are one constant.
"""

from __future__ import annotations

import base64
import zlib
from functools import cache
from typing import Any

import numpy as np

from ..reference.bins import ColorBins, as_table, space_of

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
    space, n, cells, text = key.split(" ")
    content = zlib.decompress(base64.b85decode(text))
    arrays, start = [], 0
    for shape, (_, dtype) in zip(((int(cells),) * 2, (int(n), 2), (int(n),)), _FIELDS, strict=True):
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(content, dtype, count, start).reshape(shape))
        start += count * np.dtype(dtype).itemsize
    table = as_table(arrays[0], int(n))
    table.flags.writeable = False
    bins = ColorBins(table, arrays[1], arrays[2], space=space)
    object.__setattr__(bins, "_key", key)  # their arrays are read-only, as those of fastcolor.ColorBins
    return bins
