"""Picture files written from their specifications: what no library at hand writes, or writes right."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Order = Literal["<", ">"]
ORIENTATION, MAKE, EXIF_IFD, GPS_IFD = 0x0112, 0x010F, 0x8769, 0x8825
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a, 1),
}


def made_tiff(values: NDArray[Any], bits: int, order: Order = "<", *, planar: int = 1, **tags: Any) -> bytes:
    """An uncompressed file of one page.

    Parameters
    ----------
    values : ndarray, shape (H, W) or (H, W, samples)
        Integers below ``2**bits``, or what numpy stores in 8 to 64 bits.
    bits : int
        Of each sample; packed from the high bit on where they fill no bytes.
    order : "<" or ">"
    planar : int
        2 for one plane a sample.
    tags : int or tuple
        ``photometric``, ``kind`` (SampleFormat), ``extra``, ``orientation``; ``low`` and ``high`` are the range.
    """
    values = values.reshape(*values.shape[:2], -1)
    height, width, samples = values.shape
    planes = list(np.moveaxis(values, -1, 0)) if planar == 2 else [values.reshape(height, -1)]
    data = [b"".join(_row(row, bits, order) for row in plane) for plane in planes]
    entries = {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * samples), 259: ("H", [1])}
    entries |= {262: ("H", [tags.get("photometric", 1)]), 277: ("H", [samples]), 278: ("I", [height])}
    entries |= {274: ("H", [tags.get("orientation", 1)]), 284: ("H", [planar])}
    entries |= {339: ("H", [tags.get("kind", 1)] * samples)}
    if "extra" in tags:
        entries[338] = ("H", [tags["extra"]])
    code = "f" if tags.get("kind") == 3 else "i"
    entries |= {tag: (code, [tags[name]]) for tag, name in ((340, "low"), (341, "high")) if name in tags}
    entries |= {273: ("I", [0] * len(data)), 279: ("I", [len(part) for part in data])}
    return _file(entries, data, order)


def made_png(values: NDArray[Any], depth: int, color: int, **chunks: bytes) -> bytes:
    """A PNG file of any depth and color type, with any chunks before its pixels."""
    stored = values.reshape(len(values), -1).astype(np.uint16 if depth == 16 else np.uint8)
    data = b"".join(b"\0" + _row(row, depth, ">") for row in stored)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, color, 0, 0, 0)
    parts = {"IHDR": header, **chunks, "IDAT": zlib.compress(data), "IEND": b""}
    named = [(name.encode(), part) for name, part in parts.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part)) for name, part in named
    )


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    tags[MAKE] = "Acme"
    tags[EXIF_IFD] = {0xA002: 40, 0xA003: 30, 0x9003: "2020:01:02 03:04:05"}
    tags[GPS_IFD] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return tags.tobytes()


def gray_profile(gamma: float) -> bytes:
    """A minimal ICC profile of gray with a power law."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    table = struct.pack(">I", 2) + b"kTRC" + struct.pack(">II", 156, 14) + b"wtpt" + struct.pack(">II", 172, 20)
    body = table + curve + white
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + body


def _row(row: NDArray[Any], bits: int, order: Order) -> bytes:
    if bits % 8 == 0:
        return row.astype(row.dtype.newbyteorder(order)).tobytes()
    ones = np.array([[int(bit) for bit in format(int(value), f"0{bits}b")] for value in row], np.uint8)
    return np.packbits(ones).tobytes()


def _file(entries: dict[int, tuple[str, list]], data: list[bytes], order: Order) -> bytes:
    kinds = {"H": 3, "I": 4, "i": 9, "f": 11}
    at = 8 + 2 + 12 * len(entries) + 4
    outside = b""
    sizes = {tag: struct.calcsize("=" + code) * len(values) for tag, (code, values) in entries.items()}
    start = at + sum(size for size in sizes.values() if size > 4)
    entries[273] = ("I", [start + sum(map(len, data[:number])) for number in range(len(data))])
    folder = struct.pack(order + "H", len(entries))
    for tag, (code, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(packed) > 4:
            outside, packed = outside + packed, struct.pack(order + "I", at + len(outside))
        folder += struct.pack(order + "HHI", tag, kinds[code], len(values)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + folder + bytes(4) + outside + b"".join(data)
