"""A folder for one process alone: two that write into the same would mix what they make."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .atomic import check_no_file

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

_held: set[int] = set()


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Make `folder` if need be and keep other processes of the package out; gone again if nothing came into it.

    The lock is the system's, on the folder itself: it ends with the process, however that ends, and leaves no file.

    Raises
    ------
    BlockingIOError
        If another process has it; names it.
    OSError
        If it cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place, own_folder(Path(place) / "run"):
    ...     with own_folder(Path(place) / "run"):
    ...         pass
    Traceback (most recent call last):
    BlockingIOError: ...run: another process writes into this folder; wait for it, or choose another folder
    """
    check_no_file(folder, "the output")
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    with _locked(folder):
        try:
            yield
        finally:  # while it is still this process's: what another has locked meanwhile would be lost to it
            for place in made:
                with suppress(OSError):  # something is in it
                    place.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if fcntl is None:
        folder.mkdir(parents=True, exist_ok=True)
        yield
        return
    handle = _lock(folder)
    try:
        yield
    finally:
        _let_go(handle)


def _lock(folder: Path) -> int:
    """A handle of the folder, made if need be, that holds the lock.

    The folder of before may be gone, or another have its name, when the lock is given: then it is tried again.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        _held.add(handle)
        try:
            _take(handle, folder)
            if os.path.samestat(os.fstat(handle), os.stat(folder)):
                return handle
            _let_go(handle)
        except FileNotFoundError:
            _let_go(handle)
        except BaseException:
            _let_go(handle)
            raise


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        told = "another process writes into this folder; wait for it, or choose another folder"
        raise BlockingIOError(f"{folder}: {told}") from None
    except OSError:  # a file system without locks
        pass


def _let_go(handle: int) -> None:
    if handle in _held:
        _held.remove(handle)
        os.close(handle)


def _after_fork() -> None:
    """A loader that outlives a killed run for a moment does not hold its folder."""
    for handle in list(_held):
        _let_go(handle)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
