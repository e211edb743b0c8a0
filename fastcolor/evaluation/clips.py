"""Clips made of color photographs, so that the true colors are known: of every kind of motion and of change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..film.sample_clip import crop, with_grain

Rgb = NDArray[np.uint8]
Float = NDArray[np.float32]

FRAMES = 40  # of a clip
GRAIN = 0.02  # standard deviation of the noise on the luma of each frame
DISSOLVES = 6, 25  # frames of a cross-fade, half-open
_SETTLED = 3  # frames that colors have to follow what happened


class MadeClip(NamedTuple):
    """Frames uint8 (H, W, 3), and the numbers of those in which colors of the past may still be seen.

    These are the first three frames after a cut or a flash, and the fourth to sixth after a dissolve.
    """

    frames: list[Rgb]
    after: list[int]


class _Shot(NamedTuple):
    """A camera's way over a photograph: center and width of the frame at both ends, as shares of the photograph's."""

    photo: Image.Image
    first: tuple[float, float, float]
    last: tuple[float, float, float]

    def frame(self, share: float, size: tuple[int, int]) -> Float:
        x, y, wide = np.array(self.first) + (np.array(self.last) - np.array(self.first)) * share
        return np.asarray(crop(self.photo, x, y, wide, *size), np.float32)


def make_clip(
    photographs: Sequence[Image.Image], kind: str, *, size: tuple[int, int] = (192, 144), seed: int = 0
) -> MadeClip:
    """A clip of one kind of :data:`KINDS` with grain, of photographs drawn by `seed`.

    Parameters
    ----------
    photographs : sequence of Pillow images
        In color, at least two.
    kind : str
        ``still``, ``pan``, ``zoom``; ``object``: a part of one photograph passes before another; ``cut`` and
        ``dissolve`` (6 to 24 frames) between two moving shots; ``flash``: one or two frames bright or nearly white;
        ``mixed``: flash, cut, dissolve and object one after the other, with cuts between them that `after` leaves out.
    size : tuple of int
        Width and height of the frames.
    seed : int

    Raises
    ------
    ValueError
        Unknown kind, or fewer than two photographs.

    Examples
    --------
    >>> photographs = [Image.new("RGB", (64, 48), color) for color in ("red", "blue")]
    >>> clip = make_clip(photographs, "cut")
    >>> len(clip.frames), clip.frames[0].shape, len(clip.after)
    (40, (144, 192, 3), 3)
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if len(photographs) < 2:
        raise ValueError(f"photographs: expected at least 2 to make clips of, got {len(photographs)}")
    rng = np.random.default_rng((seed, list(KINDS).index(kind)))
    chosen = [photographs[k].convert("RGB") for k in rng.choice(len(photographs), 2, replace=False)]
    frames, after = KINDS[kind](chosen, size, rng)
    return MadeClip([with_grain(frame, GRAIN, rng) for frame in frames], after)


def _shot(photo: Image.Image, rng: np.random.Generator, pan: float = 0.25, zoom: float = 0.25) -> _Shot:
    """A way whose middle lies near the middle of the photograph."""
    way, wide = rng.uniform(-1, 1, 2) * pan / 2, rng.uniform(0.6, 0.7)
    change = rng.choice((-1, 1)) * zoom / 2 * wide
    ends = ((0.5 - way[0], 0.5 - way[1], wide - change), (0.5 + way[0], 0.5 + way[1], wide + change))
    return _Shot(photo, *ends)


def _play(shot: _Shot, size: tuple[int, int], count: int = FRAMES) -> list[Float]:
    return [shot.frame(step / max(1, count - 1), size) for step in range(count)]


def _still(photos: list[Image.Image], size: tuple[int, int], rng: np.random.Generator) -> tuple[list[Float], list[int]]:
    return _play(_shot(photos[0], rng, 0.0, 0.0), size), []


