"""`fastcolor prepare --pack`: a set as one file that fits, is read back, and is known when it is damaged."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastcolor.commands.main import main
from fastcolor.files.packs import Packed, read_pack, write_pack
from fastcolor.files.sets import find_part, open_rgb
from fastcolor.training.pack import LADDER, pack_set


def noisy(seed: int, height: int, width: int) -> Image.Image:
    """A photograph that JPEG cannot make very small."""
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8))
    return rough.resize((width, height), Image.Resampling.BILINEAR)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for part, count in (("train", 9), ("val", 3)):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            noisy(number, 96, 200).save(folder / part / f"{number}.jpg", quality=92, subsampling=0)
    return folder


def test_files_that_fit_go_in_as_they_are(prepared: Path, tmp_path: Path) -> None:
    packing = pack_set(prepared, tmp_path / "a.zip")
    assert (packing.rung, packing.train, packing.val) == (None, 9, 3)
    assert "9 + 3 photographs" in str(packing)
    assert "files as they are" in str(packing)
    for part in ("train", "val"):
        packed, paths = find_part(tmp_path / "a.zip", part), find_part(prepared, part)
        assert [p.stem for p in packed] == [p.stem for p in paths]
        for photograph, path in zip(packed, paths, strict=True):
            assert isinstance(photograph, Packed)
            assert photograph.data == Path(str(path)).read_bytes()
            assert np.array_equal(open_rgb(photograph), open_rgb(path))
    again = tmp_path / "b.zip"
    pack_set(prepared, again)
    assert again.read_bytes() == (tmp_path / "a.zip").read_bytes()


def test_any_unzip_makes_the_set(prepared: Path, tmp_path: Path) -> None:
    pack_set(prepared, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        file.extractall(tmp_path / "out")
    for path in prepared.rglob("*.jpg"):
        assert (tmp_path / "out" / path.relative_to(prepared)).read_bytes() == path.read_bytes()
    assert json.loads((tmp_path / "out" / "index.json").read_text())["format"] == "fastcolor pack 1"


@pytest.mark.parametrize("share", [0.6, 0.4, 0.2])
def test_size_and_quality_fall_until_it_fits(prepared: Path, tmp_path: Path, share: float) -> None:
    megabytes = share * sum(path.stat().st_size for path in prepared.rglob("*.jpg")) / 1e6
    packing = pack_set(prepared, tmp_path / "a.zip", megabytes=megabytes)
    size = (tmp_path / "a.zip").stat().st_size
    assert packing.size == size <= megabytes * 1e6
    assert packing.rung is not None
    number = LADDER.index(packing.rung)
    assert number >= 3
    better = LADDER[number - 3]
    longest = min(packing.rung.size, 200)
    for photograph in read_pack(tmp_path / "a.zip", "train"):
        image = Image.open(io.BytesIO(photograph.data))
        assert max(image.size) == longest
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3  # no chroma subsampling
    spare = better_size(prepared, better)
    assert spare > megabytes * 1e6, "a block more would have fitted, too"


def better_size(prepared: Path, rung: tuple[int, int]) -> int:
    """Bytes of the photographs at a rung, encoded as a plain loop would."""
    total = 0
    for path in prepared.rglob("*.jpg"):
        image = Image.open(path)
        scale = min(1, rung[0] / max(image.size))
        width, height = (round(scale * side) for side in image.size)
        out = io.BytesIO()
        reduced = image.resize((width, height), Image.Resampling.LANCZOS)
        reduced.save(out, "JPEG", quality=rung[1], subsampling=0, optimize=True)
        total += len(out.getvalue()) + 150
    return total


def test_other_formats_become_jpeg_under_names_of_their_own(prepared: Path, tmp_path: Path) -> None:
    noisy(40, 60, 60).save(prepared / "train" / "0.webp")
    pack_set(prepared, tmp_path / "a.zip")
    packed = read_pack(tmp_path / "a.zip", "train")
    assert len(packed) == 10
    assert {"train/0.jpg", "train/0.webp.jpg"} < {photograph.name for photograph in packed}
    assert all(Image.open(io.BytesIO(photograph.data)).format == "JPEG" for photograph in packed)


def test_what_does_not_fit_is_told_and_leaves_no_file(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no room for 12 photographs in 0\.003 MB even at 96 pixels"):
        pack_set(prepared, tmp_path / "a.zip", megabytes=0.003)
    for megabytes in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="megabytes: expected a finite number"):
            pack_set(prepared, tmp_path / "a.zip", megabytes=megabytes)
    with pytest.raises(FileNotFoundError, match="train: no such folder; expected one of photographs"):
        pack_set(tmp_path, tmp_path / "a.zip")
    with pytest.raises(FileNotFoundError, match="nothing: no such folder"):
        pack_set(tmp_path / "nothing", tmp_path / "a.zip")
    (prepared / "train" / "broken.jpg").write_bytes(b"")  # not looked at: a folder that is not there is told first
    with pytest.raises(FileNotFoundError, match="make it first"):
        pack_set(prepared, tmp_path / "nowhere" / "a.zip", megabytes=0.05)
    assert not list(tmp_path.glob("*.zip"))


def test_a_pack_that_is_cut_or_damaged_is_known(prepared: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    pack_set(prepared, path)
    whole = path.read_bytes()
    for length in (0, 10, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.zip: expected a pack .* a cut or a damaged file"):
            read_pack(path, "train")
    middle = whole.index(b"train/4.jpg") + 200
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(ValueError, match=r"damaged file .*train/4\.jpg"):
        read_pack(path, "train")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_pack_is_refused_before_it_is_inflated(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("index.json", '{"format": "fastcolor pack 1"}')
        file.writestr("train/0.jpg", bytes(10**6), method)
    for damage in (0, 1, 255):
        data = bytearray(path.read_bytes())
        start = data.index(b"train/0.jpg") + len("train/0.jpg")
        data[start : start + 40] = bytes(byte ^ damage for byte in data[start : start + 40])
        path.write_bytes(data)
        with pytest.raises(
            ValueError, match=rf"expected a pack .*train/0\.jpg is packed by method {method}; expected 0"
        ):
            read_pack(path, "train")


def test_an_encrypted_pack_is_refused(prepared: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    pack_set(prepared, path)
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # headers before the members and in the directory
        at = data.find(mark)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(mark, at + 1)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"expected a pack .*encrypted"):
        read_pack(path, "train")


def test_what_systems_leave_in_folders_is_no_photograph(prepared: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    pack_set(prepared, path)
    with zipfile.ZipFile(path, "a") as file:
        for name in ("train/.DS_Store", "train/Thumbs.db", "train/deep/", "train/notes.txt"):
            file.writestr(name, b"")
        file.writestr("train/deep/9.JPEG", b"x")
    names = [photograph.name for photograph in read_pack(path, "train")]
    assert names == [f"train/{number}.jpg" for number in range(9)] + ["train/deep/9.JPEG"]


def test_another_file_and_an_empty_part_are_known(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train/0.jpg", b"")
    with pytest.raises(ValueError, match=r"expected a pack .*index\.json"):
        read_pack(path, "train")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("index.json", '{"format": "fastcolor pack 2"}')
    with pytest.raises(ValueError, match="format 'fastcolor pack 2', not 'fastcolor pack 1'"):
        read_pack(path, "train")
    for index in ("[]", "nonsense", "{}"):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("index.json", index)
        with pytest.raises(ValueError, match="expected a pack"):
            read_pack(path, "train")
    write_pack(path, [("train/0.jpg", b"x")], {})
    with pytest.raises(ValueError, match=r"expected photographs under val/, found none"):
        read_pack(path, "val")


def test_from_the_command_line(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(prepared), "--pack", str(tmp_path / "a.zip")]) == 0
    assert "9 + 3 photographs" in capsys.readouterr().out
    both = [
        "prepare",
        str(prepared / "train"),
        str(tmp_path / "again"),
        "--size",
        "64",
        "--pack",
        str(tmp_path / "b.zip"),
    ]
    assert main([*both, "--pack-megabytes", "0.03"]) == 0
    out = capsys.readouterr().out
    train, val = map(int, re.findall(r"(\d+) photographs? for training, (\d+) for validation", out)[0])
    assert (train + val, val > 0) == (9, True)
    assert f"{train} + {val} photographs" in out
    assert "JPEG quality" in out
    assert main(["prepare", str(prepared)]) == 1
    assert "out: expected the folder to be made, or --pack FILE" in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "nothing"), "--pack", str(tmp_path / "c.zip")]) == 1
    assert "nothing: no such folder" in capsys.readouterr().err
