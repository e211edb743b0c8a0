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
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as _intrinsic
from numba.extending import lower_builtin, models, register_model

LANES = 16
intrinsic: Any = _intrinsic  # its stub would show the typing context as an argument


class Vector(types.Type):
    """A register of `LANES` elements."""

    def __init__(self, element: Any) -> None:
        self.element = element
        super().__init__(name=f"{element}x{LANES}")


F32, I32 = Vector(types.float32), Vector(types.int32)
_FLOAT, _INT, _BYTE, _BOOL = ir.FloatType(), ir.IntType(32), ir.IntType(8), ir.IntType(1)


def _wide(element: ir.Type, lanes: int = LANES) -> ir.VectorType:
    return ir.VectorType(element, lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _wide(_FLOAT if vector.element is types.float32 else _INT))


def _register_operator(function: Callable[..., Any], float_op: str | None, int_op: str | None) -> None:
    """Make ``function(a, b)`` on two vectors of one kind the LLVM instruction `float_op` or `int_op`."""
    ops = {kind: op for kind, op in ((F32, float_op), (I32, int_op)) if op is not None}

    @infer_global(function)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and args[0] == args[1] and args[0] in ops:
                return signature(args[0], *args)
            return None

    @lower_builtin(function, Vector, Vector)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, ops[sig.return_type])(*args)


_register_operator(operator.add, "fadd", "add")
_register_operator(operator.sub, "fsub", "sub")
_register_operator(operator.mul, "fmul", "mul")
_register_operator(operator.truediv, "fdiv", None)
_register_operator(operator.and_, None, "and_")
_register_operator(operator.lshift, None, "shl")
_register_operator(operator.rshift, None, "ashr")


