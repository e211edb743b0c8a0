"""Compiled kernels on the disk: where they are, and that nothing which became of them keeps a kernel from running."""

from __future__ import annotations

import errno
import functools
import itertools
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import pytest
from fastcolor.kernels import cache
from fastcolor.kernels.numba_cpu import jit
from fastcolor.kernels.numba_cpu import threads as pool

from fastcolor.commands.main import main


def make(folder: Path) -> Any:
    """A kernel of the least size, by the way that all take, as a process that has just begun has it."""

    def increment(x: Any) -> Any:
        return x + 1

    dispatcher: Any = numba.njit(increment)
    dispatcher._cache = cache.ByContent(increment, folder)
    cache._say_once.cache_clear()
    return dispatcher


def hits(kernel: Any) -> int:
    return sum(kernel.stats.cache_hits.values())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def cut_at_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(bytes(reversed(path.read_bytes())))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def be_of_numba_alone(path: Path) -> None:
    """As Numba writes it, without a digest."""
    path.write_bytes(path.read_bytes()[:-32])


def be_open_to_all(path: Path) -> None:
    """As another user may have changed it, digest and all."""
    path.chmod(0o666)


DAMAGES = [cut, cut_at_half, empty, garble, flip_a_bit, be_of_numba_alone, be_open_to_all, Path.unlink]


@pytest.mark.promise("Newcomers", "a compile cache that is cut, garbled or gone is made again")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    assert make(tmp_path)(1) == 2
    again = make(tmp_path)
    assert again(1) == 2
    assert hits(again) == 1, "the test has no cache to damage"
    (file,) = tmp_path.iterdir()
    damage(file)
    mended = make(tmp_path)
    assert mended(1) == 2
    assert hits(mended) == 0
    found = make(tmp_path)
    assert found(1) == 2
    assert hits(found) == 1


def test_the_code_of_another_signature_is_not_taken(tmp_path: Path) -> None:
    """Whatever name it lies under, as hashes may be alike."""
    make(tmp_path)(1)
    (whole,) = tmp_path.iterdir()
    make(tmp_path)(1.5)
    (real,) = set(tmp_path.iterdir()) - {whole}
    real.write_bytes(whole.read_bytes())
    kernel = make(tmp_path)
    assert kernel(1.5) == 2.5
    assert hits(kernel) == 0


