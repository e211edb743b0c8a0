"""Films read: luma of every pixel format, times, orientation, what is damaged, hostile or no film at all."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")
from av.video.format import VideoFormat  # noqa: E402

from fastcolor import VideoError  # noqa: E402
from fastcolor.film.display import orientation_of  # noqa: E402
from fastcolor.film.film import SLOWEST  # noqa: E402
from fastcolor.film.io import open_film  # noqa: E402
from fastcolor.film.planes import check_picture, luma_plane, rgb_of  # noqa: E402
from fastcolor.film.times import FrameClock, Timeline  # noqa: E402

SIZE = 64, 48
FULL, LIMITED = 2, 1
PQ, HLG = 16, 18
BT709, UNSPECIFIED, BT601, BT2020, BT2020_CL = 1, 2, 6, 9, 10


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Gray frames that differ in their mean: steps of brightness, a ramp."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return (20 + 6 * number + (x + y) // 2).astype(np.uint8)


def encode(
    path: Path,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    *,
    frames: int = 10,
    size: tuple[int, int] = SIZE,
    sound: str | None = None,
    prepare: Callable[[Any, Any], None] = lambda container, stream: None,
    **options: str,
) -> Path:
    """A film of :func:`picture`, 25 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt, stream.bit_rate = pixels, 4_000_000
        prepare(container, stream)
        tone = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="gray").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
            if tone is not None:
                samples = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), format="s16", layout="mono")
                samples.sample_rate, samples.pts = 48_000, 1920 * number
                container.mux(tone.encode(samples))
        container.mux(stream.encode())
        if tone is not None:
            container.mux(tone.encode())
    return path


def numbers(film: Any) -> list[int]:
    """Which :func:`picture` each frame is."""
    return [round((float(frame.pixels.mean()) - float(picture(0).mean())) / 6) for frame in film]


def times(film: Any) -> list[float]:
    return [round(float(frame.time), 4) for frame in film]


def filled(name: str, luma: np.ndarray) -> Any:
    """A frame of this format whose first component has the codes `luma`; the rest is noise."""
    height, width = luma.shape
    frame, rng = av.VideoFrame(width, height, name), np.random.default_rng(0)
    for plane in frame.planes:
        plane.update(rng.integers(0, 256, plane.buffer_size, np.uint8).tobytes())
    rows = np.frombuffer(frame.planes[0], np.uint8).reshape(height, -1).copy()
    if name in PACKED:
        rows[:, PACKED[name] : 2 * width : 2] = luma
    else:
        bits = VideoFormat(name).components[0].bits
        codes = luma.astype("u1" if bits == 8 else ">u2" if name.endswith("be") else "<u2")
        if name.startswith(("p0", "p2", "p4")) or "msb" in name:  # in the upper bits
            codes = (codes << (16 - bits)).astype(codes.dtype)
        rows[:, : width * codes.itemsize] = codes.view(np.uint8)
    frame.planes[0].update(rows.tobytes())
    return frame


