"""Checks of arguments. Each message says: the argument, what was expected, what came, and what to do."""

from __future__ import annotations

import math
import numbers
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference.bins import space_of
from ..reference.constants import LUMA_MAX, MAX_BINS, MAX_CELLS, SPACES
from .kinds import Seen, empty, is_dense, is_traced, kind, look, native_as, overlaps

RGB_DTYPES = ("uint8", "float32", "float64")
LUMA_DTYPES = ("uint8", "float16", "bfloat16", "float32", "float64")
UNITS = "uint8 means 0..255, floats mean 0..1 (luma of Lab is L in 0..100)"  # the hint for both
LOGIT_DTYPES = ("float16", "bfloat16", "float32", "float64")
CHROMA_DTYPES = ("float16", "bfloat16", "float32", "float64")
LABEL_DTYPES = ("uint8", "uint16", "int16", "int32", "int64")
WEIGHTINGS = ("nearest", "mean")
RANGES = ("rgb", "luma", "chroma")
RINGS = ("float32", "float16", "uint8")
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
REALS = (*LOGIT_DTYPES, "bool", *INTEGERS)
_GREATEST = sys.float_info.max
HOTTEST = 1e30  # the temperature up to which kernels can tell the largest logits of float32 apart
_FIELDS = ("table", "colors", "prior", "n", "cells", "weights")


def array(name: str, value: Any, dtypes: tuple[str, ...] = (), hint: str = "cast it first") -> Seen:
    """What is seen of an array of NumPy, torch or CuPy with one of these dtypes (none named: any)."""
    seen = look(value)
    if seen is None:
        raise _no_array(name, value)
    return dtype(name, seen, dtypes, hint) if dtypes else seen


def _no_array(name: str, value: Any) -> TypeError:
    """What :func:`fastcolor.arrays.kinds.look` has not taken, and what to make of it."""
    which = kind(value)
    if which is None or is_dense(value, which):
        wanted, make = "a NumPy array, a torch tensor or a CuPy array", "numpy.asarray(...)"
    elif which == "numpy":
        wanted, make = "an array without a mask", "filled(...), with NaN say,"
    elif value.is_nested:
        wanted, make = "a tensor that is not nested", "torch.nested.to_padded_tensor(...)"
    elif value.layout is sys.modules["torch"].strided:
        wanted, make = "a tensor without a mask", "to_tensor(...), with NaN say,"
    else:
        wanted, make = f"a tensor of layout torch.strided, and not {value.layout}", "to_dense()"
    return TypeError(f"{name}: expected {wanted}, got {_type(value)}; {make} makes one")


def plain(name: str, value: Any, dtypes: tuple[str, ...] = (*LOGIT_DTYPES, *INTEGERS)) -> NDArray[Any]:
    """The numbers of an array of any library on the CPU, or of what NumPy makes one of, as a NumPy array."""
    if kind(value) is None:
        try:
            value = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name}: expected an array of numbers, got {_type(value)}; {error}") from error
    seen = on_cpu(name, array(name, value, dtypes, "it must hold real numbers"))
    no_gradient("ColorBins", **{name: seen})
    return native_as(seen, *(one for one in dtypes if one not in ("float16", "bfloat16")), "float64")


def on_cpu(name: str, seen: Seen) -> Seen:
    if seen.device != "cpu":
        raise ValueError(f"{name}: expected an array on the CPU, got device {seen.device!r}; move it there")
    return seen


def beside(name: str, value: Any, first_name: str, first: Seen) -> Seen:
    """What is seen of an array of the library and on the device of another."""
    seen = array(name, value)
    if seen.kind != first.kind:
        raise TypeError(
            f"{name}: expected the same kind of array as {first_name} ({first.kind}), got {_type(value)}; "
            "convert one of them"
        )
    if seen.device != first.device:
        raise ValueError(
            f"{name}: expected device {first.device!r} like {first_name}, got {seen.device!r}; "
            "arrays are never moved unasked"
        )
    return seen


