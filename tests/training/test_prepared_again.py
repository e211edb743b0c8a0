"""`fastcolor prepare` into a set that is there: nothing moves from one part to the other, and nothing is half done."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fastcolor.commands.main import main
from fastcolor.files import lock
from fastcolor.files.lock import own_folder
from fastcolor.files.sets import find_images, find_part
from fastcolor.training import prepare as module
from fastcolor.training.prepare import Report, prepare
from fastcolor.training.split import REPORT, drawn


def photo(place: Path, seed: int) -> None:
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(corners).resize((20, 24), 2).save(place)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(16):
        photo(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path / "photos"


def parts(out: Path) -> dict[str, str]:
    """The part of each photograph of a set by the digest in its name; none is in both."""
    found = [(re.split("[-_]", path.stem)[-1][:8], path.parent.name) for path in find_images(out)]
    assert len(dict(found)) == len(found)
    return dict(found)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make(folders: list[Path], out: Path, **options: Any) -> Report:
    return prepare(folders, out, **{"size": 16, "validation": 0.4, **options})


def more_files(photos: Path) -> list[Path]:
    for number in range(16, 32):
        photo(photos / f"{number}.png", number)
    return [photos]


def files_that_come_first(photos: Path) -> list[Path]:
    for number in range(16, 32):
        photo(photos / "0" / f"{number}.png", number)
    return [photos]


def another_folder(photos: Path) -> list[Path]:
    """All names change, to those of sources."""
    for number in range(16, 32):
        photo(photos.parent / "more" / f"{number}.png", number)
    return [photos.parent / "more", photos]


def other_names(photos: Path) -> list[Path]:
    for path in sorted(photos.iterdir()):
        path.rename(path.with_stem(f"renamed-{path.stem}"))
    return more_files(photos)


def copies(photos: Path) -> list[Path]:
    for path in sorted(photos.iterdir()):
        shutil.copy(path, path.with_stem(f"0-{path.stem}"))
    return more_files(photos)


GROWN = [more_files, files_that_come_first, another_folder, other_names, copies]


@pytest.mark.promise("Sets and training", "a set that is prepared again keeps each photograph in its part")
@pytest.mark.parametrize("grow", GROWN)
def test_photographs_that_come_later_move_none(
    photos: Path, tmp_path: Path, grow: Callable[[Path], list[Path]]
) -> None:
    """What is drawn depends on content and seed alone: a set made anew of all is the same."""
    make([photos], tmp_path / "set")
    before = parts(tmp_path / "set")
    assert set(before.values()) == {"train", "val"}
    folders = grow(photos)
    report = make(folders, tmp_path / "set")
    after = parts(tmp_path / "set")
    assert len(after) == 32
    assert {digest: after[digest] for digest in before} == before
    assert (report.kept, len(report.train) + len(report.val)) == (16, 32)
    assert str(report).splitlines()[0].endswith("for validation: 16 as before, each in its part, and 16 new")
    make(folders, tmp_path / "anew")
    assert tree(tmp_path / "anew" / "train") == tree(tmp_path / "set" / "train")
    assert tree(tmp_path / "anew" / "val") == tree(tmp_path / "set" / "val")


@pytest.mark.promise("Sets and training", "a set does not mix with other sizes, seeds, shares or photographs")
@pytest.mark.parametrize("option", [{"seed": 1}, {"size": 24}, {"validation": 0.3}])
def test_other_options_are_refused(photos: Path, tmp_path: Path, option: dict[str, Any]) -> None:
    make([photos], tmp_path / "set")
    before = tree(tmp_path / "set")
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"out: .*set was made with {name}=.*, got {value}; .*another folder"):
        make(more_files(photos), tmp_path / "set", **option)
    assert tree(tmp_path / "set") == before


@pytest.mark.promise("Sets and training", "a set does not mix with other sizes, seeds, shares or photographs")
def test_other_photographs_are_refused(photos: Path, tmp_path: Path) -> None:
    make([photos], tmp_path / "set")
    before = tree(tmp_path / "set")
    photo(tmp_path / "other" / "a.png", 99)
    with pytest.raises(ValueError, match="holds 16 photographs that are not among those of the folders, the first "):
        make([tmp_path / "other"], tmp_path / "set")
    with pytest.raises(ValueError, match=r"expected a folder that holds none that is read, got .*set"):
        make([tmp_path / "set" / "train"], tmp_path / "set")
    assert tree(tmp_path / "set") == before


@pytest.mark.promise("Sets and training", "a set of an older version is trained on as before, and brought up to date")
@pytest.mark.parametrize("report", [None, "{}", '{"train": [], "val": [], "gray": [], "unreadable": {}}'])
def test_a_set_of_an_older_version_keeps_its_parts(photos: Path, tmp_path: Path, report: str | None) -> None:
    """Which were drawn otherwise, and its size is not known."""
    out = tmp_path / "set"
    make([photos], out, size=24)
    old = {"train": "val", "val": "train"}
    for path in find_images(out):
        (out / "old" / old[path.parent.name]).mkdir(parents=True, exist_ok=True)
        path.rename(out / "old" / old[path.parent.name] / path.name)
    for part in old:
        shutil.rmtree(out / part)
        (out / "old" / part).rename(out / part)
    (out / "old").rmdir()
    (out / "report.json").unlink()
    if report is not None:
        (out / "report.json").write_text(report)
    before = parts(out)
    make(more_files(photos), out)
    after = parts(out)
    assert {digest: after[digest] for digest in before} == before
    assert len(after) == 32
    assert {max(Image.open(path).size) for path in find_images(out)} == {16}


@pytest.mark.promise(
    "Sets and training", "photographs are told apart by 12 digits of their hashes, also beside names with 8 of them"
)
def test_photographs_whose_hashes_begin_alike(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With eight digits alike in all, as once in some sets of a hundred thousand photographs."""
    monkeypatch.setattr(module, "_digest", lambda path: sha1(path.read_bytes()).hexdigest().replace("", "0" * 8, 1))
    out = tmp_path / "set"
    make([photos], out)
    names = {path.name: path.parent.name for path in find_images(out)}
    assert len(names) == 16
    assert all(re.fullmatch(r"\d+-0{8}[0-9a-f]{4}\.jpg", name) for name in names)
    assert set(names.values()) == {"train", "val"}
    make(more_files(photos), out)
    assert {path.name: path.parent.name for path in find_images(out) if path.name in names} == names
    (photos / "0.png").unlink()
    with pytest.raises(ValueError, match=r"holds 1 photograph that .* the first .*/0-0000"):
        make([photos], out)