PACKED = {"uyvy422": 1, "yuyv422": 0, "yvyu422": 0}
Y_FORMATS = [
    *("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "yuva420p", "nv12", "nv21", "nv16"),
    *("yuv420p9be", "yuv420p10le", "yuv422p10be", "yuv444p10le", "yuva444p10le", "yuv420p12le", "yuv444p14be"),
    *("yuv420p16le", "yuv444p16be", "p010le", "p010be", "p016le", "p212le", "yuv444p10msble", "nv20be"),
    *("gray9le", "gray10le", "gray10be", "gray12le", "gray14be", "gray16le", "gray16be", *PACKED),
]


@pytest.mark.promise("Films", "luma is the Y plane of every pixel format, exactly expanded from its range")
@pytest.mark.parametrize("matrix", [0, BT709, UNSPECIFIED, BT601, BT2020, BT2020_CL])
@pytest.mark.parametrize("name", ["gray", "yuvj420p", "yuvj422p", *Y_FORMATS])
def test_luma_is_the_y_plane(name, matrix):
    bits = VideoFormat(name).components[0].bits
    codes = np.random.default_rng(1).integers(0, 2**bits, (24, 32)).astype(np.uint16)
    codes.flat[:2] = 0, 2**bits - 1
    frame = filled(name, codes)
    frame.colorspace = matrix
    full = np.floor(255.0 * codes / (2**bits - 1) + 0.5)
    limited = np.floor(255 * ((codes / 2 ** (bits - 8) - 16) / 219).clip(0, 1) + 0.5)
    always = name.startswith("yuvj")
    for tag, expected in ((FULL, full), (LIMITED, full if always else limited)):
        frame.color_range = tag
        np.testing.assert_array_equal(luma_plane(frame), expected)
    frame.color_range = 0
    np.testing.assert_array_equal(luma_plane(frame), full if always or name.startswith("gray") else limited)


@pytest.mark.promise("Films", "RGB, palette and bilevel films have the luma of their colors")
@pytest.mark.parametrize("name", ["rgb24", "bgr0", "argb", "gbrp", "gbrp10le", "gbrp12be", "gbrp16le", "pal8", "monow"])
def test_luma_of_rgb(name):
    rng = np.random.default_rng(0)
    if name == "pal8":
        indices, palette = rng.integers(0, 256, (24, 32)).astype(np.uint8), np.full((256, 4), 255, np.uint8)
        palette[:, 1:] = rng.integers(0, 256, (256, 3))
        frame, rgb = av.VideoFrame.from_ndarray((indices, palette), format="pal8"), palette[indices][..., 1:]
    elif name == "monow":
        rgb = np.repeat(255 * rng.integers(0, 2, (24, 32, 1)), 3, axis=2).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="monow")
    else:
        rgb = rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=name)
    exact = rgb @ np.array([0.299, 0.587, 0.114])
    # FFmpeg makes 10 bits of 8 by a shift: up to 3/4 of a level is lost here, before the film is read.
    assert np.abs(luma_plane(frame) - exact).max() <= 0.5 + (0.01 if VideoFormat(name).components[0].bits <= 8 else 1)


@pytest.mark.promise("Films", "10 bits, DV, uyvy422, RGB in AVI: luma within one level, half a level on average")
@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("hevc.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none:crf=1"}),
        ("av1.mp4", "libsvtav1", "yuv420p10le", {}),
        ("prores.mov", "prores_ks", "yuv422p10le", {"profile": "hq"}),
        ("dnxhr.mov", "dnxhd", "yuv422p", {"profile": "dnxhr_hq"}),
        ("v210.mov", "v210", "yuv422p10le", {}),
        ("packed.avi", "rawvideo", "uyvy422", {}),
        ("deep.mkv", "ffv1", "gray16le", {}),
        ("ntsc.dv", "dvvideo", "yuv411p", {}),
        ("huff.avi", "huffyuv", "rgb24", {}),
    ],
)
def test_luma_of_encoded_films(tmp_path, name, codec, pixels, options):
    size = {"dvvideo": (720, 480), "dnxhd": (256, 144), "libsvtav1": (96, 64)}.get(codec, SIZE)
    rate = Fraction(30_000, 1001) if codec == "dvvideo" else None

    def prepare(container, stream):
        if rate:
            stream.codec_context.framerate, stream.codec_context.time_base = rate, 1 / rate

    film = open_film(encode(tmp_path / name, codec, pixels, frames=3, size=size, prepare=prepare, **options))
    read = [frame.pixels.astype(int) for frame in film]
    assert not film.problems
    assert len(read) == 3
    for number, luma in enumerate(read):
        error = luma - picture(number, size).astype(int)
        assert abs(error.mean()) <= 0.25
        assert np.abs(error).mean() <= 0.5
        assert np.quantile(np.abs(error), 0.95) <= 1  # the encoder's