@infer_global(operator.neg)
class _NegativeTyping(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(F32, F32) if args == (F32,) else None


@lower_builtin(operator.neg, Vector)
def _lower_negative(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fneg(args[0])


def _splat_value(builder: Any, scalar: Any) -> Any:
    vector = builder.insert_element(ir.Constant(_wide(scalar.type), ir.Undefined), scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(vector, vector, ir.Constant(_wide(_INT), [0] * LANES))


@intrinsic
def splat(typing_context: Any, scalar: Any) -> Any:
    """F32 with the same float in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _splat_value(builder, context.cast(builder, args[0], sig.args[0], types.float32))

    return F32(scalar), codegen


@intrinsic
def splat_int(typing_context: Any, scalar: Any) -> Any:
    """I32 with the same integer in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _splat_value(builder, context.cast(builder, args[0], sig.args[0], types.int32))

    return I32(scalar), codegen


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the CPU can."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = _wide(_FLOAT)
        kind = ir.FunctionType(vector, [vector] * 3)
        name = f"llvm.fmuladd.v{LANES}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return F32(a, b, c), codegen


@intrinsic
def greater(typing_context: Any, a: Any, b: Any) -> Any:
    """``a if a > b else b``: the larger; b where either is NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return F32(a, b), codegen


@intrinsic
def lesser(typing_context: Any, a: Any, b: Any) -> Any:
    """``a if a < b else b``: the smaller; b where either is NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return F32(a, b), codegen


@intrinsic
def where_greater(typing_context: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """``yes if a > b else no`` for F32 or I32; no where a or b is NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        compare = builder.fcmp_ordered if sig.args[0] == F32 else builder.icmp_signed
        return builder.select(compare(">", *args[:2]), *args[2:])

    return yes(a, b, yes, no), codegen


@intrinsic
def where_nan(typing_context: Any, x: Any, yes: Any, no: Any) -> Any:
    """``yes if x is NaN else no``."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, yes, no = args
        return builder.select(builder.fcmp_unordered("uno", x, x), yes, no)

    return yes(x, yes, no), codegen


@intrinsic
def outside(typing_context: Any, low: Any, x: Any, high: Any) -> Any:
    """True if any lane is not strictly between `low` and `high`; NaN never is."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        low, x, high = args
        inside = builder.and_(builder.fcmp_ordered(">", x, low), builder.fcmp_ordered("<", x, high))
        bits = builder.bitcast(inside, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, -1))

    return types.boolean(low, x, high), codegen


@intrinsic
def bits(typing_context: Any, x: Any) -> Any:
    """The bit pattern of an F32 as I32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _wide(_INT))

    return I32(x), codegen


@intrinsic
def to_int(typing_context: Any, x: Any) -> Any:
    """I32 of an F32, truncated toward zero."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fptosi(args[0], _wide(_INT))

    return I32(x), codegen


@intrinsic
def to_float(typing_context: Any, x: Any) -> Any:
    """F32 of an I32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.sitofp(args[0], _wide(_FLOAT))

    return F32(x), codegen


@intrinsic
def from_bits(typing_context: Any, x: Any) -> Any:
    """The F32 with this bit pattern."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _wide(_FLOAT))

    return F32(x), codegen


def target_has(feature: str) -> bool:
    """True if code is made for a CPU with this feature: Numba's target, which need not be this machine."""
    return f"+{feature}" in cpu_target.target_context.codegen()._tm_features.split(",")


@intrinsic
def has_avx512(typing_context: Any) -> Any:
    """True, at compile time, where :func:`fraction` and :func:`times_exp2` are one instruction each."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(_BOOL, int(target_has("avx512f") and target_has("avx512dq")))

    return types.boolean(), codegen


def _avx512(builder: Any, name: str, values: list[Any]) -> Any:
    """Call ``llvm.x86.avx512.mask.<name>.ps.512`` without a mask and with the current rounding."""
    vector, half = _wide(_FLOAT), ir.IntType(16)
    values = [*values, ir.Constant(vector, ir.Undefined), half(-1), _INT(4)]
    kind = ir.FunctionType(vector, [value.type for value in values])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.avx512.mask.{name}.ps.512")
    return builder.call(function, values)


@intrinsic
def times_exp2(typing_context: Any, x: Any, power: Any) -> Any:
    """``x * 2^floor(power)``, rounded to 0 or inf where it must; only under :func:`has_avx512`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _avx512(builder, "scalef", list(args))

    return F32(x, power), codegen


@intrinsic
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of ``array[index]``, which need not exist."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        index = context.cast(builder, args[1], sig.args[1], types.intp)
        pointer = builder.bitcast(_address(context, builder, sig.args[0], args[0], index), _BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _INT, _INT, _INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, locality, data = _INT(0), _INT(2), _INT(1)
        builder.call(function, [pointer, read, locality, data])
        return context.get_dummy_value()

    return types.void(array, index), codegen


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _read(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any, element: ir.Type, lanes: int = LANES
) -> Any:
    pointer = _address(context, builder, array_type, array, index)
    width = context.get_abi_sizeof(element)
    return builder.load(builder.bitcast(pointer, _wide(element, lanes).as_pointer()), align=width)


def _load_floats(context: Any, builder: Any, array_type: Any, array: Any, index: Any, lanes: int = LANES) -> Any:
    def read(element: ir.Type) -> Any:
        return _read(context, builder, array_type, array, index, element, lanes)

    floats, ints = _wide(_FLOAT, lanes), _wide(_INT, lanes)

    dtype = array_type.dtype
    if dtype == types.float32:
        return read(_FLOAT)
    if dtype == types.int32:
        return read(_INT)
    if dtype == types.float64:
        return builder.fptrunc(read(ir.DoubleType()), floats)
    if dtype == types.int16:
        return builder.fpext(read(ir.HalfType()), floats)
    if dtype == types.uint16:
        wide = builder.zext(read(ir.IntType(16)), ints)
        return builder.bitcast(builder.shl(wide, ir.Constant(ints, [16] * lanes)), floats)
    return builder.uitofp(read(_BYTE), floats)


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """F32 from ``array[index : index + 16]``, a contiguous 1-D array without bounds check; I32 from int32.

    float32; float64 (rounded); uint8; int16 are the bits of float16, uint16 the bits of bfloat16.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        index = context.cast(builder, args[1], sig.args[1], types.intp)
        return _load_floats(context, builder, sig.args[0], args[0], index)

    return (I32 if array.dtype == types.int32 else F32)(array, index), codegen


@intrinsic
def load_one(typing_context: Any, array: Any, index: Any) -> Any:
    """float32 of ``array[index]``, for the dtypes of :func:`load`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        index = context.cast(builder, args[1], sig.args[1], types.intp)
        single = _load_floats(context, builder, sig.args[0], args[0], index, lanes=1)
        return builder.extract_element(single, ir.Constant(_INT, 0))

    return types.float32(array, index), codegen


@intrinsic
def store(typing_context: Any, array: Any, index: Any, x: Any) -> Any:
    """``array[index : index + 16] = x`` without bounds check.

    F32 into float32, int16 (float16 bits) or uint16 (bfloat16 bits); I32 into an integer array of any width.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        dtype, value = sig.args[0].dtype, args[2]
        if sig.args[2] == I32:
            value = _resize(builder, value, dtype.bitwidth)
        elif dtype == types.int16:
            value = builder.bitcast(builder.fptrunc(value, _wide(ir.HalfType())), _wide(ir.IntType(16)))
        elif dtype == types.uint16:
            value = _to_bfloat16(builder, value)
        index = context.cast(builder, args[1], sig.args[1], types.intp)
        pointer = _address(context, builder, sig.args[0], args[0], index)
        width = context.get_abi_sizeof(value.type.element)
        builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=width)
        return context.get_dummy_value()

    return types.void(array, index, x), codegen


def _resize(builder: Any, value: Any, width: int) -> Any:
    if width == 32:
        return value
    target = _wide(ir.IntType(width))
    return builder.trunc(value, target) if width < 32 else builder.sext(value, target)


def _to_bfloat16(builder: Any, value: Any) -> Any:
    """Round to nearest even on the bits; NaN keeps its sign and becomes quiet."""

    def constant(number: int) -> Any:
        return ir.Constant(_wide(_INT), [number] * LANES)

    raw = builder.bitcast(value, _wide(_INT))
    odd = builder.and_(builder.lshr(raw, constant(16)), constant(1))
    rounded = builder.add(raw, builder.add(odd, constant(0x7FFF)))
    chosen = builder.select(builder.fcmp_unordered("uno", value, value), builder.or_(raw, constant(0x400000)), rounded)
    return builder.trunc(builder.lshr(chosen, constant(16)), _wide(ir.IntType(16)))


class _LaneAddresses(ir.instructions.Instruction):
    """``getelementptr`` of one base and a vector of indices, which llvmlite's own builder does not offer."""

    def __init__(self, parent: Any, base: Any, index: Any) -> None:
        super().__init__(parent, _wide(base.type), "getelementptr", [base, index])

    def descr(self, buf: list[str]) -> None:
        base, index = self.operands
        buf.append(
            f"getelementptr {base.type.pointee}, {base.type} {base.get_reference()}, "
            f"{index.type} {index.get_reference()}\n"
        )


@intrinsic
def gather(typing_context: Any, table: Any, index: Any) -> Any:
    """F32 or I32 of ``table[index]`` for each lane; the indices must be in range."""
    kind = F32 if table.dtype == types.float32 else I32

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        element = data.type.pointee
        pointers = _LaneAddresses(builder.block, data, args[1])
        builder._insert(pointers)
        vector, mask = _wide(element), _wide(_BOOL)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [pointers.type, _INT, mask, vector]),
            f"llvm.masked.gather.v{LANES}{'f32' if kind == F32 else 'i32'}.v{LANES}p0",
        )
        everywhere, nothing = ir.Constant(mask, [1] * LANES), ir.Constant(vector, ir.Undefined)
        return builder.call(function, [pointers, ir.Constant(_INT, 4), everywhere, nothing])

    return kind(table, index), codegen


@intrinsic
def load_rgb(typing_context: Any, array: Any, index: Any) -> Any:
    """Three F32 (R, G, B) of the 16 interleaved uint8 pixels that start at byte `index`."""
    three = types.UniTuple(F32, 3)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        index = context.cast(builder, args[1], sig.args[1], types.intp)
        raw = _read(context, builder, sig.args[0], args[0], index, _BYTE, 3 * LANES)
        # One byte shuffle to 16 words of R, G, B and anything; then shifts, which any port can do.
        order = [3 * pixel + min(channel, 2) for pixel in range(LANES) for channel in range(4)]
        words = builder.shuffle_vector(raw, raw, ir.Constant(_wide(_INT, 4 * LANES), order))
        words = builder.bitcast(words, _wide(_INT))
        low_byte = ir.Constant(_wide(_INT), [255] * LANES)
        channels = []
        for channel in range(3):
            shifted = builder.lshr(words, ir.Constant(_wide(_INT), [8 * channel] * LANES))
            channels.append(builder.sitofp(builder.and_(shifted, low_byte), _wide(_FLOAT)))
        return context.make_tuple(builder, three, channels)

    return three(array, index), codegen


@intrinsic
def store_rgb(typing_context: Any, array: Any, index: Any, red: Any, green: Any, blue: Any) -> Any:
    """Write 16 interleaved uint8 pixels from byte `index` on; the F32 values must lie in [0, 256) and are truncated."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        red, green, blue = (builder.fptosi(x, _wide(_INT)) for x in args[2:])
        green = builder.shl(green, ir.Constant(_wide(_INT), [8] * LANES))
        blue = builder.shl(blue, ir.Constant(_wide(_INT), [16] * LANES))
        words = builder.bitcast(builder.or_(builder.or_(red, green), blue), _wide(_BYTE, 4 * LANES))
        order = [4 * pixel + channel for pixel in range(LANES) for channel in range(3)]
        pixels = builder.shuffle_vector(words, words, ir.Constant(_wide(_INT, 3 * LANES), order))
        index = context.cast(builder, args[1], sig.args[1], types.intp)
        pointer = _address(context, builder, sig.args[0], args[0], index)
        builder.store(pixels, builder.bitcast(pointer, pixels.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, index, red, green, blue), codegen


@intrinsic
def load_transposed(typing_context: Any, array: Any, index: Any, row: Any) -> Any:
    """16 F32, the columns of the 16 x 16 tile at `index` of rows `row` elements apart: entry b holds element b of each.

    Four rounds of a perfect shuffle: each interleaves vectors k and k + 8, and sixteen lanes need log2(16) of them.
    """
    tile = types.UniTuple(F32, LANES)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array, index, row = args
        index = context.cast(builder, index, sig.args[1], types.intp)
        row = context.cast(builder, row, sig.args[2], types.intp)
        vectors = []
        for k in range(LANES):
            here = builder.add(index, builder.mul(row, ir.Constant(row.type, k)))
            vectors.append(_load_floats(context, builder, sig.args[0], array, here))
        half = LANES // 2
        low = ir.Constant(_wide(_INT), [k // 2 + LANES * (k % 2) for k in range(LANES)])
        high = ir.Constant(_wide(_INT), [half + k // 2 + LANES * (k % 2) for k in range(LANES)])
        for _ in range(4):
            pairs = list(zip(vectors[:half], vectors[half:], strict=True))
            vectors = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (low, high)]
        return context.make_tuple(builder, tile, vectors)

    return tile(array, index, row), codegen