def test_names_of_an_older_version_are_brought_up_to_date(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    make([photos], out)
    before = {name: data for name, data in tree(out).items() if name != REPORT}
    for path in find_images(out):
        path.rename(path.with_stem(path.stem[:-4]))
    assert make([photos], out).kept == 16
    assert {name: data for name, data in tree(out).items() if name != REPORT} == before


@pytest.mark.promise("Sets and training", "files of a set that are damaged are found, and written anew")
def test_damaged_files_are_written_anew(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    make([photos], out)
    before = {name: data for name, data in tree(out).items() if name != REPORT}
    empty, cut, other, gone = find_images(out)[:4]
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:300])
    other.write_bytes(b"<html>")
    gone.unlink()
    assert main(["prepare", str(photos), str(out), "--size", "16", "--validation", "0.4"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("damaged, written anew: ")]
    assert said == [f"damaged, written anew: {path}" for path in (empty, cut, other)]
    assert {name: data for name, data in tree(out).items() if name != REPORT} == before


def test_a_set_that_was_mixed_by_an_older_version_is_named(photos: Path, tmp_path: Path) -> None:
    make([photos], tmp_path / "set")
    first = find_images(tmp_path / "set" / "val")[0]
    shutil.copy(first, tmp_path / "set" / "train")
    with pytest.raises(
        ValueError, match=f"has 1 photograph in training and in validation, the first {first.name} and"
    ) as told:
        make([photos], tmp_path / "set")
    assert "copied by hand, or prepared twice by an older version; remove one of the two" in str(told.value)


@pytest.mark.parametrize("text", ['{"options": {"si', "[]", "[" * 10**5, '{"a":' * 10**5])
def test_a_damaged_report_is_named(photos: Path, tmp_path: Path, text: str) -> None:
    make([photos], tmp_path / "set")
    (tmp_path / "set" / "report.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"report\.json: expected the report of `fastcolor prepare`, got .*; remove it"
    ):
        make([photos], tmp_path / "set")


@pytest.mark.promise(
    "Sets and training", "hidden files, as of a killed run, are no photographs; prepare clears its own"
)
def test_what_a_killed_run_left_is_not_read(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    make([photos], out)
    before = parts(out)
    for place in (
        out / "train" / ".0-1234abcd.jpg",
        out / ".new" / "train" / "half.jpg",
        out / "val" / ".th" / "a.png",
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"\xff\xd8\xff half of it")
    assert sum(len(find_part(out, part)) for part in ("train", "val")) == 16
    make([photos], out)
    assert not (out / ".new").exists()
    assert parts(out) == before


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.jpg")


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.promise("Sets and training", "prepare that is stopped, or finds the disk full, leaves the set as it was")
@pytest.mark.parametrize(("stop", "status"), [(full, 1), (interrupted, 130)])
@pytest.mark.parametrize("count", [0, 5])
@pytest.mark.parametrize("there", [False, True])
def test_a_stop_leaves_the_set_as_it_was(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any, status: int, count: int, there: bool
) -> None:
    out, words = tmp_path / "set", ["--size", "16", "--validation", "0.4"]
    if there:
        make([photos], out)
        more_files(photos)
    before = tree(out)
    save, left = module.save, [count] * count + [0]

    def saves(*args: Any, **options: Any) -> None:
        (save if left.pop(0) else stop)(*args, **options)

    monkeypatch.setattr(module, "save", saves)
    left += [0] * 32
    assert main(["prepare", str(photos), str(out), *words]) == status
    assert tree(out) == before
    assert out.exists() == there


def at_move(monkeypatch: pytest.MonkeyPatch, out: Path, number: int, act: Callable[[], object]) -> None:
    """Do something before the photograph of this number is put in its place."""
    replace, moved = os.replace, []

    def replaces(source: Any, target: Any) -> None:
        if Path(target).parent.parent == out and Path(source).parent.parent.name == module.NEW:
            moved.append(target)
            if len(moved) == number:
                act()
        replace(source, target)

    monkeypatch.setattr(os, "replace", replaces)


@pytest.mark.promise("Sets and training", "a signal while photographs are put in their places waits until all are")
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_waits_for_the_moves(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    out = tmp_path / "set"
    make([photos], tmp_path / "other")
    at_move(monkeypatch, out, 12, lambda: signal.raise_signal(signal.Signals[name]))
    assert main(["prepare", str(photos), str(out), "--size", "16", "--validation", "0.4"]) == status
    assert tree(out) == tree(tmp_path / "other")


class Killed(BaseException):
    pass


def killed() -> None:
    raise Killed


@pytest.mark.promise(
    "Sets and training", "a set that prepare was killed in is not trained on; a call with the same options completes it"
)
@pytest.mark.parametrize("number", [1, 12, 16])
@pytest.mark.parametrize("there", [False, True])
def test_a_set_that_prepare_was_killed_in(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, there: bool
) -> None:
    from fastcolor.training.mixture import PhotoSet, open_sets
    from fastcolor.training.pack import pack_set

    out = tmp_path / "set"
    if there:
        make([photos], out)
        more_files(photos)
    with monkeypatch.context() as patch:
        at_move(patch, out, number, killed)
        with pytest.raises(Killed):
            make([photos], out)
    for use in (lambda: open_sets([PhotoSet(out)]), lambda: pack_set(out, tmp_path / "a.zip")):
        with pytest.raises(
            ValueError, match=r"set: expected a whole set, got .* unfinished; run it again with the same"
        ):
            use()
    for options in ({"seed": 5}, {"validation": 0.3}, {"size": 24}):
        with pytest.raises(ValueError, match="was made with"):
            make([photos], out, **options)
    make([photos], out)
    make([photos], tmp_path / "other")
    for part in ("train", "val"):
        assert tree(out / part) == tree(tmp_path / "other" / part)
    assert len(open_sets([PhotoSet(out)])) == 1


def test_an_older_set_of_another_size_that_prepare_was_killed_in(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is written anew by the call that completes it."""
    out = tmp_path / "set"
    make([photos], out, size=24)
    (out / REPORT).unlink()
    with monkeypatch.context() as patch:
        at_move(patch, out, 5, killed)
        with pytest.raises(Killed):
            make([photos], out)
    assert {max(Image.open(path).size) for path in find_images(out)} == {16, 24}
    make([photos], out)
    assert {max(Image.open(path).size) for path in find_images(out)} == {16}


def test_the_set_is_packed_before_another_may_change_it(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastcolor.training import pack

    def tried(folder: Path, *_: object, **__: object) -> str:
        with pytest.raises(BlockingIOError), own_folder(folder):
            pass
        return "packed"

    monkeypatch.setattr(pack, "pack_set", tried)
    assert main(["prepare", str(photos), str(tmp_path / "set"), "--pack", str(tmp_path / "a.zip")]) == 0


@pytest.mark.promise("Sets and training", "two runs that would write into one folder at once: the second is refused")
@pytest.mark.parametrize("anew", [False, True])
def test_a_folder_that_its_owner_removes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anew: bool) -> None:
    """Between the opening of the folder and its lock: what is locked is what has the name."""
    folder, take = tmp_path / "set", lock._take

    def removed(handle: int, place: Path) -> None:
        monkeypatch.setattr(lock, "_take", take)
        folder.rmdir()
        if anew:
            folder.mkdir()
        take(handle, place)

    monkeypatch.setattr(lock, "_take", removed)
    with own_folder(folder):
        assert folder.is_dir()
        with pytest.raises(BlockingIOError), own_folder(folder):
            pass


def test_a_folder_is_removed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rmdir, seen = Path.rmdir, []

    def removes(self: Path) -> None:
        with pytest.raises(BlockingIOError), own_folder(tmp_path / "a" / "set"):
            pass
        seen.append(self.name)
        rmdir(self)

    with own_folder(tmp_path / "a" / "set"):
        monkeypatch.setattr(Path, "rmdir", lambda self: removes(self) if not seen else rmdir(self))
    assert not (tmp_path / "a").exists()
    assert seen == ["set"]


@pytest.mark.promise("Sets and training", "two runs that would write into one folder at once: the second is refused")
def test_two_at_once(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with own_folder(tmp_path / "set"):
        assert main(["prepare", str(photos), str(tmp_path / "set")]) == 1
        assert f"{tmp_path / 'set'}: another process writes into this folder" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    make([photos], tmp_path / "set")


_HOLD = """
import os, sys, time
from pathlib import Path
from fastcolor.files.lock import own_folder
with own_folder(Path(sys.argv[1])):
    if os.fork() == 0:
        print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.promise("Sets and training", "two runs that would write into one folder at once: the second is refused")
def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    """Nor does a loader that outlives it."""
    held = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(held, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(BlockingIOError), own_folder(tmp_path):
                pass
            process.kill()
            process.wait()
            with own_folder(tmp_path):
                pass
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.promise("Sets and training", "toned photographs are left out of a set like gray ones, and named")
def test_toned_photographs_are_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that a set holds from before they were told apart stay."""
    make([photos], tmp_path / "old")
    monkeypatch.setattr(module, "is_toned", lambda rgb: rgb[0, 0, 0] < 128)
    words = ["--size", "16", "--validation", "0.4"]
    assert main(["prepare", str(photos), str(tmp_path / "set"), *words]) == 0
    toned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("toned, as sepia is, left out: ")]
    assert 0 < len(toned) < 16
    assert len(find_images(tmp_path / "set")) == 16 - len(toned)
    assert json.loads((tmp_path / "set" / "report.json").read_text())["toned"] == [
        line.split(": ")[1] for line in toned
    ]
    before = tree(tmp_path / "old" / "train")
    make([photos], tmp_path / "old")
    assert tree(tmp_path / "old" / "train") == before


def test_the_share_of_the_validation_is_kept_on_average() -> None:
    """Within five standard deviations of a binomial distribution, for any seed; and seeds draw unlike each other."""
    digests = [sha1(bytes([number // 256, number % 256])).hexdigest() for number in range(4000)]
    for share in (0.05, 0.5):
        drawn_by = [[drawn(digest, seed) < share for digest in digests] for seed in (0, 1)]
        for row in drawn_by:
            assert abs(np.mean(row) - share) < 5 * np.sqrt(share * (1 - share) / len(digests))
        both = np.mean(np.logical_and(*drawn_by))
        assert abs(both - share**2) < 5 * np.sqrt(share**2 * (1 - share**2) / len(digests))


@pytest.mark.parametrize("validation", [1e-9, 1 - 1e-9])
def test_each_part_has_one_at_least(photos: Path, tmp_path: Path, validation: float) -> None:
    make([photos], tmp_path / "set", validation=validation)
    counts = sorted(len(find_part(tmp_path / "set", part)) for part in ("train", "val"))
    assert counts == [1, 15]
    photo(tmp_path / "one" / "a.png", 0)
    assert make([tmp_path / "one"], tmp_path / "single", validation=validation).val == []
