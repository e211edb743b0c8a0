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

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fastcolor.commands import colorize as command
from fastcolor.commands.main import main
from fastcolor.files import outputs
from fastcolor.photo.colorizer import Prediction

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


class Stub:
    """Stands for a network: neutral gray, unsure everywhere."""

    bins = None

    def reduce(self, luma: Any) -> Any:
        return np.zeros((2, 2), np.float32)

    def predict(self, batch: Any, *, with_confidence: bool = False) -> list[Prediction]:
        top = np.full((2, 2), 0.5, np.float32) if with_confidence else None
        return [Prediction(np.zeros((2, 2, 2), np.float32), top) for _ in batch]


class Watched:
    """What a run has read, and where it has written."""

    def __init__(self) -> None:
        self.nodes: set[int] = set()  # of the files read
        self.written: list[str] = []

    @contextmanager
    def __call__(self, folded: bool = False) -> Iterator[None]:
        read_photo, write_photo = command.read_photo, command.write_photo

        def reading(path: Path, **options: Any) -> Any:
            self.nodes.add(os.stat(path).st_ino)
            return read_photo(path, **options)

        def writing(path: Path, *args: Any, **options: Any) -> None:
            place = os.path.join(os.path.realpath(Path(path).parent), Path(path).name)
            self.written.append(place.casefold() if folded else place)
            write_photo(path, *args, **options)

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(command, "read_photo", reading))
            stack.enter_context(mock.patch.object(command, "write_photo", writing))
            stack.enter_context(mock.patch.object(command.Colorizer, "load", return_value=Stub()))
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
    flags=st.sets(st.sampled_from(["--force"])),
    folded=st.booleans(),
)
def test_nothing_is_ever_lost(
    inputs: list[str], out: str, confidence: str | None, compare: str | None, flags: set[str], folded: bool
) -> None:
    words = [*inputs, "-o", out, *sorted(flags)]
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
        "p/a.png -o r.png --compare r.png",
        "r.png: would be both the result of p/a.png and --compare",
    ),
    "a sheet on the map": ("p/a.png -o r.png --compare c.png --confidence c.png", "c.png: would be both"),
    "maps on the results": ("p -o new --confidence new --force", "would be both"),
    "two of one name": ("p/sub q -o new --force", "would be both the result of p/sub/a.png and the result of q/a.png"),
}


@pytest.mark.promise("Outputs", "a run that would replace an input or another output is refused before it begins")
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
