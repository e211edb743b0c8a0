"""exp2 and log2 of vectors, accurate to about one float32 rounding.

Rungs of exp2, elements a second on one core of a Xeon with AVX-512: numba's np.exp, 0.4 G -> a polynomial after
magic-number rounding, the exponent built by a shift of that same number, two clamps, 9 G -> AVX-512's own scaling,
which saturates, so that no clamp is needed, 11 G. No fast-math flag: reassociation would delete the rounding.
"""

from __future__ import annotations

import numpy as np

from .jit import jit
from .simd import bits, fma, from_bits, greater, has_avx512, lesser, scalef, splat, splat_int, to_float, where_greater

_SUBNORMAL = np.float32(-124.5)
_INF, _NAN = np.float32(np.inf), np.float32(np.nan)
_TINY, _RAISE, _RAISED = np.float32(2.0**-100), np.float32(2.0**48), np.float32(48)
LOWEST, HIGHEST = np.float32(-126.0), np.float32(127.0)  # exponents that exp2 clamps to

# 1.5 * 2^23 rounds to an integer; + 127 makes its low bits the biased exponent of 2^integer.
_MAGIC = np.float32(3 << 22) + np.float32(127)
# Relative minimax fit of 2^f on [-1/2, 1/2]: 7.5e-8, below the rounding of the five multiply-adds themselves.
_C0, _C1, _C2 = np.float32(1.0000001192092896), np.float32(0.6931469440460205), np.float32(0.24022120237350464)
_C3, _C4, _C5 = np.float32(0.05550713092088699), np.float32(0.009675540961325169), np.float32(0.0013276472454890609)


@jit(inline=True)
def exp2_scaled(x, scale, low, high):
    """``2^(x * scale)`` for F32 x; NaN stays NaN. `low`, `high` are [-126, 127] / scale, where one is needed.

    A sum of results that lies within [2^-90, 2^100] is right: below -124 the result may be 2^-126 or 0, nothing beside
    such a sum; above 127 it is far beyond it; so is what comes of an |x * scale| > 2^60, whose fraction is no
    fraction any more. There, and only there, x must be clamped to [low, 0] before.
    """
    if has_avx512():  # the scaling saturates by itself, and takes a NaN fraction of -inf as 0 and of inf as inf
        n = fma(x, scale, splat(_MAGIC)) - splat(_MAGIC)
        p = _exp2_of_fraction(fma(x, scale, -n))
        # A subnormal result costs as much as ten others: from 2^-125 down it is 0.
        return scalef(p, where_greater(splat(_SUBNORMAL), n, splat(-_INF), n))
    x = lesser(high, greater(low, x))
    shifted = fma(x, scale, splat(_MAGIC))
    f = fma(x, scale, splat(_MAGIC) - shifted)
    return _exp2_of_fraction(f) * from_bits(bits(shifted) << splat_int(23))


@jit(inline=True)
def _exp2_of_fraction(f):
    p = fma(fma(fma(splat(_C5), f, splat(_C4)), f, splat(_C3)), f, splat(_C2))
    return fma(fma(p, f, splat(_C1)), f, splat(_C0))


_SQRT_HALF_BITS = 0x3F3504F3
# Minimax fit of log2(1 + r) / r on [sqrt(1/2) - 1, sqrt(2) - 1]: 4.8e-8 absolute in log2.
_L0, _L1, _L2 = np.float32(1.4426947832107544), np.float32(-0.7213571667671204), np.float32(0.48093944787979126)
_L3, _L4, _L5 = np.float32(-0.36008721590042114), np.float32(0.28670746088027954), np.float32(-0.2500690519809723)
_L6, _L7 = np.float32(0.23689040541648865), np.float32(-0.14574451744556427)


@jit(inline=True)
def log2_of_normal(x):
    """Base-2 logarithm of F32 x that are positive, finite and not subnormal."""
    exponent = (bits(x) - splat_int(_SQRT_HALF_BITS)) >> splat_int(23)
    r = from_bits(bits(x) - (exponent << splat_int(23))) - splat(1.0)
    p = fma(fma(fma(splat(_L7), r, splat(_L6)), r, splat(_L5)), r, splat(_L4))
    p = fma(fma(fma(fma(p, r, splat(_L3)), r, splat(_L2)), r, splat(_L1)), r, splat(_L0))
    return fma(p, r, to_float(exponent))


@jit(inline=True)
def log2(x):
    """Base-2 logarithm of F32 x; -inf for zero and below."""
    return where_greater(x, splat(0.0), log2_of_normal(x), splat(-_INF))


@jit(inline=True)
def valid_probability(p):
    """F32 p where it is at least zero and finite, else NaN."""
    return where_greater(splat(0.0), p, splat(_NAN), where_greater(splat(_INF), p, p, splat(_NAN)))


@jit(inline=True)
def log2_of_any(p):
    """Base-2 logarithm of F32 p: -inf for zero, NaN for what is negative, infinite or NaN."""
    valid = valid_probability(p)
    # The bits of a subnormal number hold no exponent: it is brought up first.
    raised = where_greater(splat(_TINY), p, valid * splat(_RAISE), valid)
    return log2(raised) - where_greater(splat(_TINY), p, splat(_RAISED), splat(0.0)) + (valid - valid)
