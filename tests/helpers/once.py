"""What several workers of pytest-xdist need is made by one of them: the others wait, and find it on the disk.

Compiled kernels are kept in folders that the workers share. Numba writes its index of a kernel's compiled forms whole,
so that of two who write at once one would be forgotten; g++ would merely do the same work twice.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

try:
    import fcntl
except ImportError:  # Windows: whoever comes second makes it again
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(what: object) -> Iterator[None]:
    """While one process is within, every other that asks for the same waits."""
    if fcntl is None:
        yield
        return
    folder = Path(tempfile.gettempdir()) / f"fastcolor-test-locks-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    with open(folder / hashlib.sha256(str(what).encode()).hexdigest()[:16], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def folder_of_the_run(factory: pytest.TempPathFactory) -> Path:
    """The folder for temporary files that the workers of one run share, and no other run has."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` of the run, filled by `make` in the first worker that asks for it."""
    folder = folder_of_the_run(factory) / f"{name}-{os.environ.get('PYTEST_XDIST_TESTRUNUID', '')}"
    with locked(folder):
        if not folder.exists():
            unfinished = folder.with_name(f"{folder.name}-unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder


def compile_kernels_once() -> None:
    """Numba looks for a kernel on the disk when its turn has come, and finds what another worker has compiled."""
    from numba.core.caching import NullCache
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    dispatcher: Any = Dispatcher
    compile_now = dispatcher.compile

    def compile_in_turn(self: Any, signature: Any) -> Any:
        if isinstance(self._cache, NullCache):
            return compile_now(self, signature)
        # The lock of this process comes first: it is held again while a kernel compiles those that it calls.
        name = f"{self.py_func.__module__}.{self.py_func.__qualname__}"
        with global_compiler_lock, locked((self._cache.cache_path, name)):
            return compile_now(self, signature)

    dispatcher.compile = compile_in_turn
