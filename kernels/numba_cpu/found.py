"""The k smallest numbers that 16 pixels have met, in order, each with an integer beside it: all of it in registers.

A number takes its place behind those that are smaller or equal, 16 pixels at once, without a branch: of equal ones the
first that came stays first. In an array instead, every step would wait for a store that it reads back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from .simd import F32, I32, LANES, emits


def _kind(size: int) -> Any:
    return types.Tuple([F32] * size + [I32] * size)


def _parts(builder: Any, found: Any) -> tuple[list[Any], list[Any]]:
    size = len(found.type.elements) // 2
    values = [builder.extract_value(found, k) for k in range(2 * size)]
    return values[:size], values[size:]


@emits(lambda slots: _kind(len(slots)))
def nothing_found(builder: Any, slots: Any) -> Any:
    """Infinities, as many as `slots` has elements."""
    vectors = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
    return [
        ir.Constant(kind, [value] * LANES)
        for kind, value in zip(vectors, (np.inf, 0), strict=True)
        for _ in range(slots.type.count)
    ]


@emits(lambda found, value, beside: found)
def insert(builder: Any, found: Any, value: Any, beside: Any) -> Any:
    """`found`, and an F32 with its I32 at its place, if that is among them; NaN never is."""
    values, besides = _parts(builder, found)
    smaller = [builder.fcmp_ordered("<", value, held) for held in values]
    for array, new in ((values, value), (besides, beside)):
        for j in range(len(array) - 1, 0, -1):
            array[j] = builder.select(smaller[j], builder.select(smaller[j - 1], array[j - 1], new), array[j])
        array[0] = builder.select(smaller[0], new, array[0])
    return values + besides


@emits(types.void)
def keep(builder: Any, values: Any, besides: Any, index: Any, found: Any) -> None:
    """Write the numbers, and the integers beside them, to arrays, from `index` on: 16 of the least, then the next."""
    for array, vectors in zip((values, besides), _parts(builder, found), strict=True):
        for j, vector in enumerate(vectors):
            at = builder.add(index, ir.Constant(index.type, LANES * j))
            to = builder.bitcast(builder.gep(array.data, [at]), vector.type.as_pointer())
            builder.store(vector, to, align=4)
