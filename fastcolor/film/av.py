"""Video files opened by PyAV (FFmpeg): one file and nothing else; what its header is worth, and its picture track."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError, VideoError
from .times import is_still

INDEXED = ("mov", "matroska")  # where one can begin anywhere; elsewhere the film is decoded from its beginning

_DEFAULT = 1  # FFmpeg's disposition of the track that players choose
_TEXT = frozenset({"ansi", "bintext", "xbin", "idf"})  # which FFmpeg draws as a terminal would
_MOST_PIXELS = 1 << 27  # of a frame; a header that says more is damaged or hostile


def load_av(what: str) -> Any:
    """PyAV, or an error that names the extra."""
    try:
        import av
        import av.video.reformatter
    except ModuleNotFoundError as error:
        if error.name != "av":
            raise
        raise MissingExtraError(what, "PyAV (av)", "video") from None
    return av


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The container in this file, whatever its name is, and nothing else: no other file, no protocol, no device.

    Raises
    ------
    OSError
        The file cannot be read.
    VideoError
        No film, or one that is damaged from the start.
    """
    av = load_av("reading video files")
    # FFmpeg gets the open file: of "12:30 film.mp4" it would take "12" for a protocol. What playlists name stays shut.
    with _File(path) as file:
        with damage(path):
            container = av.open(file, options={"protocol_whitelist": "none"}, metadata_errors="surrogateescape")
        with container:
            yield container


class _File(io.FileIO):
    """A file in which a damaged header may send FFmpeg before the beginning: it is told so, and goes on."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return -errno.EINVAL


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """VideoError for anything that a damaged header makes PyAV raise."""
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        raise_the_system_s(error)
        raise VideoError(
            f"{path}: expected a video file, got something else or one that is damaged from the start ({reason(error)})"
        ) from error


def raise_the_system_s(error: Exception) -> None:
    """Raise errors again that are none of the film's: the disk's, memory."""
    av = load_av("reading video files")
    if isinstance(error, (OSError, MemoryError)) and not isinstance(error, av.FFmpegError):
        raise error


def reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def picture_stream(container: Any, path: Path) -> Any:
    """The track that players show: the one marked as default, or the first; no cover art, no thumbnails."""
    shown = [stream for stream in container.streams.video if not is_still(stream) and stream.codec_context is not None]
    if not shown:
        raise VideoError(f"{path}: no film in it; there are {len(container.streams.audio)} audio tracks")
    if any(stream.codec_context.name in _TEXT for stream in shown):
        raise VideoError(f"{path}: expected a video file, got text")
    stream = next((stream for stream in shown if stream.disposition & _DEFAULT), shown[0])
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > _MOST_PIXELS:
        raise VideoError(f"{path}: expected frames of at most {_MOST_PIXELS:,} pixels, got {width}x{height}")
    return stream