def tensors(**named: Any) -> list[Seen]:
    """What is seen of torch tensors on one device."""
    for name, value in named.items():
        if kind(value) != "torch":
            raise TypeError(f"{name}: expected a torch tensor, got {_type(value)}; torch.as_tensor(...) makes one")
    (first_name, first), *others = named.items()
    seen = array(first_name, first)
    return [seen, *(beside(name, value, first_name, seen) for name, value in others)]


def dtype(name: str, seen: Seen, accepted: tuple[str, ...], hint: str = "cast it first") -> Seen:
    if seen.dtype not in accepted:
        raise TypeError(f"{name}: expected dtype {', '.join(accepted)}, got {seen.dtype}; {hint}")
    return seen


def axis(name: str, value: Any, ndim: int) -> int:
    if not (type(value) is int or _is_integer(value)) or not -ndim <= int(value) < ndim:
        raise ValueError(f"{name}: expected an axis of an array with {ndim} dimensions, got {value!r}")
    return int(value) % ndim


def size_on_axis(name: str, seen: Seen, position: int, axis_name: str, size: int) -> int:
    """The axis (made positive) that must have `size` elements; the hint finds the axis that has them."""
    sizes = seen.shape
    where = axis(axis_name, position, len(sizes))
    if sizes[where] != size:
        fits = [k - len(sizes) for k, s in enumerate(sizes) if s == size]
        hint = f"; is this {axis_name}={fits[-1]}?" if fits else ""
        raise ValueError(f"{name}: expected size {size} on {axis_name} {position}, got shape {tuple(sizes)}{hint}")
    return where


def ndim(name: str, seen: Seen, minimum: int, maximum: int | None = None) -> None:
    if len(seen.shape) < minimum or (maximum is not None and len(seen.shape) > maximum):
        wanted = f"{minimum}" if maximum == minimum else f"at least {minimum}"
        raise ValueError(f"{name}: expected {wanted} dimensions, got shape {tuple(seen.shape)}")


def shape(name: str, seen: Seen, expected: tuple[int, ...], hint: str) -> None:
    if seen.shape != tuple(expected):
        raise ValueError(f"{name}: expected shape {tuple(expected)}, got {tuple(seen.shape)}; {hint}")


def real(name: str, value: Any, low: float, high: float = _GREATEST, hint: str = "") -> float:
    """A finite number in [low, high]; told by comparisons alone, which torch.compile traces for any number."""
    if type(value) is not float:
        value = _number(name, value)
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{name}: expected a number, got {_type(value)}")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        number = math.inf if value > 0 else -math.inf
    if not low <= number <= high:
        wanted = f"a finite number >= {low:g}" if high == _GREATEST else f"a number in [{low:g}, {high:g}]"
        raise ValueError(f"{name}: expected {wanted}, got {value!r}{hint and '; ' + hint}")
    return number


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _number(name: str, value: Any) -> Any:
    """The number in an array of one, without dimensions; anything else as it is."""
    which = kind(value)
    if which is None or value.shape != () or not is_dense(value, which):
        return value
    if which == "cupy" or (which == "torch" and (value.device.type != "cpu" or is_traced(value))):
        raise TypeError(f"{name}: expected a number, got {_type(value)}, which is to be waited for; float(...) does")
    if which == "torch" and value.requires_grad:
        raise TypeError(f"{name}: expected a number, got a tensor that requires a gradient; there is none, use .item()")
    return value.item()


def temperature(value: Any) -> float:
    """T of an annealed mean."""
    return real("temperature", value, 0.0, HOTTEST, "T = 0 is the mode")


def positive(name: str, value: Any) -> float:
    """A finite number > 0."""
    number = real(name, value, 0.0)
    if number == 0.0:
        raise ValueError(f"{name}: expected a finite number > 0, got {value!r}")
    return number


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    value = _number(name, value)
    if not _is_integer(value):
        raise TypeError(f"{name}: expected an integer, got {_type(value)}")
    number = int(value)
    if number < low or (high is not None and number > high):
        wanted = f">= {low}" if high is None else f"in {low}..{high}"
        raise ValueError(f"{name}: expected an integer {wanted}, got {number}")
    return number


