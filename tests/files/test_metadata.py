"""What comes with a photograph: kept between all formats, as far as each can carry it, and said where it can't."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from fastcolor.files.chunks import is_lossless_webp
from fastcolor.files.images import read_photo
from fastcolor.files.kept import left_out
from fastcolor.files.metadata import portable_metadata
from fastcolor.files.writing import WRITERS, write_pages, write_photo

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP")
EXIF_IFD, GPS_IFD, USER_COMMENT, MAKER_NOTE, ORIENTATION = 0x8769, 0x8825, 0x9286, 0x927C, 0x0112
DOCUMENT, DESCRIPTION, PAGE, ARTIST, TITLE = 0x010D, 0x010E, 0x011D, 0x013B, 0x9C9B
PACKET = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"><dc:title>Straße 日本</dc:title></r></x:xmpmeta>'
IPTC = b"\x1c\x02\x05\x00\x04Fair\x1c\x02\x78\x00\x05M\xc3\xbcnc"
LONG_IPTC = b"\x1c\x02\x78\x80\x04" + struct.pack(">I", 200_000) + bytes(200_000)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
TEXT = {"Title": "Straße", "Author": "山田"}


def exif(orientation: int = 6) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    tags[DOCUMENT], tags[PAGE], tags[ARTIST] = "ledger 12", "page 4", "A. Müller".encode()
    tags[TITLE] = "Markt ö".encode("utf-16-le") + b"\0\0"
    tags[EXIF_IFD] = {0x9003: "1931:01:02 03:04:05", 0xA002: 30, 0xA003: 20, MAKER_NOTE: b"MAKER" * 9}
    tags[GPS_IFD] = {1: "N", 2: (48.0, 8.0, 12.5)}
    return tags.tobytes()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def a_file(path: Path, kind: str) -> Path:
    """A file with all that its format has, written with the library alone, as scanners and cameras do."""
    image, options = Image.fromarray(RGB), {"exif": exif(), "icc_profile": PROFILE, "dpi": (300, 400)}
    block = b"8BIM\x04\x25\0\0\0\0\0\x01x\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + b"\0"
    if kind == "JPEG":
        options["extra"] = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PACKET.encode())
        options["extra"] += segment(0xED, b"Photoshop 3.0\0" + block[:30]) + segment(
            0xED, b"Photoshop 3.0\0" + block[30:]
        )
        options["extra"] += segment(0xFE, b"at the fair") + segment(0xFE, "Zürich".encode("latin-1"))
    elif kind == "PNG":
        info = options["pnginfo"] = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", PACKET, zip=True)
        info.add_text("Raw profile type iptc", f"\niptc\n{len(block):8}\n{block.hex()}\n", zip=True)
        info.add_text("Comment", "at the fair\nZürich", zip=True)
        for keyword, text in TEXT.items():
            info.add_text(keyword, text)
    elif kind == "TIFF":
        tags = options["tiffinfo"] = TiffImagePlugin.ImageFileDirectory_v2()
        old = Image.Exif()
        old.load(options.pop("exif"))
        for tag in old:
            tags[tag] = old.get_ifd(tag) if tag in (EXIF_IFD, GPS_IFD) else old[tag]
        tags[ARTIST] = "A. Müller".encode()
        tags.tagtype[0x02BC], tags.tagtype[0x83BB] = 1, 7
        tags[0x02BC], tags[0x83BB] = PACKET.encode(), IPTC + bytes(1)
        tags[0x0128], options["dpi"] = 3, None
        tags[0x011A], tags[0x011B] = 300 / 2.54, 400 / 2.54
    else:
        options["xmp"] = PACKET.encode()
    image.save(path, kind, **options)
    as_words = struct.pack("<HHL", 0x83BB, 4, 5)  # TIFF's own type for IPTC, of which Pillow writes one alone
    path.write_bytes(path.read_bytes().replace(struct.pack("<HHL", 0x83BB, 7, 20), as_words))
    return path


def tags_of(data: bytes) -> dict[int, Any]:
    """All EXIF tags in one dict."""
    tags = Image.Exif()
    tags.load(data)
    return {**tags, **tags.get_ifd(EXIF_IFD), **tags.get_ifd(GPS_IFD)}


@pytest.mark.promise(
    "What stays",
    "EXIF with GPS, document tags, XMP, IPTC, comments, text, profile, dpi go from JPEG, PNG, TIFF, WebP to each",
)
@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_what_comes_with_a_picture_stays(tmp_path: Path, source: str, target: str) -> None:
    first = read_photo(a_file(tmp_path / "a", source))
    write_photo(tmp_path / "b", np.ascontiguousarray(first.rgb), metadata=first.metadata, format=target)
    missing = left_out(first.metadata, target)
    kept = read_photo(tmp_path / "b").metadata
    tags = tags_of(kept["exif"])
    assert (tags[DOCUMENT], tags[PAGE], tags[2], tags[0x9003]) == (
        "ledger 12",
        "page 4",
        (48.0, 8.0, 12.5),
        "1931:01:02 03:04:05",
    )
    assert tags[ARTIST].encode("latin-1").decode() == "A. Müller"
    assert tags[TITLE].decode("utf-16-le") == "Markt ö\0"
    assert tags[MAKER_NOTE] == b"MAKER" * 9
    assert (tags[0xA002], tags[0xA003], tags.get(ORIENTATION, 1)) == (20, 30, 1)
    assert kept["icc_profile"] == PROFILE
    if source != "WEBP":  # whose own has no resolution
        assert kept["dpi"] == pytest.approx((400, 300), abs=0.02), "turned with the picture"
    assert "Straße 日本" in kept["xmp"].decode()
    assert re.search(r'Orientation="[2-8]"', kept["xmp"].decode()) is None
    assert ("IPTC" in missing) == (target == "WEBP" and "iptc" in first.metadata)
    if source != "WEBP" and target != "WEBP":
        assert kept["iptc"] == IPTC
    assert said(kept) >= {word for word, formats in SAID.items() if source in formats}


SAID = {"at the fair": ("JPEG", "PNG"), "Zürich": ("JPEG", "PNG"), "Straße": ("PNG",), "山田": ("PNG",)}


def said(metadata: dict[str, Any]) -> set[str]:
    """The words of SAID that are in comments, texts or the user comment."""
    comment = tags_of(metadata["exif"]).get(USER_COMMENT, b"")[8:].decode("utf-16-le", "replace")
    lines = [*metadata.get("comments", ()), *metadata.get("text", {}).values(), comment]
    return {word for word in SAID if any(word in line for line in lines)}


@pytest.mark.promise("What stays", "XMP that asks for a turn does not turn the upright picture again")
@pytest.mark.parametrize(
    "packet", [b'<r tiff:Orientation="8"/>', b"<r tiff:Orientation = '3'/>", b"<tiff:Orientation>6</tiff:Orientation>"]
)
@pytest.mark.parametrize("kind", FORMATS)
def test_orientation_of_xmp(tmp_path: Path, packet: bytes, kind: str) -> None:
    Image.fromarray(RGB).save(tmp_path / "a", "WEBP", xmp=b"<r tiff:Orientation" + packet, lossless=True)
    photo = read_photo(tmp_path / "a")
    assert photo.rgb is not None
    write_photo(tmp_path / "b", photo.rgb, metadata=photo.metadata, format=kind)
    assert read_photo(tmp_path / "b").luma.shape == photo.luma.shape
    assert re.search(rb"[2-8]['\"<]", photo.metadata.get("xmp", b"")) is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_user_comments_are_read_as_they_were_written(tmp_path: Path, order: str) -> None:
    """Its letters have the byte order of the file, and TIFF's is another."""
    tags = Image.Exif()
    tags.endian = order
    tags[EXIF_IFD] = {USER_COMMENT: b"UNICODE\0" + "日本".encode("utf-16-le" if order == "<" else "utf-16-be")}
    Image.fromarray(RGB).save(tmp_path / "a", "JPEG", exif=tags.tobytes())
    for kind in FORMATS:
        write_photo(tmp_path / "b", RGB, metadata=read_photo(tmp_path / "a").metadata, format=kind)
        with Image.open(tmp_path / "b") as image:
            found = image.getexif()
            code = "utf-16-le" if found.endian == "<" else "utf-16-be"
            assert found.get_ifd(EXIF_IFD)[USER_COMMENT][8:].decode(code) == "日本"


