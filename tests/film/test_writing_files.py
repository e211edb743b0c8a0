"""Films as GIF, folders and files of any size; what is on the disk when they cannot be written."""

from __future__ import annotations

import logging
import signal
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from films import RATE, Made, make_film, packets, write_gray
from PIL import Image

av = pytest.importorskip("av")

from fastcolor import VideoError  # noqa: E402
from fastcolor.commands import main as cli  # noqa: E402
from fastcolor.commands import video as command  # noqa: E402
from fastcolor.film import encode  # noqa: E402
from fastcolor.film.film import FASTEST, SLOWEST  # noqa: E402
from fastcolor.film.io import open_film  # noqa: E402
from fastcolor.film.write import check_film_target, codec_of, film_writer  # noqa: E402


def black(count: int, height: int = 8, width: int = 8) -> Made:
    return Made([np.zeros((height, width, 3), np.uint8)] * count)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.promise("Films", "a GIF shows no frame for less than 2/100 s, and lasts as long as the film")
@pytest.mark.parametrize("rate", [24, 30, 50, 60, 240])
def test_gif_times(rate, tmp_path, caplog):
    frames = [np.full((8, 8, 3), 255 * (number % 2), np.uint8) for number in range(rate // 2)]
    with caplog.at_level(logging.WARNING):
        left_out = write_gray(Made(frames, rate), tmp_path / "out.gif")
    assert not caplog.records
    film = list(open_film(tmp_path / "out.gif"))
    assert min(frame.duration for frame in film) >= Fraction(2, 100)
    for frame in film:  # each at the time of a frame of the source, to 1/200 s: rounding does not add up
        assert min(abs(frame.time - Fraction(n, rate)) for n in range(len(frames))) <= Fraction(1, 200)
    assert float(film[-1].time + film[-1].duration) == pytest.approx(0.5, abs=0.025)
    dropped = len(frames) - len(film)
    assert left_out == ([f"{dropped} frame{'s' * (dropped > 1)} (a GIF shows 50 a second at most)"] if dropped else [])
    assert bool(dropped) == (rate > 50)


@pytest.mark.promise("Films", "the last frame stands as long as it did, in each format and with each encoder")
@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "libx264"),
        ("a.mp4", "mpeg4"),
        ("a.mkv", "mpeg4"),
        ("a.mkv", None),
        ("a.gif", None),
    ],
)
@pytest.mark.parametrize("count", [1, 4, 5])
def test_the_last_frame_stands(name, encoder, count, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (64, 96), np.uint8)  # of which, moved, encoders make B-frames
    frames = [Image.fromarray(np.roll(noise, 3 * number, axis=1)) for number in range(count)]
    delays = [*[100, 100, 200, 130, 90, 110, 100, 300][: count - 1], 5000]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=delays)
    if encoder:
        if encoder not in av.codecs_available:
            encoder = "mpeg4"
        monkeypatch.setattr(encode, "_ENCODERS", {encoder: encode._ENCODERS[encoder]})
    write_gray(open_film(tmp_path / "in.gif"), tmp_path / name, codec="h264" if encoder else None)
    film = open_film(tmp_path / name)
    *_, last = film
    assert (1000 * last.time, 1000 * last.duration) == (sum(delays[:-1]), 5000)
    assert not film.problems
    if not name.endswith((".mkv", ".gif")):  # MP4's header of the film, in ms
        data = (tmp_path / name).read_bytes()
        at = data.index(b"mvhd") + 20
        assert int.from_bytes(data[at : at + 4], "big") == sum(delays)
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            # That of the track ends by decoding times, up to two frames early where there are frames between frames.
            assert abs(1000 * stream.duration * stream.time_base - sum(delays)) <= 300