def choice(name: str, value: Any, options: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, options))}, got {value!r}")


def color_bins(value: Any) -> None:
    if hasattr(value, "_key"):  # fastcolor.ColorBins: its arrays are read-only, and were checked when it was made
        return
    if missing := [field for field in _FIELDS if not hasattr(value, field)]:
        without = "" if len(missing) == len(_FIELDS) else f" without {', '.join(missing)}"
        raise TypeError(f"bins: expected fastcolor.ColorBins, got {_type(value)}{without}; ColorBins.default() is one")
    if "torch" in sys.modules and sys.modules["torch"].compiler.is_compiling():
        raise TypeError(
            f"bins: expected fastcolor.ColorBins in compiled code, got {_type(value)}; "
            "ColorBins(table, colors, prior) makes one"
        )
    choice("bins.space", space_of(value), SPACES)
    for name in ("table", "colors", "prior"):
        if not isinstance(getattr(value, name), np.ndarray):
            raise TypeError(
                f"bins.{name}: expected a NumPy array, got {_type(getattr(value, name))}; "
                "ColorBins(table, colors, prior) makes bins of anything like one"
            )
    n = len(value.colors)
    bin_table(value.table, n)  # kernels look labels up without a bounds check
    bin_colors(value.colors, value.prior)
    if (value.n, value.cells) != (n, len(value.table)):
        raise ValueError(f"bins: expected n, cells of {n}, {len(value.table)}, got {value.n}, {value.cells}")


def class_weights(bins: Any, lam: Any) -> float:
    """λ, for which the bins have a weight each."""
    lam = real("lam", lam, 0.0, 1.0)
    if not hasattr(bins, "_key") and (shape_ := np.shape(bins.weights(lam))) != (len(bins.colors),):
        raise ValueError(f"bins: expected weights(lam) of shape ({len(bins.colors)},), one a bin, got {shape_}")
    return lam


def bin_table(table: Any, n: int) -> None:
    """A table (K, K) of labels below n."""
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not 1 <= len(table) <= MAX_CELLS:
        raise ValueError(f"table: expected shape (K, K) with K in 1..{MAX_CELLS}, got {table.shape}")
    if table.dtype.kind not in "iu":
        raise TypeError(f"table: expected integer labels, got dtype {table.dtype}; they are numbers of bins")
    if not 0 <= int(table.min()) <= int(table.max()) < n:
        raise ValueError(f"table: expected labels in 0..{n - 1}, got {table.min()}..{table.max()}")


def bin_colors(colors: Any, prior: Any) -> None:
    """Colors (n, 2), finite, and a prior (n,) that sums to 1."""
    if colors.ndim != 2 or not 1 <= len(colors) <= MAX_BINS or colors.shape[1] != 2:
        raise ValueError(f"colors: expected shape (n, 2) with n in 1..{MAX_BINS}, got {colors.shape}")
    n = len(colors)
    if prior.shape != (n,) or not ((prior >= 0) & (prior <= 1)).all() or abs(prior.sum() - 1) > 1e-6:
        raise ValueError(f"prior: expected {n} shares >= 0 that sum to 1, got {_told(prior)}")
    if not np.isfinite(colors).all():
        raise ValueError("colors: expected finite chroma, got NaN or inf")


def _told(prior: Any) -> str:
    """A prior that is none, in a few words."""
    with np.errstate(all="ignore"):
        return f"shape {prior.shape}, {prior.min(initial=np.inf):g} at least, a sum of {prior.sum():g}"


def label_dtype(value: str, n: int) -> str:
    """The dtype of labels below n; "auto" is uint8 up to 255 bins, else int16, which torch knows better than uint16."""
    choice("label_dtype", value, ("auto", *LABEL_DTYPES))
    if value == "auto":
        return "uint8" if n <= 255 else "int16"
    if value == "uint8" and n > 255:
        raise ValueError(
            f"label_dtype: expected one that holds {n} labels, got 'uint8'; 'int16' does, and 'auto' chooses it"
        )
    return value


