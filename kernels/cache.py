"""Compiled kernels on the disk: where they are kept, and that nothing which lies there keeps a kernel from running.

Numba's own cache knows a function by the source file it stands in, so a kernel would go stale when a helper that it
calls changes in another file. Our folder carries a digest of all that kernels are made of instead. A file of it that is
cut or garbled counts as one that is not there, and a disk that takes nothing costs a warning: what was compiled runs.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numba
from fastcolor.reference import constants
from numba.core.caching import FunctionCache, IndexDataCacheFile

_config: Any = numba.config  # its settings are made at run time, unknown to type checkers
_log = logging.getLogger("fastcolor.kernels")  # silent for who imports the package; commands show it


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Where compiled kernels are kept, or None if no folder can be written.

    In this order: ``NUMBA_CACHE_DIR``, the user's cache folder, and a private folder among the temporary files. Never
    beside the sources: what an installer did not put there it does not take away, and a package that was removed would
    still be found.
    """
    name = f"fastcolor-kernels-{_digest()}"
    temporary = Path(tempfile.gettempdir()) / f"fastcolor-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    candidates = [user_cache() / "fastcolor" / name, temporary / name]
    if _config.CACHE_DIR:
        candidates.insert(0, Path(_config.CACHE_DIR) / name)
    found = next((folder for folder in candidates if _usable(folder, private=temporary in folder.parents)), None)
    if found is None:
        _log.warning("no folder for compiled kernels can be written: each process compiles them; set NUMBA_CACHE_DIR")
    return found


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
        with _numba_cache_dir(folder):
            super().__init__(function)
        self._impl.locator._cache_path = self._cache_path = str(folder)
        self._cache_file = _Checked(self._cache_path, self._impl.filename_base, folder.name)

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


class _Checked(IndexDataCacheFile):
    """Numba's index and objects, each file with a digest behind what Numba wrote, which does not look so far.

    Without it Numba takes whatever it reads for the truth: an error in every process, or code that is not what was
    compiled. What does not match is compiled again and replaced.
    """

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[Any]:
        held = io.BytesIO()
        yield held
        with super()._open_for_write(filepath) as file:
            file.write(held.getvalue() + _sum(held.getvalue()))

    def _load_index(self) -> Any:
        return super()._load_index() if _whole(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        if not _whole(path := self._data_path(name)):
            raise OSError(f"{path}: damaged")  # to Numba as good as a file that was removed
        return super()._load_data(name)


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _whole(path: str) -> bool:
    """Whether the file can be read, and ends in the digest of what comes before."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    size = len(content) - hashlib.sha256().digest_size
    return size > 0 and content[size:] == _sum(content[:size])


@cache
def _say_once(level: int, text: str) -> None:
    """To who listens to the logger ``fastcolor``, as the command line does."""
    _log.log(level, text)


def _digest() -> str:
    """Of the CPU backend's sources, and of the constants that its kernels take from elsewhere."""
    here = Path(__file__).parent
    sources = [*sorted((here / "numba_cpu").glob("*.py")), *sorted((here / "common").glob("*.py"))]
    content = [path.read_bytes() for path in (*sources, Path(constants.__file__))]
    return hashlib.sha256(b"".join(content)).hexdigest()[:12]


def _usable(folder: Path, private: bool) -> bool:
    """True if `folder` can be written; a private one must also be ours alone, since cached code is executed."""
    try:
        if private:
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            info = folder.parent.lstat()
            if not stat.S_ISDIR(info.st_mode) or (
                hasattr(os, "getuid") and (info.st_uid != os.getuid() or info.st_mode & 0o077)
            ):
                return False
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


@contextmanager
def _numba_cache_dir(folder: Path) -> Iterator[None]:
    """Point Numba at `folder` while a function is being decorated; the user's own setting stays as it was."""
    before = _config.CACHE_DIR
    _config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        _config.CACHE_DIR = before
