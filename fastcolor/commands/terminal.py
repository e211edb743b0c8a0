"""What a command prints: a terminal that cannot show its report, or no longer reads it, does not undo its work."""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

_PACKAGE = Path(__file__).parents[1]
_ROOM = "make room there, or write to another place"
_RIGHTS = "give yourself the right, or choose another place"
_ADVICE = {  # name of a system error -> what helps
    "ENOSPC": _ROOM,
    "EDQUOT": _ROOM,
    "EFBIG": _ROOM,
    "EACCES": _RIGHTS,
    "EPERM": _RIGHTS,
    "EROFS": "choose another place",
    "ENAMETOOLONG": "choose a shorter one",
    "EMFILE": "raise the limit of open files (ulimit -n)",
}


class _Patient:
    """A text stream that says nothing more once nobody reads it; its other errors name it."""

    def __init__(self, stream: TextIO | None, name: str, nowhere: TextIO) -> None:
        self.missing = stream is None  # as under pythonw
        self._stream, self._name = stream or nowhere, name
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        with self._watched():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._watched():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._close()
            if not isinstance(error, BrokenPipeError):
                raise OSError(error.errno, error.strerror, self._name) from error

    def _close(self) -> None:
        """Let what is still to be written, by Python at its end, too, go nowhere."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def said(error: Exception) -> str:
    """An error in a line: the file, what is wrong with it, and, of the system's errors, what to do."""
    if not (isinstance(error, OSError) and error.errno is not None and error.filename is not None):
        return str(error) or type(error).__name__
    advice = _ADVICE.get(errno.errorcode.get(error.errno, ""))
    return f"{error.filename}: {error.strerror}" + (f"; {advice}" if advice else "")


@contextmanager
def patient_terminal() -> Iterator[None]:
    """Characters that the terminal's code page lacks come as escapes; a stream that is missing or gone is no error."""
    before = sys.stdout, sys.stderr
    errors = [getattr(stream, "errors", None) for stream in before]
    try:
        with open(os.devnull, "w") as nowhere:
            sys.stdout, sys.stderr = (
                _Patient(stream, name, nowhere)
                for stream, name in zip(before, ("standard output", "standard error"), strict=True)
            )
            yield
    finally:
        sys.stdout, sys.stderr = before
        for stream, kept in zip(before, errors, strict=True):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors=kept)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Warnings of the package are a sentence; those of libraries, which name no file, need ``python -W`` to be seen."""
    if sys.warnoptions:
        yield
        return
    last = logging.lastResort
    logging.lastResort = logging.NullHandler()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show
            yield
    finally:
        logging.lastResort = last


def _show(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    if Path(filename).is_relative_to(_PACKAGE):
        print(f"fastcolor: warning: {message}", file=sys.stderr)