@pytest.mark.promise("Films", "chroma that leaves neutral now and then does not make the luma flicker")
def test_no_flicker_between_gray_and_color_frames(tmp_path):
    path, luma = tmp_path / "in.mkv", picture(4)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv444p"
        for number in range(10):
            chroma = np.full_like(luma, 128 + (3 if number % 5 == 4 else 0))
            frame = av.VideoFrame.from_ndarray(np.stack([luma, chroma, chroma]), format="yuv444p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    expected = np.floor(255 * (luma.astype(float) - 16).clip(0) / 219 + 0.5)
    for frame in open_film(path):
        np.testing.assert_array_equal(frame.pixels, expected)
    assert {frame.pixels.shape for frame in open_film(path, color=True)} == {(48, 64, 3)}


@pytest.mark.promise("Films", "HDR (PQ and HLG) is tone-mapped to SDR; colors to measure against are refused")
@pytest.mark.parametrize("curve", [PQ, HLG])
def test_hdr_becomes_sdr(curve):
    codes = np.tile(np.arange(1024, dtype=np.uint16), (2, 1))
    frame = filled("yuv420p10le", codes)
    frame.color_range, frame.color_trc, frame.colorspace = LIMITED, curve, BT2020
    luma = luma_plane(frame)[0].astype(int)
    assert luma[:65].max() == 0
    assert (np.diff(luma) >= 0).all()
    signal = ((codes[0] / 4 - 16) / 219).clip(0, 1)
    if curve == PQ:
        power = signal ** (1 / 78.84375)
        light = 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
    else:
        high = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = 1000 * np.where(signal <= 0.5, signal**2 / 3, high) ** 1.2
    assert (luma[light >= 1000 - 1e-6] == 255).all()
    dim = light <= 90
    np.testing.assert_allclose(luma[dim], 255 * (light[dim] / 203) ** (1 / 2.4), atol=0.51)
    diffuse = luma[np.abs(light - 203).argmin()]
    assert 205 <= diffuse <= 235  # below white: what is brighter still differs
    with pytest.raises(VideoError, match="expected a film in SDR"):
        rgb_of(frame)


@pytest.mark.promise("Films", "HDR is recognised by the tags of the codec or of the container")
@pytest.mark.parametrize(
    ("name", "codec", "pixels"), [("in.mkv", "ffv1", "yuv420p10le"), ("in.mov", "prores_ks", "yuv422p10le")]
)
def test_hdr_films(tmp_path, name, codec, pixels):
    def prepare(container, stream):
        context = stream.codec_context
        context.color_trc, context.colorspace, context.color_primaries = PQ, BT2020, BT2020

    plain = [frame.pixels for frame in open_film(encode(tmp_path / f"plain{name}", codec, pixels, frames=2))]
    hdr = [frame.pixels for frame in open_film(encode(tmp_path / name, codec, pixels, frames=2, prepare=prepare))]
    levels = [np.array([luma[plain[0] == level].mean() for level in (30, 60)]) for luma in (plain[0], hdr[0])]
    assert (levels[1] < levels[0] - 8).all()  # PQ is darker there


def test_dolby_vision_without_a_base_is_refused():
    frame = SimpleNamespace(color_trc=2, side_data={"DOVI_METADATA": b""})
    with pytest.raises(VideoError, match="Dolby Vision"):
        check_picture(frame)


def test_pixels_that_cannot_be_unpacked():
    with pytest.raises(VideoError, match="pixels of format rgb4 cannot be read"):
        luma_plane(av.VideoFrame(16, 16, "rgb4"))


JOINED = [
    ("a.ts", "mpeg2video", "mp2"),
    ("a.ts", "libx264", "aac"),
    ("a.vob", "mpeg2video", "mp2"),
    ("a.mpg", "mpeg1video", "mp2"),
]


@pytest.mark.promise("Films", "times go on where files were joined end to end; sound and pictures stay together")
@pytest.mark.parametrize(("name", "codec", "sound"), JOINED)
def test_joined_files(tmp_path, name, codec, sound):
    part = encode(tmp_path / name, codec, frames=12, sound=sound)
    whole = tmp_path / f"whole{part.suffix}"
    whole.write_bytes(part.read_bytes() * 3)
    film = open_film(whole)
    frames = list(film)
    assert not film.problems
    assert numbers(frames) == list(range(12)) * 3
    steps = np.diff([float(frame.time) for frame in frames])
    np.testing.assert_allclose(np.delete(steps, [11, 23]), 0.04, atol=2e-4)
    # The longest track ends up to a packet of sound and the delay of two frames after the pictures.
    assert (steps >= 0.039).all()
    assert steps.max() <= 0.04 + 0.024 + 0.08
    with av.open(str(whole)) as container:
        timeline, ends, gaps = Timeline(container), {}, []
        for packet in container.demux():
            timeline.retime(packet)
            if packet.stream.type == "audio" and packet.dts is not None:
                gaps.append((packet.dts - ends.get(0, packet.dts)) * packet.time_base)
                ends[0] = packet.dts + packet.duration
    assert timeline.joints == 2
    assert min(gaps) > -0.001
    assert max(gaps) <= 0.13


def packet(kind: str, dts: int, pts: int | None = None, index: int = 0, duration: int = 40) -> Any:
    stream = SimpleNamespace(index=index, type=kind)
    return SimpleNamespace(
        stream=stream, time_base=Fraction(1, 1000), dts=dts, pts=dts if pts is None else pts, duration=duration
    )


def retimed(flags: int, packets: list[Any]) -> list[int]:
    timeline = Timeline(SimpleNamespace(format=SimpleNamespace(flags=flags)))
    for each in packets:
        timeline.retime(each)
    return [each.pts for each in packets]


@pytest.mark.promise("Films", "absurd times (gaps of hours, backwards, frozen) leave a film of bounded length")
def test_timeline():
    mpegts = 0x200
    # A packet that is late at a joint belongs before it, whichever track shows the joint first.
    joint = [
        ("audio", 960, 1),
        ("video", 960, 0),
        ("audio", 0, 1),
        ("video", 1000, 0),
        ("video", 0, 0),
        ("audio", 40, 1),
    ]
    assert retimed(mpegts, [packet(kind, at, index=k) for kind, at, k in joint]) == [960, 960, 1000, 1000, 1000, 1040]
    pause = [packet("audio", 0, index=1), *(packet("video", t, duration=6000) for t in (0, 6000, 12_000))]
    assert retimed(mpegts, [*pause, packet("audio", 17_000, index=1)])[-1] == 17_000  # the pictures went on
    hours = 3_600_000
    assert retimed(mpegts, [packet("video", t) for t in (0, 40, 5 * hours, 5 * hours + 40, 80)]) == [
        0,
        40,
        80,
        120,
        160,
    ]
    assert retimed(0, [packet("video", t) for t in (0, 40, 60_040, 20 * hours)]) == [0, 40, 60_040, 60_080]
    assert retimed(0, [packet("video", 40, pts=9 * hours)]) == [40]
    assert retimed(0, [packet("video", 0, duration=9 * hours), packet("video", 40)]) == [0, 40]
    assert retimed(0, [packet("video", 1000), packet("subtitle", 99 * hours, index=1)]) == [1000, 99 * hours]
    assert retimed(0, [packet("audio", t) for t in (0, 40, 40, 20, 80)]) == [0, 40, 41, 42, 80]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 40, 80], [0, 40, 80]),
        ([None, None, None], [0, 40, 80]),
        ([0, 40, 40, 120], [0, 40, 60, 120]),
        ([0, 0, 0, 0], [0, 20, 40, 60]),
        ([100, 60, 180], [100, 120, 180]),
    ],
)
def test_frame_clock(stamps, expected):
    clock = FrameClock(Fraction(25), Fraction(1, 1000), Fraction(0))
    seen = []
    for stamp in stamps:
        clock.step(SimpleNamespace(pts=stamp, duration=40))
        seen.append(clock.time * 1000)
    assert seen == expected


