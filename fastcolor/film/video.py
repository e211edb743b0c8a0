"""Films to color, steady over time, in overlapping stages with bounded memory.

A frame's way: luma and its small copy (a thread) -> logits, in batches (a thread) -> scene cut? smoothing, chroma,
merge with the full luma (a thread) -> the caller. Nothing grows with the length of the film.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arrays import checks
from ..files.images import as_photo
from ..photo.colorizer import Colorizer
from ..photo.paper import render
from ..photo.pipeline import closing_stream, prefetch
from ..reference.constants import DEFAULT_ALPHA, DEFAULT_WINDOW
from ..smoother import TemporalSmoother
from .scenes import DEFAULT_THRESHOLD, CutDetector

if TYPE_CHECKING:
    import torch

    from ..network.unet import ColorUNet
    from .film import Film
    from .steady import SteadySmoother

Rgb = NDArray[np.uint8]

SMOOTHINGS = ("steady", "motion", "paper", "none")
DEFAULT_BATCH = 8  # frames in one pass of the network
_AHEAD = 4  # finished frames that wait for the caller
_PIXELS = 1 << 24  # of the frames that wait in one place: eight of 1920 x 1080, one of 4096 x 3072


def colorize_video(
    frames: str | os.PathLike[str] | Iterable[Any],
    *,
    model: str | os.PathLike[str] | ColorUNet | None = None,
    smooth: bool | str = True,
    alpha: float = DEFAULT_ALPHA,
    window: int = DEFAULT_WINDOW,
    temperature: float | None = None,
    size: int | None = None,
    ring: str = "float16",
    cuts: float | None = DEFAULT_THRESHOLD,
    device: str | torch.device | None = None,
    batch: int = DEFAULT_BATCH,
) -> Iterator[Rgb]:
    """``rgb_t = merge(c_t, Y_t)``, c the chroma of each frame averaged with its past along the motion, since a cut.

    Frames come back one for one and in order, as they are ready; some are read ahead, by threads that end when the
    generator is exhausted, closed or dropped. Errors of `frames` are raised after the frames before them; what cannot
    be read of a damaged film that is given by its path is a ``UserWarning`` after the last frame.

    Parameters
    ----------
    frames : path, or iterable of uint8 arrays (H, W) or (H, W, 3), Pillow images or paths
        A path is a video file, a folder or glob of images, or an animated GIF or WebP. Of color frames only the luma is
        used. All frames have one size.
    model, temperature, size, device
        As in :func:`colorize`; frames are seen once, whatever the model says of the mirror.
    smooth : bool or {"steady", "motion", "paper", "none"}
        ``steady`` (True) averages decoded chroma along the motion, of what still belongs to the picture, see
        :class:`~fastcolor.film.steady.SteadySmoother`; ``motion`` does so along OpenCV's optical flow; ``paper``
        decodes ``sum_{i=0..window} p_{t-i} e^{-α i}`` at each pixel, see :class:`TemporalSmoother`; ``none`` (False)
        decodes every frame by itself.
    alpha : float
        Decay of the past a frame, >= 0.
    window : int
        Number of past frames that count, >= 0, of ``paper``; the others have no window.
    ring : {"float32", "float16", "uint8"}
        Storage of past probabilities of ``paper``; float16 costs at most one level of RGB.
    cuts : float, optional
        Threshold in [0, 1] at which a change is a scene cut and the past is forgotten, see
        :class:`~fastcolor.film.scenes.CutDetector`; None never forgets. What a flash interrupts goes on.
    batch : int
        Frames in one pass of the network, >= 1: more are faster and need more memory. Of large frames fewer are taken.

    Returns
    -------
    iterator of ndarray, shape (H, W, 3), uint8
        The luma of each is the input's wherever the color lies inside the RGB cube; white and black have no tint.

    Raises
    ------
    MissingExtraError
        torch is not installed; for ``motion`` OpenCV; for video files PyAV.
    ImageError, VideoError, OSError
        A frame or the film cannot be read.
    WeightsError
        Unknown model, or damaged weights.
    TypeError, ValueError
        Any other argument is wrong, or frames differ in size.

    References
    ----------
    ColorUNet (arXiv:1811.03120), section 3.5: window 20, α = 0.2.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> film = [np.full((30, 40), 128, np.uint8)] * 3
    >>> [rgb.shape for rgb in fastcolor.colorize_video(film)]
    [(30, 40, 3), (30, 40, 3), (30, 40, 3)]
    """
    batch = checks.integer("batch", batch, 1)
    # Smoothing steadies what the mirror would, and the network is most of the time.
    colorizer = Colorizer.load(model, temperature=temperature, size=size, mirror=False, device=device)
    detector = None if cuts is None else CutDetector(checks.real("cuts", cuts, 0.0, 1.0))
    smoothed = _Smoothed(colorizer, detector, _starter(colorizer, smooth, alpha, window, ring))
    if isinstance(frames, (str, os.PathLike)):
        from .io import open_film

        return _warning(open_film(frames), colorizer, smoothed, batch)
    if not isinstance(frames, Iterable):
        raise TypeError(f"frames: expected a path or an iterable of frames, got {type(frames).__name__}")
    return _run(frames, colorizer, smoothed, batch)


def _warning(film: Film, colorizer: Colorizer, smoothed: _Smoothed, batch: int) -> Iterator[Rgb]:
    yield from _run((frame.pixels for frame in film), colorizer, smoothed, batch)
    for problem in dict.fromkeys(film.problems):
        warnings.warn(problem, UserWarning, stacklevel=2)


class _Frame(NamedTuple):
    luma: NDArray[Any]  # (H, W), uint8 or float32
    small: NDArray[np.float32]  # (h, w), as the network sees it


_Predicted: TypeAlias = "tuple[_Frame, torch.Tensor]"
# Chroma of the next frame of a scene, given its own chroma (2, h, w), logits (n, h, w) and luma (H, W).
_Scene: TypeAlias = "Callable[[NDArray[np.float32], torch.Tensor, NDArray[np.float32]], NDArray[np.float32]]"


def _run(frames: Iterable[Any], colorizer: Colorizer, smoothed: _Smoothed, batch: int) -> Iterator[Rgb]:
    with closing_stream(_read(frames, colorizer)) as lumas:
        first = next(lumas, None)
        if first is None:
            return
        most = max(1, _PIXELS // first.luma.size)
        batch = min(batch, most)
        read = prefetch(chain([first], lumas), batch)
        predicted = prefetch(_predict(read, colorizer, batch), batch)
        del first  # it would live as long as the film
        yield from prefetch(_finish(predicted, smoothed), min(_AHEAD, most))


def _read(frames: Iterable[Any], colorizer: Colorizer) -> Iterator[_Frame]:
    shape = None
    with closing_stream(frames) as items:
        for number, frame in enumerate(items):
            luma = as_photo(frame).luma
            shape = shape or luma.shape
            if luma.shape != shape:
                raise ValueError(
                    f"frames: expected {shape[1]}x{shape[0]} pixels like the frames before, got "
                    f"{luma.shape[1]}x{luma.shape[0]} at frame {number}; scale them first, or colorize the parts apart"
                )
            yield _Frame(luma, colorizer.reduce(luma))


def _predict(frames: Iterator[_Frame], colorizer: Colorizer, batch: int) -> Iterator[_Predicted]:
    """Each frame with its logits (n, h, w) on the CPU."""
    with closing_stream(frames) as items:
        for group in _groups(items, batch):
            yield from zip(group, colorizer.logits(np.stack([frame.small for frame in group])), strict=True)


def _groups(frames: Iterator[_Frame], size: int) -> Iterator[list[_Frame]]:
    """Lists of `size` frames; an error comes after the frames before it."""
    group: list[_Frame] = []
    try:
        for frame in frames:
            group.append(frame)
            if len(group) == size:
                yield group
                group = []
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group


def _finish(predicted: Iterator[_Predicted], smoothed: _Smoothed) -> Iterator[Rgb]:
    with closing_stream(predicted) as items:
        for frame, logits in items:
            yield render(smoothed.chroma(logits, frame.small), frame.luma, borders=False)


def _starter(colorizer: Colorizer, smooth: bool | str, alpha: float, window: int, ring: str) -> Callable[[], _Scene]:
    """What makes the scenes of a film; all options are checked, whether they are used or not."""
    kind = SMOOTHINGS[0 if smooth else -1] if isinstance(smooth, (bool, np.bool_)) else smooth
    checks.choice("smooth", kind, SMOOTHINGS)
    paper: dict[str, Any] = {"alpha": alpha, "window": window, "ring": ring}
    TemporalSmoother(colorizer.bins, **paper)  # checks them
    if kind == "none":
        return lambda: lambda chroma, logits, luma: chroma
    if kind == "paper":
        return lambda: _paper(colorizer, TemporalSmoother(colorizer.bins, **paper))
    from .steady import SteadySmoother

    flow = None
    if kind == "motion":
        from .motion import backward_flow, load_cv2

        load_cv2()
        flow = backward_flow
    return lambda: _steady(SteadySmoother(alpha=alpha, flow=flow))


def _steady(smoother: SteadySmoother) -> _Scene:
    return lambda chroma, logits, luma: smoother.step(chroma, luma)


def _paper(colorizer: Colorizer, smoother: TemporalSmoother) -> _Scene:
    def scene(chroma: NDArray[np.float32], logits: torch.Tensor, luma: NDArray[np.float32]) -> NDArray[np.float32]:
        smoother.chroma(logits.numpy())  # adds the frame; the model's decoding need not be this annealed mean
        with np.errstate(divide="ignore"):
            return colorizer.chroma(np.log(smoother.probabilities))

    return scene


class _Smoothed:
    """Chroma of a frame from its logits and those before it in the scene."""

    def __init__(self, colorizer: Colorizer, detector: CutDetector | None, start: Callable[[], _Scene]) -> None:
        self._colorizer, self._detector, self._start = colorizer, detector, start
        self._scene, self._left = start(), start()
        self._first = True

    def chroma(self, logits: torch.Tensor, luma: NDArray[np.float32]) -> NDArray[np.float32]:
        """(2, h, w); the first frame of a scene has exactly the chroma that it has by itself."""
        if self._detector is not None:
            if self._detector.step(luma):
                self._left, self._scene, self._first = self._scene, self._start(), True
            elif self._detector.returned:
                self._scene = self._left
        own = self._colorizer.chroma(logits)
        smoothed = self._scene(own, logits, luma)
        first, self._first = self._first, False
        return own if first else smoothed
