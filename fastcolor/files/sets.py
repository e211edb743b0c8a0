"""Sets of photographs: which files are in them, and the color pictures that are trained on and measured with."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from PIL import Image

from ..errors import ImageError
from .finding import find
from .formats import SUFFIXES, SUFFIXES_IN_SHORT
from .images import image_size, read_rgb
from .packs import Packed, read_pack

Photograph = Path | Packed

# 12 hexadecimal digits, as `fastcolor prepare` writes (a date with minutes looks like them), or 8, or a longer
# hash, that are no date. A pack may keep the suffix of the file that it was made of.
_SOURCE = re.compile(r"(.+)_(?:[0-9a-f]{12}|(?=[0-9]*[a-f])(?:[0-9a-f]{8}|[0-9a-f]{16,}))(?:\.\w+)?")


def is_image(path: Path) -> bool:
    """Whether there is a file whose name says that it is an image."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def hidden(path: Path, folder: Path) -> bool:
    """Whether a file in `folder` is hidden, or in a hidden folder of it: half-written ones are, and thumbnails."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def is_pattern(text: str) -> bool:
    """Whether `text` is a glob pattern, and not the name of something that is there."""
    return glob.has_magic(text) and not Path(text).exists()


def find_images(folder: str | Path) -> list[Path]:
    """The photographs in `folder` and below, sorted by path; what is hidden, and made by the package, is none.

    Raises
    ------
    FileNotFoundError, ValueError
        No such folder, or no photographs in it.
    PermissionError
        A folder cannot be read; names it.
    """
    if not Path(folder).exists():
        raise FileNotFoundError(f"{folder}: no such folder; expected one of photographs")
    found = find(Path(folder))
    if found.errors:
        raise found.errors[0]
    if not found.photographs:
        raise ValueError(f"folder: expected photographs under {folder}, found none ({SUFFIXES_IN_SHORT})")
    return found.photographs


def find_part(place: Path, part: str) -> Sequence[Photograph]:
    """The photographs of `part`, "train" or "val", of a prepared set, which is a folder or a pack.

    Raises
    ------
    FileNotFoundError
        If there is no such place.
    ValueError
        If there are no photographs, or the pack is damaged.
    """
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such folder or pack; `fastcolor prepare` makes one")
    return read_pack(place, part) if place.is_file() else find_images(place / part)


def source_of(photograph: Photograph) -> str:
    """The source in the name of a photograph, or "".

    Examples
    --------
    >>> source_of(Path("train/sun-b_0123abcd.webp")), source_of(Path("train/IMG_20190704.jpg"))
    ('sun-b', '')
    """
    found = _SOURCE.fullmatch(photograph.stem)
    return found[1] if found else ""


def unlike_names(places: Sequence[Path]) -> list[str]:
    """The last part of each resolved path, more of it where that is another's too, and a number where nothing helps.

    Examples
    --------
    >>> unlike_names([Path("/d1/p/photos"), Path("/d2/p/photos"), Path("/d2/more.zip")])
    ['d1-p-photos', 'd2-p-photos', 'more']
    """
    names = [place.stem for place in places]
    for depth in range(1, max((len(place.parts) for place in places), default=1)):
        names = [
            name if names.count(name) == 1 else "-".join(place.parts[1:][-depth:])
            for name, place in zip(names, places, strict=True)
        ]
    alike = len(set(names)) < len(names)  # "a-b/c" and "a/b-c"
    return [f"{number}-{name}" for number, name in enumerate(names, 1)] if alike else names


def size_of(photograph: str | Photograph) -> tuple[int, int]:
    """The sides of a photograph, from the head of its file; errors as of :func:`open_rgb`."""
    return image_size(_source(photograph))


def open_rgb(photograph: str | Photograph) -> Image.Image:
    """The decoded RGB photograph, turned upright by its EXIF orientation.

    Raises
    ------
    ImageError
        The file cannot be read; names it.
    """
    try:
        return Image.fromarray(read_rgb(_source(photograph)))
    except (ImageError, OSError) as error:
        raise ImageError(f"{error}; `fastcolor prepare` leaves such files out") from error


def _source(photograph: str | Photograph) -> str | Path | IO[bytes]:
    return photograph.open() if isinstance(photograph, Packed) else photograph


def fit_within(image: Image.Image, size: int, resample: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    """`image` reduced so that neither side exceeds `size`, aspect kept; never enlarged."""
    scale = size / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), resample)