SEEKING = [
    *(("in.ts", "mpeg2video"), ("in.ts", "libx264"), ("in.vob", "mpeg2video"), ("in.h264", "libx264")),
    *(("in.avi", "libx264"), ("in.mp4", "libx264"), ("in.mkv", "libx264"), ("in.flv", "flv1"), ("in.wmv", "wmv2")),
]


@pytest.mark.promise("Films", "start and end give exactly the frames asked for, in formats without an index too")
@pytest.mark.parametrize(("name", "codec"), SEEKING)
def test_start_and_end(tmp_path, name, codec):
    path = encode(tmp_path / name, codec, frames=20, g="6")
    film = open_film(path, start=Fraction(39, 100), end=Fraction(3, 5))
    frames = list(film)
    assert numbers(frames) == [10, 11, 12, 13, 14]
    np.testing.assert_allclose(times(frames), np.arange(5) * 0.04 + 0.01, atol=1.1e-3)
    assert not film.problems
    assert numbers(open_film(path, start=Fraction(3, 4))) == [19]


STANDING = [100, 60, 2000, 140]  # ms


@pytest.fixture(scope="module", params=["in.gif", "in.mp4", "in.mkv", "in.ts"])
def standing(request, tmp_path_factory):
    """A film whose frames stand for STANDING, with frames between frames; MPEG-TS seeks nowhere."""
    path = tmp_path_factory.mktemp("standing") / request.param
    shown = [Image.fromarray(picture(number)) for number in range(len(STANDING))]
    gif = path.with_name("made.gif")
    shown[0].save(gif, save_all=True, append_images=shown[1:], duration=STANDING)
    if path.suffix == ".gif":
        return gif
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"b-adapt": "0", "bf": "2"})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        for each in open_film(gif):
            frame = av.VideoFrame.from_ndarray(each.pixels, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(1000 * each.time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.promise("Films", "a frame stands until the next one is shown, and until the end of the part at most")
def test_frames_stand(standing):
    frames = list(open_film(standing))
    assert numbers(frames) == [0, 1, 2, 3]
    assert [round(1000 * frame.duration) for frame in frames[:-1]] == STANDING[:-1]
    cut = list(open_film(standing, end=Fraction(1)))
    assert [round(1000 * frame.duration) for frame in cut] == [100, 60, 840]


@pytest.mark.promise("Films", "a part in which no frame begins has the frame that stands there")
@pytest.mark.parametrize(
    ("start", "end", "number", "milliseconds"),
    [(500, 1500, 2, 1000), (2159, 2160, 2, 1), (110, 150, 1, 40), (2161, 2162, 3, 1), (0, 50, 0, 50)],
)
def test_a_part_within_a_frame(standing, start, end, number, milliseconds):
    film = open_film(standing, start=Fraction(start, 1000), end=Fraction(end, 1000))
    frames = list(film)
    assert numbers(frames) == [number]
    assert frames[0].time == 0
    assert round(1000 * frames[0].duration) == milliseconds
    assert not film.problems


def test_a_start_within_the_last_frame(standing):
    whole = list(open_film(standing))
    end = whole[-1].time + whole[-1].duration
    film = open_film(standing, start=end - Fraction(1, 1000))
    assert numbers(film) == [3]
    assert not film.problems
    film = open_film(standing, start=end)
    assert not list(film)
    assert film.problems[0].startswith("start: expected one before the end of ")


@pytest.mark.promise("Films", "AVI with frames between frames has regular times")
def test_avi_has_no_times_of_presentation(tmp_path):
    film = open_film(encode(tmp_path / "in.avi", "libx264", frames=20))
    frames = list(film)
    assert numbers(frames) == list(range(20))
    assert [frame.time for frame in frames] == [Fraction(k, 25) for k in range(20)]


ONE = 1 << 16


@pytest.mark.promise("Films", "all eight orientations, mirrored ones too; oblong pixels turn with the picture")
@pytest.mark.parametrize(
    ("a", "b", "c", "d", "expected", "aspect"),
    [
        (1, 0, 0, 1, "abc/def", "32/27"),
        (-1, 0, 0, 1, "cba/fed", "32/27"),
        (1, 0, 0, -1, "def/abc", "32/27"),
        (-1, 0, 0, -1, "fed/cba", "32/27"),
        (0, 1, 1, 0, "ad/be/cf", "27/32"),
        (0, 1, -1, 0, "da/eb/fc", "27/32"),
        (0, -1, 1, 0, "cf/be/ad", "27/32"),
        (0, -1, -1, 0, "fc/eb/da", "27/32"),
    ],
)
def test_orientations(tmp_path, a, b, c, d, expected, aspect):
    letters = [[ord(letter) for letter in row] for row in expected.split("/")]
    tiles = np.array([[97, 98, 99], [100, 101, 102]], np.uint8)  # abc/def

    def prepare(container, stream):
        stream.set_display_matrix([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30])
        stream.codec_context.sample_aspect_ratio = Fraction(32, 27)

    path = encode(tmp_path / "in.mp4", "mpeg4", size=(48, 32), frames=2, prepare=prepare)
    with av.open(str(path)) as container:
        orientation = orientation_of(next(container.decode(video=0)))
    assert orientation.shown(tiles).tolist() == letters
    film = open_film(path)
    assert film.aspect == Fraction(aspect)
    for number, frame in enumerate(film):
        assert np.abs(frame.pixels.astype(int) - orientation.shown(picture(number, (48, 32)))).mean() < 3


@pytest.mark.promise("Films", "a film is opened as a file, whatever its name is; titles may be in any encoding")
@pytest.mark.parametrize(
    "name", ["12:30 film.mp4", "http:film.mp4", "-i.mp4", "concat:a|b.mkv", "%03d.mp4", "pipe:.avi"]
)
def test_odd_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    encode(Path("in.mp4" if name.endswith("mp4") else f"in{name[-4:]}"), frames=3).rename(name)
    assert numbers(open_film(name)) == [0, 1, 2]


def test_titles_that_are_not_utf_8(tmp_path):
    path = encode(
        tmp_path / "in.avi", frames=3, prepare=lambda container, stream: container.metadata.update(title="Stra@e")
    )
    path.write_bytes(path.read_bytes().replace(b"Stra@e", "Straße".encode("latin-1")))
    assert len(list(open_film(path))) == 3


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "web.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nhttp://localhost:9/x.ts\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile {}\n",
    "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "list.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
}


@pytest.mark.promise("Hostile files", "a playlist named as a film opens no other file and no network")
@pytest.mark.parametrize("name", PLAYLISTS)
def test_playlists_open_nothing(tmp_path, monkeypatch, name):
    part = encode(tmp_path / "part.ts", "mpeg2video")
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(PLAYLISTS[name].format(part.name))
    with pytest.raises(VideoError, match=f"{name}: expected a video file"):
        list(open_film(name))


@pytest.mark.promise("Hostile files", "text is no film, whatever FFmpeg would draw of it")
@pytest.mark.parametrize("name", ["a.nfo", "a.mp4", "a.ts"])
@pytest.mark.parametrize(
    "text", [b"\x1b[31mhello\x1b[0m world\n" * 99, b"XBIN\x1a\x50\0\x19\0\x10\0" + b"A\x07" * 2000]
)
def test_text_is_no_film(tmp_path, name, text):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(VideoError, match=f"{name}: expected a video file, got"):
        open_film(tmp_path / name)


@pytest.mark.promise("Films", "films of one frame in days: no crash, and what is cut of them is told as that")
@pytest.mark.parametrize(("ticks", "closed"), [([0, 4000, 9000], 0), ([0, 2_000_000, 2_000_010], 1)])
def test_slow_films(tmp_path, ticks, closed):
    path = tmp_path / "in.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(number), format="gray").reformat(format="yuvj420p")
            frame.pts, frame.time_base = tick, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    film = open_film(path)
    assert numbers(film) == [0, 1, 2]
    assert SLOWEST <= film.rate < Fraction(1, 100)
    assert (film.rate == SLOWEST) == bool(closed)
    assert len(film.problems) == closed
    assert all("no frame for more than an hour" in problem for problem in film.problems)


@pytest.mark.promise("Films", "a start behind the end of a film is an error that says where the end is")
@pytest.mark.parametrize(
    ("name", "end"), [("in.mkv", "0.40"), ("in.ts", "0.40"), ("in.gif", "0.20"), ("*.png", "0.08")]
)
def test_a_start_behind_the_end(tmp_path, name, end):
    for number in range(2):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    if name == "in.gif":
        shown = [Image.fromarray(picture(number)) for number in range(2)]
        shown[0].save(tmp_path / name, save_all=True, append_images=shown[1:], duration=100)
    elif name != "*.png":
        encode(tmp_path / name, "mpeg2video")
    film = open_film(tmp_path / name, start=Fraction(50))
    assert not list(film)
    assert film.problems == [f"start: expected one before the end of {tmp_path / name}, at {end} s, got 50.00 s"]


def test_frames_in_the_order_that_people_expect(tmp_path):
    for number, name in enumerate(["1.png", "1²2.png", "2.png", "10.png", "³.png", "٣.png"]):
        Image.fromarray(picture(number)).save(tmp_path / name)
    Image.fromarray(picture(6)).save(tmp_path / ".fastcolor-0a0b0c0d.png")  # as a kill leaves it
    assert sorted(numbers(open_film(tmp_path))) == list(range(6))
    assert numbers(open_film(tmp_path / "[12]*.png"))[-1] == 3


@pytest.mark.promise("Films", "rates that no film has are refused")
@pytest.mark.parametrize("rate", [Fraction(0), Fraction(-1), Fraction(10**12), Fraction(1, 10**6)])
def test_rates(tmp_path, rate):
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    with pytest.raises(ValueError, match=f"rate: expected 1/10000 to 1000 frames a second, got {rate}"):
        open_film(tmp_path, rate=rate)


@pytest.mark.promise("Films", "the memory that reading takes does not grow with the film")
def test_frames_do_not_stay_in_memory(tmp_path):
    path = encode(tmp_path / "in.mkv", frames=20)
    gc.collect()
    gc.disable()
    try:
        alive = [sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) for _ in open_film(path)]
    finally:
        gc.enable()
    assert max(alive) < 6


