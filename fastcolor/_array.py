"""NumPy, torch and CuPy arrays seen alike: what kind one is, a NumPy view of it, a new one of the same kind.

Asking "is this a torch tensor?" never imports torch: an array of a library exists only if its owner imported that
library, so the class is looked up in ``sys.modules``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLASSES = {"numpy": ("numpy", "ndarray"), "torch": ("torch", "Tensor"), "cupy": ("cupy", "ndarray")}


def kind(array: Any) -> str | None:
    """``"numpy"``, ``"torch"`` or ``"cupy"``; None for anything else.

    Examples
    --------
    >>> kind(np.zeros(3)), kind([0, 0, 0])
    ('numpy', None)
    """
    for name, (module, cls) in _CLASSES.items():
        if module in sys.modules and isinstance(array, getattr(sys.modules[module], cls, ())):
            return name
    return None


def device(array: Any) -> str:
    """``"cpu"``, ``"cuda:0"``, ...: where the array lies.

    Examples
    --------
    >>> device(np.zeros(3))
    'cpu'
    """
    which = kind(array)
    if which == "torch":
        return str(array.device)
    return f"cuda:{array.device.id}" if which == "cupy" else "cpu"


def dtype_name(array: Any) -> str:
    """The dtype's name without its library: ``"float32"``, ``"bfloat16"``, ...

    Examples
    --------
    >>> dtype_name(np.zeros(3, np.uint8))
    'uint8'
    """
    return str(array.dtype).removeprefix("torch.") if kind(array) == "torch" else array.dtype.name


def as_numpy(array: Any) -> NDArray[Any]:
    """A NumPy view of a CPU array, without a copy; bfloat16 becomes uint16 bit patterns (NumPy has no bfloat16).

    Only a NumPy array of foreign byte order is copied.
    """
    if kind(array) == "torch":
        torch = sys.modules["torch"]
        array = array.detach().resolve_neg()
        return (array.view(torch.uint16) if array.dtype == torch.bfloat16 else array).numpy()
    array = np.asarray(array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """A new C-contiguous array of the kind and on the device of `like`, allocated by its own library.

    Examples
    --------
    >>> empty(np.zeros(3), (2, 0), "float32").shape
    (2, 0)
    """
    if kind(like) == "torch":
        torch = sys.modules["torch"]
        return torch.empty(shape, dtype=getattr(torch, dtype), device=like.device)
    if kind(like) == "cupy":
        return sys.modules["cupy"].empty(shape, dtype=dtype)
    return np.empty(shape, dtype=dtype)
