"""The operations on the CPU, by the names of the reference.

Arguments are NumPy arrays that the public API has validated; uint16 logits are the bits of bfloat16. Each module has
the arithmetic of an operation first, then its host function: layout, threads, padding to whole vectors.
"""

from .decode import annealed_mean, confidence, decode
from .encode import encode
from .encode_soft import encode_soft
from .gradient import annealed_mean_gradient
from .histogram import chroma_moments, histogram
from .loss import weighted_cross_entropy
from .merge import merge
from .temporal import TemporalSmoother

__all__ = [
    "TemporalSmoother",
    "annealed_mean",
    "annealed_mean_gradient",
    "chroma_moments",
    "confidence",
    "decode",
    "encode",
    "encode_soft",
    "histogram",
    "merge",
    "weighted_cross_entropy",
]
