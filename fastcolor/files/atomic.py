"""Writing files so that a stop in the middle leaves nothing half-written under the final name."""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PREFIX = ".fastcolor-"  # of temporary names, which are short: file systems that take the final name take these

# What the system says where there are no hard links, or no right to make any.
_UNLINKED = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
_LONGEST_SUFFIX = 16  # that is kept: libraries go by it
_living: dict[Path, Path | None] = {}  # temporary files and folders that are there now -> what such a one was before


def check_folder_of(path: Path) -> None:
    """FileNotFoundError if `path` would lie in a folder that is not there."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist; make it first")


def check_no_file(path: Path, what: str) -> None:
    """NotADirectoryError if `path`, which is to be a folder for `what`, is something else."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path}: expected a folder or a new name for {what}, got a file")


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """OSErrors of the system that name no file, as those of a full disk, or a temporary one, name `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not (error.filename is None or PREFIX in str(error.filename)):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, replace: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, renamed to it on success and removed on failure.

    Without `replace`, what is there at the end stays, though it may have come since anybody looked.

    Raises
    ------
    FileExistsError
        There is something under that name, and `replace` is false.
    OSError
        If the folder does not exist or cannot be written, the name is too long, the disk is full; names `path`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    target = Path(path)
    check_folder_of(target)
    with temporary_path(target) as temporary, naming(target):
        open(temporary, "xb").close()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # safetensors makes files anew, which their owner alone may read
        if replace:
            os.replace(temporary, target)
        else:
            _publish(temporary, target)


def _publish(temporary: Path, target: Path) -> None:
    """`temporary` under the name of `target` if that is free, which the system decides: no other run comes between."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if isinstance(error, FileExistsError) or (error.errno in _UNLINKED and os.path.lexists(target)):
            raise _taken(target) from error
        if error.errno not in _UNLINKED:
            raise OSError(error.errno, error.strerror, os.fspath(target)) from error
        os.replace(temporary, target)


def _taken(target: Path) -> FileExistsError:
    return FileExistsError(f"{target}: exists already, made while this run went on; it is kept, choose another output")


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A new folder beside `path`, renamed to it on success and removed with all that is in it on failure.

    With `replace`, a folder that is there makes way for it, as a whole; else FileExistsError if there is one that is
    not empty.
    """
    target = Path(path)
    if target.is_symlink():  # what is exchanged is the folder, not what leads to it
        target = target.resolve()
    with temporary_path(target) as temporary, naming(target):
        temporary.mkdir(parents=True)
        yield temporary
        if replace and target.is_dir():
            _exchange(temporary, target)
        else:
            _rename_folder(temporary, target)


def _rename_folder(temporary: Path, target: Path) -> None:
    try:
        with suppress(OSError):  # something is in it, or nothing there
            target.rmdir()
        os.rename(temporary, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) and os.path.lexists(target):
            raise _taken(target) from error
        raise


def _exchange(new: Path, target: Path) -> None:
    """`new` under the name of `target`, which is removed; or, whatever comes between, put back."""
    with temporary_path(target, holds=True) as older:
        os.rename(target, older)
        os.rename(new, target)


def remove_leftovers() -> None:
    """Remove what was being written, or put back, where a signal came before or into the care for that."""
    for temporary in tuple(_living):
        _remove(temporary)


def write_json(path: str | os.PathLike[str], value: Any, *, replace: bool = True) -> None:
    """Indented JSON, whole or not at all; numbers that are not finite, for which JSON has no word, become null."""
    with atomic_path(path, replace=replace) as temporary:
        temporary.write_text(json.dumps(_spoken(value), indent=1, allow_nan=False) + "\n")


@contextmanager
def temporary_path(target: Path, *, holds: bool = False) -> Iterator[Path]:
    """A name beside `target` for what is not there yet; what is there at the end is removed.

    If it `holds` what was `target`, that is put back instead where nothing has taken its place.
    """
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    passed = passing(target.with_name(f"{PREFIX}{secrets.token_hex(4)}{suffix}"), put_back=target if holds else None)
    with passed as temporary:
        yield temporary


@contextmanager
def passing(path: Path, *, put_back: Path | None = None) -> Iterator[Path]:
    """What is made as `path`, a file or a folder, is removed at the end, if need be by :func:`remove_leftovers`.

    Or put back, as :func:`temporary_path` says.
    """
    _living[path] = put_back
    try:
        yield path
    finally:
        _remove(path)


def _remove(temporary: Path) -> None:
    before = _living.get(temporary)
    if before is not None and temporary.exists() and not os.path.lexists(before):
        os.rename(temporary, before)
    elif temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)
    _living.pop(temporary, None)


def _spoken(value: Any) -> Any:
    """`value` as JSON can say it."""
    if isinstance(value, dict):
        return {name: _spoken(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spoken(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
