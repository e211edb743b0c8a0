"""A film as a folder of PNG files, 000001.png and so on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from PIL import Image

from ..files.atomic import atomic_folder, check_folder_of
from .encode import Rgb
from .facts import names_beside
from .film import Film

_DIGITS = 6
_FRAME = re.compile(rf"\d{{{_DIGITS},}}\.png")


class FramesWriter:
    """Frame n in ``n.png``, with as many digits as the film's number of frames has, six at least."""

    def __init__(self, folder: Path, film: Film, *, sound: bool) -> None:
        self.folder, self.count = folder, 0
        self.size: tuple[int, int] | None = None
        self.left_out = names_beside(film, sound=sound)
        self.digits = max(_DIGITS, len(str(film.count or 0)))

    def write(self, rgb: Rgb, time: Fraction, duration: Fraction) -> None:
        """Write the next frame; a folder knows no times."""
        self.count += 1
        self.size = rgb.shape[1], rgb.shape[0]
        Image.fromarray(rgb).save(self.folder / f"{self.count:0{self.digits}}.png", compress_level=1)


@contextmanager
def folder_of_frames(target: Path, *, replace: bool = True) -> Iterator[Path]:
    """A new folder that takes the place of `target`, frames of another film in it, when all is written.

    Raises
    ------
    FileExistsError
        There is something else than frames of a film in `target`.
    """
    target = target.resolve()  # of a link to a folder, the folder
    check_folder_of(target)
    _check_older(target)
    with atomic_folder(target, replace=replace) as folder:
        yield folder


def _check_older(target: Path) -> None:
    others = (
        sorted(path.name for path in target.iterdir() if not _FRAME.fullmatch(path.name)) if target.exists() else []
    )
    if others:
        raise FileExistsError(
            f"{target}: expected a new folder, or one that has only frames of a film in it (000001.png), got "
            f"{others[0]} and {len(others) - 1} others; choose another folder"
        )
