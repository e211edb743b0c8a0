"""Folders as archives have them, given to ``fastcolor colorize``: what is left out is named, what is there is kept.

The network is a blank one (tests/helpers/blank_network.py): files, options and reports are those of a real run.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from blank_network import BlankColorizer
from PIL import Image

from fastcolor.commands.main import main
from fastcolor.files.marks import is_marked
from fastcolor.photo import bulk

GRAY = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``fastcolor colorize`` in an empty folder: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastcolor.photo.colorizer.Colorizer.load", lambda *words, **options: BlankColorizer())

    def colorize(*words: str) -> tuple[int, str, str]:
        status = main(["colorize", *words])
        return status, *capsys.readouterr()

    return colorize


def photographs(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        GRAY.save(name)


def names(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def pages(path: str) -> int:
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1)


# --- what a folder holds ----------------------------------------------------------------------------------------------


@pytest.mark.promise(
    "Photographs", "what a run leaves out of a folder or glob is counted and named, hidden files apart"
)
@pytest.mark.parametrize("words", ["p", "p/*"])
def test_what_is_left_out_is_named(run: Run, words: str) -> None:
    photographs("p/a.png", "p/.hidden.png")
    for name in ("notes.txt", "b.cr2", "Thumbs.db", ".DS_Store"):
        Path("p", name).touch()
    status, out, errors = run(words, "-o", "o")
    assert (status, errors, names("o")) == (0, "", ["a.png"])
    assert out.splitlines()[1:] == ["left out 2 files, no photographs by name: p/b.cr2, p/notes.txt"]


def test_many_that_are_left_out_are_counted(run: Run) -> None:
    photographs("p/a.png")
    for number in range(9):
        Path(f"p/{number}.txt").touch()
    out = run("p", "-o", "o")[1]
    assert "left out 9 files, no photographs by name: p/0.txt, p/1.txt, p/2.txt, p/3.txt, p/4.txt and 4 more\n" in out


@pytest.mark.promise("Photographs", "every name that Pillow's formats have is taken from a folder")
def test_rare_suffixes_are_taken(run: Run) -> None:
    photographs("p/a.jfif", "p/b.jpe", "p/c.avif", "p/d.jp2", "p/e.tga", "p/F.JPG")
    assert run("p", "-o", "o")[0] == 0
    assert names("o") == ["F.JPG", "a.jfif.png", "b.jpe.png", "c.avif.png", "d.jp2.png", "e.tga.png"]


@pytest.mark.promise("Outputs", "photographs of one name in several formats get results of distinct names")
def test_one_name_in_several_formats(run: Run) -> None:
    photographs("p/s.gif", "p/s.png", "p/s.gif.png", "p/t.gif", "p/t.bmp", "p/sub/s.gif", "p/v.jpg", "p/v.png")
    assert run("p", "-o", "o", "--confidence", "c")[0] == 0
    expected = ["s.gif.png", "s.gif.png.png", "s.png", "sub/s.gif.png", "t.bmp.png", "t.gif.png", "v.jpg", "v.png"]
    assert names("o") == names("c") == expected


@pytest.mark.promise("Outputs", "maps and sheets among photographs are not taken for photographs by the next run")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_maps_and_sheets_are_told_from_photographs(run: Run, suffix: str) -> None:
    photographs(f"p/a{suffix}")
    extra = ["--confidence", f"p/map{suffix}", "--compare", f"p/sheet{suffix}"]
    assert run(f"p/a{suffix}", "-o", "first.png", *extra)[0] == 0
    status, out, _ = run("p", "-o", "o")
    assert (status, names("o")) == (0, [f"a{suffix}"])
    assert f"left out 2 files, maps, sheets or plots of fastcolor: p/map{suffix}, p/sheet{suffix}" in out
    assert not is_marked(Path("first.png"))
    assert run(f"p/map{suffix}", "-o", "asked.png")[0] == 0, "by its name it is what was asked for"


def test_results_in_a_folder_above(run: Run) -> None:
    photographs("p/a.png")
    assert run("p", "-o", ".")[0] == 0
    assert names(".") == ["a.png", "p/a.png"]


@pytest.mark.promise("Outputs", "a result has the name that its source gives it, whatever lies beside that")
@pytest.mark.parametrize("suffix", [".gif", ".bmp", ".tga"])
def test_names_do_not_depend_on_neighbors(run: Run, suffix: str) -> None:
    photographs(f"p/s{suffix}")
    assert run("p", "-o", "o")[0] == 0
    before = Path(f"o/s{suffix}.png").stat().st_mtime_ns
    photographs("p/s.png", f"p/s{suffix}.png")
    out = run("p", "-o", "o", "--skip-existing")[1]
    assert out == "colorized 2 of 2 photographs into o; 1 more was there already\n"
    assert names("o") == sorted([f"s{suffix}.png", f"s{suffix}.png.png", "s.png"])
    assert Path(f"o/s{suffix}.png").stat().st_mtime_ns == before


@pytest.mark.promise("Outputs", "photographs that a pattern matches keep their places below its fixed part, each once")
def test_patterns_keep_places(run: Run) -> None:
    photographs("p/x/a.png", "p/y/a.png", "p/.h/a.png", "p/z.png/b.png")
    Path("p/x/loop").symlink_to("..")
    expected = ["x/a.png", "y/a.png", "z.png/b.png"]
    for number, pattern in enumerate(("p/**/*.png", "./p/*/*.png", f"{os.getcwd()}/p/[xyz]*/*.png")):
        assert run(pattern, "-o", f"o{number}")[0] == 0
        assert names(f"o{number}") == expected


@pytest.mark.promise("Photographs", "what a folder has beside photographs is told, when there is nothing to do, too")
def test_what_is_left_out_is_always_told(run: Run) -> None:
    photographs("p/a.png")
    Path("p/dead.png").symlink_to("nowhere")
    told = "left out 1 file, no files, or links to folders: p/dead.png\n"
    assert run("p", "-o", "o")[:2] == (0, f"colorized 1 of 1 photograph into o\n{told}")
    assert run("p", "-o", "o", "--skip-existing")[:2] == (0, f"nothing to do: the result is in o\n{told}")


@pytest.mark.promise("Photographs", "a folder that cannot be read fails alone: the rest is colorized, the status is 1")
def test_a_locked_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs("p/a.png", "p/locked/b.png")
    scandir = os.scandir

    def reading(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", reading)
    for words, told in (([], "colorized 1 of 1 photograph"), (["--skip-existing"], "nothing to do")):
        status, out, errors = run("p", "-o", "o", *words)
        assert (status, names("o")) == (1, ["a.png"])
        assert told in out
        assert errors.startswith("fastcolor: error: p/locked: Permission denied; give yourself the right")
    assert run("p/locked", "-o", "o")[::2] == (1, errors)


@pytest.mark.promise("Messages", "a path that is empty, a pipe or nowhere is told as that, by its argument")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["", "-o", "o"], "INPUT: expected a path, got an empty one"),
        (["p", "-o", ""], "-o: expected a path, got an empty one"),
        (["p", "--out="], "--out: expected a path, got an empty one"),
        (["p", "-o", "o", "--compare", ""], "--compare: expected a path, got an empty one"),
        (["pipe.png", "-o", "o"], "pipe.png: a pipe or a device, not a file; use - for standard input"),
        (["p", "-o", "dead/o"], "dead is a link that leads to nothing; choose another output"),
        (["p", "-o", "p/a.png/o"], "a.png is a file; choose another output"),
    ],
)
def test_paths_that_are_none(run: Run, words: list[str], message: str) -> None:
    photographs("p/a.png")
    os.mkfifo("pipe.png")
    Path("dead").symlink_to("nowhere")
    status, out, errors = run(*words)
    assert (status, out) == (1, "")
    assert message in errors
    assert names(".") == ["p/a.png"]


# --- a run that was stopped -------------------------------------------------------------------------------------------


@pytest.mark.promise(
    "Faults", "a folder run that was stopped goes on: what is whole stays, maps and sheet are completed"
)
def test_skip_existing_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs("p/a.png", "p/b.png", "p/c.png")
    words = ["p", "-o", "o", "--confidence", "c", "--compare", "sheet.png"]
    assert run(*words)[0] == 0
    before = {name: Path(name).stat().st_mtime_ns for name in ("o/a.png", "c/a.png", "o/b.png")}
    whole = Path("sheet.png").read_bytes()
    for name in ("c/b.png", "o/c.png", "sheet.png"):
        Path(name).unlink()

    status, out, errors = run(*words)
    assert (status, out) == (1, "")
    assert "o/a.png: exists already, and so do 3 more results; --force overwrites them, --skip-existing" in errors

    assert run(*words, "--skip-existing")[0] == 0
    assert names("o") == names("c") == ["a.png", "b.png", "c.png"]
    assert {name: Path(name).stat().st_mtime_ns for name in before} == before
    assert Path("sheet.png").read_bytes() == whole

    photographs("p/d.png")
    read: list[Path] = []
    read_photo = bulk.read_photo

    def reading(path: Path, **options: Any) -> Any:
        read.append(path)
        return read_photo(path, **options)

    monkeypatch.setattr(bulk, "read_photo", reading)
    _, out, _ = run(*words, "--skip-existing")
    assert out.startswith("colorized 1 of 1 photograph into o; 3 more were there already\n")
    assert read == [Path("p/d.png")]
    assert run(*words, "--skip-existing")[1] == "nothing to do: all 4 results are in o\n"
    Path("sheet.png").unlink()
    assert run(*words, "--skip-existing")[1] == "wrote sheet.png; all 4 results are in o\n"


# --- standard input and output ----------------------------------------------------------------------------------------


def stream(monkeypatch: pytest.MonkeyPatch, name: str, content: bytes = b"", terminal: bool = False) -> io.BytesIO:
    binary = io.BytesIO(content)
    monkeypatch.setattr(sys, name, SimpleNamespace(buffer=binary, isatty=lambda: terminal, flush=lambda: None))
    return binary


def encoded() -> bytes:
    memory = io.BytesIO()
    GRAY.save(memory, "PNG")
    return memory.getvalue()


@pytest.mark.promise("Photographs", "- reads a photograph from standard input and writes one to standard output")
def test_standard_input_and_output(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream(monkeypatch, "stdin", encoded())
    assert run("-", "-o", "x.tif", "--confidence", "map.png")[:2] == (0, "colorized 1 of 1 photograph into x.tif\n")
    stream(monkeypatch, "stdin", encoded())
    out = stream(monkeypatch, "stdout")
    assert main(["colorize", "-", "-o", "-"]) == 0
    assert capsys.readouterr().err == "colorized 1 of 1 photograph into standard output\n"
    with Image.open(out) as shown, Image.open("x.tif") as written:
        assert shown.format == "PNG"
        assert np.array_equal(np.asarray(shown), np.asarray(written))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("- p -o o", "-: expected one photograph, got - p"),
        ("p -o -", "-: expected one photograph, got p"),
        ("p/*.png -o -", "-: expected one photograph, got p/*.png"),
        ("- -o o/", "--out: expected a file name, since standard input has none, got the folder o/"),
        ("- -o p", "--out: expected a file name, since standard input has none, got the folder p"),
        ("- -o x.gif", "x.gif: expected a name that ends in"),
        ("p/a.png -o x.png --compare -", "--compare: expected a file, got -"),
        ("p/a.png -o x.png --confidence -", "--confidence: expected a file, got -"),
        ("- -o x.png", "standard input: expected an image file"),
    ],
)
def test_streams_that_cannot_be(run: Run, monkeypatch: pytest.MonkeyPatch, words: str, message: str) -> None:
    photographs("p/a.png")
    stream(monkeypatch, "stdin", b"no picture")
    status, _, errors = run(*words.split())
    assert status == 1
    assert message in errors
    assert names(".") == ["p/a.png"]


@pytest.mark.parametrize("terminal", [True, None])
@pytest.mark.parametrize(("name", "words"), [("stdin", "- -o x.png"), ("stdout", "p/a.png -o -")])
def test_terminals_hold_no_pictures(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, words: str, terminal: bool | None
) -> None:
    photographs("p/a.png")
    if terminal is None:  # as under pythonw
        monkeypatch.setattr(sys, name, None)
    else:
        stream(monkeypatch, name, terminal=True)
    assert main(["colorize", *words.split()]) == 1
    assert names(".") == ["p/a.png"]


def test_a_file_that_is_named_as_the_stream(run: Run) -> None:
    GRAY.save("-", "PNG")
    assert run("./-", "-o", "o/")[0] == 0
    assert names("o") == ["-.png"]


def test_a_sheet_that_is_named_as_the_stream(run: Run) -> None:
    photographs("p/a.png")
    assert "/-: expected a name that ends in" in run("p/a.png", "-o", "o", "--compare", "./-")[2]


@pytest.mark.promise("Outputs", "standard input is a source: the file behind it is not replaced")
def test_the_file_behind_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs("s.png")
    os.link("s.png", "hard.png")
    before = Path("s.png").read_bytes()
    for words in (["-o", "s.png"], ["-o", "hard.png"], ["-o", "o.png", "--compare", "s.png"]):
        with open("s.png") as file:
            monkeypatch.setattr(sys, "stdin", file)
            status, _, errors = run("-", *words, "--force")
        assert status == 1
        assert f"{words[-1]}: would replace a file that this run reads as standard input" in errors
        assert Path("s.png").read_bytes() == before


def test_errors_of_standard_output_name_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.BytesIO):
        name = "<stdout>"

        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    photographs("a.png")
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=Full(), isatty=lambda: False, flush=lambda: None))
    assert main(["colorize", "a.png", "-o", "-"]) == 1
    assert "standard output: No space left on device; make room there" in capsys.readouterr().err


# --- files of several pages -------------------------------------------------------------------------------------------


def book(path: str, count: int = 3) -> None:
    leaves = [Image.fromarray(np.full((4 + number, 5), 40 * number, np.uint8)) for number in range(count)]
    leaves[0].save(path, "TIFF", save_all=True, append_images=leaves[1:])


@pytest.mark.promise(
    "Photographs", "all pages of a TIFF file are colorized, or the one that --page names; none is dropped in silence"
)
def test_pages(run: Run) -> None:
    book("in.tif")
    assert run("in.tif", "-o", "out.tif", "--confidence", "map.tif", "--compare", "sheet.png")[0] == 0
    assert (pages("out.tif"), pages("map.tif")) == (3, 3)
    with Image.open("out.tif") as image:
        for page in range(3):
            image.seek(page)
            assert (image.size, image.mode) == ((5, 4 + page), "RGB")
            assert np.array_equal(np.asarray(image), np.full((4 + page, 5, 3), 40 * page))
    assert is_marked(Path("map.tif"))
    assert run("in.tif", "-o", "second.png", "--page", "2")[0] == 0
    with Image.open("second.png") as image:
        assert image.size == (5, 5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("in.tif -o out.png", "in.tif: has 3 pages, which only TIFF can hold; choose a name that ends in .tif instead"),
        ("in.tif -o out.tif --confidence map.png", "instead of map.png, or one page with --page 1..3"),
        ("in.tif -o -", "or one page with --page 1..3"),
        ("in.tif -o out.tif --page 4", "in.tif: --page: expected 1..3, the pages there are, got 4"),
        ("in.tif -o out.tif --page 0", "--page: expected at least 1, got 0"),
        ("a.png -o out.png --page 2", "a.png: --page: expected 1..1, the pages there are, got 2"),
    ],
)
def test_pages_that_cannot_be(run: Run, words: str, message: str) -> None:
    book("in.tif")
    photographs("a.png")
    status, out, errors = run(*words.split())
    assert (status, out) == (1, "")
    assert message in errors
    assert names(".") == ["a.png", "in.tif"]


def test_a_damaged_page_leaves_nothing(run: Run) -> None:
    photographs("p/z.png")
    book("p/in.tif")
    data = Path("p/in.tif").read_bytes()
    Path("p/in.tif").write_bytes(data[:-20])
    status, out, errors = run("p", "-o", "o")
    assert (status, names("o")) == (1, ["z.png"])
    assert out == "colorized 1 of 2 photographs into o\n"
    assert "p/in.tif" in errors


def test_pages_of_a_file_that_failed_are_not_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs("p/z.png")
    book("p/in.tif")
    read_photo = bulk.read_photo

    def toned(path: Path, *, page: int = 0, **options: Any) -> SimpleNamespace:
        if page == 2:
            raise OSError(5, "Input/output error", str(path))
        return SimpleNamespace(**{**vars(read_photo(path, page=page, **options)), "toned": True})

    monkeypatch.setattr(bulk, "read_photo", toned)
    status, out, _ = run("p", "-o", "o")
    assert status == 1
    assert out == "colorized 1 of 2 photographs into o\np/z.png: toned; the tint is treated as gray\n"


@pytest.mark.promise("Faults", "a photograph for which memory or the network fails is an error by name, others go on")
@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
@pytest.mark.parametrize("place", ["reduce", "predict"])
def test_one_that_the_network_cannot_take(
    run: Run, monkeypatch: pytest.MonkeyPatch, place: str, error: type[Exception]
) -> None:
    whole = getattr(BlankColorizer, place)

    def failing(self: BlankColorizer, values: Any, **options: Any) -> Any:
        if 77 in np.rint(values * (1 if values.dtype == np.uint8 else 255)):
            raise error("out of memory")
        return whole(self, values, **options)

    monkeypatch.setattr(BlankColorizer, "reduce", lambda self, luma: np.full((2, 2), luma.flat[0], np.uint8))
    monkeypatch.setattr(BlankColorizer, place, failing)
    photographs("p/a.png", "p/c.png")
    Image.new("L", (4, 3), 77).save("p/b.png")
    status, out, errors = run("p", "-o", "o", "--compare", "sheet.png")
    assert (status, names("o")) == (1, ["a.png", "c.png"])
    assert out == "colorized 2 of 3 photographs into o\n"
    assert errors.startswith("fastcolor: error: p/b.png: ")
    assert errors.count("\n") == 1
    assert Path("sheet.png").is_file()


# --- what is told of results ------------------------------------------------------------------------------------------


@pytest.mark.promise("What stays", "what a result's format cannot hold is told with the photograph's name")
def test_what_is_lost_is_told(run: Run) -> None:
    GRAY.convert("LA").save("a.png")
    status, out, _ = run("a.png", "-o", "o.jpg")
    assert status == 0
    assert "a.png: transparency left out, which JPEG cannot hold\n" in out


@pytest.mark.promise("Paper and tone", "a toned photograph is told, once, with its name")
def test_toned_photographs_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs("p/a.png", "p/b.png")
    read_photo = bulk.read_photo

    def toned(path: Path, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(**{**vars(read_photo(path, **options)), "toned": True})

    monkeypatch.setattr(bulk, "read_photo", toned)
    assert "p/a.png, p/b.png: toned; the tint is treated as gray\n" in run("p", "-o", "o")[1]


@pytest.mark.promise("Messages", "names as long as the file system takes are written, and longer ones named")
def test_long_names(run: Run) -> None:
    longest = os.pathconf(".", "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    name = "x" * (longest - 4) + ".png"
    photographs("a.png")
    assert run("a.png", "-o", name)[0] == 0
    assert name in names(".")
    status, _, errors = run("a.png", "-o", "x" + name)
    assert status == 1
    assert f"x{name}: File name too long; choose a shorter one" in errors
