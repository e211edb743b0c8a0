"""NumPy, torch and CuPy arrays seen alike: what kind one is, what kernels take of it, a new one of the same kind.

Asking "is this a torch tensor?" never imports torch: an array of a library exists only if its owner imported that
library, so the class is looked up in ``sys.modules``.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def kind(array: Any) -> str | None:
    """``"numpy"``, ``"torch"`` or ``"cupy"``; None for anything else.

    Examples
    --------
    >>> kind(np.zeros(3)), kind([0, 0, 0])
    ('numpy', None)
    """
    if isinstance(array, np.ndarray):
        return "numpy"
    if "torch" in sys.modules and isinstance(array, getattr(sys.modules["torch"], "Tensor", ())):
        return "torch"
    if "cupy" in sys.modules and isinstance(array, getattr(sys.modules["cupy"], "ndarray", ())):
        return "cupy"
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
    return str(array.dtype).removeprefix("torch.") if kind(array) == "torch" else _numpy_name(array.dtype)


@cache
def _numpy_name(dtype: Any) -> str:
    """Kept, for NumPy takes several microseconds to find it; CuPy's dtypes are NumPy's."""
    name: str = dtype.name
    return name


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


def native(array: Any) -> Any:
    """What kernels take: a NumPy view of a CPU array; a CUDA tensor without its graph, or a CuPy array, as it is.

    Examples
    --------
    >>> native(np.arange(3)).tolist()
    [0, 1, 2]
    """
    if device(array) == "cpu":
        return as_numpy(array)
    return array.detach().resolve_neg() if kind(array) == "torch" else array


def adopt(like: Any, result: Any) -> Any:
    """An array that a kernel has made, as the kind of `like`: the way back from :func:`native`, without a copy.

    Examples
    --------
    >>> adopt(np.zeros(3), np.arange(2)).tolist()
    [0, 1]
    """
    foreign = kind(like) == "torch" and kind(result) == "numpy"
    return sys.modules["torch"].from_numpy(result) if foreign else result


def cast(array: Any, dtype: str) -> Any:
    """`array` with another dtype, of the same kind and on the same device.

    Examples
    --------
    >>> cast(np.zeros(3), "float32").dtype
    dtype('float32')
    """
    if kind(array) == "torch":
        return array.to(getattr(sys.modules["torch"], dtype))
    with _current(array):
        return array.astype(dtype)


def empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """A new C-contiguous array of the kind and on the device of `like`, allocated by its own library.

    Examples
    --------
    >>> empty(np.zeros(3), (2, 0), "float32").shape
    (2, 0)
    """
    return _new("empty", like, shape, dtype)


def zeros(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """:func:`empty`, filled with zeros.

    Examples
    --------
    >>> zeros(np.zeros(3), (2,), "int64")
    array([0, 0])
    """
    return _new("zeros", like, shape, dtype)


def _new(maker: str, like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    which = kind(like) or "numpy"
    library = sys.modules[which]
    if which == "torch":
        return getattr(library, maker)(shape, dtype=getattr(library, dtype), device=like.device)
    with _current(like):
        return getattr(library, maker)(shape, dtype=dtype)


def _current(array: Any) -> AbstractContextManager[Any]:
    """Makes the device of a CuPy array the current one, on which CuPy allocates; nothing for other kinds."""
    return sys.modules["cupy"].cuda.Device(array.device.id) if kind(array) == "cupy" else nullcontext()


def levels(array: Any) -> list[Any]:
    """A torch tensor as each transform of torch.func around it (vmap, grad, jvp) sees it, the inner ones first.

    Examples
    --------
    >>> import torch
    >>> torch.func.grad(lambda x: (x * len(levels(x))).sum())(torch.zeros(1))
    tensor([2.])
    """
    seen, torch = [array], sys.modules["torch"]
    if not torch.compiler.is_compiling():
        while torch._C._functorch.is_functorch_wrapped_tensor(seen[-1]):
            seen.append(torch._C._functorch.get_unwrapped(seen[-1]))
    return seen


def has_tangent(array: Any) -> bool:
    """Whether a torch tensor carries a derivative of forward mode, of torch.autograd.forward_ad or torch.func.jvp.

    Examples
    --------
    >>> import torch
    >>> has_tangent(torch.zeros(1))
    False
    """
    torch = sys.modules["torch"]
    forward_ad, batched = torch.autograd.forward_ad, torch._C._functorch.is_batchedtensor
    if forward_ad._current_level < 0:
        return False
    return any(forward_ad.unpack_dual(level).tangent is not None for level in levels(array) if not batched(level))


def overlaps(array: Any) -> bool:
    """Whether elements share memory, as far as strides tell: each must step over all that the smaller ones reach.

    Strides that interlace without meeting count as well; no library makes such an array unasked.

    Examples
    --------
    >>> overlaps(np.zeros((2, 3)).T), overlaps(np.broadcast_to(0, (2, 3)))
    (False, True)
    """
    if 0 in array.shape:
        return False
    strides, reach = (array.stride(), 1) if kind(array) == "torch" else (array.strides, array.itemsize)
    for stride, size in sorted((abs(stride), size) for stride, size in zip(strides, array.shape, strict=True)):
        if size > 1 and stride < reach:
            return True
        reach += stride * (size - 1)
    return False


def traced(array: Any) -> bool:
    """Whether torch must see what happens to `array`: under torch.compile and torch.export, with fake tensors.

    Modes that watch each operation, transforms such as vmap, and subclasses of Tensor count as well: what reading
    memory would mean is for them to say.

    Examples
    --------
    >>> traced(np.zeros(3))
    False
    """
    if kind(array) != "torch":
        return False
    torch = sys.modules["torch"]
    return (
        torch.compiler.is_compiling()
        or type(array) not in (torch.Tensor, torch.nn.Parameter)
        or torch._C._len_torch_dispatch_stack() > 0
        or transformed()
    )


def transformed() -> bool:
    """Whether this call is within a transform of torch.func (vmap, grad, jvp), which a compiler does not look into."""
    torch = sys.modules["torch"]
    return not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None
