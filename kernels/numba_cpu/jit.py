"""One way to compile a kernel: nopython, without the GIL, cached in a folder that works wherever the package lives.

Numba's own cache knows a function by the source file it stands in, so a kernel would go stale when a helper that it
calls changes in another file. Our folder carries a digest of all that kernels are made of instead.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from fastcolor.reference import constants
from numba.core.caching import FunctionCache, IndexDataCacheFile

_config: Any = numba.config  # its settings are made at run time, unknown to type checkers


def jit(function: Callable[..., Any] | None = None, *, inline: bool = False) -> Any:
    """``numba.njit(nogil=True, cache=True)`` with our cache folder; no fast-math, so NaN and infinities hold.

    Parameters
    ----------
    function : callable
        The kernel, or None when used as ``@jit(inline=True)``.
    inline : bool
        Always inline into the caller and keep no cache entry of its own: for helpers.
    """
    if function is None:
        return lambda wrapped: jit(wrapped, inline=inline)
    if inline:
        return numba.njit(function, nogil=True, forceinline=True)
    dispatcher: Any = numba.njit(function, nogil=True)
    if (folder := cache_folder()) is not None:
        dispatcher._cache = _ByContent(function, folder)
    return dispatcher


class _ByContent(FunctionCache):
    """Numba's cache in our folder, whose name tells the sources: neither the path of a file nor its time counts.

    What one checkout or environment has compiled serves every other that has the same sources.
    """

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        with _numba_cache_dir(folder):
            super().__init__(function)
        self._impl.locator._cache_path = self._cache_path = str(folder)
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, folder.name)


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Where compiled kernels are kept, or None if no folder can be written.

    In this order: ``NUMBA_CACHE_DIR``, the package's ``__pycache__``, the user's cache folder, and a private folder
    among the temporary files.
    """
    here = Path(__file__).parent
    name = f"fastcolor-kernels-{_digest(here)}"
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    temporary = Path(tempfile.gettempdir()) / f"fastcolor-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    candidates = [here / "__pycache__" / name, Path(user_cache) / "fastcolor" / name, temporary / name]
    if _config.CACHE_DIR:
        candidates.insert(0, Path(_config.CACHE_DIR) / name)
    return next((folder for folder in candidates if _usable(folder, private=temporary in folder.parents)), None)


def probe() -> None:
    """Compile and run something; raises if Numba does not work here."""
    # Cached like the kernels: compiling anew would cost more than half of the time to the first result.
    if jit(_increment)(np.float32(1)) != 2:
        raise RuntimeError("numba compiled a kernel that gives a wrong answer")


def _increment(x: Any) -> Any:
    return x + 1


def _digest(folder: Path) -> str:
    """Of this backend's sources, and of the constants that its kernels take from elsewhere."""
    common = folder.parent / "common"
    sources = [*sorted(folder.glob("*.py")), *sorted(common.glob("*.py")), Path(constants.__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


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
