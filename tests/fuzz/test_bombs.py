"""Small files that say they are large, or are when they are unpacked: known by their headers, in little memory."""

from __future__ import annotations

import json
import resource
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fuzz_targets import SEPARATOR, attempt, tiny_bins  # noqa: E402

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.errors import WeightsError  # noqa: E402
from fastcolor.network.unet import ColorUNet  # noqa: E402

CORPUS = Path(__file__).with_name("corpus")
PEAK = 24 << 20  # bytes; the files have up to 5 MB, and a directory of 10,000 members is read
GROWTH = 200 << 20  # bytes of the process for networks, whose tensors Python does not see


class Member(NamedTuple):
    """An entry of a zip file that says what it likes."""

    name: str
    packed: bytes
    size: int  # that it says it has
    method: int = 0  # stored
    flags: int = 0
    crc: int | None = None


def zip_of(*members: Member) -> bytes:
    """A zip file, by its format alone: local headers and data, directory, end."""
    body, directory = bytearray(), bytearray()
    for name, packed, size, method, flags, crc in members:
        fields = (20, flags, method, 0, 0, zlib.crc32(packed) if crc is None else crc, len(packed), size, len(name), 0)
        start = len(body)
        body += b"PK\x03\x04" + struct.pack("<5H3I2H", *fields) + name.encode() + packed
        directory += b"PK\x01\x02" + struct.pack("<H5H3I2H", 20, *fields) + struct.pack("<3H2I", 0, 0, 0, 0, start)
        directory += name.encode()
    end = struct.pack("<4H2IH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return bytes(body + directory + b"PK\x05\x06" + end)


def npy(header: str, data: bytes = b"") -> bytes:
    """An array's file."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def good(*names: str) -> list[Member]:
    """The members of a set of two bins."""
    members = []
    for name in names:
        array = np.asarray(getattr(tiny_bins(), name))
        header = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape}}}"
        data = npy(header, array.tobytes())
        members.append(Member(f"{name}.npy", data, len(data)))
    return members


GOOD = good("table", "colors", "prior")
REST = good("table", "prior")


def deflated_zeros(gibibytes: int) -> bytes:
    """Of the beginning of an array and zeros, so many GiB: a block of 16 MiB as often as needed."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = pack.compress(bytes(16 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin = pack.compress(npy(WIDE)) + pack.flush(zlib.Z_FULL_FLUSH)
    return begin + block * (64 * gibibytes) + b"\x03\x00"


WIDE = "{'descr': '<f4', 'fortran_order': False, 'shape': (500000000, 2)}"
SMALL = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}"


def colors(packed: bytes, size: int | None = None, *more: int) -> bytes:
    """A file whose colors are this."""
    return zip_of(*REST, Member("colors.npy", packed, len(packed) if size is None else size, *more))


BINS: dict[str, tuple[Callable[[], bytes], str]] = {
    "an unneeded member": (lambda: zip_of(*GOOD, Member("x.npy", deflated_zeros(3), (3 << 30) + 128, 8)), ""),
    "a needed one": (lambda: colors(deflated_zeros(3), (3 << 30) + 128, 8), "expected at most 33554432"),
    "one that says it is small": (lambda: colors(deflated_zeros(3), 300, 8), "Bad CRC-32"),
    "an array larger than its file": (lambda: colors(npy(WIDE)), "of shape (500000000, 2) in 75 bytes"),
    "bzip2": (lambda: colors(b"BZh91AY&SY", 300, 12), "packed by method 12"),
    "LZMA": (lambda: colors(b"\x09\x04\x05\x00", 300, 14), "packed by method 14"),
    "an encrypted member": (lambda: colors(bytes(64), 64, 0, 1), "colors.npy is encrypted"),
    "10,000 members": (lambda: zip_of(*[Member(f"{n}", b"", 0) for n in range(10_000)], *GOOD), ""),
    "a file of 9 MB": (lambda: colors(bytes(9 << 20), 9 << 20), "expected at most 8388608"),
    "no number of bytes": (lambda: colors(npy(SMALL, bytes(16)), 2**32 - 1), "expected at most 33554432"),
    "a header that is code": (lambda: colors(npy("__import__('os').abort()")), "colors.npy: malformed node"),
    "a header of brackets": (lambda: colors(npy("(" * 900)), "colors.npy: "),
    "a header of minuses": (lambda: colors(npy("-" * 1000)), "colors.npy: "),
    "a header that is long": (lambda: colors(npy(" " * 60_000)), "colors.npy: "),
    "objects": (lambda: colors(npy(SMALL.replace("<f4", "|O"), bytes(32))), "an array of object"),
    "records": (lambda: colors(npy(SMALL.replace("'<f4'", "[('a', '<f4')]"), bytes(16))), "expected numbers"),
    "negative sizes": (lambda: colors(npy(SMALL.replace("(2, 2)", "(-2, -2)"), bytes(16))), "of shape (-2, -2)"),
    "a sum that is wrong": (lambda: colors(npy(SMALL, bytes(16)), None, 0, 0, 7), "Bad CRC-32"),
}


