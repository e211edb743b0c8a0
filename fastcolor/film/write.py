"""Films out: MP4 and MOV (H.264, else MPEG-4), MKV (FFV1, lossless, or H.264), GIF, folders of PNG."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from ..errors import VideoError
from ..files.atomic import atomic_path
from .av import load_av
from .encode import CODECS, FilmWriter, Rgb
from .film import Film
from .frames import FramesWriter, folder_of_frames
from .gif import GifWriter
from .muxing import naming_film

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".gif")

_MATROSKA, _GIF = ".mkv", ".gif"


class Writer(Protocol):
    """Takes frames of one size; `time` and `duration` in seconds.

    `left_out` names what the source has and the format has no place for; complete when the film is written.
    """

    count: int  # of frames that are in it
    size: tuple[int, int] | None  # width and height of the first
    left_out: list[str]

    def write(self, rgb: Rgb, time: Fraction, duration: Fraction) -> None: ...


def check_film_target(path: str | os.PathLike[str], codec: str | None = None) -> None:
    """VideoError that lists the suffixes if `path` can be no film; a name without suffix is a folder of frames."""
    suffix = _suffix(Path(path))
    if suffix and suffix not in SUFFIXES:
        raise VideoError(
            f"{path}: expected a name that ends in {', '.join(SUFFIXES)}, or in nothing (a folder of PNG files), "
            f"got {suffix!r}"
        )
    if codec is not None and codec not in CODECS:
        raise ValueError(f"codec: expected one of {', '.join(CODECS)}, got {codec!r}")
    if (codec == "ffv1" and suffix != _MATROSKA) or (codec and suffix in ("", _GIF)):
        holding = _MATROSKA if codec == "ffv1" else ", ".join(end for end in SUFFIXES if end != _GIF)
        raise VideoError(f"{path}: expected a name that ends in {holding} for {codec}, got {suffix or 'a folder'!r}")


def codec_of(path: str | os.PathLike[str], codec: str | None = None) -> str:
    """The codec of the film at `path`: `codec`, or FFV1 for Matroska and H.264 for all others."""
    return codec or ("ffv1" if _suffix(Path(path)) == _MATROSKA else "h264")


@contextmanager
def film_writer(
    path: str | os.PathLike[str], film: Film, *, sound: bool = True, codec: str | None = None, replace: bool = True
) -> Iterator[Writer]:
    """A writer of `path` with the rate, aspect and other tracks of `film`: whole, or nothing under the final name.

    Parameters
    ----------
    path : path
        ``.mp4``, ``.mov``, ``.m4v``, ``.mkv``, ``.gif``, or a folder for PNG files; frames that are in it make way.
    film : Film
        Whose frames are going to be written.
    sound : bool
        Whether audio tracks are kept.
    codec : {"h264", "ffv1"}, optional
        FFV1, lossless, only and by default for ``.mkv``; else H.264.
    replace : bool
        Whether what is there at the end is replaced.

    Raises
    ------
    VideoError
        Unknown suffix, no frame was written, or the encoder takes no frames of this size.
    OSError
        The folder does not exist or cannot be written, the disk is full.
    """
    check_film_target(path, codec)
    target = Path(path)
    suffix = _suffix(target)
    if not suffix:
        with folder_of_frames(target, replace=replace) as folder:
            frames = FramesWriter(folder, film, sound=sound)
            yield frames
            _check_count(frames, target)
        return
    av = load_av(f"writing {suffix}")
    with atomic_path(target, replace=replace) as temporary, naming_film(av, target):
        writer: FilmWriter | GifWriter
        if suffix == _GIF:
            writer = GifWriter(av, temporary, film, sound=sound)
        else:
            writer = FilmWriter(av, temporary, target, film, sound=sound, codec=codec_of(target, codec))
        try:
            yield writer
            _check_count(writer, target)
            writer.finish()
        except BaseException:
            with suppress(Exception):  # the first error counts
                writer.container.close()
            raise


def _check_count(writer: Writer, target: Path) -> None:
    if not writer.count:
        raise VideoError(f"{target}: not written, for no frames were read")


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a film at `path` is a folder of PNG files."""
    return not _suffix(Path(path))


def _suffix(path: Path) -> str:
    """In lower case; of a folder, none."""
    return "" if path.is_dir() else path.suffix.lower()
