"""What is true: every operation in plain float64 NumPy, short, with the paper it comes from.

Nothing here is fast. The kernels are measured against these functions, and the tests tie the two together.

References
----------
.. [1] R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016, arXiv:1603.08511.
.. [2] V. Billaut, M. de Rochemonteix, M. Thibault, "ColorUNet: A convolutional classification approach to
   colorization", 2018, arXiv:1811.03120.
"""

from .bins import ColorBins, class_weights, fit_bins, quantization_error
from .cells import cell_midpoints, cell_of, chroma_moments, histogram
from .color import rgb_to_yuv, to_uint8, yuv_to_rgb
from .loss import weighted_cross_entropy, weighted_cross_entropy_gradient
from .ops import annealed_mean, annealed_mean_gradient, confidence, decode, encode, join, merge, softmax, upsample
from .smoothing import TemporalSmoother, smooth_window

__all__ = [
    "ColorBins",
    "TemporalSmoother",
    "annealed_mean",
    "annealed_mean_gradient",
    "cell_midpoints",
    "cell_of",
    "chroma_moments",
    "class_weights",
    "confidence",
    "decode",
    "encode",
    "fit_bins",
    "histogram",
    "join",
    "merge",
    "quantization_error",
    "rgb_to_yuv",
    "smooth_window",
    "softmax",
    "to_uint8",
    "upsample",
    "weighted_cross_entropy",
    "weighted_cross_entropy_gradient",
    "yuv_to_rgb",
]
