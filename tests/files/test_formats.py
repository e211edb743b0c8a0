"""One door for pictures: formats by content, limits of its own for each call, what is hostile, what is left alone."""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from made_pictures import made_png, made_tiff
from paths import ROOT
from PIL import EpsImagePlugin, Image

from fastcolor import ImageError
from fastcolor.files import sets
from fastcolor.files.chunks import jxl_size
from fastcolor.files.formats import FORMATS, SUFFIXES
from fastcolor.files.images import as_photo, count_pages, image_size, read_photo, read_rgb
from fastcolor.fitting.counting import count_files

RNG = np.random.default_rng(0)
RAMP = (np.add.outer(np.arange(24) * 3, np.arange(40) * 4) % 256).astype(np.uint8)
LOSSY = {"JPEG": 4, "WEBP": 4, "AVIF": 4, "HEIF": 4}  # levels, of a ramp at the highest quality
OPTIONS = {"ICO": {"sizes": [RAMP.shape[::-1]]}, **{kind: {"quality": 100} for kind in LOSSY}}
WRITTEN = {
    **dict.fromkeys(["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "DIB", "PPM", "JPEG2000"], "L"),
    **dict.fromkeys(["DDS", "ICO", "PCX", "SGI", "TGA"], "L"),
    "QOI": "RGB",
    "BLP": "P",
    "MSP": "1",
    "XBM": "1",
    "SPIDER": "F",
}


def written(kind: str, mode: str) -> tuple[bytes, np.ndarray]:
    """A file, and the levels in it."""
    image = Image.fromarray(RAMP).convert(mode)
    meant = np.asarray(image.convert("L"))
    file = io.BytesIO()
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.from_pillow(image).save(file, quality=100)
    else:
        image = image.point(lambda level: level / 255) if mode == "F" else image
        image.save(file, kind, **OPTIONS.get(kind, {}))
    return file.getvalue(), meant


@pytest.mark.promise("Photographs", "every raster format that Pillow reads by itself is read, by content, as is HEIC")
@pytest.mark.parametrize("kind", WRITTEN)
def test_format_is_read_by_content(kind: str, tmp_path: Path) -> None:
    data, meant = written(kind, WRITTEN[kind])
    path = tmp_path / "no suffix that says so.dat"
    path.write_bytes(data)
    for photo in (read_photo(path), as_photo(data), as_photo(io.BytesIO(data)), as_photo(open(path, "rb"))):  # noqa: SIM115
        luma = photo.luma if photo.luma.dtype == np.uint8 else photo.luma * 255
        assert np.abs(luma.astype(float) - meant).max() <= LOSSY.get(kind, 0) + 1e-4


def test_what_is_read_is_all_that_pillow_reads_by_itself() -> None:
    programs, stubs = {"EPS", "WMF"}, {"BUFR", "GRIB", "HDF5", "MPEG"}
    assert set(Image.ID) - set(FORMATS) - {"HEIF", "JXL"} <= programs | stubs | {"IPTC", "IMT"}
    assert not (programs | stubs) & set(FORMATS)
    assert {".jfif", ".jpe", ".jp2", ".j2k", ".jpx", ".avif", ".heic", ".jxl", ".tga", ".pnm", ".pbm"} <= SUFFIXES
    assert not {".eps", ".ps", ".pdf", ".wmf", ".emf", ".mpg", ".h5", ".grib"} & SUFFIXES


NO_PICTURES = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "PDF": b"%PDF-1.4\n" + bytes(99),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + bytes(99),
    "empty": b"",
    "something else": b"hello\n" * 30,
}


@pytest.mark.promise("Hostile files", "a drawing or document called x.jpg is refused by all readers; no program runs")
@pytest.mark.parametrize("name", NO_PICTURES)
def test_one_door(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object, **__: object) -> None:
        raise AssertionError("another program was asked")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", called)
    monkeypatch.setattr("subprocess.Popen", called)
    path = tmp_path / "x.jpg"
    path.write_bytes(NO_PICTURES[name])
    for read in (read_photo, read_rgb, image_size, sets.open_rgb, sets.size_of):
        with pytest.raises(ImageError, match=rf"x\.jpg: expected an image file .*got .*{name}"):
            read(path)
    assert "x.jpg: expected an image file" in count_files([path], [4]).unreadable[0]


def test_nobody_else_opens_pictures() -> None:
    """What opens files by Pillow itself knows no limit and no list of formats; animations are films."""
    folder = ROOT / "fastcolor"
    opening = [path for path in folder.rglob("*.py") if "Image.open(" in path.read_text(encoding="utf-8")]
    assert {path.relative_to(folder).as_posix() for path in opening} <= {"film/io.py", "film/sample_clip.py"}


@pytest.mark.promise("Messages", "a format whose package is missing is refused with what to install")
@pytest.mark.parametrize(
    ("data", "module", "named"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(40), "pillow_heif", r"reading HEIC needs pillow-heif.*'fastcolor\[archive\]'"),
        (b"\xff\x0a\x31\x41\x24\x08" + bytes(40), "pillow_jxl", "reading JPEG XL needs pillow-jxl-plugin; pip install"),
    ],
)
def test_missing_package_is_named(data: bytes, module: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (module, "pillow_jxl.JpegXLImagePlugin"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImageError, match=named):
        as_photo(data)


def test_pillow_itself_learns_nothing() -> None:
    known = dict(Image.OPEN)
    as_photo(written("HEIF", "L")[0])
    assert known == Image.OPEN


@pytest.mark.parametrize(
    ("head", "size"),  # as libjxl 0.11 wrote them
    [
        ("ff0a4f402408000100a8004b", (64, 64)),
        ("ff0af83e1009080201002001", (640, 480)),
        ("ff0a000120804808000100a0", (17, 33)),
        ("ff0a31412408040100f0004b", (300, 200)),
        ("ff0a10800e27880408020100", (5000, 3)),
        ("0000000c4a584c200d0a870a00000014667479706a786c20000000006a786c20000000206a786c63ff0a4f402408", (64, 64)),
        ("ff0b", None),
        ("", None),
    ],
)
def test_size_of_jpeg_xl(head: str, size: tuple[int, int] | None) -> None:
    assert jxl_size(io.BytesIO(bytes.fromhex(head).ljust(32, b"\0"))) == size


def tiff_chain(pages: int, last: int = 0) -> bytes:
    """A TIFF file of so many folders of 30 bytes each; `last` is where the chain goes on."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, 8) for tag in (256, 257))
    length = 2 + len(entries) + 4
    following = [8 + length * page for page in range(1, pages)] + [last]
    return b"II*\0\x08\0\0\0" + b"".join(struct.pack("<H", 2) + entries + struct.pack("<I", at) for at in following)


def lying(width: int, height: int, bits: int = 16, photometric: int = 1) -> bytes:
    honest = made_tiff(np.zeros((8, 8), np.uint16), bits, photometric=photometric)
    sides = struct.pack("<HHII", 256, 4, 1, width) + struct.pack("<HHII", 257, 4, 1, height)
    return honest[:10] + sides + honest[34:]


def _with_samples(samples: int) -> bytes:
    honest = made_tiff(np.zeros((8, 8), np.uint16), 16)
    tag = struct.pack("<HH", 277, 3)
    at = honest.index(tag)
    return honest[:at] + struct.pack("<HHII", 277, 4, 1, samples) + honest[at + 12 :]


def _with_sides(png: bytes, side: int) -> bytes:
    header = b"IHDR" + struct.pack(">II", side, side) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


BOMBS = {
    "too many pages": (lambda: count_pages(io.BytesIO(tiff_chain(20_000))), "at most 10,000 pages"),
    "sides of 2^31": (lambda: as_photo(lying(2**31, 2**31)), "more pixels than the limit"),
    "sides without pixels": (lambda: as_photo(lying(9000, 9000)), "damaged or truncated"),
    "sides without pixels, by tifffile": (lambda: as_photo(lying(9000, 9000, bits=10)), "damaged or truncated"),
    "2^31 samples a pixel": (lambda: as_photo(_with_samples(2**31)), "not supported"),
    "PNG sides": (lambda: as_photo(_with_sides(made_png(RAMP, 8, 0), 2**31 - 1)), "more pixels than the limit"),
    "JPEG XL sides": (lambda: as_photo(b"\xff\x0a\xfe" + b"\xff" * 8 + bytes(99)), "more pixels than the limit"),
}


@pytest.mark.promise("Hostile files", "headers that lie, chains of pages, bombs in text and profiles end in a moment")
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    read, message = BOMBS[name]
    before = time.process_time()
    with pytest.raises(ImageError, match=message):
        read()
    assert time.process_time() - before < 3  # each without its check takes minutes, gigabytes or both


@pytest.mark.promise("What stays", "A text of PNG that is too long is passed over, and the picture is read")
@pytest.mark.parametrize("chunk", ["zTXt", "iTXt"])
def test_long_text_of_png(chunk: str) -> None:
    head = {"zTXt": b"a\0\0", "iTXt": b"a\0\1\0\0\0"}[chunk]
    photo = as_photo(made_png(RAMP, 8, 0, **{chunk: head + zlib.compress(bytes(10**7)), "tEXt": b"b\0c"}))
    assert np.array_equal(photo.luma, RAMP)
    assert photo.metadata == {"text": {"b": "c"}}


def test_pages_that_go_in_a_circle() -> None:
    assert count_pages(io.BytesIO(tiff_chain(5, last=8))) == 5
    assert count_pages(io.BytesIO(tiff_chain(1, last=8))) == 1
    assert count_pages(io.BytesIO(tiff_chain(3, last=2**31))) == 4


@pytest.mark.promise("Hostile files", "a TIFF file cut anywhere is an error, never a picture with a part missing")
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16])
def test_cut_tiff(compression: str | None, dtype: type, capfd: pytest.CaptureFixture[str]) -> None:
    file = io.BytesIO()
    values = (RNG.random((64, 48)) * (1 if dtype is np.float16 else 200)).astype(dtype)
    tifffile.imwrite(file, values, photometric="minisblack", compression=compression, rowsperstrip=8, metadata=None)
    data = file.getvalue()
    whole = as_photo(data).luma
    for part in (0.2, 0.5, 0.9, 0.995):
        try:
            photo = as_photo(data[: int(part * len(data))])
        except ImageError:
            continue
        assert np.array_equal(photo.luma, whole)
    assert capfd.readouterr().err == "", "libtiff says nothing on the terminal"


@pytest.mark.promise("Hostile files", "32 threads read with limits of their own; filters, umask, Pillow's limit stay")
def test_no_state_of_the_process_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(made_tiff(RAMP, 8, orientation=6))
    seen: set[tuple] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.add((Image.MAX_IMAGE_PIXELS, tuple(map(str, warnings.filters)), warnings.showwarning))

    def read(number: int) -> bool:
        try:
            return read_photo(path, max_pixels=(100, 10**9)[number % 2]).luma.shape == RAMP.T.shape
        except ImageError:
            return False

    umask, interval = os.umask(0o27), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        watcher = threading.Thread(target=watch)
        watcher.start()
        with ThreadPoolExecutor(32) as pool:
            assert list(pool.map(read, range(200))) == [False, True] * 100
        stop.set()
        watcher.join()
    finally:
        sys.setswitchinterval(interval)
        assert os.umask(umask) == 0o27
    assert len(seen) == 1


def test_limit_of_a_call_is_above_pillows_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for name, data in {"a.tif": made_tiff(RAMP, 8), "b.png": made_png(RAMP, 8, 0)}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=rf"{name}: 40 x 24 is more pixels than the limit of 100"):
            read_photo(tmp_path / name)
        assert np.array_equal(read_photo(tmp_path / name, max_pixels=10**4).luma, RAMP)


@pytest.mark.promise("Toolkit", "arrays with an axis for one channel, with alpha, bytes and open files are photographs")
def test_arrays_of_one_to_four_channels() -> None:
    rgba = RNG.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    gray, photo = as_photo(rgba[..., :1]), as_photo(rgba)
    assert np.array_equal(gray.luma, rgba[..., 0])
    assert gray.alpha is None
    assert np.array_equal(photo.rgb, rgba[..., :3])
    assert np.array_equal(photo.alpha, rgba[..., 3])
    assert np.array_equal(as_photo(rgba[..., :2]).alpha, rgba[..., 1])
    masked = np.ma.masked_equal(rgba[..., 0], rgba[0, 0, 0])
    with pytest.raises(TypeError, match=r"image: expected an array without masked pixels.*fill them first"):
        as_photo(masked)
    assert np.array_equal(as_photo(np.ma.array(rgba[..., 0])).luma, rgba[..., 0]), "a mask of nothing hides nothing"
