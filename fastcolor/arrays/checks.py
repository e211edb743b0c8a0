"""Checks of arguments. Each message says: the argument, what was expected, what came, and what to do."""

from __future__ import annotations

import numbers
import sys
from typing import Any

from ..reference.constants import MAX_CELLS
from . import kinds

RGB_DTYPES = ("uint8", "float32", "float64")
LUMA_DTYPES = ("uint8", "float32", "float64")
UNITS = "uint8 means 0..255, floats mean 0..1"  # the hint for both
LOGIT_DTYPES = ("float16", "bfloat16", "float32", "float64")
CHROMA_DTYPES = ("float16", "bfloat16", "float32", "float64")
LABEL_DTYPES = ("uint8", "int32", "int64")
RINGS = ("float32", "float16", "uint8")
_GREATEST = sys.float_info.max


def arrays(**named: Any) -> None:
    """All arguments are arrays of one library on one device."""
    first_name, first = next(iter(named.items()))
    kind, device = kinds.kind(first), kinds.device(first)
    for name, value in named.items():
        if kinds.kind(value) is None:
            raise TypeError(
                f"{name}: expected a NumPy array, a torch tensor or a CuPy array, got {_type(value)}; "
                "numpy.asarray(...) makes one"
            )
        if kinds.kind(value) != kind:
            raise TypeError(
                f"{name}: expected the same kind of array as {first_name} ({kind}), got {_type(value)}; "
                "convert one of them"
            )
        if value is not first and kinds.device(value) != device:
            raise ValueError(
                f"{name}: expected device {device!r} like {first_name}, got {kinds.device(value)!r}; "
                "arrays are never moved unasked"
            )


def tensors(**named: Any) -> None:
    """All arguments are torch tensors on one device."""
    for name, value in named.items():
        if kinds.kind(value) != "torch":
            raise TypeError(f"{name}: expected a torch tensor, got {_type(value)}; torch.as_tensor(...) makes one")
    arrays(**named)


def dtype(name: str, array: Any, accepted: tuple[str, ...], hint: str = "cast it first") -> None:
    got = kinds.dtype_name(array)
    if got not in accepted:
        raise TypeError(f"{name}: expected dtype {', '.join(accepted)}, got {got}; {hint}")


def axis(name: str, value: Any, ndim: int) -> int:
    if not isinstance(value, numbers.Integral) or not -ndim <= int(value) < ndim:
        raise ValueError(f"{name}: expected an axis of an array with {ndim} dimensions, got {value!r}")
    return int(value) % ndim


def size_on_axis(name: str, array: Any, position: int, axis_name: str, size: int) -> int:
    """The axis (made positive) of `array` that must have `size` elements; the hint finds the axis that has them."""
    where = axis(axis_name, position, array.ndim)
    if array.shape[where] != size:
        fits = [k - array.ndim for k, s in enumerate(array.shape) if s == size]
        hint = f"; is this {axis_name}={fits[-1]}?" if fits else ""
        raise ValueError(
            f"{name}: expected size {size} on {axis_name} {position}, got shape {tuple(array.shape)}{hint}"
        )
    return where


def ndim(name: str, array: Any, minimum: int, maximum: int | None = None) -> None:
    if array.ndim < minimum or (maximum is not None and array.ndim > maximum):
        wanted = f"{minimum}" if maximum == minimum else f"at least {minimum}"
        raise ValueError(f"{name}: expected {wanted} dimensions, got shape {tuple(array.shape)}")


def shape(name: str, array: Any, expected: tuple[int, ...], hint: str) -> None:
    if tuple(array.shape) != tuple(expected):
        raise ValueError(f"{name}: expected shape {tuple(expected)}, got {tuple(array.shape)}; {hint}")