def with_cover(path: Path, film: bool) -> Path:
    """An M4A or MP4 with a cover that comes before the film, if there is one."""
    with av.open(str(path), "w", format="mp4") as container:
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = (
            16,
            16,
            "rgb24",
            av.stream.Disposition.attached_pic,
        )
        pictures = container.add_stream("mpeg4", rate=25) if film else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = *SIZE, "yuv420p"
        tone = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1)
        container.mux(cover.encode(frame))
        if pictures is not None:
            for number in range(3):
                frame = av.VideoFrame.from_ndarray(picture(number), format="gray").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(pictures.encode(frame))
            container.mux(pictures.encode())
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate, samples.pts = 48_000, 0
        container.mux(tone.encode(samples))
        container.mux(tone.encode())
    return path


@pytest.mark.promise("Films", "cover art is no film; of several picture tracks the default one is read")
def test_covers_and_tracks(tmp_path):
    with pytest.raises(VideoError, match=r"song.m4a: no film in it; there are 1 audio tracks"):
        open_film(with_cover(tmp_path / "song.m4a", False))
    assert numbers(open_film(with_cover(tmp_path / "film.mp4", True))) == [0, 1, 2]
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        for default in (False, True):
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = *SIZE, "gray"
            stream.disposition = av.stream.Disposition.default if default else av.stream.Disposition(0)
        for stream, number in zip(container.streams.video, (3, 7), strict=True):
            frame = av.VideoFrame.from_ndarray(picture(number), format="gray")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    assert numbers(open_film(path)) == [7]


