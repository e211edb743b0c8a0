"""What the numbers in a file mean: depth, sign and range, black and white, planes, tones, transparency, pages."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from made_pictures import UPRIGHT, exif, gray_profile, made_png, made_tiff
from PIL import Image

from fastcolor import ImageError
from fastcolor.files.images import Photo, as_photo, count_pages, read_photo

RNG = np.random.default_rng(0)
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
SAMPLES = [
    *[(f"{bits} bits", np.uint8 if bits <= 8 else np.uint16, bits, UNSIGNED) for bits in (1, 2, 4, 8, 10, 12, 14, 16)],
    ("32 bits", np.uint32, 32, UNSIGNED),
    *[(f"signed {bits} bits", np.dtype(f"i{bits // 8}"), bits, SIGNED) for bits in (8, 16, 32)],
    *[(f"float {bits} bits", np.dtype(f"f{bits // 8}"), bits, FLOAT) for bits in (16, 32, 64)],
]
TWICE = 2.5e-7  # a float32 quotient in [0, 1], and one more rounding where it is taken from 1
LEVEL = 1 / 255


def level(photo: Photo) -> np.ndarray:
    return photo.luma / 255 if photo.luma.dtype == np.uint8 else photo.luma.astype(float)


def gray_values(dtype: np.dtype, bits: int, kind: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples from black to white, and what they mean."""
    meant = RNG.random((6, 11))
    meant[0, :2] = 0, 1
    top = 1 if kind == FLOAT else 2 ** (bits - (kind == SIGNED)) - 1
    values = (meant * top + (0 if kind == FLOAT else 0.5)).astype(dtype)
    return values, values.astype(float) / top


def unless_refused(file: bytes) -> Photo | None:
    """The photo, or None if the extra that reads it is missing."""
    try:
        return as_photo(file)
    except ImageError as error:
        if "'fastcolor[archive]'" in str(error):
            return None
        raise


def no_tifffile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)


