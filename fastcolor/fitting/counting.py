"""Counting the chroma of many image files: what can be read is counted, what cannot is listed, in any order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ImageError
from ..files.finding import Found, find
from ..files.formats import SUFFIXES_IN_SHORT
from ..files.images import read_photo
from ..kernels.numba_cpu.threads import get_num_threads
from .moments import ChromaMoments

_AHEAD = 4  # images in work for each thread: enough to keep all busy, few enough to stop at once


@dataclass
class Counted:
    """The moments of the usable files, and which files were not.

    Attributes
    ----------
    moments : ChromaMoments
    gray : list of Path
        Files without any color, or in one tone; they are not counted.
    unreadable : list of str
        What was wrong with each of the others; names the file.
    """

    moments: ChromaMoments
    gray: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def find_all(places: Iterable[str | os.PathLike[str]]) -> Found:
    """What is in folders, at any depth; photographs resolved, sorted and each once; a place may also be such a file.

    Raises
    ------
    FileNotFoundError
        A place does not exist.
    ValueError
        A folder has no image file.
    """
    found, images = Found(), set()
    for place in map(Path, places):
        if not place.exists():
            raise FileNotFoundError(f"{place}: no such folder or image file")
        here = find(place) if place.is_dir() else Found([place])
        if not here.photographs:
            raise (
                here.errors[0]
                if here.errors
                else ValueError(f"{place}: no image file in this folder ({SUFFIXES_IN_SHORT})")
            )
        images |= {path.resolve() for path in here.photographs}
        found.add(here)
    return replace(found, photographs=sorted(images))


def count_files(
    paths: Sequence[Path],
    sizes: Iterable[int],
    progress: Callable[[int], object] = lambda files: None,
    space: str = "yuv",
) -> Counted:
    """Count the chroma of color images for the K of `sizes`, on ``get_num_threads()`` threads.

    The result does not depend on the number of threads: moments are exact, and lists keep the order of `paths`.
    `progress` is called with 1 after each file.
    """
    counted = Counted(ChromaMoments(sizes, space))
    with closing(_in_order(paths, counted.moments.sizes, space)) as results:  # stops the threads when interrupted
        for path, result in results:
            _note(counted, path, result)
            progress(1)
    return counted


def _note(counted: Counted, path: Path, result: Callable[[], ChromaMoments | None]) -> None:
    try:
        moments = result()
    except (ImageError, OSError) as error:
        counted.unreadable.append(str(error))
        return
    if moments is None:
        counted.gray.append(path)
    else:
        counted.moments += moments


def _in_order(
    paths: Sequence[Path], sizes: tuple[int, ...], space: str
) -> Generator[tuple[Path, Callable[[], ChromaMoments | None]], None, None]:
    """Each path and what waits for its result; Pillow and the kernels release the GIL."""
    threads = get_num_threads()
    waiting: deque[tuple[Path, Future[ChromaMoments | None]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="fastcolor-fit") as pool:
        try:
            for path in paths:
                waiting.append((path, pool.submit(_count, path, sizes, space)))
                if len(waiting) > _AHEAD * threads:
                    first, future = waiting.popleft()
                    yield first, future.result
            for first, future in waiting:
                yield first, future.result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _count(path: Path, sizes: tuple[int, ...], space: str) -> ChromaMoments | None:
    """None for a picture without color, or in one tone."""
    photo = read_photo(path)
    if photo.rgb is None or photo.toned:
        return None
    moments = ChromaMoments(sizes, space)
    moments.add(photo.rgb)
    return moments
