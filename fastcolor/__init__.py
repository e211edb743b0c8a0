"""Colorization as classification: color bins, class rebalancing, annealed-mean decoding, temporal smoothing, ColorUNet.

``import fastcolor`` needs NumPy only; torch, numba, matplotlib and Pillow are loaded when something first needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    from . import reference
except ImportError as error:
    if error.name != __name__:  # something that reference itself imports
        raise
    raise ImportError(
        f"fastcolor: expected an installed package, got the bare source folder {__path__[0]}, without reference and "
        "kernels; run `pip install -e .` in the checkout, or import fastcolor from elsewhere"
    ) from None
from .arrays.dispatch import BackendStatus, backends
from .bins import ColorBins
from .encoding import check_range, encode, encode_soft, histogram
from .errors import BackendUnavailableError, ImageError, MissingExtraError, VideoError, WeightsError
from .fitting.moments import ChromaMoments
from .ops import annealed_mean, confidence, decode, merge
from .smoother import TemporalSmoother

if TYPE_CHECKING:
    from .film.video import colorize_video
    from .kernels.numba_cpu.threads import get_num_threads, set_num_threads
    from .loss import weighted_cross_entropy
    from .network.config import UNetConfig
    from .network.unet import ColorUNet
    from .photo.colorizer import colorize

__version__ = "0.1.0"

# Names whose modules import something heavy: loaded on first use.
_LAZY = {
    "ColorUNet": "fastcolor.network.unet",
    "UNetConfig": "fastcolor.network.config",
    "colorize": "fastcolor.photo.colorizer",
    "colorize_video": "fastcolor.film.video",
    "get_num_threads": "fastcolor.kernels.numba_cpu.threads",
    "set_num_threads": "fastcolor.kernels.numba_cpu.threads",
    "weighted_cross_entropy": "fastcolor.loss",
}

__all__ = [
    "BackendStatus",
    "BackendUnavailableError",
    "ChromaMoments",
    "ColorBins",
    "ColorUNet",
    "ImageError",
    "MissingExtraError",
    "TemporalSmoother",
    "UNetConfig",
    "VideoError",
    "WeightsError",
    "annealed_mean",
    "backends",
    "check_range",
    "colorize",
    "colorize_video",
    "confidence",
    "decode",
    "encode",
    "encode_soft",
    "get_num_threads",
    "histogram",
    "merge",
    "reference",
    "set_num_threads",
    "weighted_cross_entropy",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'fastcolor' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
