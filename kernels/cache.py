"""Compiled kernels on the disk: where they are kept, and that nothing which lies there keeps a kernel from running.

Numba's own cache knows a function by the source file it stands in, so a kernel would go stale when a helper that it
calls changes in another file. Our folder carries a digest of all that kernels are made of and with instead. A file of
it that is cut, garbled or another's counts as one that is not there, and a disk that takes nothing costs a warning:
what was compiled runs.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llvmlite
import numba
import numpy as np
from fastcolor.reference import constants
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps, loads

_config: Any = numba.config  # its settings are made at run time, unknown to type checkers
_log = logging.getLogger("fastcolor.kernels")  # silent for who imports the package; commands show it


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Where compiled kernels are kept, or None if no folder that is ours alone can be written.

    In this order: ``NUMBA_CACHE_DIR``, the user's cache folder, and the temporary files. Never beside the sources: what
    an installer did not put there it does not take away, and a package that was removed would still be found.
    """
    try:
        found = next(filter(_usable, _candidates()), None)
    except OSError:  # there is no folder for temporary files, or the sources lie in an archive
        found = None
    if found is None:
        _log.warning("no folder for compiled kernels can be written: each process compiles them; set NUMBA_CACHE_DIR")
    return found


def _candidates() -> Iterator[Path]:
    name = f"fastcolor-kernels-{_digest()}"
    if _config.CACHE_DIR:
        yield Path(_config.CACHE_DIR).absolute() / name
    if (cache := user_cache()).is_absolute():  # not so of a user without a home
        yield cache / "fastcolor" / name
    user = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""
    yield Path(tempfile.gettempdir()) / (name + user)  # itself, since who made a folder between could exchange it


def user_cache() -> Path:
    """The folder of the user's caches as the system has it; ``XDG_CACHE_HOME`` wins everywhere."""
    if os.path.isabs(given := os.environ.get("XDG_CACHE_HOME", "")):
        return Path(given)
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


class ByContent(FunctionCache):
    """Numba's cache of a function in a folder whose name tells the sources: neither path nor time of a file counts.

    What one checkout or environment has compiled serves every other that has the same sources.
    """

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        # Not Numba's own, which looks for a folder, makes one that stays empty, and raises if it cannot.
        self._name, self._py_func = repr(function), function
        self._impl, self._cache_path = _Packing(function, folder), str(folder)
        entries: Any = _Entries(function, folder)  # no relative of Numba's own
        self._cache_file = entries
        self.enable()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was kept for a signature, or None: then it is compiled, which takes its time."""
        found = super().load_overload(sig, target_context)
        if found is None:
            _say_once(logging.INFO, "compiling kernels for this machine, once; the first run takes some 15 s longer")
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep it, if the disk lets us."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            lost = f"compiled kernels cannot be kept in {self._cache_path} ({error.strerror or error})"
            _say_once(logging.WARNING, f"{lost}: each process compiles them; make room, or set NUMBA_CACHE_DIR")


class _Packing(CompileResultCacheImpl):
    """What Numba asks of a function's place: how what was compiled becomes an entry, and that there is a folder."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._locator = SimpleNamespace(_py_file=inspect.getfile(function), ensure_cache_path=lambda: _make(folder))


class _Entries:
    """A function's entries: one file for each key, which holds key, value, and a digest of both.

    Numba's own has an index beside numbered files. Two processes that compile at once take the same number, and the
    index of one then names the code of the other; and what it reads it takes for the truth. Here an entry is whole and
    the one that was asked for, or it is compiled again and replaced.
    """

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._folder = folder
        self._function = (function.__module__, function.__qualname__, function.__code__.co_firstlineno)

    def save(self, key: tuple[Any, ...], value: Any) -> None:
        content = dumps((self._function + key, value))
        handle, name = tempfile.mkstemp(dir=self._folder)
        try:
            with open(handle, "wb") as file:
                file.write(content + _sum(content))
            os.replace(name, self._path(key))
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise

    def load(self, key: tuple[Any, ...]) -> Any:
        if (content := _whole(self._path(key))) is None:
            return None
        kept, value = loads(content)
        return value if kept == self._function + key else None

    def flush(self) -> None:
        """Forget all entries, as ``Dispatcher.recompile`` of Numba asks for."""
        for entry in self._folder.glob(f"{self._readable()}-*.nbc"):
            entry.unlink(missing_ok=True)

    def _path(self, key: tuple[Any, ...]) -> Path:
        return self._folder / f"{self._readable()}-{_sum(repr(self._function + key).encode()).hex()[:20]}.nbc"

    def _readable(self) -> str:
        module, name, _ = self._function
        return f"{module.rpartition('.')[2]}.{name}".replace("<", "").replace(">", "")


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _whole(path: Path) -> bytes | None:
    """What comes before the digest that the file ends in; None if the digest is another, or the file not ours."""
    try:
        with path.open("rb") as file:
            content = file.read() if _ours(os.fstat(file.fileno())) else b""
    except OSError:
        return None
    size = len(content) - hashlib.sha256().digest_size
    return content[:size] if size > 0 and content[size:] == _sum(content[:size]) else None


def _ours(info: os.stat_result) -> bool:
    """Whether we or root own it and nobody else can write it: what lies in the cache is executed."""
    return not hasattr(os, "geteuid") or (info.st_uid in (0, os.geteuid()) and not info.st_mode & 0o022)


def _usable(folder: Path) -> bool:
    """True if `folder` is ours and can be written; it is made where there is none."""
    try:
        _make(folder)
        tempfile.TemporaryFile(dir=folder).close()
        return _ours(folder.lstat())  # not of what a link leads to
    except OSError:
        return False


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@cache
def _say_once(level: int, text: str) -> None:
    """To who listens to the logger ``fastcolor``, as the command line does."""
    _log.log(level, text)


def _digest() -> str:
    """Of the CPU backend's sources, the constants that its kernels take from elsewhere, and what compiles them."""
    here = Path(__file__).parent
    sources = [*sorted((here / "numba_cpu").glob("*.py")), *sorted((here / "common").glob("*.py"))]
    content = [path.read_bytes() for path in (*sources, Path(constants.__file__))]
    python = f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}"
    made_with = f"{python} numba {numba.__version__} llvmlite {llvmlite.__version__} numpy {np.__version__}"
    return hashlib.sha256(b"".join(content) + made_with.encode()).hexdigest()[:12]
