"""Files appear whole under their names, or not at all; what fails is named by the final name, whatever its length."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import warnings
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcolor.files import atomic
from fastcolor.files.atomic import atomic_folder, atomic_path, naming, remove_leftovers, write_json
from fastcolor.files.images import read_photo
from fastcolor.files.writing import write_photo

LETTERS = "aB.é日-"


@pytest.mark.promise("Messages", "no temporary name is longer than the final name may be")
@given(stem=st.text(LETTERS, min_size=1, max_size=120), suffix=st.sampled_from(["", ".png", "." + "x" * 200]))
def test_any_name_that_the_file_system_takes(stem: str, suffix: str) -> None:
    name = f"a{stem}{suffix}"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, name)
        if len(os.fsencode(name)) > 255:
            with pytest.raises(OSError, match="File name too long") as caught:  # noqa: SIM117
                with atomic_path(target) as temporary:
                    temporary.write_text("whole")
            assert caught.value.filename == str(target)
        else:
            with atomic_path(target) as temporary:
                assert len(os.fsencode(temporary.name)) <= 64
                temporary.write_text("whole")
            assert target.read_text() == "whole"
        assert [path.name for path in Path(folder).iterdir()] in ([], [name])


def test_libraries_see_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.TIFF") as temporary:
        assert temporary.suffix == ".TIFF"


@pytest.mark.promise("Messages", "the system's errors name the file that was to be written, never a temporary one")
@pytest.mark.parametrize("named", [True, False])
def test_errors_name_the_final_file(tmp_path: Path, named: bool) -> None:
    target = tmp_path / "a.png"
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", *([str(temporary)] if named else []))
    assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []


def test_errors_of_other_files_stay(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, naming(tmp_path / "a.png"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")
    with pytest.raises(OSError, match="by a library"), naming(tmp_path / "a.png"):
        raise OSError("by a library")


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "new") as temporary:  # noqa: PT012
        (temporary / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "new") as temporary:
        (temporary / "whole").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["whole"]


NO_LINKS = [errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL]


@pytest.mark.promise("Outputs", "a file that must be new never replaces one that came meanwhile, on any file system")
@pytest.mark.parametrize("number", [0, *NO_LINKS], ids=lambda number: errno.errorcode.get(number, "links"))
def test_a_new_file_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    if number:
        monkeypatch.setattr(os, "link", Mock(side_effect=OSError(number, "no links", "x", None, "y")))
    for comes in (False, True):
        target = tmp_path / f"{comes}.txt"
        with suppress(FileExistsError), atomic_path(target, replace=False) as temporary:
            temporary.write_text("mine")
            if comes:
                target.write_text("another's")
        assert target.read_text() == ("another's" if comes else "mine")
        assert target.stat().st_nlink == 1
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(FileExistsError, match=r"True.txt: exists already, made while"):  # noqa: SIM117
        with atomic_path(tmp_path / "True.txt", replace=False):
            pass


def test_other_errors_of_links_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", Mock(side_effect=OSError(errno.ENOSPC, "No space left", "x", None, "y")))
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "a", replace=False):
        pass
    assert caught.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_replaces_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty") as temporary:
        (temporary / "mine").touch()
    with pytest.raises(FileExistsError, match="made while this run went on"):  # noqa: SIM117
        with atomic_folder(tmp_path / "empty") as temporary:
            (temporary / "others").touch()
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["empty", "empty/mine"]


@pytest.mark.promise("Faults", "a folder that makes way for another is there, old or new, whenever a signal comes")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("move", [1, 2])
@pytest.mark.parametrize("twice", [False, True])
def test_a_folder_makes_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: int, after: bool, twice: bool
) -> None:
    rename, remove, count = os.rename, atomic._remove, 0

    def renaming(*paths: Path) -> None:
        nonlocal count
        count += 1
        if count == move and not after:
            raise KeyboardInterrupt
        rename(*paths)
        if count == move:
            raise KeyboardInterrupt

    (tmp_path / "a").mkdir()
    (tmp_path / "a/old").touch()
    monkeypatch.setattr(os, "rename", renaming)
    if twice:
        monkeypatch.setattr(atomic, "_remove", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "a", replace=True) as temporary:
        (temporary / "new").touch()
    monkeypatch.setattr(atomic, "_remove", remove)
    remove_leftovers()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["new" if (move, after) == (2, True) else "old"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert not atomic._living


@pytest.mark.promise("Faults", "what a signal left between the making of a file and its removal is removed at the end")
def test_leftovers(tmp_path: Path) -> None:
    def left() -> Generator[None, None, None]:
        with atomic_path(tmp_path / "a.png"), atomic_folder(tmp_path / "b"):
            yield

    open_ones = left()
    next(open_ones)
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers()
    assert list(tmp_path.iterdir()) == []
    assert not atomic._living
    open_ones.close()


@pytest.mark.promise("Outputs", "threads that read and write at once change nothing of the process, such as its umask")
def test_threads(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    mode, filters = (tmp_path / "plain").stat().st_mode, list(warnings.filters)
    rgb = np.zeros((8, 8, 3), np.uint8)

    def work(number: int) -> int:
        path = tmp_path / f"{number % 5}{('.png', '.jpg', '.tif', '.webp')[number % 4]}"
        write_photo(path, rgb)
        read_photo(path)
        own = tmp_path / f"own-{number}"
        own.touch()
        write_json(tmp_path / f"{number}.json", number)
        return own.stat().st_mode

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            modes = set(pool.map(work, range(200)))
    finally:
        sys.setswitchinterval(interval)
    assert modes == {mode}
    assert {path.stat().st_mode for path in tmp_path.iterdir()} == {mode}
    assert warnings.filters == filters
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
