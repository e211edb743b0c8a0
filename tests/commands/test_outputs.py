"""No output replaces an input or another output, whatever the paths, links, case of letters and options.

``fastcolor colorize`` runs as it is, but for the network: it reads, plans and writes. What it reads and where it writes
is noted, and the bytes of everything that was there are compared. Without its check, the same cases lose something.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from blank_network import BlankColorizer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fastcolor.commands import colorize as command
from fastcolor.commands import demo, options
from fastcolor.commands.main import main
from fastcolor.files import outputs
from fastcolor.files.outputs import Target, check_folder, check_outputs
from fastcolor.photo import bulk

PHOTOGRAPHS = ("p/a.png", "p/A.jpg", "p/b.gif", "p/b.bmp", "p/sub/a.png", "p/sub/A.gif", "q/a.png", "q/b.png")
LINKS = {  # link -> what it leads to
    "p/soft.png": "q/a.png",
    "q/soft.png": "p/a.png",
    "o/a.png": "p/a.png",
    "o/soft.png": "q/soft.png",
    "o/gone.png": "nowhere.png",
    "l": "p",
    "p/up": "q",
}
HARD = {"q/hard.png": "p/a.png", "o/b.png": "q/b.png"}
INPUTS = "p q l ./p p/*.png p/**/* p/a.png p/../p/a.png l/a.png p/b.gif q/soft.png q/hard.png"
OUTS = "o o/ p q l p/out l/out new new/deep r.png R.png o/a.png o/soft.png o/b.png"
FILES = f"{OUTS} p/a.png ./p/a.png l/a.png q/hard.png p/new.png o/gone.png new/a.png r.png/x.png nowhere.png"


class Watched:
    """What a run has read, and where it has written."""

    def __init__(self) -> None:
        self.nodes: set[int] = set()  # of the files read
        self.written: list[str] = []

    @contextmanager
    def __call__(self, folded: bool = False) -> Iterator[None]:
        read_photo, write_photo = bulk.read_photo, bulk.write_photo

        def reading(path: Path, **options: Any) -> Any:
            self.nodes.add(os.stat(path).st_ino)
            return read_photo(path, **options)

        def writing(path: Path, *args: Any, **options: Any) -> None:
            place = os.path.join(os.path.realpath(Path(path).parent), Path(path).name)
            self.written.append(place.casefold() if folded else place)
            write_photo(path, *args, **options)

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(bulk, "read_photo", reading))
            stack.enter_context(mock.patch.object(bulk, "write_photo", writing))
            stack.enter_context(mock.patch.object(command.Colorizer, "load", return_value=BlankColorizer()))
            if folded:
                stack.enter_context(mock.patch.object(outputs, "ignores_case", return_value=True))
            yield


@contextmanager
def archive(links: bool = True) -> Iterator[Path]:
    """A folder with photographs, and links to them, as the current one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        root = Path(os.path.realpath(name))
        for number, photograph in enumerate(PHOTOGRAPHS):
            (root / photograph).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 3), 10 * number).save(root / photograph)
        (root / "o").mkdir()
        for link, there in LINKS.items() if links else ():
            (root / link).symlink_to(root / there)
        for link, there in HARD.items() if links else ():
            os.link(root / there, root / link)
        os.chdir(root)
        try:
            yield root
        finally:
            os.chdir(before)


def contents(root: Path) -> dict[Path, object]:
    """All files with their bytes, all links with where they lead."""
    paths = (path for path in root.rglob("*") if path.is_symlink() or path.is_file())
    return {path: os.readlink(path) if path.is_symlink() else path.read_bytes() for path in paths}


def lost(words: list[str], *, folded: bool = False) -> list[str]:
    """What was lost when ``fastcolor colorize`` ran with these words in an archive."""
    with archive() as root:
        before, watched = contents(root), Watched()
        nodes = {path: path.stat().st_ino for path in before if path.exists()}
        with watched(folded):
            main(["colorize", *words])
        after = contents(root)
        kept = [path for path in before if "--force" not in words or nodes.get(path) in watched.nodes]
        problems = [f"changed: {path}" for path in kept if before.get(path) != after.get(path)]
        problems += [f"written twice: {path}" for path in watched.written if watched.written.count(path) > 1]
        return problems + [f"left behind: {path}" for path in after if path.name.startswith(".")]


@pytest.mark.promise("Outputs", "no paths, links and options make a run replace an input or another output")
@given(
    inputs=st.lists(st.sampled_from(INPUTS.split()), min_size=1, max_size=3),
    out=st.sampled_from(OUTS.split()),
    confidence=st.none() | st.sampled_from(FILES.split()),
    compare=st.none() | st.sampled_from(FILES.split()),
    flag=st.sampled_from(["", "--force", "--skip-existing"]),
    folded=st.booleans(),
)
def test_nothing_is_ever_lost(
    inputs: list[str], out: str, confidence: str | None, compare: str | None, flag: str, folded: bool
) -> None:
    words = [*inputs, "-o", out, *filter(None, [flag])]
    words += [] if confidence is None else ["--confidence", confidence]
    words += [] if compare is None else ["--compare", compare]
    assert lost(words, folded=folded) == []


