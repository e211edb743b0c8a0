"""Writing files so that a stop in the middle leaves nothing half-written under the final name."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PREFIX = ".fastcolor-"  # of temporary names, which are short: file systems that take the final name take these

_LONGEST_SUFFIX = 16  # that is kept: libraries go by it
_living: set[Path] = set()  # temporary files and folders that are there now


def check_folder_of(path: Path) -> None:
    """FileNotFoundError if `path` would lie in a folder that is not there."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist; make it first")


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
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, renamed to it on success and removed on failure.

    Raises
    ------
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
        os.replace(temporary, target)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A new folder beside `path`, renamed to it on success and removed with all that is in it on failure.

    With `replace`, a folder that is there makes way for it, as a whole.
    """
    target = Path(path)
    with temporary_path(target) as temporary, naming(target):
        temporary.mkdir(parents=True)
        yield temporary
        if replace and target.is_dir():
            _exchange(temporary, target)
        else:
            os.rename(temporary, target)


def _exchange(new: Path, target: Path) -> None:
    """`new` under the name of `target`, which is removed; or, if that fails, kept."""
    with temporary_path(target) as older:
        os.rename(target, older)
        try:
            os.rename(new, target)
        except BaseException:
            os.rename(older, target)
            raise


def remove_leftovers() -> None:
    """Remove what was being written, where a signal came between the making of a file and the care for its removal."""
    for temporary in tuple(_living):
        _remove(temporary)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Indented JSON, whole or not at all; numbers that are not finite, for which JSON has no word, become null."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(_spoken(value), indent=1, allow_nan=False) + "\n")


@contextmanager
def temporary_path(target: Path) -> Iterator[Path]:
    """A name beside `target` for what is not there yet; what is there at the end is removed."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    with passing(target.with_name(f"{PREFIX}{secrets.token_hex(4)}{suffix}")) as temporary:
        yield temporary


@contextmanager
def passing(path: Path) -> Iterator[Path]:
    """What is made as `path`, a file or a folder, is removed at the end, if need be by :func:`remove_leftovers`."""
    _living.add(path)
    try:
        yield path
    finally:
        _remove(path)


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)
    _living.discard(temporary)


def _spoken(value: Any) -> Any:
    """`value` as JSON can say it."""
    if isinstance(value, dict):
        return {name: _spoken(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spoken(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
