"""Several prepared sets as one: how often each set, each source in it and each photograph comes.

``share = set's share * count(source) ** -balance / sum over the set``. The source of a photograph is in its name,
`<source>_<hash>.jpg`: a source of ten thousand photographs does not drown one of a hundred, whose photographs do not
come a hundred times as often either. The weight of a set that has none is the number of its photographs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..files.sets import Photograph, find_part, source_of, unlike_names
from ..plural import counted
from .split import check_finished


class PhotoSet(NamedTuple):
    """A prepared set, a folder or a pack, and its weight beside others; None is the number of its photographs."""

    place: Path
    weight: float | None = None

    def __str__(self) -> str:
        return str(self.place) if self.weight is None else f"{self.place}={self.weight:g}"


class OpenSet(NamedTuple):
    """What is in a set."""

    name: str
    weight: float  # with those of all sets the sum is 1
    train: Sequence[Photograph]
    val: Sequence[Photograph]


def parse_set(text: str) -> PhotoSet:
    """``SET`` or ``SET=WEIGHT``; a place whose own name has a "=" is meant where there is one, or a "/" behind it.

    Examples
    --------
    >>> parse_set("photos=0.5").weight
    0.5
    """
    place, equals, number = text.rpartition("=")
    if text and (not equals or "/" in number or Path(text).exists()):
        return PhotoSet(Path(text))
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not place:
        raise ValueError(f"sets: expected SET or SET=WEIGHT, got {text!r}, which names no set")
    if not 0 < weight < math.inf:
        raise ValueError(f"{text}: expected SET=WEIGHT with a finite weight > 0, got weight {number!r}")
    return PhotoSet(Path(place), weight)


def open_sets(sets: Sequence[PhotoSet]) -> list[OpenSet]:
    """Look into all sets; their weights are scaled to the sum 1.

    Raises
    ------
    FileNotFoundError
        If a set is not there.
    ValueError
        If there is no set, one comes twice, some have weights and others none, a part has no photographs, or a stopped
        `fastcolor prepare` left but some of them.
    """
    if not sets:
        raise ValueError("sets: expected at least one prepared set, got none")
    places = [one.place.resolve() for one in sets]
    if twice := next((one.place for one in sets if places.count(one.place.resolve()) > 1), None):
        raise ValueError(f"sets: expected each set once, got {twice} twice; SET=WEIGHT makes one come more often")
    if 0 < (weighed := sum(one.weight is not None for one in sets)) < len(sets):
        raise ValueError(f"sets: expected a weight for all {len(sets)} sets or for none, got {weighed}")
    for one in sets:
        check_finished(one.place)
    parts = [[find_part(one.place, part) for part in ("train", "val")] for one in sets]
    weights = np.array(
        [len(train) if one.weight is None else one.weight for one, (train, _) in zip(sets, parts, strict=True)]
    )
    rows = zip(unlike_names(places), (weights / weights.sum()).tolist(), parts, strict=True)
    return [OpenSet(name, weight, *both) for name, weight, both in rows]


def said_of(photographs: Sequence[Photograph]) -> str:
    """How many photographs there are, and how many sources their names have."""
    sources = {source_of(one) for one in photographs} - {""}
    return f"{counted(len(photographs), 'photograph')} ({counted(len(sources), 'source')})"


def shares(sets: Sequence[OpenSet], balance: float) -> NDArray[Any] | None:
    """The share of each training photograph of all sets, sum 1; None if all are alike, so that each comes once."""
    parts = []
    for one in sets:
        sources = [source_of(photograph) for photograph in one.train]
        counts = Counter(sources)
        part = np.array([float(counts[source]) ** -balance for source in sources])
        parts.append(part * (one.weight / part.sum()))
    found = np.concatenate(parts)
    return None if np.allclose(found, found[0], rtol=1e-9) else found / found.sum()