# name -> (arguments, what the error says)
COLLISIONS = {
    "maps on the photographs": ("p -o new --confidence p --force", "would replace a file that this run reads"),
    "a sheet on a photograph": ("p -o new --compare p/a.png --force", "p/a.png: would replace"),
    "a result on its photograph": ("p/a.png -o p/a.png --force", "p/a.png: would replace"),
    "results on photographs of another input": ("p/a.png p/b.gif q/b.png -o q --force", "q/b.png: would replace"),
    "through a link to a folder": ("p -o l --force", "would replace"),
    "through a link to a file": (
        "p/a.png -o o/a.png --force",
        "o/a.png: would replace a file that this run reads as p/a.png",
    ),
    "through two links": ("p/a.png -o o/soft.png --force", "o/soft.png: would replace"),
    "a hard link": ("q/b.png -o o/b.png --force", "o/b.png: would replace"),
    "a sheet on the result": (
        "p/a.png -o r.png --compare r.png --force",
        "r.png: would be both the result of p/a.png and --compare",
    ),
    "a sheet on the map": ("p/a.png -o r.png --compare c.png --confidence c.png --force", "c.png: would be both"),
    "maps on the results": ("p -o new --confidence new --force", "would be both"),
    "two of one name": ("p/sub q -o new --force", "would be both the result of p/sub/a.png and the result of q/a.png"),
}


@pytest.mark.promise("Outputs", "a run that would replace one of its files is refused before it begins")
@pytest.mark.parametrize("name", COLLISIONS)
def test_collisions_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, message = COLLISIONS[name]
    with archive() as root:
        before, watched = contents(root), Watched()
        with watched():
            assert main(["colorize", *words.split()]) == 1
        assert (contents(root), watched.nodes, watched.written) == (before, set(), [])
    out, errors = capsys.readouterr()
    assert not out
    assert message in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("name", COLLISIONS)