@pytest.mark.promise("Hostile files", "bins that unpack to gigabytes are known by their headers, in 24 MB")
@pytest.mark.parametrize("name", BINS)
def test_bins(name: str) -> None:
    make, message = BINS[name]
    data = b"\0" + make()
    tracemalloc.start()
    try:
        said = attempt("bins", data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (said or "") == "" if not message else message in (said or ""), said
    assert peak < PEAK, f"{peak >> 20} MiB"


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "bins.npz")
    with pytest.raises(ValueError, match=r"bins\.npz: .*got no regular file"):
        ColorBins.load(tmp_path / "bins.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match=r"folder\.npz: .*got no regular file"):
        ColorBins.load(tmp_path / "folder.npz")


def model_with(weights: bytes | None = None, **config: object) -> bytes:
    """An input of the models: a good one but for its weights and its configuration."""
    begin, _, rest = (CORPUS / "models/seed-full-file").read_bytes().partition(SEPARATOR)
    return json.dumps({**json.loads(begin), **config}).encode() + SEPARATOR + (b"\0" + weights if weights else rest)


def header(length: int, text: bytes = b"{}") -> bytes:
    return struct.pack("<Q", length) + text


WIDTHS = [12_000, 65_536, 65_537, 10**9, 10**30, 0, -1, 1.0, True]
MODELS = {
    **{f"widths of {width}": (lambda w=width: model_with(down=[w, w], up=[w], head=w)) for width in WIDTHS},
    "one wide layer": lambda: model_with(head=65_536),
    "100,000 layers": lambda: model_with(down=[1] * 100_000, up=[1] * 99_999),
    "9 layers": lambda: model_with(down=[1] * 9, up=[1] * 8),
    "a fold of 10**9": lambda: model_with(fold=10**9),
    "10**9 bins": lambda: model_with(bins=10**9),
    "a side of 10**9": lambda: model_with(size=10**9),
    "brackets": lambda: b"[" * 100_000 + SEPARATOR,
    "a configuration of 2 MB": lambda: b'"' + b"a" * (2 << 20) + b'"' + SEPARATOR,
    "many keys": lambda: model_with(**{f"key{number}": 0 for number in range(10_000)}),
    "a header of 2**63 bytes": lambda: model_with(header(2**63)),
    "a header longer than the file": lambda: model_with(header(10_000)),
    "a header of 17 MB": lambda: model_with(header(17 << 20, b"{}".ljust(17 << 20))),
    "a shape of 10**18": lambda: model_with(
        header(64, b'{"a":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,4]}}')
    ),
}


@pytest.mark.promise("Hostile files", "a model is compared with its weights' header before anything is allocated")
@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    data = MODELS[name]()
    attempt("models", model_with())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = attempt("models", data)
    assert said is not None
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GROWTH


def test_weights_that_unpack(tmp_path: Path) -> None:
    """A .pth is a zip file, whose members torch unpacks."""
    from fastcolor.network.config import UNetConfig
    from fastcolor.network.encoder_weights import load_encoder

    path = tmp_path / "weights.pth"
    path.write_bytes(zip_of(Member("archive/data/0", deflated_zeros(3), 3 << 30, 8)))
    with pytest.raises(WeightsError, match=r"weights\.pth: expected at most \d+ bytes of weights, got 3221225472"):
        load_encoder(ColorUNet(UNetConfig(encoder="efficientnet-lite0")), path)