@pytest.mark.promise(
    "What stays",
    "What is too long for its place in a JPEG is left out and named, of EXIF the maker note first",
)
@pytest.mark.parametrize(
    ("metadata", "missing"),
    [
        ({"exif": lambda: with_tag(MAKER_NOTE)}, ["EXIF maker note"]),
        ({"exif": lambda: with_tag(USER_COMMENT)}, ["EXIF"]),
        ({"xmp": lambda: b"x" * 65_505}, ["XMP"]),
        ({"comments": lambda: ["x" * 65_534, "short"]}, ["comments and text"]),
        ({"icc_profile": lambda: bytes(255 * 65_519 + 1)}, ["ICC profile"]),
        ({"dpi": lambda: (70_000.0, 70_000.0)}, ["resolution"]),
        (
            {"iptc": lambda: IPTC + b"\x1c\x02\x78\x80\x04" + (200_000).to_bytes(4, "big") + bytes(200_000)},
            [],
        ),  # goes on in the next segment
    ],
)
def test_too_long_for_a_jpeg(tmp_path: Path, metadata: dict[str, Any], missing: list[str]) -> None:
    made = {name: make() for name, make in metadata.items()}
    write_photo(tmp_path / "a.jpg", RGB, metadata=made)
    assert left_out(made, "JPEG") == missing
    kept = read_photo(tmp_path / "a.jpg").metadata
    assert kept.get("iptc") == made.get("iptc")
    assert kept.get("comments") == (["short"] if "comments" in made else None)
    assert ("exif" in kept) == (missing == ["EXIF maker note"])
    assert left_out(made, "TIFF") == []


