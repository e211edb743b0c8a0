"""Photographs written: whole or not at all, on full disks, for noise, up to the limits of each format."""

from __future__ import annotations

import io
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fastcolor import ImageError
from fastcolor.files import writing
from fastcolor.files.images import as_photo
from fastcolor.files.writing import WRITERS, check_writable_format, save, write_pages, write_photo

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (300, 300, 3), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(NOISE[:8, :8]).resize((300, 300), Image.Resampling.BICUBIC))


def with_pages(path: Path) -> None:
    write_pages(path, [(NOISE[:40, :40], None, None), (NOISE, None, None)])


WAYS: dict[str, Callable[[Path], None]] = {
    **{suffix: lambda path: write_photo(path, NOISE) for suffix in WRITERS},
    "pages.tif": with_pages,
    "reduced.jpg": lambda path: save(Image.fromarray(NOISE), path, "JPEG", quality=92, subsampling=0),
    "optimized.jpg": lambda path: save(Image.fromarray(SMOOTH), path, "JPEG", quality=92, optimize=True),
}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing beyond is cut short first, then an error, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.promise(
    "Faults",
    "On a full disk a picture is an error that names it: no part of it is left, an older one stays",
)
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("there", [False, True])
def test_full_disk(tmp_path: Path, name: str, there: bool) -> None:
    path = tmp_path / f"a{name}"
    if there:
        path.write_bytes(b"old")
    with files_of_at_most(5000), pytest.raises(OSError, match="File too large") as caught:
        WAYS[name](path)
    assert caught.value.filename == str(path)
    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == ([(path, b"old")] if there else [])


@pytest.mark.promise("Outputs", "A JPEG of pure noise is written at any quality")
@pytest.mark.parametrize("quality", [1, 90, 94, 95, 100])
def test_noisy_jpeg(tmp_path: Path, quality: int, capfd: pytest.CaptureFixture[str]) -> None:
    write_photo(tmp_path / "a.jpg", NOISE, quality=quality)
    assert as_photo(tmp_path / "a.jpg").luma.shape == NOISE.shape[:2]
    assert capfd.readouterr().err == "", "the encoder tried and failed"


def test_other_jpegs_are_optimized(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", SMOOTH, quality=90)
    Image.fromarray(SMOOTH).save(tmp_path / "b.jpg", quality=90, subsampling=0)
    assert (tmp_path / "a.jpg").stat().st_size < (tmp_path / "b.jpg").stat().st_size
    assert np.array_equal(*(np.asarray(Image.open(tmp_path / name)) for name in ("a.jpg", "b.jpg")))


@pytest.mark.promise(
    "Messages", "A picture too large for its format is refused with the limit and what to write instead"
)
@pytest.mark.parametrize(
    ("suffix", "limit", "written"), [("jpg", 65_500, True), ("webp", 16_383, True), ("tif", 100_000, False)]
)
@pytest.mark.parametrize("tall", [False, True])
def test_limits_of_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, limit: int, written: bool, tall: bool
) -> None:
    monkeypatch.setattr(writing, "MAX_TIFF_BYTES", 299_999)
    rgb = np.zeros((limit + 1, 1, 3) if tall else (1, limit + 1, 3), np.uint8)
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(ImageError, match=rf"a\.{suffix}: .*(at most {limit:,} pixels a side|4 GB).*write \.png"):
        write_photo(path, rgb)
    assert not list(tmp_path.iterdir())
    if written:
        write_photo(path, rgb[:limit, :limit])
        assert path.exists()


def test_pages_beyond_what_a_tiff_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_TIFF_BYTES", 700_000)
    with pytest.raises(ImageError, match=r"a\.tif: more than the 4 GB"):
        write_pages(tmp_path / "a.tif", [(NOISE, None, None)] * 3)
    with pytest.raises(ValueError, match=r"a\.tif: expected at least one page"):
        write_pages(tmp_path / "a.tif", [])
    assert not list(tmp_path.iterdir())


class Trickle(io.RawIOBase):
    """Takes a few bytes at a time, as a pipe or a terminal may, and not more than `room`."""

    def __init__(self, room: int) -> None:
        self.taken, self.room = b"", room

    def write(self, data: Any) -> int:
        if len(self.taken) >= self.room:
            raise OSError(28, "No space left on device")
        self.taken += bytes(data[:1000])
        return len(data[:1000])


@pytest.mark.promise(
    "Outputs", "A picture written to an open file is that written to a path, also where writes come up short"
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_open_files(tmp_path: Path, suffix: str) -> None:
    path, small = tmp_path / f"a.{suffix}", NOISE[:50, :60]
    write_photo(path, small)
    file = Trickle(1_000_000)
    write_photo(file, small, format=WRITERS[f".{suffix}"])
    assert file.taken == path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        write_photo(Trickle(2000), small, format=WRITERS[f".{suffix}"])


def test_alpha_becomes_white_in_jpeg(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", np.zeros((16, 16, 3), np.uint8), alpha=np.zeros((16, 16), np.uint8))
    assert as_photo(tmp_path / "a.jpg").luma.min() >= 254


def test_unknown_suffix() -> None:
    with pytest.raises(ImageError, match=r"out\.xyz: expected a name that ends in \.jpg.*got '\.xyz'"):
        check_writable_format("out.xyz")
    with pytest.raises(ImageError, match="got 'no suffix'"):
        check_writable_format("out")


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (
            OSError("encoder error -2 when writing image file"),
            ImageError,
            r"a\.png: cannot be written as PNG \(encoder",
        ),
        (ValueError("no"), ImageError, r"a\.png: cannot be written as PNG \(no\)"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_failed_writes_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, expected: type[BaseException], message: str
) -> None:
    def broken(self: Image.Image, file: Any, *_: object, **options: object) -> None:
        file.write(b"half")
        raise error

    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(expected, match=message):
        write_photo(tmp_path / "a.png", NOISE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"
