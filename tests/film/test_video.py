"""fastcolor video on real encoded files, made here: what is kept, what is written, and what bad input does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

av = pytest.importorskip("av")
torch = pytest.importorskip("torch")

from fastcolor import ColorBins, colorize_video  # noqa: E402
from fastcolor.commands import main as cli  # noqa: E402
from fastcolor.evaluation.clips import KINDS, make_clip  # noqa: E402
from fastcolor.evaluation.films import evaluate_file  # noqa: E402
from fastcolor.film.io import open_film  # noqa: E402
from fastcolor.film.sample_clip import RATE, sample_frames, write_sample  # noqa: E402
from fastcolor.film.write import film_writer  # noqa: E402
from fastcolor.network.unet import ColorUNet, UNetConfig  # noqa: E402

SECONDS = 0.5  # of each of the three shots: 36 frames
FRAMES = 36


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """The folder of a small untrained network."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    network = ColorUNet(UNetConfig(down=(8, 8), up=(8,), head=8, size=64), ColorBins.default())
    with torch.no_grad():
        network.head[-1].weight *= 30  # colors that no encoder takes for gray
    network.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """H.264, or MPEG-4 where there is no encoder for it, with AAC."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    write_sample(path, 96, 64, seconds=SECONDS, codec=codec)
    return path


@pytest.fixture
def video(model):
    """Run the command; its exit status."""
    return lambda *words: cli.main(["video", *map(str, words), "--model", model])


def pictures(path: Path) -> list[np.ndarray]:
    return [frame.pixels for frame in open_film(path, color=True)]


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """(time in seconds, bytes) of every packet of a track."""
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.type == kind]
        found = container.demux(streams) if streams else ()
        return [(p.pts * p.time_base, bytes(p)) for p in found if p.pts is not None]


def encode(path: Path, frames: Any, codec: str = "mpeg4", ticks: Any = None, base: int = 1200, **options: Any) -> Path:
    """A film of RGB frames with given times in ticks of 1 / base s, 25 a second by default."""
    rotation = options.pop("rotation", None)
    aspect = options.pop("aspect", None)
    frames = list(frames)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, base)
        stream.bit_rate = 2_000_000
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for number, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = (ticks[number] if ticks else number * base // 25), Fraction(1, base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_mp4_keeps_times_rate_size_and_sound(video, clip, tmp_path):
    out = tmp_path / "out.mp4"
    assert video(clip, "-o", out) == 0
    source, result = open_film(clip), open_film(out, color=True)
    assert result.rate == source.rate == RATE
    before, after = list(source), list(result)
    assert len(after) == FRAMES
    assert [f.time for f in after] == [f.time for f in before]
    assert [f.duration for f in after] == [f.duration for f in before]
    assert after[0].pixels.shape == (64, 96, 3)
    assert packets(out, "audio") == packets(clip, "audio")
    assert not source.problems
    assert not result.problems
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4"]


def test_mkv_is_lossless_and_equals_the_frames(video, clip, tmp_path):
    assert video(clip, "-o", tmp_path / "out.mkv") == 0
    assert video(clip, "-o", tmp_path / "frames") == 0
    images = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "frames").iterdir())]
    film = pictures(tmp_path / "out.mkv")
    assert len(film) == len(images) == FRAMES
    for a, b in zip(film, images, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [data for _, data in packets(tmp_path / "out.mkv", "audio")] == [data for _, data in packets(clip, "audio")]


def test_luma_is_the_input_s(video, tmp_path):
    frames = [np.repeat(rgb[..., :1] // 2 + 60, 3, axis=2) for rgb in sample_frames(64, 48, seconds=0.1, shots=(0,))]
    encode(tmp_path / "gray.mkv", frames, "ffv1")
    assert video(tmp_path / "gray.mkv", "-o", tmp_path / "out.mkv") == 0
    for source, result in zip(pictures(tmp_path / "gray.mkv"), pictures(tmp_path / "out.mkv"), strict=True):
        inside = (result > 0).all(axis=-1) & (result < 255).all(axis=-1)
        luma = result @ np.array([0.299, 0.587, 0.114])
        assert np.abs(luma - source[..., 0])[inside].max() <= 0.5 + 1e-9


def test_gif_and_webp(video, clip, tmp_path):
    assert video(clip, "-o", tmp_path / "out.gif") == 0
    with Image.open(tmp_path / "out.gif") as image:
        assert image.n_frames == FRAMES
        image.seek(0)
        assert image.info["duration"] in (40, 50)
    frames = [Image.fromarray(rgb) for rgb in pictures(clip)[:5]]
    for name in ("in.gif", "in.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=[50, 100, 50, 200, 50])
        assert video(tmp_path / name, "-o", tmp_path / f"{name}.mp4") == 0
        film = list(open_film(tmp_path / f"{name}.mp4"))
        assert [float(f.time) for f in film] == pytest.approx([0, 0.05, 0.15, 0.2, 0.4])


def test_folders_and_globs_of_frames(video, tmp_path):
    for number, rgb in enumerate(sample_frames(32, 24, seconds=0.5, shots=(0,)), 1):
        Image.fromarray(rgb).save(tmp_path / f"frame{number}.png")  # frame10 comes after frame9
    film = open_film(tmp_path)
    assert [path.name for path in film.paths] == [f"frame{k}.png" for k in range(1, 13)]
    assert video(tmp_path, "-o", tmp_path / "out.mp4", "--rate", "12.5") == 0
    assert open_film(tmp_path / "out.mp4").rate == Fraction(25, 2)
    assert video(tmp_path / "frame1?.png", "-o", tmp_path / "few.mp4") == 0
    assert len(pictures(tmp_path / "few.mp4")) == 3


def test_variable_frame_times_are_kept(video, tmp_path):
    ticks = [0, 48, 100, 300, 348, 900]
    encode(tmp_path / "in.mp4", sample_frames(32, 32, seconds=0.25, shots=(0,)), ticks=ticks)
    assert video(tmp_path / "in.mp4", "-o", tmp_path / "out.mp4") == 0
    assert [f.time for f in open_film(tmp_path / "out.mp4")] == [Fraction(t, 1200) for t in ticks]


def test_rotation_and_aspect(video, tmp_path):
    frames = [np.zeros((32, 64, 3), np.uint8) for _ in range(4)]
    for frame in frames:
        frame[:8, :16] = 250  # upper left
    for degrees in (90, 180, -90):
        encode(tmp_path / "in.mp4", frames, rotation=degrees)
        with av.open(str(tmp_path / "in.mp4")) as container:
            turned = next(container.decode(video=0)).rotation
        assert abs(turned) == abs(degrees)
        assert video(tmp_path / "in.mp4", "-o", tmp_path / "out.mp4", "--force") == 0
        film = pictures(tmp_path / "out.mp4")[0]
        expected = np.rot90(frames[0], turned // 90)
        assert film.shape == expected.shape
        assert np.abs(film.mean(axis=-1) - expected.mean(axis=-1)).mean() < 25
    encode(tmp_path / "wide.mp4", frames, aspect=Fraction(4, 3))
    assert video(tmp_path / "wide.mp4", "-o", tmp_path / "wide_out.mp4") == 0
    assert open_film(tmp_path / "wide_out.mp4").aspect == Fraction(4, 3)


def test_odd_sizes_are_padded_for_mp4_only(video, tmp_path):
    encode(tmp_path / "odd.mkv", sample_frames(33, 25, seconds=0.1, shots=(0,)), "ffv1")
    assert video(tmp_path / "odd.mkv", "-o", tmp_path / "out.mp4") == 0
    assert video(tmp_path / "odd.mkv", "-o", tmp_path / "out.mkv") == 0
    assert pictures(tmp_path / "out.mp4")[0].shape == (26, 34, 3)
    assert pictures(tmp_path / "out.mkv")[0].shape == (25, 33, 3)


def test_start_end_compare_and_no_sound(video, clip, tmp_path):
    out = tmp_path / "out.mp4"
    assert video(clip, "-o", out, "--start", "0.25", "--end", "0:01", "--compare") == 0
    film = list(open_film(out, color=True))
    assert len(film) == 18
    assert film[0].time == 0
    assert film[0].pixels.shape == (64, 192, 3)
    gray = film[0].pixels[:, :90]
    assert np.abs(gray.astype(int) - gray.mean(axis=-1, keepdims=True)).max() <= 6
    sound = packets(out, "audio")
    assert 0 <= sound[0][0] < 0.03
    assert sound[-1][0] < 0.75
    assert {data for _, data in sound} <= {data for _, data in packets(clip, "audio")}
    assert video(clip, "-o", tmp_path / "silent.mp4", "--no-sound") == 0
    with av.open(str(tmp_path / "silent.mp4")) as container:
        assert not container.streams.audio


def test_one_frame(video, tmp_path):
    encode(tmp_path / "one.mp4", [np.full((32, 32, 3), 99, np.uint8)])
    for name in ("out.mp4", "out.mkv", "out.gif", "out"):
        assert video(tmp_path / "one.mp4", "-o", tmp_path / name) == 0
    assert len(pictures(tmp_path / "out.mp4")) == len(pictures(tmp_path / "out.gif")) == 1


def test_truncated_film_is_written_as_far_as_it_goes(video, clip, tmp_path, capsys):
    whole = tmp_path / "whole.mkv"
    assert video(clip, "-o", whole) == 0
    for name, data in (("cut.mkv", whole.read_bytes()), ("cut.mp4", with_index_in_front(clip, tmp_path))):
        (tmp_path / name).write_bytes(data[: len(data) * 6 // 10])
        capsys.readouterr()
        assert video(tmp_path / name, "-o", tmp_path / f"out-{name}") == 1
        assert f"{name}: " in (message := capsys.readouterr().err)
        assert "truncated" in message or "damaged" in message or "cannot be read any further" in message
        film = pictures(tmp_path / f"out-{name}")
        assert 5 < len(film) < FRAMES


def with_index_in_front(clip: Path, folder: Path) -> bytes:
    """The same MP4, its index before its data: without index nothing could be read."""
    path = folder / "front.mp4"
    with av.open(str(clip)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return path.read_bytes()


def test_damaged_film_is_written_and_reported(video, tmp_path, capsys):
    frames = sample_frames(64, 48, seconds=1, shots=(0,))
    path = encode(tmp_path / "in.mkv", frames, "ffv1")
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data) // 2):
        data[at] ^= 0x5A
    path.write_bytes(data)
    assert video(path, "-o", tmp_path / "out.mkv") == 1
    assert "in.mkv: " in capsys.readouterr().err
    assert pictures(tmp_path / "out.mkv")


def test_damaged_frame_of_a_folder(video, tmp_path, capsys):
    for number in range(4):
        Image.fromarray(np.full((16, 16), 50 * number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:-25])
    assert video(tmp_path, "-o", tmp_path / "out.mkv") == 1
    assert "2.png: damaged" in capsys.readouterr().err
    assert len(pictures(tmp_path / "out.mkv")) == 3


def bad_files(folder: Path) -> dict[str, str]:
    """Name -> what the message must say."""
    (folder / "text.mp4").write_text("no film" * 100)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "broken.gif").write_bytes(b"GIF89a" + bytes(3))
    (folder / "nothing").mkdir()
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return {
        "missing.mp4": "no such file",
        "text.mp4": "expected a video file, got something else or one that is damaged",
        "empty.mp4": "expected a video file",
        "broken.gif": "expected a GIF, WebP or PNG",
        "nothing": "no images there",
        "sound.mp4": "no film in it; there are 1 audio tracks",
    }


def test_what_is_no_film_is_a_clear_error(video, tmp_path, capsys):
    for name, message in bad_files(tmp_path).items():
        assert video(tmp_path / name, "-o", tmp_path / "out.mp4") == 1
        error = capsys.readouterr().err
        assert message in error
        assert name in error
        assert not (tmp_path / "out.mp4").exists()


def test_changing_size_leaves_nothing(video, tmp_path, capsys):
    for number, side in enumerate((16, 16, 20)):
        Image.fromarray(np.zeros((side, 16), np.uint8)).save(tmp_path / f"{number}.png")
    for name in ("out.mp4", "out"):
        assert video(tmp_path, "-o", tmp_path / name) == 1
        assert "expected 16x16 pixels like the frames before, got 16x20 at frame 2" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.png", "1.png", "2.png"]


def test_no_frames_between_start_and_end(video, clip, tmp_path, capsys):
    assert video(clip, "-o", tmp_path / "out.mp4", "--start", "50") == 1
    assert capsys.readouterr().err == (
        f"fastcolor: error: start: expected one before the end of {clip}, at 1.50 s, got 50.00 s\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "out.avi"], "expected a name that ends in .mp4, .mov, .m4v, .mkv, .gif"),
        (["-o", "no/such/folder/out.mp4"], "does not exist"),
        (["-o", "out.mp4", "--start", "2", "--end", "1"], "expected 0 <= start < end"),
        (["-o", "out.mp4", "--rate", "24"], "rate: expected None"),
        (["-o", "out.mp4", "--alpha", "-1"], "alpha"),
        (["-o", "out.mp4", "--sample"], "got both"),
        (["-o", "there.mp4"], "exists already; --force overwrites it"),
    ],
)
def test_wrong_options(video, clip, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    Path("there.mp4").write_bytes(b"something")
    assert video(clip, *words) == 1
    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["there.mp4"]
    assert Path("there.mp4").read_bytes() == b"something"


@pytest.mark.promise("Messages", "numbers that are none are wrong usage, which the message names")
@pytest.mark.parametrize("option", ["--start", "--end", "--rate"])
@pytest.mark.parametrize("text", ["1/0", "1e12", "x", "", "1.5/2", "nan", "1" * 40])
def test_numbers_that_are_none(video, tmp_path, capsys, option, text):
    with pytest.raises(SystemExit) as stopped:
        video(tmp_path / "in.mp4", "-o", tmp_path / "out.mp4", f"{option}={text}")
    assert stopped.value.code == 2
    assert f"argument {option}: expected a number such as 25, 23.976 or 24000/1001" in capsys.readouterr().err


def test_numbers():
    parse = cli._parser("video").parse_args
    args = parse(["video", "in", "-o", "out", "--start", "1:02.5", "--end", "1:0:.25", "--rate", "24000/1001"])
    assert (args.start, args.end, args.rate) == (Fraction(125, 2), Fraction(14_401, 4), Fraction(24_000, 1001))


@pytest.mark.promise("Messages", "the line about a film says what is in the file: frames and their size")
@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("out.mp4", [], "5 frames of 18x10"),
        ("out.mp4", ["--compare"], "5 frames of 34x10"),
        ("out.mkv", ["--compare"], "5 frames of 34x9"),
        ("out", [], "5 frames of 17x9"),
        ("out.gif", [], "3 frames of 17x9"),
        ("out.gif", ["--end", "0.005"], "1 frame of 17x9"),
    ],
)
def test_the_line_about_the_result(video, tmp_path, capsys, name, words, said):
    for number in range(5):
        Image.fromarray(np.full((9, 17), 40 * number, np.uint8)).save(tmp_path / f"{number}.png")
    assert video(tmp_path / "*.png", "--rate", "100", "-o", tmp_path / name, *words) == 0
    assert capsys.readouterr().out == f"colorized {said} into {tmp_path / name}\n"
    if name != "out":
        film = pictures(tmp_path / name)
        assert said.split(" ", 1) == [
            str(len(film)),
            f"frame{'s' * (len(film) > 1)} of {film[0].shape[1]}x{len(film[0])}",
        ]


@pytest.mark.promise("Films", "what cannot be read of a film is a warning in Python, and a line of the command")
@pytest.mark.filterwarnings("error")
def test_problems_are_told_once(video, model, tmp_path, capsys):
    frames = [Image.fromarray(np.full((16, 16), 40 * number, np.uint8)) for number in range(4)]
    frames[0].save(tmp_path / "in.png", save_all=True, append_images=frames[1:], duration=100)
    data = (tmp_path / "in.png").read_bytes()
    (tmp_path / "in.png").write_bytes(data[: len(data) * 3 // 4])
    came = []
    with pytest.warns(UserWarning, match=r"in\.png: damaged or truncated after \d frame") as told:  # noqa: PT031
        for rgb in colorize_video(tmp_path / "in.png", model=model):
            assert not told.list
            came.append(rgb)
    assert len(told.list) == 1
    assert 1 <= len(came) < 4
    assert video(tmp_path / "in.png", "-o", tmp_path / "out.mkv", "--codec", "h264") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.promise("Outputs", "films that are measured are all in the report, whatever their names are")
@pytest.mark.parametrize("name", ["a.gif", "gray", "truth"])
def test_results_of_one_name(tmp_path, name):
    rng = np.random.default_rng(0)
    results = [tmp_path / folder / name for folder in ("one", "two")]
    for path in (tmp_path / "true", *results):
        path.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(path / "0.png")
    report, problems = evaluate_file(tmp_path / "true", {}, results)
    assert list(report["results"]) == ["truth", "gray", *map(str, results)]
    assert not problems
    with pytest.raises(ValueError, match="results: expected each film once"):
        evaluate_file(tmp_path / "true", {}, [results[0], results[0]])
    report, _ = evaluate_file(tmp_path / "true", {}, results[:1])
    assert len(report["results"]) == 3


def test_mpeg4_where_there_is_no_h264(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with film_writer(tmp_path / "out.mp4", open_film(clip)) as writer:
        for frame in open_film(clip, color=True):
            writer.write(frame.pixels, frame.time, frame.duration)
    monkeypatch.undo()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert [f.time for f in open_film(tmp_path / "out.mp4")] == [f.time for f in open_film(clip)]


def test_without_pyav_the_error_names_the_extra(clip, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    assert cli.main(["video", str(clip), "-o", str(tmp_path / "out.mp4"), "--model", model]) == 1
    assert "fastcolor[video]" in capsys.readouterr().err


def test_sample_clip(video, tmp_path):
    """The bundled clip: frames, cuts, sound; and the command that colorizes it."""
    frames = list(sample_frames(48, 32, seconds=0.25, grain=0))
    assert len(frames) == 18
    assert {f.shape for f in frames} == {(32, 48, 3)}
    changes = np.abs(np.diff(np.stack(frames).astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert set(np.argsort(changes)[-2:]) == {5, 11}


def test_evaluate_video(clip, model, tmp_path, capsys):
    json, plot = tmp_path / "report.json", tmp_path / "plot.png"
    words = ["evaluate-video", str(clip), "--model", model, "--json", str(json), "--plot", str(plot)]
    pytest.importorskip("matplotlib")
    assert cli.main(words) == 0
    lines = capsys.readouterr().out
    for name in ("truth", "gray", "none", "paper", "steady"):
        assert name in lines
    import json as json_

    report = json_.loads(json.read_text())
    assert report["frames"] == FRAMES
    assert len(report["curves"]["steady"]["psnr"]) == FRAMES
    assert report["curves"]["steady"]["flicker"].count(None) == 3  # the first frame of each shot
    assert report["results"]["gray"]["flicker"] < 0.1
    assert Image.open(plot).size[0] > 500


def test_evaluate_video_of_photographs(model, tmp_path, capsys):
    """Clips of every kind are made of them; each has a row for each smoothing."""
    rng = np.random.default_rng(0)
    for number in range(3):
        blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((96, 72), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.png")
    words = ["evaluate-video", "--photographs", str(tmp_path), "--model", model, "--clips", "1"]
    assert cli.main([*words, "--kinds", "still", "dissolve", "--json", str(tmp_path / "report.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.split()[0] in KINDS] == ["still", "dissolve"]
    assert sum(" steady " in line for line in lines) == 2
    import json as json_

    kinds = json_.loads((tmp_path / "report.json").read_text())["kinds"]
    assert kinds["still"]["none"]["after"] is None
    assert kinds["dissolve"]["steady"]["after"] > 0
    assert kinds["still"]["none"]["flicker"] > kinds["still"]["steady"]["flicker"] > kinds["still"]["gray"]["flicker"]
    assert cli.main([*words, "--sample"]) == 1
    assert "--photographs: expected no film" in capsys.readouterr().err
    for clips in ("0", "-1"):
        assert cli.main([*words[:-1], clips]) == 1
        assert "clips: expected" in capsys.readouterr().err
    (tmp_path / "2.png").unlink()
    Image.new("RGB", (96, 72), "gray").save(tmp_path / "1.png")
    assert cli.main(words) == 1
    assert "1.png: expected a color photograph" in capsys.readouterr().err
    (tmp_path / "1.png").unlink()
    assert cli.main(words) == 1
    assert "photographs: expected at least 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kinds", "still"], "--kinds: expected --photographs"),
        (["--clips", "2"], "--clips: expected --photographs"),
        (["--smooth", "none", "--result", "x.mp4"], "--smooth: expected no --result"),
    ],
)
def test_options_of_evaluate_video_that_would_say_nothing(clip, capsys, words, message):
    assert cli.main(["evaluate-video", str(clip), *words]) == 1
    assert message in capsys.readouterr().err


def test_a_film_of_one_frame_has_no_flicker(tmp_path, capsys):
    report = tmp_path / "report.json"
    Image.new("RGB", (64, 48), "red").save(tmp_path / "one.png")
    film = str(tmp_path / "*.png")
    assert cli.main(["evaluate-video", film, "--result", film, "--json", str(report)]) == 0
    assert "nan" not in capsys.readouterr().out.lower()
    assert "NaN" not in report.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_made_clips_are_repeated_by_their_seed_and_are_what_they_are_called(kind):
    photographs = [Image.new("RGB", (64, 48), color) for color in ("red", "blue")]
    one, same, other = (make_clip(photographs, kind, size=(48, 32), seed=seed) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(one.frames, same.frames, strict=True))
    assert any((a != b).any() for a, b in zip(one.frames, other.frames, strict=True))
    assert bool(one.after) == (kind in ("cut", "flash", "dissolve", "mixed"))
    colors = np.stack([frame.mean(axis=(0, 1)) for frame in one.frames])
    red = colors[:, 0] > colors[:, 2]
    assert (red.any() and not red.all()) == (kind in ("cut", "dissolve", "mixed"))


def test_evaluate_video_of_other_films(clip, tmp_path, capsys):
    assert cli.main(["evaluate-video", str(clip), "--result", str(clip)]) == 0
    assert "inf" in capsys.readouterr().out
    short = encode(tmp_path / "short.mkv", sample_frames(96, 64, seconds=0.1, shots=(0,)), "ffv1")
    assert cli.main(["evaluate-video", str(clip), "--result", str(short)]) == 1
    assert "short.mkv: expected as many frames as the truth has" in capsys.readouterr().err
    small = encode(tmp_path / "small.mkv", sample_frames(32, 32, seconds=0.1, shots=(0,)), "ffv1")
    assert cli.main(["evaluate-video", str(clip), "--result", str(small)]) == 1
    assert "expected frames of shape (64, 96, 3)" in capsys.readouterr().err
    gray = tmp_path / "gray.mp4"
    write_sample(gray, 64, 48, seconds=0.1, color=False, sound=False)
    assert cli.main(["evaluate-video", str(gray), "--result", str(gray)]) == 1
    assert "expected a color film, got a gray one" in capsys.readouterr().err


def test_the_page_about_films_runs(tmp_path):
    """Its Python runs as it stands, its commands are understood."""
    page = (ROOT / "docs" / "video.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page, flags=re.M | re.S)
    code = "\n".join(text for language, text in blocks if language == "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    commands = [line for _, text in blocks for line in text.splitlines() if line.startswith("fastcolor ")]
    assert len(commands) >= 3
    for command in commands:
        words = shlex.split(command, comments=True)[1:]
        assert callable(cli._parser(words[0]).parse_args(words).run)