def with_tag(tag: int, length: int = 70_000) -> bytes:
    tags = Image.Exif()
    tags[ARTIST] = "A"
    tags[EXIF_IFD] = {tag: b"ASCII\0\0\0" + b"x" * length}
    return tags.tobytes()


@pytest.mark.promise("What stays", "What is too long for PNG's limits of reading is left out and named")
@pytest.mark.parametrize(
    ("metadata", "missing"),
    [
        ({"iptc": LONG_IPTC}, []),
        ({"iptc": LONG_IPTC * 3}, ["IPTC"]),
        ({"xmp": b"x" * 70_000_000, "iptc": IPTC}, ["XMP"]),
        ({"comments": ["x" * 35_000_000], "text": {"a": "x" * 35_000_000}}, ["comments and text"]),
    ],
)
def test_too_long_for_a_png(tmp_path: Path, metadata: dict[str, Any], missing: list[str]) -> None:
    assert left_out(metadata, "PNG") == missing
    write_photo(tmp_path / "a.png", RGB, metadata=metadata)
    kept = read_photo(tmp_path / "a.png").metadata
    assert kept.get("iptc") == (None if "IPTC" in missing else metadata.get("iptc"))


def test_profile_too_long_for_a_png(tmp_path: Path) -> None:
    profile = (
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().ljust(PngImagePlugin.MAX_TEXT_CHUNK + 1)
    )
    metadata = {"icc_profile": profile}
    assert left_out(metadata, "PNG") == ["ICC profile"]
    write_photo(tmp_path / "a.png", RGB, metadata=metadata)
    assert "icc_profile" not in read_photo(tmp_path / "a.png").metadata
    Image.fromarray(RGB).save(tmp_path / "b.png", icc_profile=profile)
    np.testing.assert_array_equal(read_photo(tmp_path / "b.png").rgb, RGB)


@pytest.mark.promise("What stays", "PNG's texts are kept by their keywords, those that begin with Comment, too")
def test_keywords_of_png(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    texts = {"Comments": "a", "Commentator": "b", "XML:com.adobe.xmp.old": "c"}
    for keyword, text in {"Comment": "d", **texts}.items():
        info.add_text(keyword, text)
    Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=info)
    assert read_photo(tmp_path / "a.png").metadata == {"text": texts, "comments": ["d"]}


@pytest.mark.promise("What stays", "EXIF and XMP of ImageMagick's PNG are read")
@pytest.mark.parametrize("name", ["exif", "APP1"])
def test_raw_profiles(tmp_path: Path, name: str) -> None:
    packet = b"http://ns.adobe.com/xap/1.0/\0" + PACKET.encode()
    for data in (exif(), packet) if name == "APP1" else (exif(),):
        info = PngImagePlugin.PngInfo()
        info.add_text(f"Raw profile type {name}", f"\n{name}\n{len(data):8}\n{data.hex()}\n", zip=True)
        Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=info)
        photo = read_photo(tmp_path / "a.png")
        assert photo.luma.shape == RGB.shape[1::-1], "turned"
        assert set(photo.metadata) == ({"xmp"} if data == packet else {"exif"})


@pytest.mark.promise("What stays", "A wrong mark of EXIF's byte order loses neither the orientation nor the tags")
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_wrong_mark_of_byte_order(tmp_path: Path, order: str, kind: str) -> None:
    tags = Image.Exif()
    tags.endian = order
    tags[ORIENTATION], tags[ARTIST] = 6, "A"
    data = bytearray(tags.tobytes())
    data[6:8] = {"<": b"MM", ">": b"II"}[order]
    Image.fromarray(RGB).save(tmp_path / "a", kind, exif=bytes(data))
    photo = read_photo(tmp_path / "a")
    assert photo.luma.shape == RGB.shape[1::-1]
    assert tags_of(photo.metadata["exif"]) == {ARTIST: "A"}