def test_without_the_check_they_lose_something(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted error: the two tests above can fail."""

    monkeypatch.setattr(command, "check_outputs", lambda *args, **options: None)
    assert lost(COLLISIONS[name][0].split())


def others(root: Path) -> None:
    """What other commands read: bins, a model, films; as far as the plan looks at them."""
    for name in (
        "a.npz",
        "b.npz",
        "m/config.json",
        "m/x.png",
        "n/config.json",
        "film.mp4",
        "other.mp4",
        "classes.toml",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)


# words -> what the error says
OTHER_COMMANDS = {
    "fit p -o p/a.png --force": "p/a.png: would replace",
    "fit p -o new.npz --plot p/a.png --force": "p/a.png: would replace",
    "fit --merge a.npz b.npz -o b.npz --force": "b.npz: would replace",
    "fit p -o new.npz --plot new.npz": "would be both --output and --plot",
    "fit p -o a.npz": "a.npz: exists already; --force overwrites it",
    "evaluate p --sheet p/a.png --force": "p/a.png: would replace",
    "evaluate p --every 2 --sheet p/A.jpg --force": "p/A.jpg: would replace",
    "evaluate p --every 2 --sheet p/a.png --force": "p/a.png: would replace",
    "evaluate p --json l/a.png --force": "would replace a file that this run reads as p/a.png",
    "evaluate p --model m --fit-decoding m/config.json --force": "m/config.json: would replace",
    "evaluate p --content classes.toml --json classes.toml --force": "classes.toml: would replace",
    "evaluate p --json r.json --fit-decoding ./r.json": "would be both --json and --fit-decoding",
    "evaluate p --json a.npz": "a.npz: exists already",
    "evaluate p --json none/r.json": "the folder none does not exist; make it first",
    "evaluate-video film.mp4 --json film.mp4 --force": "film.mp4: would replace",
    "evaluate-video film.mp4 --result other.mp4 --json other.mp4 --force": "other.mp4: would replace",
    "evaluate-video p/*.png --json p/a.png --force": "p/a.png: would replace",
    "evaluate-video --photographs q --json q/a.png --force": "q/a.png: would replace",
    "evaluate-video film.mp4 --json r.png --plot r.png": "would be both --json and --plot",
    "demo --model m -o m/x.png --force": "m/x.png: would replace",
    "demo -o p/a.png": "p/a.png: exists already; --force overwrites it",
    "average m n --out m": "m: m, which is read, lies in it",
    "average m n --out p": "p: exists already and is not empty",
    "prepare p a.npz": "a.npz: expected a folder or a new name for the output, got a file",
    "average m n --out a.npz": "a.npz: expected a folder or a new name",
}


@pytest.mark.promise("Outputs", "all commands refuse an output that would replace an input or another output")
@pytest.mark.parametrize("words", OTHER_COMMANDS)
def test_other_commands(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with archive() as root:
        others(root)
        before = contents(root)
        assert main(words.split()) == 1
        assert contents(root) == before
    out, errors = capsys.readouterr()
    assert not out
    assert OTHER_COMMANDS[words] in errors
    assert errors.count("\n") == 1


@pytest.mark.promise("Outputs", "a bundled model and the bundled photographs are never replaced")
def test_bundled_files_are_sources(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with archive() as root:
        (root / "models/landscapes").mkdir(parents=True)
        (root / "p/a.png").rename(root / "models/landscapes/a.png")
        monkeypatch.setattr(demo, "SAMPLES", Path("p"))
        monkeypatch.setattr(options, "MODELS", Path("models"))
        before = contents(root)
        for words in (
            "demo -o models/landscapes/a.png",
            "demo -o p/A.jpg",
            "evaluate q --sheet models/landscapes/a.png",
        ):
            assert main([*words.split(), "--model", "landscapes", "--force"]) == 1
            assert "would replace a file that this run reads" in capsys.readouterr().err
        assert contents(root) == before
    monkeypatch.undo()
    assert options.model_files(None)[0].is_dir()
    assert all((demo.SAMPLES / name).is_file() for name in demo.PHOTOGRAPHS)


# name -> (target, error, its words); in a folder with a file `a`, a folder `d`, and nothing else
PLACES: dict[str, tuple[str, type[Exception], str]] = {
    "a folder": ("d", IsADirectoryError, "d: expected the name of a file to write, got a folder"),
    "a folder that is not there": (
        "none/x",
        FileNotFoundError,
        "none/x: the folder none does not exist; make it first",
    ),
    "a file as a folder": ("a/x", NotADirectoryError, "a/x: expected a folder, but .*a is a file"),
    "a file": ("a", FileExistsError, "a: exists already; --force overwrites it"),
    "a dangling link": ("gone", FileExistsError, "gone: exists already"),
    "a device": (os.devnull, FileExistsError, "got a device or a pipe"),
    "a name that is too long": ("x" * 300, OSError, "File name too long"),
    "a link that leads nowhere as a folder": ("gone/x", NotADirectoryError, "gone is a link that leads to nothing"),
    "a file system that takes no files": ("/proc/x", PermissionError, "the folder cannot be written to"),
}


@pytest.mark.promise("Messages", "an output that cannot be written is named, with what to do, before any work")
@pytest.mark.parametrize("name", PLACES)
def test_places_that_cannot_be_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").touch()
    Path("d").mkdir()
    Path("gone").symlink_to("nowhere")
    path, error, words = PLACES[name]
    if path.startswith("/proc"):
        monkeypatch.setattr(outputs, "ignores_case", mock.Mock(side_effect=OSError(30, "Read-only file system")))
        path = "x"
    with pytest.raises(error, match=words):
        check_outputs([], [Target(Path(path), "--out")], force=False)


@pytest.mark.promise("Outputs", "two names that a file system takes for one are told apart, or refused")
@pytest.mark.parametrize(("folded", "same"), [(True, True), (False, False)])
def test_case_of_letters(folded: bool, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "ignores_case", lambda folder: folded)
    pairs = [("Straße.png", "STRASSE.png"), ("e\u0301.png", "\u00c9.png"), ("new/A/x.png", "new/a/x.png")]
    for pair in pairs:
        targets = [Target(tmp_path / name, name, make=True) for name in pair]
        if same:
            with pytest.raises(ValueError, match="would be both"):
                check_outputs([], targets, force=False)
        else:
            check_outputs([], targets, force=False)


def test_the_probe_tells_how_this_file_system_takes_names(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert outputs.ignores_case(tmp_path) == (tmp_path / "A").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_result_is_no_folder_of_another(tmp_path: Path) -> None:
    targets = [Target(tmp_path / name, name, make=True) for name in ("a.png/b.png", "a.png")]
    with pytest.raises(ValueError, match=r"would be both a.png and a folder for a.png/b.png"):
        check_outputs([], targets, force=False)


def test_folders_to_fill(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames/1.png").touch()
    (tmp_path / "link").symlink_to("frames")
    with pytest.raises(FileExistsError, match="is not empty; --force replaces what is in it"):
        check_folder([], Target(tmp_path / "frames", "--out"), force=False)
    check_folder([tmp_path / "film.mp4"], Target(tmp_path / "frames", "--out"), force=True)
    for out in ("frames", "link"):
        for source in ("frames", "frames/1.png", "link/1.png"):
            with pytest.raises(ValueError, match="which is read, lies in it"):
                check_folder([tmp_path / source], Target(tmp_path / out, "--out"), force=True)
    with pytest.raises(FileNotFoundError, match="make it first"):
        check_folder([], Target(tmp_path / "none/frames", "--out"), force=True)