@pytest.mark.promise("Newcomers", "processes that compile the same kernels at once leave a cache that is right")
def test_two_that_compile_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks before the other writes; of first files the one's comes last, of second files the other's."""
    compiled = numba.njit(lambda x: x + 1)
    assert (compiled(1), compiled(1.5)) == (2, 2.5)
    order = [(1, 0), (0, 0), (0, 1), (1, 1)]  # thread, and which of its files
    passed, both, replace = {step: threading.Event() for step in order}, threading.Barrier(2, timeout=10), os.replace
    place = threading.local()

    def in_turn(source: str, target: str) -> None:
        step = place.number, next(place.files)
        if step[1] == 0:
            both.wait()
        if earlier := order[: order.index(step)]:
            assert passed[earlier[-1]].wait(10)
        replace(source, target)
        passed[step].set()

    def keep(number: int, signature: Any) -> None:
        place.number, place.files = number, itertools.count()
        make(tmp_path)._cache.save_overload(signature, compiled.overloads[signature])

    monkeypatch.setattr(os, "replace", in_turn)
    at_once = [threading.Thread(target=keep, args=each) for each in enumerate(compiled.overloads)]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    monkeypatch.undo()
    for again in range(2):
        kernel = make(tmp_path)
        assert [repr(kernel(1)), repr(kernel(1.5))] == ["2", "2.5"], again
        assert hits(kernel) == 2


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sealed(*_: object, **__: object) -> None:
    raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.promise("Newcomers", "a compile cache that cannot be written costs a warning, and what was compiled runs")
@pytest.mark.parametrize("refuse", [full, sealed])
@pytest.mark.parametrize("when", ["os.replace", "tempfile.mkstemp", "os.mkdir"])
def test_a_disk_that_takes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    when: str,
    refuse: Callable[..., None],
) -> None:
    kernel = make(tmp_path / "removed meanwhile")
    monkeypatch.setattr(when, refuse)
    assert (kernel(1), kernel(1.5)) == (2, 2.5)
    (warned,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert str(tmp_path) in warned
    assert "NUMBA_CACHE_DIR" in warned


@pytest.mark.promise("Newcomers", "a command that compiles kernels says so, once; one that finds them says nothing")
def test_compiling_is_said_once_and_only_where_it_happens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fastcolor")
    kernel = make(tmp_path)
    kernel(1)
    kernel(1.5)
    assert [record.name for record in caplog.records] == ["fastcolor.kernels"]
    assert caplog.messages[0].startswith("compiling kernels for this machine, once")
    caplog.clear()
    again = make(tmp_path)
    again(1)
    assert not caplog.records


@pytest.mark.parametrize(
    ("platform", "environment", "place"),
    [
        ("linux", {}, "~/.cache"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "~/.cache"),
        ("darwin", {}, "~/Library/Caches"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/x"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {}, "~/AppData/Local"),
    ],
)
def test_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], place: str
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache.user_cache() == Path(place).expanduser()


@pytest.mark.promise("Newcomers", "nothing compiled lies in the package's folder, so that an uninstalled one is gone")
def test_the_package_s_folder_is_no_place_for_compiled_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NUMBA_CACHE_DIR wins, then the user's cache, then a private folder among the temporary files; or nothing."""
    find, here = cache.cache_folder.__wrapped__, Path(cache.__file__).parent
    asked: list[Path] = []
    monkeypatch.setattr(cache, "_usable", lambda folder: bool(asked.append(folder)))
    monkeypatch.setattr(cache._config, "CACHE_DIR", str(tmp_path / "numba"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    assert find() is None
    assert [folder.relative_to(tmp_path).parts[0] for folder in asked] == ["numba", "user", "temporary"]
    assert not any(folder.is_relative_to(here) for folder in asked)


@pytest.mark.promise("Newcomers", "compiled code is taken only from a folder and a file that no other user can write")
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and rights are POSIX")
@pytest.mark.parametrize(("user", "rights"), [(0, 0), (0, 0o020), (0, 0o002), (0, 0o077), (12345, 0)])
def test_a_folder_that_others_can_write_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, rights: int
) -> None:
    """As NUMBA_CACHE_DIR=/tmp or HOME=/tmp may lead to. What we make is ours, whatever the umask."""
    monkeypatch.setattr(cache._config, "CACHE_DIR", str(tmp_path / "open"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    find, umask = cache.cache_folder.__wrapped__, os.umask(0)
    try:
        folder = find()
        assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path / "open", 0o700)
        folder.chmod(0o700 | rights)
        if user:
            lstat = Path.lstat
            monkeypatch.setattr(
                cache.Path, "lstat", lambda path: owned_by(user, lstat(path)) if path == folder else lstat(path)
            )
        assert find().parent == (tmp_path / "home/fastcolor" if user or rights else tmp_path / "open")
    finally:
        os.umask(umask)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and rights are POSIX")
def test_a_file_of_another_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As there may be where the folder was exchanged after it was looked at."""
    make(tmp_path)(1)
    monkeypatch.setattr(cache.os, "fstat", lambda handle, fstat=os.fstat: owned_by(12345, fstat(handle)))
    kernel = make(tmp_path)
    assert kernel(1) == 2
    assert hits(kernel) == 0


def owned_by(user: int, info: os.stat_result) -> os.stat_result:
    return os.stat_result((*info[:4], user, *info[5:]))


@pytest.mark.promise("Newcomers", "where no folder can be made, kernels are compiled in each process, with one warning")
@pytest.mark.parametrize("refuse", [full, sealed])
@pytest.mark.parametrize(
    "when", ["os.mkdir", "tempfile.TemporaryFile", "tempfile.gettempdir", "pathlib.Path.read_bytes"]
)
def test_no_folder_at_all(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    when: str,
    refuse: Callable[..., None],
) -> None:
    monkeypatch.setattr(cache._config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(when, refuse)
    find = functools.lru_cache(cache.cache_folder.__wrapped__)
    monkeypatch.setattr(jit, "cache_folder", find)
    for _ in range(2):
        assert jit.jit(lambda x: x + 1)(1) == 2
    (warned,) = caplog.messages
    assert "NUMBA_CACHE_DIR" in warned


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr(cache._config, "CACHE_DIR", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert all(folder.is_absolute() for folder in cache._candidates())


def test_what_is_compiled_again_forgets_what_was(tmp_path: Path) -> None:
    compiled = make(tmp_path)
    assert compiled(1) == 2
    compiled.recompile()
    assert compiled(2) == 3


def test_nothing_is_made_before_something_is_kept(tmp_path: Path) -> None:
    make(tmp_path / "later")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["numba", "llvmlite", "numpy"])
def test_what_compiles_tells_the_folder(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = cache._digest()
    monkeypatch.setattr(f"{what}.__version__", "0")
    assert cache._digest() != before


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", [1, 2, "waiting", "handing over", "handed over"])
def test_a_part_that_fails_is_not_left_with_others_at_work(
    monkeypatch: pytest.MonkeyPatch, where: int | str, raised: type[BaseException]
) -> None:
    """In a worker; or in the calling thread, as Ctrl-C does, while it waits, or before or after a part is taken."""
    done, go, wait, submit = [], threading.Event(), Future.exception, ThreadPoolExecutor.submit

    def kernel(lo: int, hi: int) -> None:
        if lo // 2 == where:
            raise raised("planted")
        if lo:
            go.wait(10)
            time.sleep(0.02)
            done.append(lo)
        elif isinstance(where, int):
            go.set()

    def interrupted(*args: Any) -> Any:
        if not go.is_set():
            go.set()
            raise raised("planted")
        return (wait if where == "waiting" else submit)(*args)

    def taken(*args: Any) -> Any:
        submit(*args)
        return interrupted(*args)

    monkeypatch.setattr(pool, "get_num_threads", lambda: 4)
    if where == "waiting":
        monkeypatch.setattr(Future, "exception", interrupted)
    if where in ("handing over", "handed over"):
        count, second = iter(range(9)), interrupted if where == "handing over" else taken
        monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda *args: (second if next(count) == 1 else submit)(*args))
    pool._anew()
    if str(where).startswith("hand") and raised is RuntimeError:  # which says that there is no thread
        pool.run_blocks(kernel, 8, 1 << 20)
        assert sorted(set(done)) == [2, 4, 6]
        return
    with pytest.raises(raised, match="planted"):
        pool.run_blocks(kernel, 8, 1 << 20)
    assert (
        sorted(done)
        == [lo for lo in (2, 4, 6) if lo // 2 != where][: {"handing over": 1, "handed over": 2}.get(str(where), 3)]
    )


@pytest.mark.parametrize("started", [0, 1])
def test_threads_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, started: int) -> None:
    """Where the system has no thread left, `started` of those that were asked for run, and each part is done once."""
    start, left = threading.Thread.start, [started]

    def starts(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(pool, "get_num_threads", lambda: 4)
    pool._anew()
    monkeypatch.setattr(threading.Thread, "start", starts)
    assert pool.run_blocks(lambda lo, hi: (lo, hi), 10, 1 << 20) == [(0, 2), (2, 5), (5, 7), (7, 10)]
    monkeypatch.undo()
    assert pool.run_blocks(lambda lo, hi: hi - lo, 10, 1 << 20)


_LATE = """
import atexit, threading, time
from fastcolor.kernels.numba_cpu import threads
{warm}
threads.set_num_threads(4)

def late():
    print(threads.run_blocks(lambda lo, hi: hi - lo, 10, 1 << 20))

atexit.register(late)
def outlive():
    threading.main_thread().join()
    late()
threading.Thread(target=outlive).start()
"""


@pytest.mark.promise("Newcomers", "work begun when the interpreter shuts down is done, by one thread")
@pytest.mark.parametrize("warm", ["", "threads.set_num_threads(4); threads.run_blocks(lambda lo, hi: 0, 10, 1 << 20)"])
def test_work_that_begins_when_the_interpreter_shuts_down(warm: str) -> None:
    """In atexit, and in a thread that outlives the main one; whether there were threads before or not."""
    run = subprocess.run([sys.executable, "-c", _LATE.format(warm=warm)], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[2, 3, 2, 3]"] * 2
    assert run.stderr == ""


@pytest.mark.promise("Newcomers", "a command that compiles kernels says so, once; one that finds them says nothing")
def test_commands_tell_and_the_package_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fastcolor.commands.doctor.run", lambda args: make(tmp_path / "command")(1) - 2)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().err.startswith("fastcolor: compiling kernels for this machine, once;")
    make(tmp_path / "import")(1)
    assert capsys.readouterr().err == ""
    assert make(tmp_path / "command")(1) == 2
    assert main(["doctor"]) == 0
    assert capsys.readouterr().err == ""