def real(name: str, value: Any, low: float, high: float = _GREATEST, hint: str = "") -> float:
    """A finite number in [low, high]; told by comparisons alone, which torch.compile traces for any number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {_type(value)}")
    number = float(value)
    if not low <= number <= high:
        wanted = f"a finite number >= {low:g}" if high == _GREATEST else f"a number in [{low:g}, {high:g}]"
        raise ValueError(f"{name}: expected {wanted}, got {value!r}{hint and '; ' + hint}")
    return number


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: expected an integer, got {_type(value)}")
    number = int(value)
    if number < low or (high is not None and number > high):
        wanted = f">= {low}" if high is None else f"in {low}..{high}"
        raise ValueError(f"{name}: expected an integer {wanted}, got {number}")
    return number


def choice(name: str, value: Any, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, options))}, got {value!r}")


def color_bins(value: Any) -> None:
    if hasattr(value, "_key"):  # fastcolor.ColorBins: its arrays are read-only, and were checked when it was made
        return
    if not all(hasattr(value, field) for field in ("table", "colors", "prior", "weights")):
        raise TypeError(f"bins: expected fastcolor.ColorBins, got {_type(value)}; ColorBins.default() is one")
    if "torch" in sys.modules and sys.modules["torch"].compiler.is_compiling():
        raise TypeError(
            f"bins: expected fastcolor.ColorBins in compiled code, got {_type(value)}; "
            "ColorBins(table, colors, prior) makes one"
        )
    bin_table(value.table, len(value.colors))  # kernels look labels up without a bounds check


def bin_table(table: Any, n: int) -> None:
    """A table (K, K) of labels below n."""
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not 1 <= len(table) <= MAX_CELLS:
        raise ValueError(f"table: expected shape (K, K) with K in 1..{MAX_CELLS}, got {table.shape}")
    if table.dtype.kind not in "iu":
        raise TypeError(f"table: expected integer labels, got dtype {table.dtype}")
    if not 0 <= int(table.min()) <= int(table.max()) < n:
        raise ValueError(f"table: expected labels in 0..{n - 1}, got {table.min()}..{table.max()}")


def output(name: str, array: Any, like: Any, expected: tuple[int, ...], dtype_: str) -> None:
    """An `out` array: kind, device, shape and dtype are those of the result, and it can be written."""
    arrays(**{"input": like, name: array})
    shape(name, array, expected, "it must have the shape of the result")
    if kinds.dtype_name(array) != dtype_:
        raise TypeError(f"{name}: expected dtype {dtype_}, got {kinds.dtype_name(array)}; it must match the result")
    if kinds.kind(array) == "numpy" and not array.dtype.isnative:
        raise TypeError(f"{name}: expected an array in native byte order, got dtype {array.dtype.str}; pass another")
    if kinds.kind(array) == "numpy" and not array.flags.writeable:
        raise ValueError(f"{name}: expected a writable array, got a read-only one; pass a copy")
    if kinds.overlaps(array):
        raise ValueError(
            f"{name}: expected memory of its own for each element, got one that shares it among several, as expand and "
            "broadcast_to do; pass a copy"
        )
    if wants_gradient(array):
        raise ValueError(
            f"{name}: expected a tensor without gradient, got requires_grad=True, and autograd does not see what is "
            f"written; pass {name}.detach()"
        )


def wants_gradient(array: Any) -> bool:
    """torch only: whether autograd records what happens to `array`."""
    if kinds.kind(array) != "torch" or not sys.modules["torch"].is_grad_enabled():
        return False
    return any(level.requires_grad for level in kinds.levels(array))


def no_gradient(function: str, **named: Any) -> None:
    """torch only: refuse to cut a graph silently, or to lose a tangent."""
    for name, array in named.items():
        if wants_gradient(array):
            raise ValueError(
                f"{name}: expected a tensor without gradient, got requires_grad=True, and {function} has none in "
                f"{name}; pass {name}.detach() or call it under torch.no_grad()"
            )
        if kinds.kind(array) == "torch" and kinds.has_tangent(array):
            raise ValueError(
                f"{name}: expected a tensor without a tangent, got one of forward mode, and {function} has no "
                f"derivative in {name}; pass {name}.detach()"
            )


def no_tangent(function: str, **named: Any) -> None:
    """torch only: refuse forward mode in what has a backward."""
    for name, array in named.items():
        if kinds.kind(array) == "torch" and kinds.has_tangent(array):
            raise no_forward_mode(function, name)


def no_forward_mode(function: str, name: str) -> ValueError:
    return ValueError(
        f"{name}: expected a tensor without a tangent, got one of forward mode (jvp, jacfwd, hessian), and {function} "
        "has a first derivative in reverse mode alone; use backward(), torch.func.grad, vjp or jacrev"
    )


def _type(value: Any) -> str:
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
