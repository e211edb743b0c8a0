"""What several workers of pytest-xdist need is made by one of them: the others wait, and find it on the disk.

Compiled kernels are kept in folders that the workers share. Numba writes its index of a kernel's compiled forms whole,
so that of two who write at once one would be forgotten; g++ would merely do the same work twice.
"""

from __future__ import annotations

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
    folder = Path(tempfile.gettempdir()) / f"fastcolor-test-locks-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with open(folder / hashlib.sha256(str(what).encode()).hexdigest()[:16], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the workers of one run share, filled by `make` in the first of them that asks for it."""
    base, run = factory.getbasetemp(), os.environ.get("PYTEST_XDIST_TESTRUNUID")
    folder = base.parent / f"{name}-{run}" if run else base / name
    made = folder / "made"
    with locked(folder):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def compile_kernels_once() -> None:
    """Numba looks for a kernel on the disk when its turn has come, and finds what another worker has compiled."""
    from numba.core.caching import NullCache
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    dispatcher: Any = Dispatcher
    compile_now = dispatcher.compile
    held: set[str] = set()

    def compile_in_turn(self: Any, signature: Any) -> Any:
        # The lock of this process comes first: it is held again while a kernel compiles those that it calls.
        with global_compiler_lock:
            name = f"{self.py_func.__module__}.{self.py_func.__qualname__}"
            if isinstance(self._cache, NullCache) or name in held:
                return compile_now(self, signature)
            held.add(name)
            try:
                with locked((self._cache.cache_path, name)):
                    return compile_now(self, signature)
            finally:
                held.remove(name)

    dispatcher.compile = compile_in_turn