@pytest.mark.promise("Films", "what is missing at the end of a film is told")
@pytest.mark.parametrize(
    ("name", "codec", "share"),
    [
        ("in.avi", "rawvideo", 0.5),
        ("in.ts", "libx264", 0.4),
        ("in.ts", "mpeg2video", 0.3),
        ("in.mkv", "ffv1", 0.6),
        ("in.flv", "flv1", 0.6),
        ("front.mp4", "libx264", 0.7),
    ],
)
def test_truncated_films(tmp_path, name, codec, share):
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = tmp_path / name
    source = encode(tmp_path / f"whole{path.suffix}", codec, frames=40)
    if options:
        with av.open(str(source)) as given, av.open(str(path), "w", options=options) as target:
            stream = target.add_stream_from_template(given.streams.video[0])
            for each in given.demux(video=0):
                if each.dts is not None:
                    each.stream = stream
                    target.mux(each)
    else:
        source.rename(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share) | 1])
    film = open_film(path)
    frames = list(film)
    assert 3 <= len(frames) < 40
    assert numbers(frames)[:3] == [0, 1, 2]
    assert film.problems
    assert all(str(path) in problem for problem in film.problems)
    if name == "in.avi":
        assert f"the file says 40 frames (1.60 s), got {len(frames)}" in film.problems[-1]
    for end, whole in ((Fraction(2, 25), True), (Fraction(39, 25), False), (Fraction(100), False)):
        part = open_film(path, end=end)
        assert bool(list(part))
        assert bool(part.problems) != whole


