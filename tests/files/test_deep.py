"""Formats with more, or other, than Pillow gives of them: JPEG 2000, FITS, Photoshop, 16-bit PNG, limited ranges."""

from __future__ import annotations

import io
import struct
import sys

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from made_pictures import UPRIGHT, exif, made_png
from PIL import Image

from fastcolor import ImageError
from fastcolor.files.images import as_photo, gray_of

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65_536, (24, 40, 4), dtype=np.uint16)
DEEP[0, 0], DEEP[0, 1] = 0, 65_535
GRAY8 = (DEEP[..., 0] >> 8).astype(np.uint8)
LEVEL, ROUNDED = 1 / 255, 0.501 / 255


def jpeg_2000(values: np.ndarray, bits: int = 16, kind: str = "jp2") -> bytes:
    return imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat=kind, bitspersample=bits)


@pytest.mark.promise(
    "Photographs", "JPEG 2000 of 10 to 16 bits, gray or color, with or without alpha: right or refused"
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("bits", "kind"), [(16, "jp2"), (12, "jp2"), (10, "j2k")])
def test_deep_jpeg_2000(bits: int, kind: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = DEEP[..., :channels].squeeze() >> (16 - bits)
    file, meant = jpeg_2000(values, bits, kind), values / (2**bits - 1)
    photo = as_photo(file)
    assert (photo.alpha is None) == (channels in (1, 3))
    if channels < 3:
        np.testing.assert_allclose(photo.luma, meant.reshape(24, 40, -1)[..., 0], atol=LEVEL / 16, rtol=0)
    else:
        np.testing.assert_allclose(photo.rgb / 255, meant[..., :3], atol=ROUNDED, rtol=0)
    if photo.alpha is not None:
        np.testing.assert_allclose(photo.alpha / 255, meant[..., -1], atol=ROUNDED, rtol=0)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    if channels > 1:
        with pytest.raises(ImageError, match=rf"{bits}-bit JPEG 2000 with {channels} channels needs imagecodecs"):
            as_photo(file)


def test_other_colors_of_jpeg_2000_are_refused() -> None:
    file = jpeg_2000(DEEP[..., :3])
    at = file.index(b"colr") + 7
    with pytest.raises(ImageError, match=r"16-bit JPEG 2000 with 3 channels: not supported; save it"):
        as_photo(file[:at] + struct.pack(">I", 18) + file[at + 4 :])  # YCC


@pytest.mark.promise("Photographs", "16-bit PNG with alpha keeps 16 bits of gray, with gAMA and turned, too")
@pytest.mark.parametrize(("gamma", "orientation"), [(45_455, 1), (100_000, 6), (100_000, 7)])
def test_deep_png_with_alpha(gamma: int, orientation: int) -> None:
    chunks = {"gAMA": struct.pack(">I", gamma), "eXIf": exif(orientation)[6:]}
    photo = as_photo(made_png(DEEP[..., :2], 16, 4, **chunks))
    meant = (DEEP[..., 0] / 65_535) ** (45_455 / gamma)
    np.testing.assert_allclose(photo.luma, UPRIGHT[orientation](meant), atol=2e-5, rtol=0)
    np.testing.assert_allclose(photo.alpha / 255, UPRIGHT[orientation](DEEP[..., 1] / 65_535), atol=ROUNDED, rtol=0)


def limited(kind: str, full: bool) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.dstack([np.add.outer(np.arange(24) * 2, np.arange(40) * 5).astype(np.uint8)] * 3))
    if kind == "AVIF":
        image.save(file, "AVIF", range="full" if full else "limited", quality=100, subsampling="4:4:4")
    else:
        pillow_heif.from_pillow(image).save(
            file, quality=-1, chroma=444, full_range_flag=full, matrix_coefficients=6, color_primaries=1,
            transfer_characteristics=13,
        )  # fmt: skip
    return file.getvalue()


@pytest.mark.promise("Photographs", "AVIF and HEIC of limited range are as light as those of full range")
@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize("full", [False, True])
def test_limited_range(kind: str, full: bool) -> None:
    data = limited(kind, full)
    assert data[data.index(b"colrnclx") + 14] >> 7 == full
    meant = np.add.outer(np.arange(24) * 2, np.arange(40) * 5)
    assert np.abs(gray_of(as_photo(data).luma).astype(int) - meant).max() <= 3


def fits(bits: int, values: np.ndarray, **numbers: float) -> bytes:
    cards = {"SIMPLE": "T", "BITPIX": bits, "NAXIS": 2, "NAXIS1": 40, "NAXIS2": 24, **numbers}
    head = "".join(f"{name:8}= {value!s:>20} / as it is".ljust(80) for name, value in cards.items()) + "END".ljust(80)
    data = np.flipud(values).tobytes()
    return head.encode().ljust(-(-len(head) // 2880) * 2880) + data.ljust(-(-len(data) // 2880) * 2880, b"\0")


@pytest.mark.promise("Photographs", "FITS of 16 bits, signed or with a zero, is as light as it should be, or refused")
def test_fits() -> None:
    unsigned = (DEEP[..., 0].astype(np.int32) - 32_768).astype(">i2")
    file = fits(16, unsigned, BSCALE=1.0, BZERO="3.2768D4")
    np.testing.assert_allclose(as_photo(file).luma, DEEP[..., 0] / 65_535, atol=1e-6)
    np.testing.assert_allclose(as_photo(Image.open(io.BytesIO(file))).luma, DEEP[..., 0] / 65_535, atol=1e-6)
    signed = (DEEP[..., 0] >> 1).astype(">i2")
    np.testing.assert_allclose(as_photo(fits(16, signed)).luma, signed / 32_767, atol=1e-6)
    np.testing.assert_allclose(as_photo(fits(-32, (signed / 32_767).astype(">f4"))).luma, signed / 32_767, atol=1e-6)
    for refused, message in (
        (fits(16, unsigned), "at least 0 in a FITS file of signed 16 bits, got -"),
        (fits(16, signed, BZERO=100.0), "whose values are scaled"),
        (fits(8, GRAY8, BSCALE=2.0), "whose values are scaled"),
    ):
        with pytest.raises(ImageError, match=message):
            as_photo(refused)
    loaded = Image.open(io.BytesIO(file))
    loaded.load()
    with pytest.raises(ImageError, match=r"FITS image that Pillow has loaded.*give the file instead"):
        as_photo(loaded)


def psd(mode: int, depth: int, *channels: np.ndarray) -> bytes:
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", len(channels), 24, 40, depth, mode)
    return head + bytes(14) + b"".join(channel.tobytes() for channel in channels)


@pytest.mark.promise("Photographs", "a Photoshop bitmap is no negative; inks that are not known and depths are refused")
def test_photoshop() -> None:
    black = GRAY8 < 128
    assert np.array_equal(as_photo(psd(0, 1, np.packbits(black, axis=1))).luma, np.where(black, 0, 255))
    assert np.array_equal(as_photo(psd(1, 8, GRAY8)).luma, GRAY8)
    with pytest.raises(ImageError, match=r"multichannel Photoshop file.*; save it as gray, RGB or CMYK"):
        as_photo(psd(7, 8, GRAY8, GRAY8, GRAY8))
    with pytest.raises(ImageError, match="got a Photoshop file that is damaged, or of 16 or 32 bits: save it with 8"):
        as_photo(psd(1, 16, DEEP[..., 0]))
    with pytest.raises(ImageError, match="got a PAM picture: save it as PNG"):
        as_photo(b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0")