@pytest.mark.promise("Photographs", "gray TIFF of any depth, sign and byte order is light where it should be")
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize(("dtype", "bits", "kind"), [s[1:] for s in SAMPLES], ids=[s[0] for s in SAMPLES])
def test_gray_tiff(
    dtype: np.dtype, bits: int, kind: int, photometric: int, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, meant = gray_values(np.dtype(dtype), bits, kind)
    expected = meant if photometric else 1 - meant
    file = made_tiff(values, bits, order, photometric=photometric, kind=kind)
    np.testing.assert_allclose(level(as_photo(file)), expected, atol=TWICE, rtol=0)
    no_tifffile(monkeypatch)
    if (photo := unless_refused(file)) or (kind == UNSIGNED and bits in (1, 2, 4, 8, 16)):
        np.testing.assert_allclose(level(photo), expected, atol=TWICE, rtol=0)


def written(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, metadata=None, **options)
    return file.getvalue()


DEEP = RNG.integers(0, 65_536, (24, 40, 4), dtype=np.uint16)
GRAY_A, COLOR, COLOR_A = DEEP[..., :2], DEEP[..., :3], DEEP
BE, LZW, ZLIB, PLANES = {"byteorder": ">"}, {"compression": "lzw"}, {"compression": "zlib"}, {"planarconfig": 2}
STORED = {  # values of (H, W, channels), what tifffile is told
    "16-bit RGB in planes": (COLOR, PLANES),
    "16-bit RGB in planes, big-endian": (COLOR, PLANES | BE),
    "16-bit RGB in compressed planes": (COLOR, PLANES | LZW),
    "16-bit RGB in planes and tiles": (COLOR, PLANES | {"tile": (16, 16)}),
    "16-bit RGB": (COLOR, {}),
    "16-bit RGB, predictor, big-endian": (COLOR, LZW | BE | {"predictor": 2}),
    "16-bit RGB and alpha": (COLOR_A, {"extrasamples": [2]}),
    "16-bit RGB and alpha in planes": (COLOR_A, PLANES | BE | {"extrasamples": [2]}),
    "8-bit RGB in planes": ((COLOR >> 8).astype(np.uint8), PLANES),
    "8-bit RGB and a 4th sample, in planes": ((COLOR_A >> 8).astype(np.uint8), PLANES | {"extrasamples": [0]}),
    "float RGB": ((COLOR / 65_535).astype(np.float32), ZLIB | {"predictor": 3}),
    "16-bit gray and alpha": (GRAY_A, {"extrasamples": [2]}),
    "16-bit gray and alpha in planes": (GRAY_A, PLANES | BE | LZW | {"extrasamples": [2]}),
    "8-bit gray and alpha in planes": ((GRAY_A >> 8).astype(np.uint8), PLANES | {"extrasamples": [2]}),
    "signed, compressed, big-endian": ((COLOR[..., :1] >> 1).astype(np.int16), LZW | BE),
    "float, compressed, big-endian": ((COLOR[..., :1] / 65_535).astype(np.float32), ZLIB | BE),
    "float with its predictor": ((COLOR[..., :1] / 65_535).astype(np.float16), ZLIB | {"predictor": 3}),
    "a predictor under PackBits": (DEEP[..., :1], {"compression": "packbits", "predictor": 2}),
    "half floats in BigTIFF": ((DEEP[..., :1] / 65_535).astype(np.float16), {"bigtiff": True}),
    "BigTIFF": (DEEP[..., :1], {"bigtiff": True}),
}


@pytest.mark.promise("Photographs", "planes, compressions, predictors and alpha of TIFF: right, or refused by name")
@pytest.mark.parametrize("orientation", [1, 6, 7])
@pytest.mark.parametrize("name", STORED)
def test_stored_tiff(name: str, orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values, options = STORED[name]
    channels = values.shape[-1]
    photometric = "rgb" if channels > 2 else "minisblack"
    told = np.moveaxis(values, -1, 0) if "planarconfig" in options else values[..., 0] if channels == 1 else values
    tag = [(274, "H", 1, orientation, True)]
    file = written(np.ascontiguousarray(told), photometric=photometric, extratags=tag, **options)
    top = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    meant = UPRIGHT[orientation](values[..., 0] / top), UPRIGHT[orientation](values[..., -1] / top)
    _agrees(as_photo(file), *meant, channels, options)
    no_tifffile(monkeypatch)
    if photo := unless_refused(file):
        _agrees(photo, *meant, channels, options)


def _agrees(photo: Photo, first: np.ndarray, last: np.ndarray, channels: int, options: dict) -> None:
    """The first channel, and the last, where it is alpha; color and alpha have 8 bits, so up to a level is lost."""
    got = level(photo) if channels < 3 else photo.rgb[..., 0] / 255
    np.testing.assert_allclose(got, first, atol=TWICE if channels < 3 else LEVEL, rtol=0)
    assert (photo.alpha is not None) == (options.get("extrasamples") == [2])
    if photo.alpha is not None:
        np.testing.assert_allclose(photo.alpha / 255, last, atol=LEVEL, rtol=0)


def test_color_that_alpha_was_multiplied_into() -> None:
    alpha = np.full((4, 6), 0.5, np.float32)
    photo = as_photo(written(np.dstack([alpha * 0.25, alpha]), photometric="minisblack", extrasamples=[1]))
    np.testing.assert_allclose(photo.luma, 0.25, atol=TWICE)
    assert set(photo.alpha.flat) == {128}
    colors, alpha = RNG.random((4, 6, 3)), np.full((4, 6, 1), 0.03)  # of which 8 bits would keep 8 levels
    deep = np.rint(65_535 * np.dstack([colors * alpha, alpha])).astype(np.uint16)
    photo = as_photo(written(deep, photometric="rgb", extrasamples=[1]))
    np.testing.assert_allclose(photo.rgb / 255, colors, atol=LEVEL, rtol=0)


@pytest.mark.promise("Photographs", "samples with a range of their own are scaled by it, or refused where none is said")
def test_range_of_samples() -> None:
    signed = np.array([[-100, 0, 300]], np.int16)
    told = made_tiff(signed, 16, kind=SIGNED, low=-100, high=300)
    np.testing.assert_allclose(as_photo(told).luma, [[0, 0.25, 1]], atol=TWICE)
    with pytest.raises(ImageError, match=r"signed gray TIFF .* in 0\.\.32767, got -100\.\.300; .*SMinSampleValue"):
        as_photo(made_tiff(signed, 16, kind=SIGNED))
    floats = np.array([[0, 10, 255]], np.float32)
    np.testing.assert_allclose(as_photo(made_tiff(floats, 32, kind=FLOAT, low=0.0, high=255.0)).luma, floats / 255)
    for wrong in (floats, np.array([[0.5, np.nan]], np.float32), np.array([[0, np.inf]], np.float32)):
        with pytest.raises(ImageError, match=r"in 0\.\.1, got .*scale them"):
            as_photo(made_tiff(wrong, 32, kind=FLOAT))
    twelve = np.array([[0, 4095]], np.uint16)
    assert as_photo(made_tiff(twelve, 16, high=4095)).luma.max() == 1
    assert as_photo(made_tiff(twelve, 16, high=4000)).luma.max() < 0.1, "a statistic is no range"


@pytest.mark.promise("Photographs", "color of 10, 12 and 14 bits in 16 is as light as it should be")
@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize(("photometric", "samples", "extra"), [(2, 3, {}), (2, 4, {"extra": 2}), (5, 4, {})])
def test_color_with_empty_bits(bits: int, photometric: int, samples: int, extra: dict[str, int]) -> None:
    values, top = DEEP[..., :samples] >> (16 - bits), 2**bits - 1
    photo = as_photo(made_tiff(values, 16, photometric=photometric, high=top, **extra))
    if photometric == 5:
        eight = made_tiff((values >> (bits - 8)).astype(np.uint8), 8, photometric=5)
        assert np.array_equal(photo.rgb, as_photo(eight).rgb)
    else:
        np.testing.assert_allclose(photo.rgb / 255, values[..., :3] / top, atol=LEVEL, rtol=0)
        assert (photo.alpha is not None) == bool(extra)


BITS_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
RGB8 = (COLOR >> 8).astype(np.uint8)


@pytest.mark.promise("Photographs", "TIFF whose bits are stored from the low end is read as any")
@pytest.mark.parametrize(
    ("values", "photometric", "planar"),
    [(RGB8, 2, 2), (RGB8, 2, 1), (RGB8[..., 0], 0, 1), (RGB8[..., 0], 1, 1), (COLOR, 2, 2), (COLOR[..., 0], 0, 1)],
)
def test_fill_order(values: np.ndarray, photometric: int, planar: int) -> None:
    bits = 8 * values.dtype.itemsize
    plain = made_tiff(values, bits, photometric=photometric, planar=planar)
    start = len(plain) - values.nbytes
    head = plain[:start].replace(struct.pack("<HHII", 278, 4, 1, 24), struct.pack("<HHII", 266, 3, 1, 2))
    turned, meant = as_photo(head + plain[start:].translate(BITS_TURNED)), as_photo(plain)
    np.testing.assert_allclose(level(turned), level(meant), atol=TWICE, rtol=0)
    assert (turned.rgb is None) == (meant.rgb is None) == (photometric < 2)


@pytest.mark.promise("Photographs", "a TIFF palette of 8-bit colors is no black picture")
@pytest.mark.parametrize("scale", [1, 257])
def test_palette_of_eight_bits(scale: int) -> None:
    colors = np.tile(np.arange(256, dtype=np.uint16)[::-1] * np.uint16(scale), (3, 1))
    assert np.array_equal(
        as_photo(written(RGB8[..., 0], photometric="palette", colormap=colors)).luma, 255 - RGB8[..., 0]
    )


@pytest.mark.parametrize("extra", [[2, 0], [0, 2], [0, 0]])
def test_more_samples_in_compressed_planes(extra: list[int]) -> None:
    planes = np.concatenate([np.moveaxis(RGB8, -1, 0), np.full((2, 24, 40), 255, np.uint8)])
    photo = as_photo(written(planes, photometric="rgb", planarconfig=2, extrasamples=extra, **LZW))
    assert np.array_equal(photo.rgb, RGB8)


@pytest.mark.promise("Photographs", "a camera's raw file is refused, not taken for the thumbnail in its first page")
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("reduced", [0, 1])
def test_thumbnail_before_the_picture(bigtiff: bool, reduced: int) -> None:
    def file(first: np.ndarray, second: np.ndarray, kind: int) -> io.BytesIO:
        made = io.BytesIO()
        with tifffile.TiffWriter(made, bigtiff=bigtiff) as pages:
            pages.write(first, photometric="minisblack", subifds=1, subfiletype=reduced, metadata=None)
            pages.write(second, photometric="minisblack", subfiletype=kind, metadata=None)
        return made

    large, small = RGB8[..., 0], RGB8[::4, ::4, 0]
    with pytest.raises(ImageError, match=r"thumbnail of a picture of 40 x 24 in the same file.*develop it"):
        as_photo(file(small, large, 0))
    assert np.array_equal(as_photo(file(large, small, 1)).luma, large), "a pyramid"


@pytest.mark.promise("Hostile files", "a TIFF file with tiles left out is refused, not read as black, and quietly")
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("tags", [(324,), (325,), (324, 325)])
@pytest.mark.parametrize("tile", [(16, 16), (32, 32)])
def test_tiles_left_out(
    dtype: type, tile: tuple[int, int], tags: tuple[int, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    values = np.ones((32, 32), dtype)
    data = bytearray(written(values, photometric="minisblack", tile=tile, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for tag in tags:
            at = file.pages[0].tags[tag]
            size = at.valuebytecount // at.count
            data[at.valueoffset : at.valueoffset + size] = bytes(size)
    with pytest.raises(ImageError, match="parts of whose pixels are not there"):
        as_photo(bytes(data))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_strip_without_a_count_of_bytes(dtype: type) -> None:
    """libtiff reads it to the end of the file; tifffile would fill it with black."""
    data = bytearray(written(np.ones((8, 8), dtype), photometric="minisblack", compression="lzw"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        count = file.pages[0].tags[279]
        data[count.valueoffset : count.valueoffset + count.valuebytecount] = bytes(count.valuebytecount)
    if dtype is np.uint8:
        assert (as_photo(bytes(data)).luma == 1).all()
    else:
        with pytest.raises(ImageError, match="parts of whose pixels are not there"):
            as_photo(bytes(data))


@pytest.mark.promise("Messages", "a TIFF that is not supported is called by its depth, color and compression")
def test_what_is_not_supported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = made_tiff(np.zeros((4, 4, 3), np.float32), 32, photometric=8, kind=FLOAT)
    with pytest.raises(ImageError, match=r"32-bit float Lab TIFF \(compression 1\): not supported; save it as"):
        as_photo(lab)
    with pytest.raises(ImageError, match="a big-endian BigTIFF: not supported; save it as"):
        as_photo(written(DEEP[..., 0], photometric="minisblack", bigtiff=True, byteorder=">"))
    alpha = written(GRAY_A, photometric="minisblack", extrasamples=[2], **LZW)

    def without_imagecodecs(*_: object, **__: object) -> None:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", without_imagecodecs)
    with pytest.raises(ImageError, match=r"needs imagecodecs, .*'fastcolor\[archive\]'"):
        as_photo(alpha)
    no_tifffile(monkeypatch)
    named = r"16-bit gray \+ alpha TIFF \(compression 1\) needs tifffile, .*'fastcolor\[archive\]'"
    with pytest.raises(ImageError, match=named):
        as_photo(written(GRAY_A, photometric="minisblack", extrasamples=[2]))


def icc(profile: bytes) -> bytes:
    return b"gray\0\0" + zlib.compress(profile)


@pytest.mark.promise("Photographs", "a transparent gray level of PNG is kept as alpha at every depth")
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_level(depth: int) -> None:
    values = RNG.integers(0, 2**depth, (9, 13))
    photo = as_photo(made_png(values, depth, 0, tRNS=struct.pack(">H", int(values[2, 3]))))
    assert np.array_equal(photo.alpha, np.where(values == values[2, 3], 0, 255))
    np.testing.assert_allclose(level(photo), values / (2**depth - 1), atol=TWICE)


def test_transparent_color_of_16_bits_is_refused() -> None:
    with pytest.raises(ImageError, match=r"16-bit RGB PNG file with a transparent color: .* save it with alpha"):
        as_photo(made_png(COLOR, 16, 2, tRNS=bytes(6)))


def srgb(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


TONES = {  # chunks of a PNG file, what the levels become
    "gAMA 1": ({"gAMA": struct.pack(">I", 100_000)}, lambda x: x ** (1 / 2.2)),
    "gAMA 0.55": ({"gAMA": struct.pack(">I", 55_000)}, lambda x: x ** (1 / 1.21)),
    "gAMA of sRGB": ({"gAMA": struct.pack(">I", 45_455)}, lambda x: x),
    "gAMA near that of sRGB": ({"gAMA": struct.pack(">I", 47_000)}, lambda x: x),
    "gAMA 0": ({"gAMA": bytes(4)}, lambda x: x),
    "sRGB before gAMA": ({"gAMA": struct.pack(">I", 100_000), "sRGB": b"\0"}, lambda x: x),
    "gray profile, linear": ({"iCCP": icc(gray_profile(1.0))}, srgb),
    "gray profile, 1.8": ({"iCCP": icc(gray_profile(1.8))}, lambda x: srgb(x ** (461 / 256))),
    "profile before gAMA": ({"iCCP": icc(gray_profile(1.0)), "gAMA": struct.pack(">I", 100_000)}, srgb),
    "a broken profile": ({"iCCP": icc(gray_profile(1.0)[:140])}, lambda x: x),
    "cICP linear": ({"cICP": bytes([1, 8, 0, 1])}, srgb),
    "cICP gamma 2.8": ({"cICP": bytes([1, 5, 0, 1])}, lambda x: x ** (2.8 / 2.2)),
    "cICP Display P3": ({"cICP": bytes([12, 13, 0, 1])}, lambda x: x),
    "cICP before a profile": ({"cICP": bytes([1, 13, 0, 1]), "iCCP": icc(gray_profile(1.0))}, lambda x: x),
    "cICP unspecified": ({"cICP": bytes([2, 2, 0, 1]), "gAMA": struct.pack(">I", 100_000)}, lambda x: x ** (1 / 2.2)),
    "cICP narrow range": ({"cICP": bytes([1, 13, 0, 0])}, lambda x: np.clip((x * 255 - 16) / 219, 0, 1)),
}


@pytest.mark.promise("Photographs", "gray profiles, gAMA and cICP give the tones that viewers show, at 16 bits as at 8")
@pytest.mark.parametrize("name", TONES)
def test_tones(name: str) -> None:
    chunks, curve = TONES[name]
    eight = np.arange(256).reshape(4, 64)
    expected = curve(eight / 255)
    shown = {depth: as_photo(made_png(eight * scale, depth, 0, **chunks)) for depth, scale in ((8, 1), (16, 257))}
    assert shown[8].luma.dtype == np.uint8
    assert shown[16].luma.dtype == np.float32
    # color management has 16 bits and an inverse table of its own: a hundredth of a level; rounding adds half a level
    assert np.abs(level(shown[16]) - expected).max() <= 0.01 * LEVEL + TWICE
    assert np.abs(level(shown[8]) - expected).max() <= 0.51 * LEVEL
    assert not {"icc_profile", "gamma"} & set(shown[16].metadata)


def test_gamma_of_color() -> None:
    rgb = (COLOR >> 8).astype(np.uint8)
    photo = as_photo(made_png(rgb, 8, 2, gAMA=struct.pack(">I", 100_000)))
    assert np.abs(photo.rgb - (rgb / 255) ** (1 / 2.2) * 255).max() <= 0.5 + 1e-6


@pytest.mark.promise("Messages", "pictures of high dynamic range are refused, with what to do")
@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (11, "number 11")])
def test_high_dynamic_range(transfer: int, name: str) -> None:
    with pytest.raises(ImageError, match=f"{name}.* to sRGB first"):
        as_photo(made_png(DEEP[..., 0], 16, 0, cICP=bytes([9, transfer, 0, 1])))
    avif = io.BytesIO()
    Image.new("L", (16, 16)).save(avif, "AVIF")
    told = avif.getvalue()
    at = told.index(b"colrnclx") + 8
    told = told[: at + 2] + struct.pack(">H", transfer) + told[at + 4 :]
    with pytest.raises(ImageError, match=f"{name}.* to sRGB first"):
        as_photo(told)


@pytest.mark.promise("Toolkit", "a Pillow image of a file is what its path is, loaded or not, in every orientation")
@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_opened_image_is_as_its_path(tmp_path: Path, orientation: int) -> None:
    gray = RNG.integers(0, 256, (30, 40), dtype=np.uint8)
    for name, image in {"mapped.tif": gray, "deep.tif": gray * np.uint16(257), "a.png": gray, "a.jpg": gray}.items():
        path = tmp_path / name
        Image.fromarray(image).save(path, exif=exif(orientation))
        expected = read_photo(path)
        assert name == "a.jpg" or np.array_equal(gray, np.rint(UPRIGHT[_back(orientation)](level(expected)) * 255))
        for load in (False, True):
            with Image.open(path) as opened:
                if load:
                    opened.load()
                photo = as_photo(opened)
                assert np.array_equal(photo.luma, expected.luma), (name, load)
                assert as_photo(opened).luma.shape == expected.luma.shape, "the caller's image still reads"


OTHERWISE = {  # loaded by Pillow: what its values are not, and its tags still say
    "white is 0": (lambda deep: written(65_535 - deep, photometric="miniswhite", **LZW), 65_535),
    "12 bits, packed": (lambda deep: made_tiff(deep >> 4, 12), 4095),
    "12 bits in 16": (lambda deep: made_tiff(deep >> 4, 16, high=4095), 4095),
}


@pytest.mark.promise("Toolkit", "a deep TIFF that Pillow has loaded is scaled by its tags, or refused")
@pytest.mark.parametrize("name", OTHERWISE)
def test_loaded_tiff(name: str) -> None:
    make, top = OTHERWISE[name]
    with Image.open(io.BytesIO(make(DEEP[..., 0]))) as opened:
        opened.load()
        np.testing.assert_allclose(as_photo(opened).luma, (DEEP[..., 0] >> (0, 4)[top == 4095]) / top, atol=TWICE)
    with Image.open(io.BytesIO(made_tiff(COLOR >> 4, 16, photometric=2, high=4095))) as opened:
        opened.load()
        with pytest.raises(ImageError, match="misread by Pillow, which has loaded it; give the file instead"):
            as_photo(opened)


def test_loaded_thumbnail() -> None:
    made = io.BytesIO()
    with tifffile.TiffWriter(made) as pages:
        pages.write(RGB8[::4, ::4, 0], photometric="minisblack", subifds=1, subfiletype=1, metadata=None)
        pages.write(RGB8[..., 0], photometric="minisblack", metadata=None)
    with Image.open(made) as opened:
        opened.load()
        with pytest.raises(ImageError, match="a small picture beside a larger one"):
            as_photo(opened)


def test_opened_image_that_was_reduced_stays_so(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as opened:
        opened.draft("L", (16, 16))
        assert as_photo(opened).luma.shape == opened.size


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_high_dynamic_range_of_an_opened_image(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    for name in ("MIME", "SAVE", "EXTENSION"):
        monkeypatch.setattr(Image, name, dict(getattr(Image, name)))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind)
    told = file.getvalue()
    at = told.index(b"colrnclx") + 10
    with (
        Image.open(io.BytesIO(told[:at] + struct.pack(">H", 16) + told[at + 2 :])) as opened,
        pytest.raises(ImageError, match=r"PQ .* to sRGB first"),
    ):
        as_photo(opened)


def _back(orientation: int) -> int:
    return {6: 8, 8: 6}.get(orientation, orientation)


@pytest.mark.parametrize("sizes", [((2, 3), (30, 40)), ((30, 40), (2, 3))])
def test_opened_page_of_another_size(tmp_path: Path, sizes: tuple[tuple[int, int], ...]) -> None:
    pages = [Image.fromarray(np.full(size, 99, np.uint8)) for size in sizes]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with Image.open(tmp_path / "a.tif") as opened:
        opened.seek(1)
        assert as_photo(opened).luma.shape == sizes[1]


def test_opened_page_is_that_page(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((4, 6), value, np.uint8)) for value in (10, 20, 30)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with Image.open(tmp_path / "a.tif") as opened:
        opened.seek(2)
        assert as_photo(opened).luma[0, 0] == 30
    changed = Image.open(tmp_path / "a.tif")
    changed.putpixel((0, 0), 99)
    assert as_photo(changed).luma[0, 0] == 99, "what was changed is taken as it is"


@pytest.mark.promise("Photographs", "each page of a TIFF is read; reduced pictures and masks are no pages")
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_pages(tmp_path: Path, order: str, big: bool) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as file:
        for number, subfile in enumerate((0, 1, 0, 4, 2)):
            page = np.full((8, 8), number, bool if subfile == 4 else np.uint8)
            file.write(page, photometric="minisblack", subfiletype=subfile, metadata=None)
    assert count_pages(path) == 3
    assert [read_photo(path, page=page).luma[0, 0] for page in range(3)] == [0, 2, 4]
    for page in (3, -1):
        with pytest.raises(ImageError, match=rf"a\.tif: page {page}: expected 0 to 2"):
            read_photo(path, page=page)


def test_other_files_have_one_page(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), value) for value in (0, 99)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert count_pages(tmp_path / "a.gif") == 1
    with pytest.raises(ImageError, match=r"a\.gif: page 1: expected 0, since a GIF file is one picture"):
        read_photo(tmp_path / "a.gif", page=1)
    with pytest.raises(FileNotFoundError, match="no such file"):
        count_pages(tmp_path / "none.tif")
