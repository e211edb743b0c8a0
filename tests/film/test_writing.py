"""What a written film has of the one that it is made from."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import LANGUAGES, RATE, Made, make_film, packets, write_gray

av = pytest.importorskip("av")

from fastcolor import VideoError, merge  # noqa: E402
from fastcolor.film import encode  # noqa: E402
from fastcolor.film.io import open_film  # noqa: E402
from fastcolor.film.sound import Copied  # noqa: E402

FRAMES = 8


@pytest.fixture(scope="module")
def rich(tmp_path_factory) -> dict[str, Path]:
    """Films with everything, by their suffixes."""
    folder = tmp_path_factory.mktemp("rich")
    return {suffix: make_film(folder / f"in{suffix}", FRAMES, rich=True) for suffix in (".mkv", ".mp4")}


@pytest.mark.promise("Films", "the luma plane of H.264 is the film's within one level, without bias, and tagged")
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_luma_plane_is_the_film_s(suffix, tmp_path, monkeypatch):
    """Before the encoder, which is made lossless here: Y of the file is 16 + 219 / 255 luma, rounded.

    A limited Y made luma of 8 bits is off by 0.43 of its levels at most, which rounding undoes: gray is exact. `merge`
    rounds R, G and B by 0.5 at most, another 0.43 of Y: 0.86, so that a Y may be one off, as often up as down. Where a
    channel is clipped, luma is the clipped one's.
    """
    if "libx264" not in av.codecs_available:
        monkeypatch.setattr(encode, "_ENCODERS", {"ffv1": {}})
    else:
        monkeypatch.setattr(encode, "_ENCODERS", {"libx264": {"qp": "0"}})
    rng = np.random.default_rng(0)
    plane = rng.integers(16, 236, (32, 48))
    luma = np.rint((plane - 16) * 255 / 219).astype(np.uint8)
    rgb = merge(rng.uniform(-0.08, 0.08, (2, 8, 12)).astype(np.float32), luma)
    write_gray(Made([rgb, np.repeat(luma[..., None], 3, axis=2)]), tmp_path / f"out{suffix}", codec="h264")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc) == (1, 1)  # BT.709
        colored, gray = container.decode(video=0)
    assert (colored.colorspace, colored.color_range) == (6, 1)  # BT.601, limited
    clipped = ((rgb == 0) | (rgb == 255)).any(axis=-1)
    assert clipped.mean() < 0.5
    assert (_luma(gray) == plane).all()
    off = (_luma(colored) - plane)[~clipped]
    assert np.abs(off).max() <= 1
    assert abs(off.mean()) < 4 * 0.3 / len(off) ** 0.5  # of 0.3 levels, r.m.s.
    exact = 16 + 219 / 255 * (rgb @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(_luma(colored) - exact).max() < 0.55  # 0.5 of rounding, and FFmpeg's 15-bit coefficients


def _luma(frame: Any) -> np.ndarray:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width].astype(int)


LEFT_OUT = {  # of a Matroska film; of an MP4 film
    ".mkv": ([], []),
    ".mp4": (["attachment font.ttf", "subtitle track 1 (srt, deu)"], []),
    ".m4v": (["attachment font.ttf", "subtitle track 1 (srt, deu)"], []),
    ".mov": (
        ["attachment font.ttf", "cover picture", "role 'comment' of track 2", "subtitle track 1 (srt, deu)"],
        ["cover picture", "role 'comment' of track 2"],
    ),
}


@pytest.mark.promise("Films", "languages, titles, roles, chapters, timecode, cover, subtitles, fonts stay or are named")
@pytest.mark.parametrize("source", [".mkv", ".mp4"])
@pytest.mark.parametrize("suffix", LEFT_OUT)
def test_what_a_container_keeps(rich, suffix, source, tmp_path):
    out = tmp_path / f"out{suffix}"
    film = open_film(rich[source])
    assert sorted(write_gray(film, out)) == LEFT_OUT[suffix][source == ".mp4"]
    assert not film.problems
    assert _bytes(out, "audio") == _bytes(rich[source], "audio")
    with av.open(str(out)) as container:
        said = {name.lower(): text for name, text in container.metadata.items()}
        assert (said["title"], said["artist"], said["comment"]) == ("The trip", "Méliès", "nitrate")
        *_, chapter = container.chapters()  # in MP4 the first one always begins at 0: an empty one
        assert (chapter["metadata"]["title"], chapter["start"] * chapter["time_base"]) == ("Landing", Fraction(2, 25))
        tones = container.streams.audio
        assert [tone.metadata["language"] for tone in tones] == list(LANGUAGES)
        assert "Commentary" in tones[1].metadata.values()
        assert bool(tones[1].disposition & 8) == (suffix != ".mov")
        assert {k.lower(): v for k, v in container.streams.video[0].metadata.items()}["timecode"] == "01:00:00:00"
        assert (len(container.streams.video) == 2) == (suffix != ".mov")  # the cover
        if suffix == source == ".mkv":
            (subtitles,) = container.streams.subtitles
            assert subtitles.metadata["language"] == "deu"
            assert subtitles.disposition & 0x40  # forced
            assert [stream.name for stream in container.streams if stream.type == "attachment"] == ["font.ttf"]
    if suffix == source == ".mkv":
        assert packets(out, "subtitle") == packets(rich[source], "subtitle")


def _bytes(path: Path, kind: str) -> list[list[bytes]]:
    return [[data for _, data in track] for track in packets(path, kind)]


@pytest.mark.promise("Films", "a part of a film has its chapters and its sound, and no timecode that would be wrong")
def test_a_part_of_a_film(rich, tmp_path):
    film = open_film(rich[".mp4"], start=Fraction(4, RATE), end=Fraction(6, RATE))
    assert write_gray(film, tmp_path / "out.mp4") == ["timecode"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        (chapter,) = container.chapters()
    assert (chapter["start"], chapter["end"] * chapter["time_base"]) == (0, Fraction(2, RATE))
    for track in packets(tmp_path / "out.mp4", "audio"):
        assert 0 <= track[0][0] < Fraction(1024, 48_000)
        assert track[-1][0] < Fraction(2, RATE)
    assert write_gray(open_film(rich[".mkv"]), tmp_path / "silent.mkv", sound=False) == []
    assert not packets(tmp_path / "silent.mkv", "audio")


@pytest.mark.promise("Films", "a line of subtitles that stands across the start or the end of a part is cut to it")
@pytest.mark.parametrize(
    ("start", "end", "expected"),  # ms; the line stands from 40 to 140
    [(0, 320, (40, 100)), (0, 120, (40, 80)), (80, 320, (0, 60)), (80, 120, (0, 40)), (160, 320, None)],
)
def test_subtitles_of_a_part(rich, start, end, expected, tmp_path):
    film = open_film(rich[".mkv"], start=Fraction(start, 1000), end=Fraction(end, 1000))
    assert not film.problems
    write_gray(film, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        lines = [(packet.pts, packet.duration) for packet in container.demux(subtitles=0) if packet.size]
    assert lines == ([expected] if expected else [])


@pytest.mark.promise("Films", "samples of sound stay in their place: what is missing is silence, what overlaps is cut")
@pytest.mark.parametrize(
    ("codec", "form"),
    [
        *((f"pcm_{name}", "mkv") for name in ("s16le", "s16be", "s24le", "f32le", "u8")),
        *(("pcm_alaw", "nut"), ("pcm_mulaw", "nut")),
    ],
)
@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_samples_with_gaps(codec, form, suffix, tmp_path):
    """Pieces of a tenth of a second, each of one level, each at its time."""
    starts, piece = [0, 800, 1600, 4000, 4800, 5200, 100_000], 800
    path = tmp_path / f"in.{form}"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10, width=32, height=32)
        tone = container.add_stream(codec, rate=8000, layout="stereo")
        gray = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8), format="rgb24")
        found = []
        for number in range(3):
            gray.pts, gray.time_base = number, Fraction(1, 10)
            found += pictures.encode(gray)
        found += pictures.encode()
        tone.codec_context.open()
        resampler = av.AudioResampler(tone.codec_context.format, "stereo", 8000)
        for number, start in enumerate(starts):
            levels = np.full((1, 2 * piece), 256 * 16 * (number + 1), np.int16)
            wave = av.AudioFrame.from_ndarray(levels, format="s16", layout="stereo")
            wave.sample_rate, wave.pts, wave.time_base = 8000, start, Fraction(1, 8000)
            found += [each for frame in resampler.resample(wave) for each in tone.encode(frame)]
        for each in sorted(found, key=lambda each: each.dts * each.time_base):
            container.mux(each)
    film = open_film(path)
    left_out = write_gray(film, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        name = container.streams.audio[0].codec_context.name
        pieces = [(f.pts * f.time_base, f.to_ndarray().reshape(-1, 2)) for f in container.decode(audio=0)]
    assert not film.problems
    anew = {".mp4": {"pcm_u8", "pcm_alaw", "pcm_mulaw"}, ".mkv": {"pcm_alaw", "pcm_mulaw"}, ".mov": set()}
    assert (name == "aac") == bool(left_out) == (codec in anew[suffix])
    if left_out:  # a container that has no place for the samples
        return
    assert name == codec
    if suffix == ".mkv":
        assert [round(time * 8000) for time, _ in pieces] == starts
        return
    levels = np.concatenate([samples for _, samples in pieces])
    levels = (levels.astype(float) - (128 if codec == "pcm_u8" else 0)) / {"pcm_u8": 1 / 256, "pcm_f32le": 2**-15}.get(
        codec, 65_536 if codec == "pcm_s24le" else 1
    )
    expected = np.zeros((starts[-1] + piece, 2))
    for number, start in reversed(list(enumerate(starts))):  # the earlier one stays
        expected[start : start + piece] = 4096 * (number + 1)
    assert levels.shape == expected.shape
    assert np.abs(levels - expected).max() <= 4096 / 8  # A-law and µ-law have four bits


@pytest.mark.promise("Films", "PCM of AVI and Matroska, whose channels have no names, goes into MP4 and MOV as it is")
@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6), ("6.1", 7)])
@pytest.mark.parametrize("form", ["avi", "mkv"])
def test_channels_without_names(form, layout, channels, tmp_path):
    path, wave = tmp_path / f"in.{form}", np.arange(960 * channels, dtype=np.int16)[None]
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=RATE, width=32, height=32)
        tone = container.add_stream("pcm_s16le", rate=48_000, layout=layout)
        gray = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8), format="rgb24")
        sound = av.AudioFrame.from_ndarray(wave, format="s16", layout=layout)
        sound.sample_rate, sound.pts = 48_000, 0
        for packet in [*pictures.encode(gray), *pictures.encode(), *tone.encode(sound), *tone.encode()]:
            container.mux(packet)
    for suffix in (".mp4", ".mov"):
        out = tmp_path / f"out{suffix}"
        assert not write_gray(open_film(path), out)
        with av.open(str(out)) as container:
            assert container.streams.audio[0].codec_context.layout.nb_channels == channels
            got = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
        np.testing.assert_array_equal(got, wave.ravel())


@pytest.mark.promise("Films", "titles that are no UTF-8, as in old AVI files, are read")
def test_titles_of_windows(tmp_path):
    path = make_film(tmp_path / "in.avi", 3, sound="mp2", title="Aeons Aeon")
    path.write_bytes(path.read_bytes().replace(b"Aeons Aeon", "Æons Æon\0\0".encode("cp1252")))
    write_gray(open_film(path), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["title"] == "Æons Æon"


@pytest.mark.promise("Films", "sound that the container does not hold is encoded anew, and named")
@pytest.mark.parametrize(
    ("name", "sound", "suffix", "said"),
    [
        ("in.asf", "wmav2", ".mp4", "sound track 1 (wmav2, eng) as it is, which is encoded anew as AAC"),
        ("in.mkv", "flac", ".mov", "sound track 1 (flac, eng) as it is, which is encoded anew as AAC"),
        ("in.asf", "wmav2", ".mkv", "sound track 1 (wmav2, eng) as it is, which is encoded anew as AAC"),
        ("in.mkv", "flac", ".mp4", None),
        ("in.avi", "mp2", ".mp4", None),
        ("in.vob", "ac3", ".mp4", None),
    ],
)
def test_sound_that_does_not_fit(name, sound, suffix, said, tmp_path):
    video = {"in.vob": "mpeg2video", "in.asf": "msmpeg4v3"}.get(name, "mpeg4")
    film = open_film(make_film(tmp_path / name, FRAMES, video=video, sound=sound))
    out = tmp_path / f"out{suffix}"
    left_out = write_gray(film, out)
    assert [text for text in left_out if "sound" in text] == ([said] if said else [])
    if said is None:
        assert _bytes(out, "audio") == _bytes(tmp_path / name, "audio")
        return
    with av.open(str(out)) as container:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(wave) / 48_000 == pytest.approx(FRAMES / RATE, abs=3 * 2048 / 48_000)  # frames of both codecs
    assert wave[4000:12_000].std() == pytest.approx(8**-0.5 * 2 / 3, rel=0.1)  # a sine of a third


@pytest.mark.promise("Films", "packets of sound that cannot be used are left out and counted; the film is written")
@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
@pytest.mark.parametrize("target", [".mp4", ".mkv"])
def test_an_unusable_packet_of_sound(suffix, target, tmp_path):
    """The head of a frame of sound in MPEG-TS; raw AAC that looks as if it had such a head, elsewhere."""
    path = make_film(tmp_path / f"in{suffix}", FRAMES)
    whole = packets(path, "audio")[0]
    data = bytearray(path.read_bytes())
    at = data.index(whole[4][1][:16])
    data[at : at + 2] = b"\x00\x00" if suffix == ".ts" else b"\xff\xf1"
    path.write_bytes(data)
    film = open_film(path)
    write_gray(film, tmp_path / f"out{target}")
    assert len(list(open_film(tmp_path / f"out{target}"))) == FRAMES
    (kept,) = packets(tmp_path / f"out{target}", "audio")
    lost = 2 if suffix == ".ts" else 1  # the parser of MPEG-TS takes all frames of sound up to the next head for one
    assert film.problems == [f"{path}: packets of sound that cannot be used are left out: {lost}"]
    assert len(kept) == (4 if suffix == ".ts" else len(whole) - 1)


@pytest.mark.parametrize(("sound", "kinds", "lost"), [(True, "sound or subtitles", 1), (False, "subtitles", 1)])
def test_what_cannot_be_used_is_called_what_it_is(rich, sound, kinds, lost, tmp_path, monkeypatch):
    track_of = Copied.takes
    monkeypatch.setattr(Copied, "takes", lambda way, packet: packet.stream.type == "audio" and track_of(way, packet))
    film = open_film(rich[".mkv"])
    write_gray(film, tmp_path / "out.mkv", sound=sound)
    assert film.problems == [f"{rich['.mkv']}: packets of {kinds} that cannot be used are left out: {lost}"]


@pytest.mark.promise("Films", "a flipped bit anywhere never gives a film without its pictures or a name half-written")
@pytest.mark.parametrize(("suffix", "sound"), [(".ts", "aac"), (".mkv", "ac3"), (".mp4", "aac")])
def test_flipped_bits(suffix, sound, tmp_path):
    path = make_film(tmp_path / f"in{suffix}", 4, sound=sound)
    data, draw = path.read_bytes(), random.Random(7)
    for _ in range(12):
        broken, bit = bytearray(data), draw.randrange(8 * len(data))
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        out = tmp_path / draw.choice(["out.mp4", "out.mkv"])
        try:
            write_gray(open_film(path), out)
        except VideoError as error:
            assert str(path) in str(error) or str(out) in str(error)  # noqa: PT017
        assert {p.name for p in tmp_path.iterdir()} <= {path.name, out.name}
        if out.exists():
            assert list(open_film(out))
            out.unlink()


@pytest.mark.promise("Films", "sound and pictures of files joined end to end go on at the joint")
@pytest.mark.parametrize("target", [".mp4", ".mkv"])
def test_joined_files(target, tmp_path):
    data = make_film(tmp_path / "one.ts", FRAMES, video="mpeg2video").read_bytes()
    (tmp_path / "two.ts").write_bytes(data + data)
    write_gray(open_film(tmp_path / "two.ts"), tmp_path / f"out{target}")
    for kind in ("video", "audio"):
        times = sorted(float(time) for time, _ in packets(tmp_path / f"out{target}", kind)[0])
        assert len(times) == 2 * len(packets(tmp_path / "one.ts", kind)[0])
        assert np.diff(times).max() < 0.15
        assert times[-1] - times[0] == pytest.approx(2 * FRAMES / RATE, abs=0.15)