def _pan(photos: list[Image.Image], size: tuple[int, int], rng: np.random.Generator) -> tuple[list[Float], list[int]]:
    sign, wide = rng.choice((-1, 1)), rng.uniform(0.5, 0.7)
    reach = sign * (1 - wide) / 2
    return _play(_Shot(photos[0], (0.5 - reach, 0.5, wide), (0.5 + reach, 0.5, wide)), size), []


def _zoom(photos: list[Image.Image], size: tuple[int, int], rng: np.random.Generator) -> tuple[list[Float], list[int]]:
    ends = [(0.5, 0.5, 0.95), (*rng.uniform(0.4, 0.6, 2), 0.5)]
    return _play(_Shot(photos[0], *(ends if rng.random() < 0.5 else ends[::-1])), size), []


def _object(
    photos: list[Image.Image], size: tuple[int, int], rng: np.random.Generator
) -> tuple[list[Float], list[int]]:
    """An upright ellipse cut out of the second photograph crosses the first from side to side."""
    width, height = size
    front = np.asarray(crop(photos[1], 0.5, 0.5, 0.5, width // 3, height // 2), np.float32)
    high, wide = front.shape[:2]
    inside = np.hypot(*np.meshgrid(np.linspace(-1, 1, wide), np.linspace(-1, 1, high))) <= 1
    top, backwards, frames = int(rng.uniform(0.2, 0.8) * (height - high)), rng.random() < 0.5, []
    for step, frame in enumerate(_play(_shot(photos[0], rng, 0.05, 0.0), size)):
        share = step / (FRAMES - 1)
        left = round((1 - share if backwards else share) * (width - wide))
        frame = frame.copy()
        frame[top : top + high, left : left + wide][inside] = front[inside]
        frames.append(frame)
    return frames, []


def _cut(photos: list[Image.Image], size: tuple[int, int], rng: np.random.Generator) -> tuple[list[Float], list[int]]:
    half = FRAMES // 2
    frames = [frame for photo in photos for frame in _play(_shot(photo, rng), size, half)]
    return frames, list(range(half, half + _SETTLED))


def _dissolve(
    photos: list[Image.Image], size: tuple[int, int], rng: np.random.Generator
) -> tuple[list[Float], list[int]]:
    length = int(rng.integers(*DISSOLVES))
    end = (FRAMES + length) // 2
    pairs = zip(*(_play(_shot(photo, rng), size) for photo in photos), strict=True)
    shares = ((np.arange(FRAMES) - (end - length)) / length).clip(0, 1)
    frames = [(one + (other - one) * np.float32(share)) for (one, other), share in zip(pairs, shares, strict=True)]
    return frames, list(range(end + _SETTLED, min(end + 2 * _SETTLED, FRAMES)))


def _flash(photos: list[Image.Image], size: tuple[int, int], rng: np.random.Generator) -> tuple[list[Float], list[int]]:
    start, length, white = FRAMES // 2, int(rng.integers(1, 3)), rng.choice((0.4, 0.7, 0.95))
    frames = _play(_shot(photos[0], rng, 0.1, 0.1), size)
    for step in range(start, start + length):
        frames[step] = frames[step] + (255 - frames[step]) * np.float32(white)
    return frames, list(range(start + length, start + length + _SETTLED))


def _mixed(photos: list[Image.Image], size: tuple[int, int], rng: np.random.Generator) -> tuple[list[Float], list[int]]:
    frames: list[Float] = []
    after: list[int] = []
    for kind in (_flash, _cut, _dissolve, _object):
        more, events = kind(photos, size, rng)
        after += [len(frames) + number for number in events]
        frames += more
    return frames, after


_Maker = Callable[[list[Image.Image], tuple[int, int], np.random.Generator], "tuple[list[Float], list[int]]"]
KINDS: dict[str, _Maker] = {
    "still": _still,
    "pan": _pan,
    "zoom": _zoom,
    "object": _object,
    "cut": _cut,
    "flash": _flash,
    "dissolve": _dissolve,
    "mixed": _mixed,
}