def luma(seen: Seen, space: str) -> Seen:
    """Y as uint8 or floats, L as floats."""
    dtype("luma", seen, LUMA_DTYPES, UNITS)
    if space == "lab" and seen.dtype == "uint8":
        raise TypeError(
            f"luma: expected floats in [0, {LUMA_MAX[space]:g}] for bins of Lab, got uint8; encode gives L of an image"
        )
    return seen


def logits(value: Any, position: int, bins: Any) -> tuple[Seen, int]:
    """Logits that any decoding takes, and the axis of their n bins, made positive."""
    seen = array("logits", value, LOGIT_DTYPES)
    color_bins(bins)
    return seen, size_on_axis("logits", seen, position, "axis", bins.n)


def output(name: str, value: Any, like: Seen, expected: tuple[int, ...], dtype_: str) -> Seen:
    """An `out` array: kind, device, shape and dtype are those of the result, and it can be written."""
    seen = beside(name, value, "input", like)
    shape(name, seen, expected, "it must have the shape of the result")
    if seen.dtype != dtype_:
        raise TypeError(f"{name}: expected dtype {dtype_}, got {seen.dtype}; it must match the result")
    if seen.kind == "numpy" and not value.dtype.isnative:
        raise TypeError(f"{name}: expected an array in native byte order, got dtype {value.dtype.str}; pass another")
    if seen.kind == "numpy" and not value.flags.writeable:
        raise ValueError(f"{name}: expected a writable array, got a read-only one; pass a copy")
    if seen.kind == "torch" and (value.is_neg() or value._is_zerotensor()):
        raise ValueError(
            f"{name}: expected a tensor whose elements lie in memory, got one that torch negates, or makes of zeros, "
            "as it reads; pass a copy"
        )
    if overlaps(value):
        raise ValueError(
            f"{name}: expected memory of its own for each element, got one that shares it among several, as expand and "
            "broadcast_to do; pass a copy"
        )
    if seen.wants_gradient:
        raise ValueError(
            f"{name}: expected a tensor without gradient, got requires_grad=True, and autograd does not see what is "
            f"written; pass {name}.detach()"
        )
    return seen


def result(out: Any, like: Seen, expected: tuple[int, ...], dtype_: str) -> Seen:
    """`out` if it is given and fits, else a new array of the kind of `like`."""
    return empty(like, expected, dtype_) if out is None else output("out", out, like, expected, dtype_)


def results(out: Any, like: Seen, wanted: list[tuple[tuple[int, ...], str]]) -> list[Seen]:
    """:func:`result` for several arrays."""
    if out is None:
        return [empty(like, *of) for of in wanted]
    given = out if isinstance(out, (tuple, list)) else [out]
    if len(given) != len(wanted):
        raise ValueError(f"out: expected {len(wanted)} array(s), got {len(given)}; confidence=True returns three")
    return [output("out", o, like, *of) for o, of in zip(given, wanted, strict=True)]


def no_gradient(function: str, **named: Seen) -> None:
    """torch only: refuse to cut a graph silently, or to lose a tangent."""
    for name, seen in named.items():
        if seen.wants_gradient:
            raise ValueError(
                f"{name}: expected a tensor without gradient, got requires_grad=True, and {function} has none in "
                f"{name}; pass {name}.detach() or call it under torch.no_grad()"
            )
        if seen.tangent:
            raise ValueError(
                f"{name}: expected a tensor without a tangent, got one of forward mode, and {function} has no "
                f"derivative in {name}; pass {name}.detach()"
            )


def no_tangent(function: str, name: str, seen: Seen) -> None:
    """torch only: refuse forward mode in what has a backward."""
    if seen.tangent:
        raise no_forward_mode(function, name)


def no_forward_mode(function: str, name: str) -> ValueError:
    return ValueError(
        f"{name}: expected a tensor without a tangent, got one of forward mode (jvp, jacfwd, hessian), and {function} "
        "has a first derivative in reverse mode alone; use backward(), torch.func.grad, vjp or jacrev"
    )


def _type(value: Any) -> str:
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
