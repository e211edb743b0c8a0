"""How to decode a network's logits, learned on photographs: near the truth's colorfulness at a bounded cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..arrays import checks
from ..bins import ColorBins
from ..encoding import encode
from ..files.sets import Photograph
from ..network.unet import ColorUNet
from ..ops import merge
from ..photo.colorizer import Colorizer
from ..photo.decoding import Decoding, moments
from .content import OTHER, Content
from .metrics import Rgb, colorfulness, delta_e2000, rgb_to_lab
from .photos import Sets, check_sets, reduced, seen

DOUBTS = (0.0, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
GAINS = tuple(round(0.7 + 0.1 * step, 1) for step in range(19))  # to 2.5

_SIDE = 24  # points a side at which a photograph is measured


class Candidate(NamedTuple):
    """A decoding, and what it comes to on the photographs: all relative, 0 as gray or as the truth."""

    decoding: Decoding
    change: float  # of CIEDE2000 against gray, the mean over sets
    vividness: float  # of colorfulness against the truth, the mean over sets
    worse: int  # classes whose CIEDE2000 is above gray's


class _Points(NamedTuple):
    """What is to be known of photographs, at points on a grid of their logits: N x s x s."""

    mean: NDArray[np.float32]  # (N, 2, s, s)
    square: NDArray[np.float32]  # (N, 1, s, s)
    luma: NDArray[np.float32]  # (N, s, s)
    rgb: Rgb  # (N, s, s, 3)


def fit_decoding(
    model: ColorUNet,
    sets: Sets,
    *,
    give: float,
    temperature: float = 1.0,
    size: int | None = None,
    mirror: bool | None = None,
    content: Content | None = None,
    progress: bool = False,
) -> tuple[Candidate, list[Candidate]]:
    """The decoding nearest to the truth in colorfulness whose CIEDE2000 is within `give` of the best; and the front.

    Doubt and gain of :class:`fastcolor.photo.decoding.Decoding` are searched on a fixed grid, at 24 x 24 points of the
    logits of each photograph. CIEDE2000 is relative to gray, a mean over the sets, so that a large one does not
    outweigh the others. Of the candidates within `give`, those with the fewest classes worse than gray are left, and
    of these the one whose colorfulness is nearest to the truth's is taken. A class without color is never worse.

    Parameters
    ----------
    model, sets, size, mirror, content, progress
        As in :func:`fastcolor.evaluation.photos.evaluate`; a class is one over all sets.
    give : float
        >= 0, the part of gray's CIEDE2000 that more color may cost.
    temperature : float
        T, which is not searched: doubt does more than it.

    Returns
    -------
    Candidate, list of Candidate
        The chosen one, and the front: every candidate that no other beats in both CIEDE2000 and nearness to the truth's
        colorfulness, the most accurate first. For the sake of the classes the chosen one need not lie on it.

    Raises
    ------
    ValueError
        No photographs, a set without color, or `give` out of range.
    """
    check_sets(sets)
    checks.real("give", give, 0.0)
    colorizer = Colorizer.load(model, size=size, mirror=mirror)
    photographs = [photograph for group in sets.values() for photograph in group]
    rows = [_points(one, colorizer, temperature) for one in tqdm(photographs, unit="photo", disable=not progress)]
    points = _Points(*map(np.stack, zip(*rows, strict=True)))
    kinds = [OTHER if content is None else content.of(photograph) for photograph in photographs]
    judge = _Judge(points, colorizer.bins, [name for name, group in sets.items() for _ in group], kinds)
    wanted = [Decoding(temperature, doubt, gain) for doubt in DOUBTS for gain in GAINS]
    return choose([judge(decoding) for decoding in tqdm(wanted, unit="decoding", disable=not progress)], give)


def choose(candidates: list[Candidate], give: float) -> tuple[Candidate, list[Candidate]]:
    """See :func:`fit_decoding`."""
    bound = min(candidate.change for candidate in candidates) + give
    near = [candidate for candidate in candidates if candidate.change <= bound]
    fewest = min(candidate.worse for candidate in near)
    best = min((one for one in near if one.worse == fewest), key=lambda one: (abs(one.vividness), one.change))
    return best, list(_front(candidates))


def _front(candidates: list[Candidate]) -> Iterator[Candidate]:
    nearest = np.inf
    for one in sorted(candidates, key=lambda one: (one.change, abs(one.vividness))):
        if abs(one.vividness) < nearest:
            nearest = abs(one.vividness)
            yield one


def _points(photograph: Photograph, colorizer: Colorizer, temperature: float) -> _Points:
    """Of one photograph, without the axis N."""
    rgb, _, logits = seen(photograph, colorizer)
    rows, columns = (np.linspace(0, length - 1, _SIDE).round().astype(int) for length in logits.shape[-2:])
    truth = np.ascontiguousarray(reduced(rgb, logits)[rows][:, columns])
    luma, _, _ = encode(truth, colorizer.bins)
    mean, square = moments(logits.numpy()[:, rows][:, :, columns], colorizer.bins, temperature)
    return _Points(mean, square, luma, truth)


class _Judge:
    """What a decoding comes to on the points of photographs, each of a set and of a class."""

    def __init__(self, points: _Points, bins: ColorBins, sets: Sequence[str], kinds: Sequence[str]) -> None:
        self._points, self._bins = points, bins
        self._lab = rgb_to_lab(points.rgb)
        gray = self._scores(np.zeros_like(points.mean))[:, 0]
        self._known = np.stack([gray, [colorfulness(rgb) for rgb in points.rgb]], axis=1)
        self._sets, self._kinds = ({name: np.array(of) == name for name in sorted({*of})} for of in (sets, kinds))
        if colorless := [name for name, members in self._sets.items() if not self._has_color(members)]:
            raise ValueError(f"sets: expected color photographs in every set, got gray ones alone in {colorless}")

    def __call__(self, decoding: Decoding) -> Candidate:
        found = self._scores(decoding.of_moments(self._points.mean, self._points.square, self._bins))

        def relative(members: NDArray[np.bool_]) -> NDArray[np.floating]:
            return found[members].mean(axis=0) / self._known[members].mean(axis=0) - 1

        change, vivid = np.mean([relative(members) for members in self._sets.values()], axis=0)
        worse = sum(relative(members)[0] > 0 for members in self._kinds.values() if self._has_color(members))
        return Candidate(decoding, float(change), float(vivid), int(worse))

    def _has_color(self, members: NDArray[np.bool_]) -> bool:
        """Whether there is something to be relative to."""
        return bool(self._known[members].mean(axis=0).all())

    def _scores(self, chroma: NDArray[np.float32]) -> NDArray[np.floating]:
        """(CIEDE2000, colorfulness) of each photograph."""
        result = merge(chroma, self._points.luma)
        error = delta_e2000(rgb_to_lab(result), self._lab).mean(axis=(1, 2))
        return np.stack([error, [colorfulness(rgb) for rgb in result]], axis=1)
