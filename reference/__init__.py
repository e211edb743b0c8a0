"""What is true: every operation in plain float64 NumPy, short, with the paper it comes from.

Nothing here is fast. The kernels are measured against these functions, and the tests tie the two together.

References
----------
.. [1] R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016, arXiv:1603.08511.
.. [2] V. Billaut, M. de Rochemonteix, M. Thibault, "ColorUNet: A convolutional classification approach to
   colorization", 2018, arXiv:1811.03120.
"""

from .bins import ColorBins, class_weights
from .cells import cell_midpoints, cell_of, chroma_moments, histogram
from .centers import bins_of_centers, grid_centers, zhang_centers
from .color import lab_to_rgb, rgb_to_lab, rgb_to_yuv, to_uint8, yuv_to_rgb
from .fitting import fit_bins, quantization_error
from .loss import weighted_cross_entropy, weighted_cross_entropy_gradient
from .ops import annealed_mean, annealed_mean_gradient, confidence, decode, encode, join, merge, softmax, upsample
from .smoothing import TemporalSmoother, smooth_window
from .soft import encode_soft, soft_prior

__all__ = [
    "ColorBins",
    "TemporalSmoother",
    "annealed_mean",
    "annealed_mean_gradient",
    "bins_of_centers",
    "cell_midpoints",
    "cell_of",
    "chroma_moments",
    "class_weights",
    "confidence",
    "decode",
    "encode",
    "encode_soft",
    "fit_bins",
    "grid_centers",
    "histogram",
    "join",
    "lab_to_rgb",
    "merge",
    "quantization_error",
    "rgb_to_lab",
    "rgb_to_yuv",
    "smooth_window",
    "soft_prior",
    "softmax",
    "to_uint8",
    "upsample",
    "weighted_cross_entropy",
    "weighted_cross_entropy_gradient",
    "yuv_to_rgb",
    "zhang_centers",
]