@pytest.mark.promise("What stays", "No resolution is invented for a JPEG file without one")
def test_no_resolution_is_invented(tmp_path: Path) -> None:
    for tags, dpi in (({ARTIST: "A"}, None), ({0x011A: 72.0, 0x011B: 36.0, 0x0128: 2}, (72, 36))):
        made = Image.Exif()
        made.update(tags)
        Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=made.tobytes())
        assert read_photo(tmp_path / "a.jpg").metadata.get("dpi") == dpi


def test_tags_of_gdal(tmp_path: Path) -> None:
    tags = {0xA480: "<GDALMetadata/>", 0xA481: "0"}
    Image.fromarray(RGB).save(tmp_path / "a.tif", tiffinfo=tags)
    write_photo(tmp_path / "b.tif", RGB, metadata=read_photo(tmp_path / "a.tif").metadata)
    assert tags_of(read_photo(tmp_path / "b.tif").metadata["exif"]) == tags


def test_a_damaged_tag_does_not_take_the_others_along() -> None:
    image = Image.fromarray(RGB)
    image.getexif().update({ARTIST: object(), DESCRIPTION: "B"})
    image.getexif().get_ifd(EXIF_IFD).update({0x829A: object(), 0x9003: "1931"})
    assert tags_of(portable_metadata(image, image.size)["exif"]).items() >= {DESCRIPTION: "B", 0x9003: "1931"}.items()


@pytest.mark.parametrize(
    ("kind", "options", "lossless"), [("WEBP", {"lossless": True}, True), ("WEBP", {}, False), ("PNG", {}, False)]
)
@pytest.mark.parametrize("animated", [False, True])
def test_lossless_webp_is_known(kind: str, options: dict[str, bool], lossless: bool, animated: bool) -> None:
    file = io.BytesIO()
    more = {"save_all": True, "append_images": [Image.fromarray(RGB[::-1])]} if animated else {}
    Image.fromarray(RGB).save(file, kind, exif=exif(), **options, **more)
    file.seek(3)
    assert is_lossless_webp(file) is lossless
    assert file.tell() == 3


def test_lossless_webp_is_written_as_one(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.webp", RGB, metadata={"lossless": True}, alpha=np.zeros(RGB.shape[:2], np.uint8))
    with Image.open(tmp_path / "a.webp") as image:
        assert np.array_equal(np.asarray(image)[..., :3], RGB), "also where it is transparent"


@pytest.mark.promise("What stays", "Each page of a TIFF keeps its own size, transparency, tags and resolution")
def test_pages(tmp_path: Path) -> None:
    pages = [
        (RGB[n:], None if n else RGB[..., 0], {"exif": exif(1), "dpi": (300.0 + n, 300.0), "xmp": b"%d" % n})
        for n in range(3)
    ]
    write_pages(tmp_path / "a.tif", iter(pages))
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == 3
        for n, (rgb, alpha, metadata) in enumerate(pages):
            image.seek(n)
            assert np.array_equal(np.asarray(image.convert("RGB")), rgb)
            assert image.mode == ("RGB" if alpha is None else "RGBA")
            kept = portable_metadata(image, image.size)
            assert tags_of(kept["exif"])[MAKER_NOTE] == b"MAKER" * 9
            assert (kept["dpi"], kept["xmp"]) == (metadata["dpi"], metadata["xmp"])


COMMENTED = with_tag(USER_COMMENT, 9)
SAMPLES: dict[str, tuple[dict[str, Any], bool]] = {
    "EXIF with GPS": ({"exif": exif(1)}, False),
    "maker note": ({"exif": exif(1)}, False),
    "XMP": ({"xmp": b"x"}, False),
    "extended XMP": ({"xmp_extension": [b"x"]}, False),
    "IPTC": ({"iptc": IPTC}, False),
    "comments": ({"comments": ["x"]}, False),
    "text": ({"text": TEXT}, False),
    "ICC profile": ({"icc_profile": PROFILE}, False),
    "resolution": ({"dpi": (300.0, 300.0)}, False),
    "transparency": ({}, True),
}


@pytest.mark.promise("What stays", "The page of what each format carries says what the program does")
def test_page_says_what_is_left_out() -> None:
    lines = (ROOT / "docs/metadata.md").read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [name.upper() for name in table[0][1:]] == sorted(set(WRITERS.values())) == list(FORMATS)
    for row, (start, (metadata, alpha)) in zip(table[2:], SAMPLES.items(), strict=True):
        assert row[0].startswith(start)
        for format, cell in zip(FORMATS, row[1:], strict=True):
            never = cell.startswith("no")
            assert bool(left_out(metadata, format, alpha=alpha)) == never, (start, format)
            if "exif" not in metadata:
                with_comment = bool(left_out({"exif": COMMENTED} | metadata, format, alpha=alpha))
                assert with_comment == (never or "if there is none" in cell), (start, format)