FAULTY = [
    *(("a.mp4", "libx264", "yuv420p", "aac"), ("a.mov", "prores_ks", "yuv422p10le", None)),
    *(("a.mkv", "ffv1", "yuv420p", None), ("a.webm", "libvpx", "yuv420p", None), ("a.avi", "mpeg4", "yuv420p", "mp2")),
    *(("a.ts", "mpeg2video", "yuv420p", "mp2"), ("a.vob", "mpeg2video", "yuv420p", "mp2")),
    *(("a.flv", "flv1", "yuv420p", None), ("a.wmv", "wmv2", "yuv420p", None), ("a.h264", "libx264", "yuv420p", None)),
]
TRIED = 30  # faults a film


def faulty(data: bytes, rng: random.Random) -> bytes:
    at, length = rng.randrange(len(data)), rng.randrange(1, 2000)
    kind = rng.randrange(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + data[at + length :]
    if kind == 2:
        return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]
    damaged = bytearray(data)
    for _ in range(1 if kind == 3 else 20):
        damaged[rng.randrange(min(len(data), 1200) if kind == 3 else len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


@pytest.mark.promise("Hostile files", "damaged films: no crash, no error but VideoError, increasing times")
@pytest.mark.parametrize(("name", "codec", "pixels", "sound"), FAULTY)
def test_damaged_films(tmp_path, name, codec, pixels, sound):
    path = encode(tmp_path / name, codec, pixels, frames=8, sound=sound)
    data, rng = path.read_bytes(), random.Random(name + codec)
    seen, told = 0, []
    for _ in range(TRIED):
        path.write_bytes(faulty(data, rng))
        try:
            film = open_film(path)
            frames = list(film)
        except VideoError as error:
            told += [str(error)]
            continue
        seen += bool(frames)
        assert frames or film.problems
        assert all(a.time < b.time for a, b in pairwise(frames))
        told += film.problems
    assert all(str(path) in message for message in told)
    assert seen >= TRIED // 3


@pytest.mark.promise("Films", "animated GIF, WebP and PNG: frames as they are shown, exact times, bombs refused")
@pytest.mark.parametrize("name", ["in.gif", "in.webp", "in.png", "in.apng"])
def test_animations(tmp_path, name, monkeypatch):
    shown = [Image.fromarray(picture(number)) for number in (1, 4, 8)]
    options = {"lossless": True} if name.endswith("webp") else {}
    form = {"apng": "PNG"}.get(name[3:])
    shown[0].save(tmp_path / name, form, save_all=True, append_images=shown[1:], duration=[50, 100, 30], **options)
    film = open_film(tmp_path / name)
    frames = list(film)
    assert [round(1000 * frame.time) for frame in frames] == [0, 50, 150]
    assert [round(1000 * frame.duration) for frame in frames] == [50, 100, 30]
    for frame, number in zip(frames, (1, 4, 8), strict=True):
        assert np.abs(frame.pixels.astype(int) - picture(number)).max() <= (3 if name.endswith("webp") else 0)
    assert film.rate == Fraction(3000, 50 + 100 + 30)  # on average
    assert film.length == Fraction(180, 1000)
    data = (tmp_path / name).read_bytes()
    for share in (0.45, 0.6, 0.75, 0.9):
        (tmp_path / name).write_bytes(data[: int(len(data) * share)])
        cut = open_film(tmp_path / name)
        first = list(cut)
        assert 1 <= len(first) < 3
        assert all((a.pixels == b.pixels).all() for a, b in zip(first, frames, strict=False))
        assert f"damaged or truncated after {len(first)} frame" in cut.problems[0]
    (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with pytest.raises(VideoError, match=r"in.*more pixels than the limit"):
        open_film(tmp_path / name)


def test_transparent_frames_and_hidden_pictures(tmp_path):
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    clear.putpixel((0, 0), (90, 90, 90, 255))
    clear.putpixel((1, 0), (0, 0, 0, 51))
    first = Image.new("RGBA", (8, 8), (50, 50, 50, 255))  # for those who know no animations
    first.save(tmp_path / "in.png", save_all=True, append_images=[clear, first], default_image=True, duration=40)
    frames = list(open_film(tmp_path / "in.png"))
    assert len(frames) == 2
    assert frames[0].pixels[0, :3].tolist() == [90, 204, 255]
    assert {frame.pixels.shape for frame in open_film(tmp_path / "in.png", color=True)} == {(8, 8, 3)}


@pytest.mark.promise("Hostile files", "a film whose header claims enormous frames is refused before they are made")
def test_enormous_frames(tmp_path):
    path = encode(tmp_path / "in.avi", "rawvideo", frames=2)
    data = path.read_bytes()
    at = data.index(b"strf") + 12  # width and height in BITMAPINFOHEADER
    path.write_bytes(data[:at] + np.array([14_000, 14_000], "<u4").tobytes() + data[at + 8 :])
    with pytest.raises(VideoError, match=r"in\.avi: expected frames of at most 134,217,728 pixels, got 14000x14000"):
        open_film(path)
