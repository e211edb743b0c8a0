"""Scene cuts, found on small luma images: a cut changes both the brightnesses and the structure at once.

Either alone is common inside a scene: a flash or a fade changes the histograms and leaves the structure; a fast pan
changes every pixel and keeps the histograms. Their geometric mean is high for cuts only. Brightnesses are counted in
each quarter of the picture: the same scene mirrored has them all, elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import checks

DEFAULT_THRESHOLD = 0.3

_SHORTEST = 2  # frames of a scene: the first frame of a fade from black has little structure to compare
_FLASH = 2  # frames after which the scene before may go on
_THUMBNAIL = 64  # side of the image whose structure is compared
_FINE, _COARSE = 5, 17  # detail between these sizes counts: film grain is smaller, light and shade are larger
_WINDOW = np.outer(
    np.hanning(_THUMBNAIL + 2)[1:-1], np.hanning(_THUMBNAIL + 2)[1:-1]
)  # what a pan brings in counts less
_FLAT = 1e-4  # mean amplitude of detail below which an image has no structure
_LEVELS = 64  # bins of the histogram
_SKIP = 2  # every second pixel of every second row is enough for it
_BLUR = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9  # a still scene with grain differs by less than a bin


def _running_mean(side: int) -> NDArray[np.float64]:
    """Matrix whose product with a column of a thumbnail is the mean over `side` pixels, edges repeated."""
    matrix = np.zeros((_THUMBNAIL, _THUMBNAIL))
    rows = np.arange(_THUMBNAIL)[:, None]
    np.add.at(matrix, (rows, (rows + np.arange(side) - side // 2).clip(0, _THUMBNAIL - 1)), 1 / side)
    return matrix


_MEANS = _running_mean(_FINE), _running_mean(_COARSE)


class _Seen(NamedTuple):
    """What is kept of a frame."""

    histograms: NDArray[np.floating]  # (4, levels), of the quarters; they add up to 1
    spectrum: NDArray[np.complex128] | None


class CutDetector:
    """``score = sqrt(histogram distance * structure distance)``, a cut where it reaches the threshold.

    Histogram distance is half the sum of absolute differences of smoothed luma histograms of the four quarters, in
    [0, 1]. Structure distance is 1 minus the highest correlation of two band-passed thumbnails over all shifts, so that
    a pan is none.

    A scene has two frames at least: of shots of a single frame, every other one begins a scene. If one or two frames
    after a cut the picture is more like the one before it than like its predecessor, the cut was a flash (of light, or
    of another scene), and `returned` is True. A cut to a scene with the same brightnesses in the same quarters, such as
    the mirror image of a symmetric one, is missed.

    Parameters
    ----------
    threshold : float
        In [0, 1]; smaller finds more cuts.

    Attributes
    ----------
    score : float
        Of the last frame.
    returned : bool
        Whether with the last frame the scene before the last cut goes on.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> dark, bright = rng.uniform(0.0, 0.4, (64, 64)), rng.uniform(0.6, 1.0, (64, 64))
    >>> detector = CutDetector()
    >>> [detector.step(frame.astype(np.float32)) for frame in (dark, dark, bright, dark)]
    [False, False, True, False]
    >>> detector.returned
    True
    """

    def __init__(self, threshold: float = DEFAULT_THRESHOLD) -> None:
        self.threshold = checks.real("threshold", threshold, 0.0, 1.0)
        self.score, self.returned = 0.0, False
        self._age = _SHORTEST  # frames since the last cut; the first scene may be shorter
        self._before: _Seen | None = None
        self._left: _Seen | None = None  # the last frame before a cut, while the scene may return

    def step(self, luma: NDArray[np.float32]) -> bool:
        """Whether a scene starts with this frame, luma (H, W) in [0, 1]; never with the first. `score` is kept."""
        now = _Seen(_histograms(luma), _spectrum(luma))
        before, self._before, self.returned = self._before, now, False
        if before is None:
            return False
        self.score = _score(before, now)
        if self._left is not None:
            self.returned = _score(self._left, now) < min(self.threshold, self.score)
        cut = self.score >= self.threshold and self._age >= _SHORTEST and not self.returned
        self._age = 1 if cut else self._age + 1
        if cut:
            self._left = before
        elif self.returned or self._age > _FLASH:
            self._left = None
        return cut


def _score(before: _Seen, now: _Seen) -> float:
    levels = 0.5 * float(np.abs(now.histograms - before.histograms).sum())
    return float(np.sqrt(levels * _structure_distance(before.spectrum, now.spectrum)))


def _histograms(luma: NDArray[np.float32]) -> NDArray[np.floating]:
    levels = (luma[::_SKIP, ::_SKIP] * np.float32(_LEVELS - 0.01)).astype(np.uint8)
    lower, right = (np.arange(side) >= side / 2 for side in levels.shape)
    quarters = _LEVELS * (2 * lower[:, None] + right) + levels
    counts = np.bincount(quarters.ravel(), minlength=4 * _LEVELS).reshape(4, _LEVELS) / levels.size
    return np.stack([np.convolve(quarter, _BLUR) for quarter in counts])


def _spectrum(luma: NDArray[np.float32]) -> NDArray[np.complex128] | None:
    """Spectrum of the band-passed thumbnail with norm 1; None for a flat image."""
    image = Image.fromarray(luma).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    thumbnail = np.asarray(image, np.float64)
    detail = (_MEANS[0] @ thumbnail @ _MEANS[0].T - _MEANS[1] @ thumbnail @ _MEANS[1].T) * _WINDOW
    if np.abs(detail).mean() < _FLAT:
        return None
    return np.fft.rfft2(detail / np.linalg.norm(detail))


def _structure_distance(a: NDArray[np.complex128] | None, b: NDArray[np.complex128] | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else 1.0
    correlation = np.fft.irfft2(a * b.conj(), (_THUMBNAIL, _THUMBNAIL))
    return 1.0 - float(correlation.max().clip(0.0, 1.0))
