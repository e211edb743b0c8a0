"""NumPy, torch and CuPy arrays seen alike: each is looked at once, at the door, and all rooms share what was seen.

Asking "is this a torch tensor?" never imports torch: an array of a library exists only if its owner imported that
library, so the class is looked up in ``sys.modules``.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.common import device_arrays


class Seen(NamedTuple):
    """An array, and what was seen of it.

    Attributes
    ----------
    array : array
    kind : str
        "numpy", "torch" or "cupy".
    device : str
        "cpu", "cuda:0", ...: where it lies.
    dtype : str
        Without its library: "float32", "bfloat16", ...
    shape : tuple of int
    wants_gradient : bool
        Whether autograd records what happens to it.
    tangent : bool
        Whether it carries a derivative of forward mode.
    traced : bool
        Whether torch must see what happens to it, see :func:`is_traced`.
    """

    array: Any
    kind: str
    device: str
    dtype: str
    shape: tuple[int, ...]
    wants_gradient: bool = False
    tangent: bool = False
    traced: bool = False


def look(array: Any) -> Seen | None:
    """What is to be known of an array; None for anything that is none, and for one whose elements are not all there.

    Examples
    --------
    >>> look(np.zeros((2, 3), np.uint8))[1:5]
    ('numpy', 'cpu', 'uint8', (2, 3))
    >>> look([0, 0]) is None, look(np.ma.masked_invalid([0.0, np.nan])) is None
    (True, True)
    """
    if type(array) is np.ndarray:
        return _on_cpu(array, _name(array.dtype), array.shape)
    which = kind(array)
    if which is None or not is_dense(array, which):
        return None
    if which == "numpy":
        return _on_cpu(array, _name(array.dtype), array.shape)
    if which == "torch":
        dtype, shape = str(array.dtype)[len("torch.") :], tuple(array.shape)
        traced = is_traced(array)
        facts = _wants_gradient(array, traced), has_tangent(array), traced
        return Seen(array, which, str(array.device), dtype, shape, *facts)
    return Seen(array, which, f"cuda:{array.device.id}", _name(array.dtype), array.shape)


def is_dense(array: Any, which: str) -> bool:
    """Whether each element lies in memory and counts; not so with a mask, or in a sparse, packed or nested tensor."""
    if which == "numpy":
        return type(array) is np.ndarray or not isinstance(array, np.ma.MaskedArray)
    if which == "torch":
        torch = sys.modules["torch"]
        strided = array.layout is torch.strided and not array.is_nested
        return strided and (type(array) is torch.Tensor or not isinstance(array, torch.masked.MaskedTensor))
    return True


def kind(array: Any) -> str | None:
    """``"numpy"``, ``"torch"`` or ``"cupy"``; None for anything else.

    Examples
    --------
    >>> kind(np.zeros(3)), kind([0, 0, 0])
    ('numpy', None)
    """
    if isinstance(array, np.ndarray):
        return "numpy"
    for which, cls in (("torch", "Tensor"), ("cupy", "ndarray")):
        if which in sys.modules and isinstance(array, getattr(sys.modules[which], cls, ())):
            return which
    return None


def _on_cpu(array: NDArray[Any], dtype: str, shape: tuple[int, ...]) -> Seen:
    return tuple.__new__(Seen, (array, "numpy", "cpu", dtype, shape, False, False, False))  # half the time of Seen(...)


@cache
def _name(dtype: Any) -> str:
    """Kept, for NumPy takes several microseconds to find it; CuPy's dtypes are NumPy's."""
    name: str = dtype.name
    return name


def as_numpy(array: Any) -> NDArray[Any]:
    """A NumPy view of a CPU array, without a copy; bfloat16 becomes uint16 bit patterns (NumPy has no bfloat16).

    Only a NumPy array of foreign byte order is copied. One of a subclass, such as np.matrix, which would not be
    reshaped, is seen as a plain one.
    """
    if isinstance(array, np.ndarray):
        if type(array) is not np.ndarray:
            array = array.view(np.ndarray)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    torch, array = sys.modules["torch"], settled(array)
    return (array.view(torch.uint16) if array.dtype == torch.bfloat16 else array).numpy()


def settled(tensor: Any) -> Any:
    """A tensor without its graph, whose memory holds its elements: not their negatives, nor zeros that lie nowhere.

    Examples
    --------
    >>> import torch
    >>> settled(torch._neg_view(torch.ones(1))).numpy()
    array([-1.], dtype=float32)
    """
    if tensor.requires_grad or tensor.is_neg():
        tensor = tensor.detach().resolve_neg()
    return tensor.clone() if tensor._is_zerotensor() else tensor


def native(seen: Seen) -> Any:
    """What kernels take: a NumPy view of a CPU array; a CUDA tensor without its graph, or a CuPy array, as it is.

    Examples
    --------
    >>> native(look(np.arange(3))).tolist()
    [0, 1, 2]
    """
    if seen.device == "cpu":
        return as_numpy(seen.array)
    return settled(seen.array) if seen.kind == "torch" else seen.array


def native_as(seen: Seen, *dtypes: str) -> Any:
    """:func:`native` of an array of one of these dtypes; of any other, cast once to the last of them.

    Examples
    --------
    >>> native_as(look(np.zeros(3)), "uint8", "float32").dtype
    dtype('float32')
    """
    if seen.dtype in dtypes:
        return native(seen)
    return native(seen._replace(array=device_arrays.cast(seen.array, dtypes[-1])))


def adopt(like: Seen, result: Any) -> Any:
    """An array that a kernel has made, as the kind of `like`: the way back from :func:`native`, without a copy.

    Examples
    --------
    >>> adopt(look(np.zeros(3)), np.arange(2)).tolist()
    [0, 1]
    """
    foreign = like.kind == "torch" and isinstance(result, np.ndarray)
    return sys.modules["torch"].from_numpy(result) if foreign else result


def empty(like: Seen, shape: tuple[int, ...], dtype: str) -> Seen:
    """A new C-contiguous array of the kind and on the device of `like`, allocated by its own library.

    Examples
    --------
    >>> empty(look(np.zeros(3)), (2, 0), "float32").array.shape
    (2, 0)
    """
    if like.kind == "numpy":
        return _on_cpu(np.empty(shape, dtype), dtype, shape)
    if like.kind == "torch":
        torch = sys.modules["torch"]
        new = torch.empty(shape, dtype=getattr(torch, dtype), device=like.array.device)
    else:
        new = device_arrays.empty(like.array, shape, dtype)
    return Seen(new, *like[1:3], dtype, shape)


def zeros(like: Seen, shape: tuple[int, ...], dtype: str) -> Any:
    """A new array of zeros, of the kind and on the device of `like`.

    Examples
    --------
    >>> zeros(look(np.zeros(3)), (2,), "int64")
    array([0, 0])
    """
    return device_arrays.zeros(like.array, shape, dtype)


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
    forward_ad = torch.autograd.forward_ad
    if forward_ad._current_level < 0:
        return False
    batched = torch._C._functorch.is_batchedtensor
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


def is_traced(array: Any) -> bool:
    """Whether torch must see what happens to a tensor: under torch.compile and torch.export, with fake tensors.

    Modes that watch each operation, transforms such as vmap, and subclasses of Tensor count as well: what reading
    memory would mean is for them to say.

    Examples
    --------
    >>> import torch
    >>> is_traced(torch.zeros(3))
    False
    """
    torch = sys.modules["torch"]
    return type(array) not in (torch.Tensor, torch.nn.Parameter) or is_watched()


def is_watched() -> bool:
    """Whether torch must see what happens to any tensor now: it traces, transforms, or a mode is on."""
    torch = sys.modules["torch"]
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


def _wants_gradient(tensor: Any, traced: bool) -> bool:
    if not sys.modules["torch"].is_grad_enabled():
        return False
    return any(level.requires_grad for level in levels(tensor)) if traced else tensor.requires_grad


def transformed() -> bool:
    """Whether this call is within a transform of torch.func (vmap, grad, jvp), which a compiler does not look into."""
    torch = sys.modules["torch"]
    return not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None
