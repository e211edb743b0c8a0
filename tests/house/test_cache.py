"""Compiled kernels on the disk: where they are, and that nothing which became of them keeps a kernel from running."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest
from fastcolor.kernels import cache
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


DAMAGES = [cut, cut_at_half, empty, garble, flip_a_bit, be_of_numba_alone, Path.unlink]


@pytest.mark.promise("Newcomers", "a compile cache that is cut, garbled or gone is made again")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_file_is_made_again(tmp_path: Path, suffix: str, damage: Callable[[Path], None]) -> None:
    assert make(tmp_path)(1) == 2
    again = make(tmp_path)
    assert again(1) == 2
    assert hits(again) == 1, "the test has no cache to damage"
    (file,) = tmp_path.glob(f"*{suffix}")
    damage(file)
    mended = make(tmp_path)
    assert mended(1) == 2
    assert hits(mended) == 0
    found = make(tmp_path)
    assert found(1) == 2
    assert hits(found) == 1


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sealed(*_: object, **__: object) -> None:
    raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.promise("Newcomers", "a compile cache that cannot be written costs a warning, and what was compiled runs")
@pytest.mark.parametrize("refuse", [full, sealed])
@pytest.mark.parametrize("when", ["os.replace", "tempfile.TemporaryFile", "os.makedirs"])
def test_a_disk_that_takes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    when: str,
    refuse: Callable[..., None],
) -> None:
    kernel = make(tmp_path)
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
    monkeypatch.setattr(cache, "_usable", lambda folder, private: bool(asked.append(folder)))
    monkeypatch.setattr(cache._config, "CACHE_DIR", str(tmp_path / "numba"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    assert find() is None
    assert [folder.relative_to(tmp_path).parts[0] for folder in asked] == ["numba", "user", "temporary"]
    assert not any(folder.is_relative_to(here) for folder in asked)


def test_a_folder_among_the_temporary_files_is_ours_alone(tmp_path: Path) -> None:
    assert cache._usable(tmp_path / "ours" / "cache", private=True)
    (tmp_path / "theirs").mkdir(mode=0o777)
    (tmp_path / "theirs").chmod(0o777)
    assert not cache._usable(tmp_path / "theirs" / "cache", private=True)


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
