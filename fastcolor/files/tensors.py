"""What a safetensors file says is in it, before any of it is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_HEADER = 16 << 20  # bytes; the network of EfficientNet-Lite0 has 40 kB, with moments 100 kB
FLOATS = ("F16", "BF16", "F32", "F64")


class Stored(NamedTuple):
    """A tensor in a file: its type in the format's own words, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    def is_floating_point(self) -> bool:
        """Whether it is of a type that can be computed with as floats."""
        return self.dtype in FLOATS


def look_into(path: str | os.PathLike[str]) -> tuple[dict[str, Stored], dict[str, str]]:
    """The tensors of a file by name, and its metadata: nothing but the header is read.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no safetensors file, or damaged, or its header is longer than 16 MiB; says what was found, not where.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file() and Path(path).exists():  # a pipe or a device never ends
        raise ValueError("no regular file")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise ValueError(f"a header of {length} bytes; expected at most {LARGEST_HEADER}")
    try:
        with safe_open(path, framework="np") as tensors:
            found = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 (not a dict)
            stored = {name: Stored(one.get_dtype(), tuple(one.get_shape())) for name, one in found.items()}
            return stored, tensors.metadata() or {}
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def read_tensors(path: str | os.PathLike[str], names: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of these names, which :func:`look_into` has found; raises as it does."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as tensors:
            return {name: tensors.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(str(error)) from error
