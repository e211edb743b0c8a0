"""Reading and writing photographs: every format and mode, orientation, what is kept, what is refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from made_pictures import EXIF_IFD, ORIENTATION, UPRIGHT, exif, gray_profile, made_png
from PIL import Image, ImageCms

from fastcolor import ImageError, reference
from fastcolor.files.images import as_photo, gray_of, luma_of, read_photo
from fastcolor.files.writing import write_photo

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (30, 40), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (30, 40), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (30, 40)).astype(np.uint16)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "pgm", "gif"])
def test_gray_files_are_exact(tmp_path: Path, suffix: str) -> None:
    photo = read_photo(saved(tmp_path / f"a.{suffix}", Image.fromarray(GRAY)))
    assert photo.luma.dtype == np.uint8
    assert np.array_equal(photo.luma, GRAY)
    assert photo.rgb is None
    assert photo.alpha is None


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm"])
def test_color_files_give_their_luma(tmp_path: Path, suffix: str) -> None:
    photo = read_photo(saved(tmp_path / f"a.{suffix}", Image.fromarray(COLOR)))
    assert np.array_equal(photo.rgb, COLOR)
    np.testing.assert_allclose(photo.luma, reference.rgb_to_yuv(COLOR)[..., 0], atol=3e-7, rtol=0)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_files(tmp_path: Path, suffix: str) -> None:
    smooth = np.linspace(0, 255, 1200).reshape(30, 40).astype(np.uint8)
    photo = read_photo(saved(tmp_path / f"a.{suffix}", Image.fromarray(smooth), quality=95))
    assert np.abs(gray_of(photo.luma).astype(int) - smooth).max() <= 8


def test_color_with_equal_channels_is_gray() -> None:
    photo = as_photo(np.repeat(GRAY[..., None], 3, axis=-1))
    assert photo.rgb is None
    assert np.array_equal(photo.luma, GRAY)


def test_16_bit_gray_keeps_its_precision(tmp_path: Path) -> None:
    for path in (saved(tmp_path / "a.tif", Image.fromarray(DEEP)), _written(tmp_path / "a.png", made_png(DEEP, 16, 0))):
        luma = read_photo(path).luma
        assert luma.dtype == np.float32
        np.testing.assert_allclose(luma, DEEP / 65535, atol=1e-7, rtol=0)


def test_16_bit_color_png(tmp_path: Path) -> None:
    assert np.array_equal(as_photo(made_png(COLOR.astype(np.uint16) * 257, 16, 2)).rgb, COLOR)


def test_float_tiff(tmp_path: Path) -> None:
    values = RNG.random((30, 40), dtype=np.float32)
    assert np.array_equal(read_photo(saved(tmp_path / "a.tif", Image.fromarray(values))).luma, values)
    with pytest.raises(ImageError, match=r"b\.tif: 32-bit float gray TIFF .* in 0\.\.1, got 0\..*\.\.255"):
        read_photo(saved(tmp_path / "b.tif", Image.fromarray(values / values.max() * 255)))


def test_one_bit(tmp_path: Path) -> None:
    bits = GRAY > 127
    for suffix in ("png", "tif"):
        luma = read_photo(saved(tmp_path / f"a.{suffix}", Image.fromarray(bits))).luma
        assert np.array_equal(luma, bits * np.uint8(255))


def test_palette(tmp_path: Path) -> None:
    indexed = Image.fromarray(COLOR).quantize(16)
    photo = read_photo(saved(tmp_path / "a.png", indexed))
    assert np.array_equal(photo.rgb, np.asarray(indexed.convert("RGB")))
    photo = read_photo(saved(tmp_path / "t.png", indexed, transparency=3))
    assert np.array_equal(photo.alpha == 0, np.asarray(indexed) == 3)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_alpha_is_kept(tmp_path: Path, suffix: str) -> None:
    rgba = Image.fromarray(np.dstack([COLOR, ALPHA]))
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    photo = read_photo(saved(tmp_path / f"a.{suffix}", rgba, **options))
    assert np.array_equal(photo.alpha, ALPHA)
    write_photo(tmp_path / f"b.{suffix}", COLOR, alpha=photo.alpha)
    with Image.open(tmp_path / f"b.{suffix}") as image:
        assert np.array_equal(np.asarray(image.getchannel("A")), ALPHA)


def test_gray_alpha_and_transparent_gray(tmp_path: Path) -> None:
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(np.dstack([GRAY, ALPHA]), "LA")))
    assert np.array_equal(photo.alpha, ALPHA)
    assert np.array_equal(photo.luma, GRAY)
    photo = read_photo(saved(tmp_path / "b.png", Image.fromarray(GRAY), transparency=int(GRAY[0, 0])))
    assert np.array_equal(photo.alpha == 0, GRAY[0, 0] == GRAY)
    assert np.array_equal(photo.luma, GRAY)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    smooth = np.asarray(Image.fromarray(COLOR).resize((5, 4)).resize((40, 30), Image.Resampling.BILINEAR))
    cmyk = Image.fromarray(smooth).convert("CMYK")
    photo = read_photo(saved(tmp_path / f"a.{suffix}", cmyk))
    assert photo.rgb is not None
    assert np.abs(photo.rgb.astype(int) - smooth).mean() < 3


def test_lab_and_ycbcr(tmp_path: Path) -> None:
    soft = Image.fromarray(COLOR // 4 + 96)
    srgb = ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(soft, srgb, ImageCms.createProfile("LAB"), outputMode="LAB")
    for name, image in (("lab.tif", lab), ("ycbcr.tif", soft.convert("YCbCr"))):
        photo = read_photo(saved(tmp_path / name, image))
        assert np.abs(photo.rgb.astype(int) - np.asarray(soft)).max() <= 3
        assert photo.alpha is None


@cache
def profile(space: bytes = b"RGB ") -> bytes:
    """The same bytes at every call: a new profile has the second in which it was made."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data[:16] + space + data[20:]


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_orientation_is_applied_and_reset(tmp_path: Path, orientation: int, suffix: str) -> None:
    photo = read_photo(saved(tmp_path / f"a.{suffix}", Image.fromarray(GRAY), exif=exif(orientation)))
    assert np.array_equal(photo.luma, UPRIGHT[orientation](GRAY))
    tags = Image.Exif()
    tags.load(photo.metadata["exif"])
    assert tags.get(ORIENTATION, 1) == 1
    assert (tags.get_ifd(EXIF_IFD)[0xA002], tags.get_ifd(EXIF_IFD)[0xA003]) == photo.luma.shape[::-1]


