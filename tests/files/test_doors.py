"""The doors that zips, JSON and TOML from anywhere come through: damage is one kind of error, within bounds."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastcolor.files.npz import read_npz
from fastcolor.files.objects import read_object
from fastcolor.files.packs import read_pack, write_pack
from fastcolor.files.sets import source_of
from fastcolor.files.toml import read_toml


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    write_pack(tmp_path / "a.zip", [(f"train/{number}.jpg", bytes([number] * 40)) for number in range(3)], {})
    return tmp_path / "a.zip"


@pytest.mark.promise("Hostile files", "an archive with any damage is read, or refused by its name, and nothing else")
@pytest.mark.parametrize("where", ["directory", "anywhere", "end"])
def test_any_damage_to_a_pack_is_told_by_its_name(pack: Path, where: str) -> None:
    whole, drawn, told = pack.read_bytes(), random.Random(where), []
    first = {"directory": whole.index(b"PK\1\2"), "anywhere": 0, "end": len(whole) - 22}[where]
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(drawn.choice((1, 4, 16))):
            data[drawn.randrange(first, len(data))] = drawn.choice((0, 255, drawn.randrange(256)))
        pack.write_bytes(data)
        try:
            assert len(read_pack(pack, "train")) <= 3
        except ValueError as error:
            told.append(str(error))
    assert len(told) > 30
    assert all(text.startswith(f"{pack}: expected ") for text in told)


@pytest.mark.promise("Hostile files", "an archive with any damage is read, or refused by its name, and nothing else")
def test_any_damage_to_the_directory_of_arrays_is_a_value_error(tmp_path: Path) -> None:
    buffer, drawn, path = io.BytesIO(), random.Random(0), tmp_path / "a.npz"
    np.savez_compressed(buffer, a=np.arange(9), b=np.zeros(3))
    whole, refused = buffer.getvalue(), 0
    for _ in range(300):
        data = bytearray(whole)
        data[drawn.randrange(whole.index(b"PK\1\2"), len(data))] = drawn.randrange(256)
        path.write_bytes(data)
        try:
            read_npz(path, "[ab]")
        except ValueError:
            refused += 1
    assert refused > 30


def shifted(pack: Path, count: int, *, same_name: bool) -> None:
    """The directory says `count` times the first photograph, under one name or under many."""
    data = pack.read_bytes()
    start = data.index(b"PK\1\2")
    entries = data[start : data.rindex(b"PK\5\6")].split(b"PK\1\2")[1:]
    more = [entries[1] if same_name else entries[1].replace(b"train/0", b"train/%c" % (65 + n)) for n in range(count)]
    directory = b"".join(b"PK\1\2" + entry for entry in [*entries, *more])
    total = (len(entries) + count).to_bytes(2, "little")
    end = b"PK\5\6" + bytes(4) + total * 2 + len(directory).to_bytes(4, "little") + start.to_bytes(4, "little")
    pack.write_bytes(data[:start] + directory + end + bytes(2))


@pytest.mark.promise("Hostile files", "a pack takes no more memory than its file has bytes")
@pytest.mark.parametrize(("count", "same_name", "said"), [(1, True, "train/0.jpg is there twice"), (50, False, "")])
def test_a_directory_that_repeats_a_member_is_refused(pack: Path, count: int, same_name: bool, said: str) -> None:
    path = pack.with_name("large.zip")
    write_pack(path, [("train/0.jpg", bytes(10_000)), ("train/1.jpg", bytes(9))], {})
    shifted(path, count, same_name=same_name)
    with zipfile.ZipFile(path) as file:
        assert len(file.infolist()) == 3 + count  # which is a zip file for Python
    with pytest.raises(ValueError, match=said or r"members of 5\d{5} bytes in a file of 1\d{4}"):
        read_pack(path, "train")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[" * 10**5, "nested too deep"),
        (b'{"a":' * 10**5, "nested too deep"),
        (b"[]", "JSON of a list; expected an object"),
        (b"", "no JSON"),
        (b"9" * 5000, "no JSON"),
        (b"\xff", "codec can't decode"),
        (b" " * 999, "a file of 999 bytes; expected at most 500"),
    ],
)
def test_json_that_is_no_object(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError, match=said):
        read_object(tmp_path / "a.json", 500 if said.startswith("a file") else 10**6)


DOTTED = [
    "{0}=1",
    "[{0}]",
    "[[{0}]]",
    "x = {{{0} = 1}}",
    "x = [{{{0} = 1}}]",
    "'\"' = 1\n{0} = 1",
    '"\\"" = 1\n{0} = 1',
    'y = {{x = """\\"""#""", {0} = 1}}',
    'y = {{x = """\n# """, {0} = 1}}',
    "y = {{x = '''\n#''', {0} = 1}}",
    "y = {{x = '#', {0} = 1}}",
]


@pytest.mark.promise("Hostile files", "a description with keys of many dots does not take minutes")
@pytest.mark.parametrize("text", DOTTED)
@pytest.mark.parametrize("dot", [".", " . "])
@pytest.mark.parametrize("name", ["a", '"a"', "'a'"])
def test_keys_of_many_dots_are_refused(tmp_path: Path, text: str, dot: str, name: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text.format(dot.join([name] * 90)))
    read_toml(path)
    path.write_text(text.format(dot.join([name] * 20_000)))
    with pytest.raises(ValueError, match=r"run\.toml: expected TOML, got a key of more than 100 dots"):
        read_toml(path)


def test_dots_in_texts_and_numbers_are_no_keys(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    texts = '"' + "a.zip=" * 300 + '"' + ", 'b.b'" * 300
    told = "# a remark, don't count " + "." * 200
    long = '"""' + "." * 200 + '"""'
    path.write_text(f"sets = [{texts}]\nlist = [{'0.5,' * 300}]\n{told}\nlong = {long} {told}\n")
    assert len(read_toml(path)["list"]) == 300


@pytest.mark.promise("Sets and training", "a date in the name of a photograph is not taken for the hash of its content")
@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("IMG_20190704.png", ""),
        ("IMG_20190704a.png", ""),
        ("PXL_20210704_123456789.jpg", ""),
        ("IMG_20190704123059.jpg", ""),
        ("Screenshot_00000000.jpg", ""),
        ("sun_0123abcd.jpg", "sun"),
        ("sun_012345678901.jpg", "sun"),
        ("a_b_0123456789ab.webp.jpg", "a_b"),
        ("sun_da39a3ee5e6b4b0d3255bfef95601890afd80709.jpg", "sun"),
        ("sun_0123abc.jpg", ""),
    ],
)
def test_the_source_in_a_name(name: str, source: str) -> None:
    assert source_of(Path(name)) == source
