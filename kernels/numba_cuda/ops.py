"""The second GPU backend: short Numba CUDA kernels of the main operations, for reading and for comparison.

Arguments are torch CUDA tensors or CuPy arrays that the public API has validated; uint16 logits, where a library has no
bfloat16, are its bits. Everything runs on the device and the current stream of the caller.
"""

from .decode import annealed_mean, confidence, decode
from .encode import encode
from .encode_soft import encode_soft
from .temporal import TemporalSmoother

__all__ = ["TemporalSmoother", "annealed_mean", "confidence", "decode", "encode", "encode_soft"]