@pytest.mark.parametrize(("mode", "space"), [("L", b"GRAY"), ("CMYK", b"CMYK")])
def test_profile_that_does_not_fit_rgb_is_dropped(tmp_path: Path, mode: str, space: bytes) -> None:
    image = Image.fromarray(COLOR).convert(mode)
    photo = read_photo(saved(tmp_path / "a.tif", image, icc_profile=profile(space)))  # broken: falls back, no error
    assert "icc_profile" not in photo.metadata


def test_gray_profile_is_applied(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(ramp), icc_profile=gray_profile(1.0)))
    linear = np.arange(256) / 255
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert np.abs(photo.luma[0] - expected).max() <= 2
    assert "icc_profile" not in photo.metadata


def test_broken_exif_is_no_reason_to_fail(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(GRAY), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        photo = read_photo(path)
    assert photo.luma.shape == GRAY.shape


def test_pillow_image_and_path_agree(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(COLOR), exif=exif(8))
    with Image.open(path) as image:
        assert np.array_equal(as_photo(image).luma, read_photo(path).luma)
        assert image.size == (40, 30), "the caller's image is left as it is"


def test_luma_in_strips_equals_the_whole() -> None:
    tall = RNG.integers(0, 256, (700, 3, 3), dtype=np.uint8)
    np.testing.assert_allclose(luma_of(tall), reference.rgb_to_yuv(tall)[..., 0], atol=3e-7, rtol=0)
    assert luma_of(np.full((2, 2, 3), 255, np.uint8)).max() <= 1


BAD_IMAGES = {
    "missing": (lambda d: d / "none.jpg", FileNotFoundError, r"none\.jpg: no such file"),
    "folder": (lambda d: d, FileNotFoundError, "a folder, not an image file"),
    "text": (lambda d: _written(d / "t.jpg", b"hello"), ImageError, r"t\.jpg: expected an image file"),
    "empty": (lambda d: _written(d / "e.png", b""), ImageError, r"e\.png: expected an image file"),
    "cut jpeg": (lambda d: _cut(d / "c.jpg"), ImageError, r"c\.jpg: damaged or truncated"),
    "cut png": (lambda d: _cut(d / "c.png"), ImageError, r"c\.png: damaged or truncated"),
    "cut tiff": (lambda d: _cut(d / "c.tif"), ImageError, r"c\.tif: (damaged|expected an image)"),
    "cut webp": (lambda d: _cut(d / "c.webp"), ImageError, r"c\.webp: (damaged|expected an image)"),
    "float array": (lambda d: np.zeros((4, 4)), TypeError, "image: expected dtype uint8 in 0..255, got float64"),
    "5 channels": (lambda d: np.zeros((4, 4, 5), np.uint8), ValueError, r"got \(4, 4, 5\)"),
    "no pixels": (lambda d: np.zeros((0, 4), np.uint8), ValueError, r"with pixels, got \(0, 4\)"),
    "list": (lambda d: [[1]], TypeError, "image: expected a path, a Pillow image or a NumPy array, got list"),
}


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _cut(path: Path) -> Path:
    Image.fromarray(COLOR).save(path)
    return _written(path, path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", sorted(BAD_IMAGES))
def test_bad_images(tmp_path: Path, name: str) -> None:
    make, error, message = BAD_IMAGES[name]
    with pytest.raises(error, match=message):
        as_photo(make(tmp_path))


@pytest.mark.parametrize("limit", [1000, 500])  # Pillow warns above the limit and raises above twice the limit
def test_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    path = saved(tmp_path / "bomb.png", Image.fromarray(GRAY))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=r"bomb\.png: .*is more pixels than .*--max-pixels"):
        read_photo(path)