@pytest.mark.promise("Films", "what stands longer than a GIF can say is repeated there")
@pytest.mark.parametrize("seconds", [655, 656, 1400, 3000])
def test_gif_delays(seconds, tmp_path):
    film = black(3)
    film.frames[1] = film.frames[1] + np.uint8(200)
    film.rate, film.time_base = Fraction(1, seconds), Fraction(seconds)
    write_gray(film, tmp_path / "out.gif")
    read = list(open_film(tmp_path / "out.gif"))
    assert max(frame.duration for frame in read) <= Fraction(65_535, 100)
    assert read[-1].time + read[-1].duration == 3 * seconds
    shown = [frame.time for frame in read if frame.pixels.mean() > 100]
    assert (shown[0], len(shown)) == (seconds, -(-seconds * 100 // 65_535))


@pytest.mark.promise("Films", "rates at both ends of what films have are written")
@pytest.mark.parametrize("rate", [SLOWEST, Fraction(1, 3000), Fraction(30_000, 1001), FASTEST])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_rates(rate, name, tmp_path):
    film = black(4)
    film.rate, film.time_base = rate, 1 / rate
    write_gray(film, tmp_path / name)
    with av.open(str(tmp_path / name)) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts * packet.time_base for packet in container.demux(stream) if packet.pts is not None)
    for number, time in enumerate(times):
        assert abs(time - number / rate) <= (Fraction(1, 1000) if name == "out.mkv" else 0)  # Matroska counts in ms


@pytest.mark.promise("Films", "what a GIF or a folder of PNG files has no place for is named")
@pytest.mark.parametrize("name", ["out.gif", "out"])
def test_formats_without_sound(name, tmp_path):
    film = open_film(make_film(tmp_path / "in.mkv", 2, rich=True))
    left_out = write_gray(film, tmp_path / name)
    assert {"sound track 2 (aac, fra)", "subtitle track 1 (srt, deu)", "chapters", "title"} <= set(left_out)
    assert not any("sound" in text for text in write_gray(film, tmp_path / f"2{name}", sound=False))


@pytest.mark.promise("Outputs", "a folder of frames is that of one film: older ones make way, other things are refused")
def test_folders_of_frames(tmp_path):
    out, link = tmp_path / "out", tmp_path / "link"
    write_gray(black(12), out)
    write_gray(black(2), out)
    assert sorted(path.name for path in out.iterdir()) == ["000001.png", "000002.png"]
    link.symlink_to(out, target_is_directory=True)
    write_gray(black(3), link)
    assert link.is_symlink()
    assert len(list(out.iterdir())) == 3
    long = black(1)
    long.count = 1_234_567
    write_gray(long, out)
    assert [path.name for path in out.iterdir()] == ["0000001.png"]
    with pytest.raises(VideoError, match="no frames were read"):
        write_gray(black(0), out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"only frames of a film.*notes\.txt"):
        write_gray(black(2), out)
    assert sorted(path.name for path in out.iterdir()) == ["0000001.png", "notes.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


@pytest.mark.promise("Films", "frames that an encoder does not take are an error that says so, and nothing is left")
@pytest.mark.parametrize("shape", [(2, 2), (1, 1), (3, 5), (2, 16_400), (16_400, 2)])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.gif"])
def test_sizes(name, shape, tmp_path):
    path, film = tmp_path / name, black(2, *shape)
    large = name == "out.mp4" and max(shape) > 16_384 and "libx264" in av.codecs_available
    if large or (name == "out.mkv" and shape == (1, 1)):  # FFV1 begins at two pixels
        with pytest.raises(VideoError, match=rf"{name}: expected frames .*, got {shape[1]}x{shape[0]} pixels"):
            write_gray(film, path)
        assert not list(tmp_path.iterdir())
        return
    write_gray(film, path)
    with av.open(str(path)) as container:
        size = container.streams.video[0].height, container.streams.video[0].width
    assert size == (tuple(n + n % 2 for n in shape) if name == "out.mp4" else shape)


@pytest.mark.parametrize(
    ("name", "codec", "message"),
    [
        ("out.mp4", "ffv1", r"expected a name that ends in \.mkv for ffv1, got '\.mp4'"),
        ("out", "h264", r"ends in \.mp4, \.mov, \.m4v, \.mkv for h264, got 'a folder'"),
        ("out.gif", "h264", "for h264"),
        ("out.mkv", "av1", "codec: expected one of h264, ffv1, got 'av1'"),
        ("out.avi", None, "expected a name that ends in"),
    ],
)
def test_codecs_that_do_not_fit(name, codec, message):
    with pytest.raises(ValueError, match=message):
        check_film_target(name, codec)


def test_matroska_is_lossless_unless_told(tmp_path):
    assert [codec_of(name) for name in ("a.mkv", "a.MKV", "a.mp4")] == ["ffv1", "ffv1", "h264"]
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    write_gray(Made([noise]), tmp_path / "out.mkv")
    write_gray(Made([noise]), tmp_path / "small.mkv", codec="h264")
    (frame,) = open_film(tmp_path / "out.mkv", color=True)
    np.testing.assert_array_equal(frame.pixels, noise)
    with av.open(str(tmp_path / "small.mkv")) as container:
        assert container.streams.video[0].codec_context.name in ("h264", "mpeg4")


@pytest.mark.promise("Faults", "a disk that is full while a film is written: its name, and nothing left")
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.gif", "out"])
@pytest.mark.parametrize("limit", [300, 12_000])
def test_full_disk(name, limit, tmp_path):
    """A limit on file sizes is the nearest thing to a full disk that needs no rights; Windows has none."""
    resource = pytest.importorskip("resource")
    rng = np.random.default_rng(0)
    film = Made([rng.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(4)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_gray(film, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.promise("Faults", "a film that is stopped leaves nothing, and an older one as it was")
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.gif", "out"])
def test_stopped(name, stop, tmp_path):
    write_gray(black(3), tmp_path / name)
    before = files(tmp_path)
    film = black(2)
    with pytest.raises(stop), film_writer(tmp_path / name, film) as writer:  # noqa: PT012
        writer.write(film.frames[0], Fraction(0), Fraction(1, RATE))
        raise stop
    assert files(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.promise("Outputs", "a film never replaces what it is made from: folder, glob, links, another name of it")
def test_sources_are_never_replaced(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("seq").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), 50 * number).save(f"seq/{number + 1:06}.png")
    film = make_film(Path("film.mp4"), 2)
    Path("soft.mp4").symlink_to(film)
    Path("hard.mp4").hardlink_to(film)
    Path("link").symlink_to("seq", target_is_directory=True)
    Path("far").mkdir()
    Path("far/000001.png").symlink_to(Path("seq/000001.png").resolve())
    before = files(tmp_path)
    for source, target in [
        ("seq/*.png", "seq"),
        ("seq", "seq"),
        ("seq", "link"),
        ("link/*.png", "./seq/"),
        ("far", "seq"),
        ("seq", "."),
        ("film.mp4", "film.mp4"),
        ("film.mp4", "soft.mp4"),
        ("soft.mp4", "film.mp4"),
        ("hard.mp4", "./film.mp4"),
    ]:
        assert cli.main(["video", source, "-o", target, "--force"]) == 1, (source, target)
        assert " read" in capsys.readouterr().err
    assert files(tmp_path) == before


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> str:
    """The folder of a tiny untrained network."""
    torch = pytest.importorskip("torch")
    from fastcolor import ColorBins
    from fastcolor.network.unet import ColorUNet, UNetConfig

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("network")
    ColorUNet(UNetConfig(down=(8, 8), up=(8,), head=8, size=32), ColorBins.default()).save_pretrained(folder)
    return str(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.promise("Faults", "Ctrl-C and SIGTERM during a film: a sentence, exit 130 or 143, nothing left")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out"])
def test_signals(name, sent, status, network, tmp_path, monkeypatch, capsys):
    film = make_film(tmp_path / "in.mp4", 40)
    written = []

    def beside(source: np.ndarray, rgb: np.ndarray) -> np.ndarray:  # in the middle of the work, all threads busy
        written.append(source)
        if len(written) == 9:
            signal.raise_signal(sent)
        return rgb

    monkeypatch.setattr(command, "_beside", beside)
    assert cli.main(["video", str(film), "-o", str(tmp_path / name), "--model", network, "--compare"]) == status
    assert len(written) == 9
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.promise("Messages", "what is not as the source has it is said in a line, and is no error")
def test_what_the_command_says(network, tmp_path, capsys):
    film = make_film(tmp_path / "in.mkv", 3, rich=True)
    words = ["video", str(film), "--model", network, "-o"]
    assert cli.main([*words, str(tmp_path / "out.mkv")]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"fastcolor: note: {tmp_path}/out.mkv: FFV1, lossless, about ten times the size of H.264; "
        "--codec h264 writes a small one"
    ]
    assert cli.main([*words, str(tmp_path / "out.mp4")]) == 0
    assert "out.mp4: has no place for 2 things of " in (said := capsys.readouterr().err)
    assert "subtitle track 1 (srt, deu), attachment font.ttf" in said
    assert cli.main([*words, str(tmp_path / "small.mkv"), "--codec", "h264", "--no-sound"]) == 0
    assert capsys.readouterr().err == ""
    assert not packets(tmp_path / "small.mkv", "audio")
