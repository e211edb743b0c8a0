"""What containers hold, and what FFmpeg's errors mean."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import VideoError

# What FFmpeg says with numbers of the system although the system has no part in it.
_NOT_THE_SYSTEM = {errno.EINVAL, errno.EPERM, errno.ERANGE, errno.EDOM, errno.ENOSYS}


@contextmanager
def naming_film(av: Any, target: Path) -> Iterator[None]:
    """FFmpeg's errors with the name of the film: OSError if it is the system's, such as a full disk."""
    try:
        yield
    except av.FFmpegError as error:
        if is_systems(error):
            raise OSError(error.errno, error.strerror, os.fspath(target)) from error
        raise VideoError(f"{target}: cannot be written ({error.strerror})") from error


def is_systems(error: Any) -> bool:
    """Whether an error of FFmpeg is one of the operating system: a full disk, a missing right."""
    return error.errno in errno.errorcode and error.errno not in _NOT_THE_SYSTEM


def holds(av: Any, container: str, track: Any) -> bool:
    """Whether a container, by FFmpeg's name, takes a track as it is: tried in memory, for no table knows."""
    trial = None
    try:
        trial = av.open(io.BytesIO(), "w", format=container)
        trial.add_stream_from_template(track, opaque=True)
        trial.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    finally:
        if trial is not None:
            trial.close()
    return True
