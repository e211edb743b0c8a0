"""What a photograph's file says beside its pixels, and what of it still holds when the pixels are RGB and upright.

It becomes a dict that any format can be written from (:mod:`.kept` says what of it each can carry)::

    exif         bytes; with TIFF's document tags, without orientation, thumbnail and tags of storage
    icc_profile  bytes, of RGB
    dpi          (x, y), pixels an inch
    xmp          bytes, UTF-8; xmp_extension, its further JPEG segments
    iptc         bytes, IPTC-IIM records
    comments     list of str, of JPEG, GIF and PNG's keyword "Comment"
    text         dict of str, PNG's other texts
    lossless     True for a lossless WebP file (:func:`.chunks.is_lossless_webp`, noted in ``image.info``)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image

from .profiles import color_space

# Tags of the first directory that say something about the photograph; the others describe how the old file was stored.
_DOCUMENT = {0x010D, 0x010E, 0x010F, 0x0110, 0x011D, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298, 0x9003}
_WINDOWS = {0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F}  # title, comment, author, keywords, subject
_GEO = {
    0x830E,
    0x8482,
    0x85D8,
    0x87AF,
    0x87B0,
    0x87B1,
    0xA480,
    0xA481,
}  # GeoTIFF's and GDAL's: true as long as the picture is not turned
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD, _WIDTH, _HEIGHT, _ORIENTATION = 0x8769, 0x8825, 0xA005, 0xA002, 0xA003, 0x0112
_XRESOLUTION, _YRESOLUTION, _UNIT = 0x011A, 0x011B, 0x0128
_IPTC_TAG, _PHOTOSHOP_TAG, _XMP_TAG, _IPTC_RESOURCE = 0x83BB, 0x8649, 0x02BC, 0x0404
_XMP_KEY, _RAW, _COMMENT = "XML:com.adobe.xmp", "Raw profile type ", "Comment"
_ELSEWHERE = (_XMP_KEY, _COMMENT)  # PNG's keywords that are no texts here
_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF_MARK, _XMP_MARK = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ORDERS = {b"II\0*": b"MM", b"MM*\0": b"II"}  # a mark that the number after it contradicts, and the right one
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|\s*>)\s*)[0-9](?=\s*["'<])""")


def orientation_of(image: Image.Image) -> int:
    """Orientation, 1..8, of an image that was not decoded yet: when it is, Pillow turns TIFF, and forgets it."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF can raise anything
        return 1


def mend_exif(image: Image.Image) -> None:
    """Note EXIF where Pillow looks for it: of ImageMagick's PNG, and where the mark of its byte order is wrong."""
    info = image.info
    app1 = _raw_profile(info, "APP1")
    if app1.startswith(_EXIF_MARK):
        info.setdefault("exif", app1)
    elif app1.startswith(_XMP_MARK):
        info.setdefault("xmp", app1[len(_XMP_MARK) :])
    data = info.get("exif")
    if isinstance(data, bytes):
        start = len(_EXIF_MARK) * data.startswith(_EXIF_MARK)
        if order := _ORDERS.get(data[start : start + 4]):
            info["exif"] = data[:start] + order + data[start + 2 :]
            image._exif = None  # Pillow may have tried


def portable_metadata(image: Image.Image, size: tuple[int, int], orientation: int = 1) -> dict[str, Any]:
    """All of `image`, decoded, which had this orientation, for an upright RGB picture of it of (width, height)."""
    kept = {
        "exif": _exif(image, size, _GEO if orientation == 1 else set()),
        "icc_profile": _profile(image),
        "dpi": _dpi(image)[:: -1 if orientation >= 5 else 1],
        "xmp": _xmp(image),
        "xmp_extension": [data for data in _segments(image, "APP1") if data.startswith(_XMP_EXTENSION)],
        "iptc": _iptc(image),
        "comments": _comments(image),
        "lossless": bool(image.info.get("lossless")),
        "text": {
            key: text for key, text in _texts(image).items() if key not in _ELSEWHERE and not key.startswith(_RAW)
        },
    }
    return {name: value for name, value in kept.items() if value}


def _profile(image: Image.Image) -> bytes:
    profile = image.info.get("icc_profile") or b""
    return profile if color_space(profile) == "RGB" and image.mode not in ("CMYK", "LAB") else b""


def _dpi(image: Image.Image) -> tuple[float, ...]:
    """Pixels an inch of the picture as it lies; of files that have no place of their own for them, EXIF's."""
    try:
        exif = image.getexif()
        dpi = image.info.get("dpi")
        if hasattr(image, "applist") and image.info.get("jfif_unit") not in (1, 2):  # 72, of a JPEG file without any
            dpi = None
        if dpi is None and exif.get(_UNIT, 2) in (2, 3):
            scale = 2.54 if exif.get(_UNIT) == 3 else 1.0
            dpi = tuple(float(exif[tag]) * scale for tag in (_XRESOLUTION, _YRESOLUTION) if tag in exif)
        x, y = (float(value) for value in dpi or ())
    except Exception:  # not there, or damaged
        return ()
    if not (1 < x < 1e6 and 1 < y < 1e6):  # 1: no unit
        return ()
    return x, y


