"""Explicit vectors of 16 lanes for Numba kernels: float32 (``F32``) and int32 (``I32``) with the usual operators.

Why not leave it to LLVM's loop vectoriser: it gives up on loops that read eight planes (too many alias checks), takes
half-width registers on Intel CPUs, and what it does changes with each version. Here the vector is in the types, and
LLVM only chooses registers: one zmm, two ymm or four xmm. All arithmetic is IEEE, no fast-math flag is set.

Inside a kernel::

    x = load(logits, offset)                  # F32 from float32, float64, float16 (as int16) or bfloat16 (as uint16)
    store(out, offset, fma(x, splat(2.0), y))
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16


class Vector(types.Type):
    """A register of `LANES` elements."""

    def __init__(self, element: Any) -> None:
        self.element = element
        super().__init__(name=f"{element}x{LANES}")


F32, I32 = Vector(types.float32), Vector(types.int32)
_FLOAT, _INT, _SHORT, _BYTE, _BOOL = ir.FloatType(), ir.IntType(32), ir.IntType(16), ir.IntType(8), ir.IntType(1)


def _wide(element: ir.Type, lanes: int = LANES) -> ir.VectorType:
    return ir.VectorType(element, lanes)


_FLOATS, _INTS = _wide(_FLOAT), _wide(_INT)


def _ints(number: int) -> ir.Constant:
    """The same constant in every lane."""
    return ir.Constant(_INTS, [number] * LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _FLOATS if vector.element is types.float32 else _INTS)


# --- from a Python function that writes LLVM instructions to one that kernels call ------------------------------------


def _register_operator(function: Callable[..., Any], float_op: str | None, int_op: str | None, arity: int = 2) -> None:
    """Make `function` of vectors of one kind the LLVM instruction `float_op` or `int_op`."""
    ops = {kind: op for kind, op in ((F32, float_op), (I32, int_op)) if op is not None}

    @infer_global(function)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == arity and len(set(args)) == 1 and args[0] in ops:
                return signature(args[0], *args)
            return None

    @lower_builtin(function, *[Vector] * arity)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, ops[sig.return_type])(*args)


_register_operator(operator.add, "fadd", "add")
_register_operator(operator.sub, "fsub", "sub")
_register_operator(operator.mul, "fmul", "mul")
_register_operator(operator.truediv, "fdiv", None)
_register_operator(operator.and_, None, "and_")
_register_operator(operator.lshift, None, "shl")
_register_operator(operator.rshift, None, "ashr")
_register_operator(operator.neg, "fneg", None, arity=1)


class _Memory(NamedTuple):
    """An array: type of its elements, and where the first one lies."""

    dtype: Any
    data: Any


def emits(result: Any, scalar: Any = types.intp) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: ``build(builder, *arguments)`` writes the instructions of a function that kernels call.

    Parameters
    ----------
    result : type, or callable
        The type of what the function gives; or that type for the types of the arguments.
    scalar : type
        What numbers are cast to, as arguments of `build`. An array comes as :class:`_Memory`.
    """

    def argument(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        if isinstance(kind, types.Array):
            return _Memory(kind.dtype, context.make_array(kind)(context, builder, value).data)
        return context.cast(builder, value, kind, scalar) if isinstance(kind, types.Number) else value

    def codegen_of(build: Callable[..., Any]) -> Callable[..., Any]:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            made = build(builder, *(argument(context, builder, *pair) for pair in zip(sig.args, args, strict=True)))
            if made is None:
                return context.get_dummy_value()
            return context.make_tuple(builder, sig.return_type, made) if isinstance(made, list) else made

        return codegen

    def decorate(build: Callable[..., Any]) -> Any:
        @wraps(build)
        def define(typing_context: Any, *kinds: Any) -> Any:
            given = result if isinstance(result, types.Type) else result(*kinds)
            return given(*kinds), codegen_of(build)

        return intrinsic(define)

    return decorate


def _call(builder: Any, name: str, result: ir.Type, values: list[Any]) -> Any:
    """Call LLVM's intrinsic function `name`."""
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


# --- arithmetic -------------------------------------------------------------------------------------------------------


def _splat_value(builder: Any, scalar: Any) -> Any:
    vector = builder.insert_element(ir.Constant(_wide(scalar.type), ir.Undefined), scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(vector, vector, _ints(0))


# F32 with the same float in every lane; I32 with the same integer.
splat = emits(F32, scalar=types.float32)(_splat_value)
splat_int = emits(I32, scalar=types.int32)(_splat_value)


@emits(F32)
def fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the CPU can."""
    return _call(builder, f"llvm.fmuladd.v{LANES}f32", _FLOATS, [a, b, c])


# ``a if a > b else b``: the larger; b where either is NaN.
greater = emits(F32)(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
# ``a if a < b else b``: the smaller; b where either is NaN.
lesser = emits(F32)(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))


@emits(lambda a, b, yes, no: yes)
def where_greater(builder: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """``yes if a > b else no`` for F32 or I32; no where a or b is NaN."""
    compare = builder.fcmp_ordered if a.type == _FLOATS else builder.icmp_signed
    return builder.select(compare(">", a, b), yes, no)


@emits(lambda x, yes, no: yes)
def where_nan(builder: Any, x: Any, yes: Any, no: Any) -> Any:
    """``yes if x is NaN else no``."""
    return builder.select(builder.fcmp_unordered("uno", x, x), yes, no)


@emits(types.boolean)
def outside(builder: Any, low: Any, x: Any, high: Any) -> Any:
    """True if any lane is not strictly between `low` and `high`; NaN never is."""
    inside = builder.and_(builder.fcmp_ordered(">", x, low), builder.fcmp_ordered("<", x, high))
    lanes = builder.bitcast(inside, ir.IntType(LANES))
    return builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, -1))


@emits(types.boolean)
def any_greater(builder: Any, a: Any, b: Any) -> Any:
    """True if ``a > b`` in any lane; NaN never is."""
    lanes = builder.bitcast(builder.fcmp_ordered(">", a, b), ir.IntType(LANES))
    return builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0))


@emits(types.int32)
def largest(builder: Any, x: Any) -> Any:
    """The largest lane of an I32."""
    return _call(builder, f"llvm.vector.reduce.smax.v{LANES}i32", _INT, [x])


@emits(lambda x, lane: x.element)
def lane_of(builder: Any, x: Any, lane: Any) -> Any:
    """The float32 or int32 in one lane."""
    return builder.extract_element(x, lane)


# I32 x, but the integer `value` in one lane.
with_lane = emits(I32, scalar=types.int32)(lambda builder, x, lane, value: builder.insert_element(x, value, lane))
# The bit pattern of an F32 as I32.
bits = emits(I32)(lambda builder, x: builder.bitcast(x, _INTS))
# The F32 with this bit pattern.
from_bits = emits(F32)(lambda builder, x: builder.bitcast(x, _FLOATS))
# I32 of an F32, truncated toward zero.
to_int = emits(I32)(lambda builder, x: builder.fptosi(x, _INTS))
# F32 of an I32.
to_float = emits(F32)(lambda builder, x: builder.sitofp(x, _FLOATS))


def target_has(feature: str) -> bool:
    """True if code is made for a CPU with this feature: Numba's target, which need not be this machine."""
    return f"+{feature}" in cpu_target.target_context.codegen()._tm_features.split(",")


@emits(types.boolean)
def has_avx512(builder: Any) -> Any:
    """True, at compile time, where :func:`scalef` is one instruction."""
    return ir.Constant(_BOOL, int(target_has("avx512f") and target_has("avx512dq")))


@emits(F32)
def scalef(builder: Any, x: Any, power: Any) -> Any:
    """``x * 2^floor(power)``, rounded to 0 or inf where it must; only under :func:`has_avx512`."""
    no_mask, current_rounding = [ir.Constant(_FLOATS, ir.Undefined), _SHORT(-1)], _INT(4)
    return _call(builder, "llvm.x86.avx512.mask.scalef.ps.512", _FLOATS, [x, power, *no_mask, current_rounding])


# --- memory -----------------------------------------------------------------------------------------------------------


def _address(builder: Any, array: _Memory, index: Any, kind: ir.Type) -> Any:
    """Of ``array[index]``, as that of a `kind`."""
    return builder.bitcast(builder.gep(array.data, [index]), kind.as_pointer())


@emits(types.void)
def prefetch(builder: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of ``array[index]``, which need not exist."""
    read, locality, data = _INT(0), _INT(2), _INT(1)
    _call(builder, "llvm.prefetch.p0", ir.VoidType(), [_address(builder, array, index, _BYTE), read, locality, data])


_STORED = {
    types.float32: _FLOAT,
    types.float64: ir.DoubleType(),
    types.int16: ir.HalfType(),
    types.uint16: _SHORT,
    types.int32: _INT,
}


def _read(builder: Any, array: _Memory, index: Any, lanes: int = LANES) -> Any:
    """`lanes` elements as floats, integers only from int32."""
    dtype = array.dtype
    kind = _wide(_STORED.get(dtype, _BYTE), lanes)
    raw = builder.load(_address(builder, array, index, kind), align=dtype.bitwidth // 8)
    floats, ints = _wide(_FLOAT, lanes), _wide(_INT, lanes)
    if dtype in (types.float32, types.int32):
        return raw
    if dtype == types.float64:
        return builder.fptrunc(raw, floats)
    if dtype == types.int16:
        return builder.fpext(raw, floats)
    if dtype == types.uint16:
        return builder.bitcast(builder.shl(builder.zext(raw, ints), ir.Constant(ints, [16] * lanes)), floats)
    return builder.uitofp(raw, floats)


@emits(lambda array, index: I32 if array.dtype == types.int32 else F32)
def load(builder: Any, array: Any, index: Any) -> Any:
    """F32 from ``array[index : index + 16]``, a contiguous 1-D array without bounds check; I32 from int32.

    float32; float64 (rounded); uint8; int16 are the bits of float16, uint16 the bits of bfloat16.
    """
    return _read(builder, array, index)


@emits(types.float32)
def load_one(builder: Any, array: Any, index: Any) -> Any:
    """float32 of ``array[index]``, for the dtypes of :func:`load`."""
    return builder.extract_element(_read(builder, array, index, lanes=1), ir.Constant(_INT, 0))


@emits(types.void)
def store(builder: Any, array: Any, index: Any, x: Any) -> Any:
    """``array[index : index + 16] = x`` without bounds check.

    F32 into float32, int16 (float16 bits) or uint16 (bfloat16 bits); I32 into an integer array of any width.
    """
    if x.type == _INTS:
        x = _resize(builder, x, array.dtype.bitwidth)
    elif array.dtype == types.int16:
        x = builder.bitcast(builder.fptrunc(x, _wide(ir.HalfType())), _wide(_SHORT))
    elif array.dtype == types.uint16:
        x = _to_bfloat16(builder, x)
    builder.store(x, _address(builder, array, index, x.type), align=array.dtype.bitwidth // 8)


def _resize(builder: Any, x: Any, width: int) -> Any:
    if width == 32:
        return x
    target = _wide(ir.IntType(width))
    return builder.trunc(x, target) if width < 32 else builder.sext(x, target)


def _to_bfloat16(builder: Any, x: Any) -> Any:
    """Round to nearest even on the bits; NaN keeps its sign and becomes quiet."""
    raw = builder.bitcast(x, _INTS)
    odd = builder.and_(builder.lshr(raw, _ints(16)), _ints(1))
    rounded = builder.add(raw, builder.add(odd, _ints(0x7FFF)))
    chosen = builder.select(builder.fcmp_unordered("uno", x, x), builder.or_(raw, _ints(0x400000)), rounded)
    return builder.trunc(builder.lshr(chosen, _ints(16)), _wide(_SHORT))


class _LaneAddresses(ir.instructions.Instruction):
    """``getelementptr`` of one base and a vector of indices, which llvmlite's own builder does not offer."""

    def __init__(self, parent: Any, base: Any, index: Any) -> None:
        super().__init__(parent, _wide(base.type), "getelementptr", [base, index])

    def descr(self, buf: list[str]) -> None:
        base, index = (f"{operand.type} {operand.get_reference()}" for operand in self.operands)
        buf.append(f"getelementptr {self.operands[0].type.pointee}, {base}, {index}\n")


@emits(lambda table, index: F32 if table.dtype == types.float32 else I32)
def gather(builder: Any, table: Any, index: Any) -> Any:
    """F32 or I32 of ``table[index]`` for each lane; the indices must be in range."""
    pointers = _LaneAddresses(builder.block, table.data, index)
    builder._insert(pointers)
    vector, kind = (_FLOATS, "f32") if table.dtype == types.float32 else (_INTS, "i32")
    everywhere, nothing = ir.Constant(_wide(_BOOL), [1] * LANES), ir.Constant(vector, ir.Undefined)
    name = f"llvm.masked.gather.v{LANES}{kind}.v{LANES}p0"
    return _call(builder, name, vector, [pointers, ir.Constant(_INT, 4), everywhere, nothing])


@emits(types.UniTuple(F32, 3))
def load_rgb(builder: Any, array: Any, index: Any) -> Any:
    """Three F32 (R, G, B) of the 16 interleaved uint8 pixels that start at byte `index`."""
    raw = builder.load(_address(builder, array, index, _wide(_BYTE, 3 * LANES)), align=1)
    # One byte shuffle to 16 words of R, G, B and anything; then shifts, which any port can do.
    order = [3 * pixel + min(channel, 2) for pixel in range(LANES) for channel in range(4)]
    words = builder.bitcast(builder.shuffle_vector(raw, raw, ir.Constant(_wide(_INT, 4 * LANES), order)), _INTS)
    shifted = [builder.lshr(words, _ints(8 * channel)) for channel in range(3)]
    return [builder.sitofp(builder.and_(channel, _ints(255)), _FLOATS) for channel in shifted]


@emits(types.void)
def store_rgb(builder: Any, array: Any, index: Any, red: Any, green: Any, blue: Any) -> Any:
    """Write 16 interleaved uint8 pixels from byte `index` on; the F32 values must lie in [0, 256) and are truncated."""
    red, green, blue = (builder.fptosi(x, _INTS) for x in (red, green, blue))
    words = builder.or_(builder.or_(red, builder.shl(green, _ints(8))), builder.shl(blue, _ints(16)))
    words = builder.bitcast(words, _wide(_BYTE, 4 * LANES))
    order = [4 * pixel + channel for pixel in range(LANES) for channel in range(3)]
    pixels = builder.shuffle_vector(words, words, ir.Constant(_wide(_INT, 3 * LANES), order))
    builder.store(pixels, _address(builder, array, index, pixels.type), align=1)


@emits(types.UniTuple(F32, LANES))
def load_columns(builder: Any, array: Any, index: Any, row: Any) -> Any:
    """16 F32, the columns of the 16 x 16 tile at `index` of rows `row` elements apart: entry b holds element b of each.

    Four rounds of a perfect shuffle: each interleaves vectors k and k + 8, and sixteen lanes need log2(16) of them.
    """
    starts = [builder.add(index, builder.mul(row, ir.Constant(row.type, k))) for k in range(LANES)]
    return _transposed(builder, [_read(builder, array, start) for start in starts])


@emits(types.UniTuple(F32, LANES))
def load_rows(builder: Any, array: Any, starts: Any) -> Any:
    """16 F32, the columns of 16 rows of 16 that begin wherever an I32 says: entry b holds element b of each."""
    return _transposed(builder, [_read(builder, array, builder.extract_element(starts, _INT(k))) for k in range(LANES)])


def _transposed(builder: Any, vectors: list[Any]) -> list[Any]:
    """16 vectors as their columns."""
    half = LANES // 2
    low, high = (ir.Constant(_INTS, [first + k // 2 + LANES * (k % 2) for k in range(LANES)]) for first in (0, half))
    for _ in range(4):
        pairs = list(zip(vectors[:half], vectors[half:], strict=True))
        vectors = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (low, high)]
    return vectors
