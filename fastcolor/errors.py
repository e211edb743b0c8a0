"""The exceptions of the package that are not plain ValueError or TypeError."""

from __future__ import annotations

_LONGEST = 300


def in_short(said: object) -> str:
    """Text that is a file's or a library's own as one line of at most 300 characters, none of which moves a cursor.

    Of an OSError of the system it is the reason alone, for its text has the path that the message begins with.

    Examples
    --------
    >>> in_short(ValueError("two\\nlines"))
    'two\\\\nlines'
    >>> in_short(FileNotFoundError(2, "No such file or directory", "a.npz"))
    'No such file or directory'
    """
    text = (said.strerror if isinstance(said, OSError) else None) or str(said) or type(said).__name__
    line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[: _LONGEST + 1])
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


class BackendUnavailableError(RuntimeError):
    """A backend that was asked for by name, or by the device of an array, cannot run here; says why and what to do."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; names the extra that brings it."""

    def __init__(self, what: str, needs: str, extra: str) -> None:
        super().__init__(f"{what} needs {needs}, which is not installed; pip install 'fastcolor[{extra}]'", name=needs)


class VideoError(ValueError):
    """A film cannot be read or written; names the file."""


class BinsError(ValueError):
    """A file of color bins is damaged, or of something else; names the file."""


class CheckpointError(ValueError):
    """A checkpoint of a training run is damaged, incomplete, or does not fit the run; names the file."""


class WeightsError(ValueError):
    """Network weights or their configuration are missing, damaged or do not fit together; names the file."""


class ImageError(ValueError):
    """An image file cannot be read or written; names the file."""
