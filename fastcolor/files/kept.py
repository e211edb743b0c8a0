"""What a photograph's metadata become in each format, and what of them has no place there."""

from __future__ import annotations

from typing import Any

from PIL import Image, PngImagePlugin, TiffImagePlugin

from .metadata import exact

_SEGMENT = 65_533  # bytes of one JPEG segment
_EXIF_IFD, _GPS_IFD, _MAKER_NOTE, _USER_COMMENT = 0x8769, 0x8825, 0x927C, 0x9286
_XRESOLUTION, _YRESOLUTION, _UNIT, _INCH = 0x011A, 0x011B, 0x0128, 2
_IPTC_TAG, _XMP_TAG, _BYTE, _UNDEFINED = 0x83BB, 0x02BC, 1, 7
_RAW_IPTC = "Raw profile type iptc"  # of PNG, compressed
_UNICODE = b"UNICODE\0"
_MAX_ICC = 255 * (_SEGMENT - 14)

Metadata = dict[str, Any]
Carried = tuple[dict[str, Any], list[str]]  # options of Image.save, and what has no place in the file


def options_for(metadata: Metadata, format: str) -> dict[str, Any]:
    """Options of :meth:`PIL.Image.Image.save` that carry the `metadata` of a :class:`Photo`."""
    return _CARRIERS[format](metadata)[0]


def left_out(metadata: Metadata, format: str, *, alpha: bool = False) -> list[str]:
    """What of `metadata`, and of `alpha`, a file of `format` cannot carry, in words; empty if all is kept.

    Examples
    --------
    >>> left_out({"comments": ["at the fair"], "iptc": b"..."}, "WEBP")
    ['IPTC']
    """
    return ["transparency"] * (alpha and format == "JPEG") + _CARRIERS[format](metadata)[1]


def _jpeg(metadata: Metadata) -> Carried:
    options, missing = _as_it_is(metadata, "exif", "icc_profile", "dpi"), []
    if len(options.get("exif", b"")) > _SEGMENT:
        options["exif"] = _without_maker_note(options["exif"])
        missing.append("EXIF maker note")
        if len(options["exif"]) > _SEGMENT:
            del options["exif"]
            missing = ["EXIF"]
    if len(options.get("icc_profile", b"")) > _MAX_ICC:
        del options["icc_profile"]
        missing.append("ICC profile")
    if any(round(value) > 65_535 for value in options.get("dpi", ())):
        del options["dpi"]
        missing.append("resolution")
    extra, too_long = _segments(metadata)
    return (options | {"extra": extra} if extra else options), missing + too_long


def _segments(metadata: Metadata) -> tuple[bytes, list[str]]:
    """JPEG segments of what Pillow does not write, and what is too long for one."""
    parts = [(0xE1, b"http://ns.adobe.com/xap/1.0/\0", metadata.get("xmp", b""), "XMP")]
    parts += [(0xE1, b"", data, "XMP") for data in metadata.get("xmp_extension", ())]
    block, step = _resource(metadata.get("iptc", b"")), _SEGMENT - 14  # a long one is read from several segments
    parts += [(0xED, b"Photoshop 3.0\0", block[at : at + step], "IPTC") for at in range(0, len(block), step)]
    parts += [(0xFE, b"", line.encode(), "comments and text") for line in _lines(metadata)]
    extra, too_long = b"", dict[str, None]()
    for marker, head, data, title in parts:
        body = head + data
        if len(body) > _SEGMENT:
            too_long[title] = None
        elif data:
            extra += bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body
    return extra, list(too_long)


def _png(metadata: Metadata) -> Carried:
    options, missing = _as_it_is(metadata, "exif", "icc_profile", "dpi"), dict[str, None]()
    if len(options.get("icc_profile", b"")) > PngImagePlugin.MAX_TEXT_CHUNK:  # beyond which Pillow refuses to read
        del options["icc_profile"]
        missing["ICC profile"] = None
    info = PngImagePlugin.PngInfo()
    texts = dict(metadata.get("text", {}))
    if "comments" in metadata:
        texts["Comment"] = "\n".join(metadata["comments"])
    entries = [(keyword, text, "comments and text") for keyword, text in texts.items()]
    if "xmp" in metadata:
        entries.insert(0, ("XML:com.adobe.xmp", metadata["xmp"].decode(), "XMP"))
    if "iptc" in metadata:
        data = _resource(metadata["iptc"])
        entries.insert(0, (_RAW_IPTC, f"\niptc\n{len(data):8}\n{data.hex()}\n", "IPTC"))
    room = PngImagePlugin.MAX_TEXT_MEMORY  # as with the profile
    for keyword, text, title in entries:
        if len(text) > min(room, PngImagePlugin.MAX_TEXT_CHUNK if keyword == _RAW_IPTC else room):
            missing[title] = None
            continue
        room -= len(text)
        if title == "XMP":
            info.add_itxt(keyword, text)
        else:
            info.add_text(keyword, text, zip=keyword == _RAW_IPTC)
    return (options | {"pnginfo": info} if info.chunks else options), [*missing, *_extension(metadata)]