def _exif(image: Image.Image, size: tuple[int, int], more: set[int]) -> bytes:
    """EXIF without orientation, thumbnail and tags of storage; without a tag that is beyond repair."""
    try:
        old, new = image.getexif(), Image.Exif()
        new.endian = old.endian  # maker notes are written in it, too
        for tag in sorted((_DOCUMENT | _WINDOWS | more) & set(old)):
            if _packs(tag, value := exact(old[tag])):
                new[tag] = value
        for ifd in (_EXIF_IFD, _GPS_IFD):
            found = {tag: exact(value) for tag, value in old.get_ifd(ifd).items() if tag != _INTEROP_IFD}
            if found := {tag: value for tag, value in found.items() if _packs(ifd, {tag: value})}:
                new[ifd] = found
        if _EXIF_IFD in new:
            new[_EXIF_IFD] |= {t: side for t, side in zip((_WIDTH, _HEIGHT), size, strict=True) if t in new[_EXIF_IFD]}
        return new.tobytes() if len(new) else b""
    except Exception:  # damaged EXIF can raise anything, and is no reason to lose the photograph
        return b""


def exact(value: Any) -> Any:
    """A tag's value as the bytes that were read: Pillow takes text for Latin-1, whatever it is, and writes ASCII."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("latin-1")
    return value


def _packs(tag: int, value: Any) -> bool:
    one = Image.Exif()
    one[tag] = value
    try:
        return bool(one.tobytes())
    except Exception:  # whatever a damaged value raises
        return False


def _xmp(image: Image.Image) -> bytes:
    """The packet in UTF-8, with the picture upright."""
    texts = _texts(image)
    found = image.info.get("xmp") or _tiff_tag(image, _XMP_TAG) or texts.get(_XMP_KEY) or _raw_profile(texts, "xmp")
    data = found.encode() if isinstance(found, str) else bytes(found or b"")
    try:
        packet = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8").strip("\0 \n")
    except UnicodeDecodeError:
        return b""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet.encode())


def _iptc(image: Image.Image) -> bytes:
    """IPTC-IIM records, from wherever each format has them."""
    data = _tiff_tag(image, _IPTC_TAG)
    if data[3:4] == b"\x1c" != data[:1]:  # TIFF's type for them is the 32-bit word, which some libraries turn round
        data = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
    texts = _texts(image)
    pieces = [s[14:] for s in _segments(image, "APP13") if s.startswith(b"Photoshop 3.0\0")]  # of one long block
    blocks = [data, b"".join(pieces)]
    blocks += [_tiff_tag(image, _PHOTOSHOP_TAG), _raw_profile(texts, "iptc"), _raw_profile(texts, "8bim")]
    for block in blocks:
        records = block if block[:1] == b"\x1c" else dict(_resources(block)).get(_IPTC_RESOURCE, b"")
        if records:
            return records[: _end(records)]
    return b""


def _end(records: bytes) -> int:
    """Where IPTC-IIM records end, and the padding of their place begins."""
    at = 0
    while records[at : at + 1] == b"\x1c":
        size, start = int.from_bytes(records[at + 3 : at + 5], "big"), at + 5
        if size & 0x8000:  # the length of the length
            start += size & 0x7FFF
            size = int.from_bytes(records[at + 5 : start], "big")
        at = start + size
    return at


def _resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, data) of Photoshop's image resources."""
    at = 0
    while block[at : at + 4] == b"8BIM" and at + 12 <= len(block):
        number = int.from_bytes(block[at + 4 : at + 6], "big")
        at += 6 + (block[at + 6] + 2) // 2 * 2  # a Pascal string, padded
        size = int.from_bytes(block[at : at + 4], "big")
        yield number, block[at + 4 : at + 4 + size]
        at += 4 + (size + 1) // 2 * 2


def _comments(image: Image.Image) -> list[str]:
    found = _segments(image, "COM") or [image.info.get("comment", b"")]
    texts = [_spoken(text) for text in found if isinstance(text, (bytes, str))]
    return [text for text in [*texts, *_texts(image).get(_COMMENT, "").splitlines()] if text]


def _spoken(text: bytes | str) -> str:
    if isinstance(text, str):
        return text
    text = text.rstrip(b"\0")
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _texts(image: Image.Image) -> dict[str, str]:
    """Texts of a PNG file."""
    return dict(getattr(image, "text", None) or {})


def _raw_profile(texts: Mapping[Any, Any], name: str) -> bytes:
    """What ImageMagick writes into PNG: a title, the length, and the bytes in hexadecimal digits."""
    try:
        return bytes.fromhex("".join(texts[_RAW + name].split("\n")[3:]))
    except (KeyError, ValueError):
        return b""


def _segments(image: Image.Image, name: str) -> list[bytes]:
    """Segments of a JPEG file."""
    return [data for marker, data in getattr(image, "applist", None) or [] if marker == name]


def _tiff_tag(image: Image.Image, tag: int) -> bytes:
    """The bytes as they lie in the file, of which Pillow's value may be the first alone."""
    tags = getattr(image, "tag_v2", None)
    return bytes(getattr(tags, "_tagdata", {}).get(tag, b""))
