"""``fastcolor colorize``: files, folders, globs, what is kept, what is refused; nothing is left half-written."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from PIL import Image

from fastcolor import ColorBins
from fastcolor.commands.main import main
from fastcolor.files import outputs
from fastcolor.files.marks import is_marked
from fastcolor.files.outputs import check_outputs
from fastcolor.network.unet import ColorUNet, UNetConfig
from fastcolor.photo import bulk
from fastcolor.photo.targets import plan

RNG = np.random.default_rng(0)
GRAY = Image.fromarray(RNG.integers(0, 256, (24, 32), dtype=np.uint8))
COLOR = Image.fromarray(RNG.integers(0, 256, (30, 20, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    bins = ColorBins(np.zeros((3, 3), np.uint8), np.array([[0.1, 0.05], [0, 0]], np.float32), np.full(2, 0.5))
    path = tmp_path_factory.mktemp("model")
    ColorUNet(UNetConfig(bins=2, down=(4, 4), up=(4,), head=4, size=32), bins).save_pretrained(path)
    return str(path)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `photos` in it: three good files, a text file, a hidden file."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    GRAY.save(folder / "a.png")
    COLOR.save(folder / "b.jpg")
    GRAY.save(folder / "sub" / "c.bmp")
    GRAY.save(folder / ".hidden.png")
    (folder / "notes.txt").write_text("no photograph")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def size(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return image.size


@pytest.mark.parametrize("out", ["o.png", "o.jpg", "o.jpeg", "o.tif", "o.TIFF", "o.webp"])
def test_one_file(photos: Path, model: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["colorize", "photos/a.png", "-o", out, "--model", model]) == 0
    assert size(out) == (32, 24)
    assert capsys.readouterr().out == f"colorized 1 of 1 photograph into {out}\n"
    assert names(photos.parent) == sorted([out, *(f"photos/{name}" for name in names(photos))])


def test_one_file_into_a_folder(photos: Path, model: str) -> None:
    assert main(["colorize", "photos/a.png", "-o", "out", "--model", model]) == 0
    assert main(["colorize", "photos/b.jpg", "-o", "out", "--model", model]) == 0
    assert names(Path("out")) == ["a.png", "b.jpg"]


def test_folder_keeps_names_and_subfolders(photos: Path, model: str) -> None:
    assert main(["colorize", "photos", "-o", "out/colored", "--model", model]) == 0
    assert names(Path("out/colored")) == ["a.png", "b.jpg", "sub/c.bmp.png"]


def test_output_inside_the_input_is_not_colorized_again(photos: Path, model: str) -> None:
    for _ in range(2):
        assert main(["colorize", "photos", "-o", "photos/out", "--model", model, "--force"]) == 0
    assert names(photos / "out") == ["a.png", "b.jpg", "sub/c.bmp.png"]


def test_globs_and_several_inputs(photos: Path, model: str) -> None:
    assert main(["colorize", "photos/**/*.bmp", "photos/a.png", "photos/*.jpg", "-o", "out", "--model", model]) == 0
    assert names(Path("out")) == ["a.png", "b.jpg", "sub/c.bmp.png"]


def test_file_whose_name_looks_like_a_glob(photos: Path, model: str) -> None:
    GRAY.save("photo[1].png")
    assert main(["colorize", "photo[1].png", "-o", "out.png", "--model", model]) == 0


def test_batches_equal_single_runs(photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        Image.fromarray(RNG.integers(0, 256, (24, 32), dtype=np.uint8)).save(photos / f"n{number}.png")
    monkeypatch.setattr(bulk, "BATCH", 2)
    monkeypatch.setattr(bulk, "WAITING_PIXELS", 1500)
    assert main(["colorize", "photos", "-o", "together", "--model", model]) == 0
    for number in range(5):
        assert main(["colorize", f"photos/n{number}.png", "-o", "alone/", "--model", model]) == 0
        together, alone = (np.asarray(Image.open(f"{d}/n{number}.png")).astype(int) for d in ("together", "alone"))
        assert np.abs(together - alone).max() <= 2


def test_compare_and_confidence_of_one(photos: Path, model: str) -> None:
    extra = ["--compare", "pair.png", "--confidence", "map.png"]
    assert main(["colorize", "photos/b.jpg", "-o", "o.png", "--model", model, *extra]) == 0
    assert size("map.png") == (20, 30)
    assert size("pair.png")[0] == 3 * 64 + 4 * 8, "gray, colorized, original"


def test_compare_and_confidence_of_many(photos: Path, model: str) -> None:
    extra = ["--compare", "pairs.png", "--confidence", "maps"]
    assert main(["colorize", "photos", "-o", "out", "--model", model, *extra]) == 0
    assert names(Path("maps")) == ["a.png", "b.jpg", "sub/c.bmp.png"]
    assert size("pairs.png")[1] > 3 * 48


def test_alpha_and_orientation_reach_the_result(photos: Path, model: str) -> None:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "Acme"
    GRAY.convert("LA").save("la.png", exif=tags.tobytes())
    assert main(["colorize", "la.png", "-o", "o.png", "--model", model]) == 0
    with Image.open("o.png") as image:
        assert (image.mode, image.size) == ("RGBA", (24, 32))
        assert image.getexif()[0x010F] == "Acme"
        assert image.getexif().get(0x0112, 1) == 1


def test_options_change_the_result(photos: Path, model: str) -> None:
    results = []
    for options in ([], ["--temperature", "5"], ["--size", "16"]):
        assert main(["colorize", "photos/a.png", "-o", "o.png", "--force", "--model", model, *options]) == 0
        results.append(Path("o.png").read_bytes())
    assert len(set(results)) == 3
    sizes = []
    for quality in ("20", "95"):
        assert main(["colorize", "photos/a.png", "-o", "o.jpg", "--force", "--model", model, "--quality", quality]) == 0
        sizes.append(Path("o.jpg").stat().st_size)
    assert sizes[0] < sizes[1]


def test_folder_goes_on_past_bad_files(photos: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "aa.jpg").write_bytes(b"not a photograph")
    (photos / "bb.jpg").write_bytes((photos / "b.jpg").read_bytes()[:-300])
    assert main(["colorize", "photos", "photos/gone.png", "-o", "out", "--model", model]) == 1
    assert names(Path("out")) == ["a.png", "b.jpg", "sub/c.bmp.png"]
    out, errors = capsys.readouterr()
    assert "colorized 3 of 6 photographs into out" in out
    lines = [line for line in errors.splitlines() if line.startswith("fastcolor: error: ")]
    assert len(lines) == 3
    for line, (name, message) in zip(
        sorted(lines),
        [
            ("photos/aa.jpg", "expected an image file"),
            ("photos/bb.jpg", "damaged or truncated"),
            ("photos/gone.png", "no such file"),
        ],
        strict=True,
    ):
        assert name in line
        assert message in line


def test_force_overwrites(photos: Path, model: str) -> None:
    Path("o.png").write_text("old")
    assert main(["colorize", "photos/a.png", "-o", "o.png", "--model", model, "--force"]) == 0
    assert size("o.png") == (32, 24)


def test_nothing_else_is_written_when_the_result_cannot_be(
    photos: Path, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Image.Image, file: BinaryIO, *words: object, **options: object) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert main(["colorize", "photos", "-o", "out", "--model", model]) == 1
    assert names(Path("out")) == []
    errors = capsys.readouterr().err
    assert all(
        f"out/{name}: No space left on device; make room" in errors for name in ("a.png", "b.jpg", "sub/c.bmp.png")
    )


def prepare(name: str) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        match name:
            case "existing":
                (root / "o.png").write_text("old")
            case "file in the way":
                (root / "way").write_text("")
            case "truncated":
                (root / "cut.jpg").write_bytes((root / "photos/b.jpg").read_bytes()[:-300])
            case "two of one name":
                GRAY.save(root / "a.png")
            case "text":
                (root / "text.jpg").write_text("hello")
            case "empty folder":
                (root / "empty").mkdir()

    return make


# name -> (arguments after `colorize`, words of the message); what `prepare` makes for the name is there.
BAD_CALLS = {
    "missing": ("photos/none.jpg -o o.png", "photos/none.jpg: no such file"),
    "text": ("text.jpg -o o.png", "text.jpg: expected an image file"),
    "truncated": ("cut.jpg -o o.png", "cut.jpg: damaged or truncated image file"),
    "bomb": ("photos/a.png -o o.png --max-pixels 100", "is more pixels than the limit of 100"),
    "existing": ("photos/a.png -o o.png", "o.png: exists already; --force overwrites it"),
    "existing confidence": ("photos/b.jpg -o o.jpg --confidence photos/a.png", "photos/a.png: exists already"),
    "existing comparison": ("photos/b.jpg -o o.jpg --compare photos/a.png", "photos/a.png: exists already"),
    "suffix": ("photos/a.png -o o.gif", "o.gif: expected a name that ends in .jpg"),
    "suffix of comparison": ("photos/a.png -o o.png --compare c.txt", "c.txt: expected a name that ends in"),
    "suffix of confidence": ("photos/a.png -o o.png --confidence c", "c: expected a name that ends in"),
    "missing folder": ("photos/a.png -o none/o.png", "none/o.png: the folder none does not exist; make it first"),
    "file in the way": ("photos -o way", "way is a file; choose another output"),
    "file for many": ("photos -o o.png", "--out: expected a folder for several inputs, got the file name 'o.png'"),
    "itself": ("photos/a.png -o photos/a.png --force", "photos/a.png: would replace a file that this run reads"),
    "into themselves": ("photos -o photos --force", "photos/a.png: would replace a file that this run reads"),
    "two of one name": ("photos/a.png a.png -o out", "out/a.png: would be both the result of photos/a.png and the"),
    "map on result": (
        "photos -o out --confidence out",
        "out/a.png: would be both the result of photos/a.png and the confi",
    ),
    "empty folder": ("empty -o out", "empty: no photographs there"),
    "empty glob": ("photos/*.webp -o out", "photos/*.webp: no photographs there"),
    "model": ("photos/a.png -o o.png --model seascapes", "got 'seascapes'"),
    "temperature": ("photos/a.png -o o.png --temperature -1", "temperature: expected a finite number >= 0"),
    "size": ("photos/a.png -o o.png --size 2", "size: expected an integer in 16..8192, got 2"),
    "device": ("photos/a.png -o o.png --device tpu9", "device: expected 'cpu', 'cuda'"),
    "quality": ("photos/a.png -o o.png --quality 101", "--quality: expected 1..100, got 101"),
    "max pixels": ("photos/a.png -o o.png --max-pixels 0", "--max-pixels: expected at least 1, got 0"),
}


@pytest.mark.parametrize("name", sorted(BAD_CALLS))
def test_bad_calls(photos: Path, model: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = photos.parent
    prepare(name)(root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    words, message = BAD_CALLS[name]
    arguments = words.split() if "--model" in words else [*words.split(), "--model", model]
    assert main(["colorize", *arguments]) == 1
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("fastcolor: error: ")
    assert message in errors
    assert "Traceback" not in errors
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_max_pixels_is_put_back(photos: Path, model: str) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    assert main(["colorize", "photos/a.png", "-o", "o.png", "--model", model, "--max-pixels", "100000"]) == 0
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    "words", ["colorize", "colorize photos/a.png", "colorize -o o.png", "colorize a -o b --size x"]
)
def test_wrong_usage(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    assert "usage: fastcolor colorize" in capsys.readouterr().err


def test_plan_of_an_unwritable_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(folder: Path) -> bool:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(outputs, "ignores_case", refused)
    with pytest.raises(PermissionError, match=r"cannot be written to .Read-only file system"):
        check_outputs([], plan(["photos"], "out").targets, force=False)


def test_demo(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "-o", str(tmp_path / "demo.png"), "--model", model]) == 0
    width, height = size(tmp_path / "demo.png")
    assert width == 4 * 480 + 5 * 8, "gray, colorized, original, confidence"
    assert height > 480 * 600 / 512 + 480 * 300 / 451, "a portrait, a cat and a landscape below each other"
    assert "wrote" in capsys.readouterr().out
    assert is_marked(tmp_path / "demo.png")