def _tiff(metadata: Metadata) -> Carried:
    exif, missing = _with_comment(metadata)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in exif.items():
        tags[tag] = value
    for tag, kind, name in ((_XMP_TAG, _BYTE, "xmp"), (_IPTC_TAG, _UNDEFINED, "iptc")):
        if name in metadata:
            tags.tagtype[tag] = kind
            tags[tag] = metadata[name]
    options = _as_it_is(metadata, "icc_profile", "dpi")
    return (options | {"tiffinfo": tags} if len(tags) else options), missing + _extension(metadata)


def _webp(metadata: Metadata) -> Carried:
    exif, missing = _with_comment(metadata)
    if "dpi" in metadata:
        exif[_XRESOLUTION], exif[_YRESOLUTION] = metadata["dpi"]
        exif[_UNIT] = _INCH
    options = _as_it_is(metadata, "icc_profile", "xmp")
    options |= {"exif": exif.tobytes()} if len(exif) else {}
    return options, missing + ["IPTC"] * ("iptc" in metadata) + _extension(metadata)


_CARRIERS = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "WEBP": _webp}


def _as_it_is(metadata: Metadata, *names: str) -> dict[str, Any]:
    return {name: metadata[name] for name in names if name in metadata}


def _extension(metadata: Metadata) -> list[str]:
    return ["extended XMP"] * ("xmp_extension" in metadata)


def _lines(metadata: Metadata) -> list[str]:
    """Comments, and PNG's texts with their keywords, each for itself."""
    return [*metadata.get("comments", ()), *(f"{key}: {text}" for key, text in metadata.get("text", {}).items())]


def _loaded(data: bytes) -> Image.Exif:
    """EXIF with texts as they were read, to be written in the order of bytes that Pillow's TIFF has."""
    old, exif = Image.Exif(), Image.Exif()
    old.load(data)
    exif.endian = "<"
    for tag in old:
        value = dict(old.get_ifd(tag)) if tag in (_EXIF_IFD, _GPS_IFD) else old[tag]
        exif[tag] = {t: exact(v) for t, v in value.items()} if isinstance(value, dict) else exact(value)
    comment = exif.get(_EXIF_IFD, {}).get(_USER_COMMENT, b"")
    if old.endian == ">" and comment[:8] == _UNICODE:
        exif[_EXIF_IFD][_USER_COMMENT] = _UNICODE + comment[8:].decode("utf-16-be", "replace").encode("utf-16-le")
    return exif


def _without_maker_note(data: bytes) -> bytes:
    exif = _loaded(data)
    exif.get(_EXIF_IFD, {}).pop(_MAKER_NOTE, None)
    return exif.tobytes()


def _with_comment(metadata: Metadata) -> tuple[Image.Exif, list[str]]:
    """EXIF with all comments and texts as its user comment, unless it has one; and what had no place."""
    exif = _loaded(metadata.get("exif", b""))
    lines = _lines(metadata)
    if not lines:
        return exif, []
    inner = exif.get(_EXIF_IFD, {})
    if bytes(inner.get(_USER_COMMENT, b""))[8:].strip(b"\0 "):
        return exif, ["comments and text"]
    text = "\n".join(lines)
    coded = b"ASCII\0\0\0" + text.encode() if text.isascii() else _UNICODE + text.encode("utf-16-le")
    exif[_EXIF_IFD] = inner | {_USER_COMMENT: coded}
    return exif, []


def _resource(iptc: bytes) -> bytes:
    """IPTC records as Photoshop's image resource."""
    if not iptc:
        return b""
    return b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc + b"\0" * (len(iptc) % 2)
