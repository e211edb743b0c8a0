"""The inputs of a suite: one image on the CPU; on a GPU several sizes, and a tiny one for the host's own time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..bytes import Traffic
from ..cases import Candidate, Case, Check, Setting
from ..measure import device

TINY = 64  # pixels a side: any GPU is done with it before the host has enqueued the next call


class Size(NamedTuple):
    """One input; `main` and `host` are those of :class:`bench.cases.Case`."""

    height: int
    width: int
    name: str
    main: bool = False
    host: bool = False

    @property
    def pixels(self) -> int:
        return self.height * self.width

    def case(
        self, suite: str, array: str, traffic: Traffic, check: Check, candidates: Sequence[Candidate], calls: int = 2
    ) -> Case:
        """The case of a suite on this input; `array` is shape, dtype and layout in words."""
        shape, dtype, layout = array.rsplit(" ", 2)
        given = shape, dtype, layout, self.pixels, traffic, check, tuple(candidates), calls
        return Case(suite, self.name, *given, main=self.main, host=self.host)


def sizes(setting: Setting, name: str) -> list[Size]:
    """The sizes of images with their cases' names, which start with `name`; on the CPU it is the name."""
    where = device.place(setting.device)
    shapes = where.sizes(setting.quick)
    if not where.gpu:
        return [Size(height, width, name, main=True) for height, width in shapes]
    made = [Size(h, w, f"{name}, {h}x{w}", main=(h, w) == shapes[-1]) for h, w in shapes]
    made.append(Size(TINY, TINY, f"{name}, {TINY}x{TINY}, host", host=True))
    return [size for size in made if setting.shape in (None, size[:2])]


def passes(setting: Setting) -> list[device.Shape | None]:
    """What :attr:`Setting.shape` is in turn, the most telling first: a run that is cut off has that of every suite.

    On a GPU the main size, the host's time, then the others; on the CPU everything at once.
    """
    where = device.place(setting.device)
    if not where.gpu:
        return [None]
    *others, main = where.sizes(setting.quick)
    return [main, (TINY, TINY), *others]


def comes_with(setting: Setting, number: int) -> bool:
    """Whether it is the turn of cases without one of the sizes, which come with the pass of that number."""
    return setting.shape is None or setting.shape == passes(setting)[number]
