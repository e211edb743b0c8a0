"""Make docs/video.webp and the table in docs/video.md: python docs/make_video.py [--model FOLDER] [--only animation].

Times are of one run on the machine that makes them; the pipeline is compared with the network alone in turns, so that
whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import fastcolor
from fastcolor import ColorBins, TemporalSmoother, reference
from fastcolor.commands import main as cli
from fastcolor.evaluation.films import VARIANTS, evaluate_file, table
from fastcolor.files.images import gray_of, luma_of
from fastcolor.film.sample_clip import RATE, sample_frames, write_sample
from fastcolor.film.scenes import CutDetector
from fastcolor.film.steady import SteadySmoother
from fastcolor.film.video import DEFAULT_BATCH, colorize_video
from fastcolor.network.inference import predict
from fastcolor.photo.colorizer import Colorizer

DOCS = Path(__file__).parent
START, END = "<!-- measured:start -->", "<!-- measured:end -->"
SIDE, WIDTH, HEIGHT = 256, 192, 144  # of the timed film; of each picture in the animation
EVERY = 2  # frames of the sample clip a frame of the animation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="bundled name or folder (default: the default model)")
    parser.add_argument("--only", choices=("animation", "table"))
    args = parser.parse_args()
    if args.only != "table":
        print(animation(args.model), "bytes in docs/video.webp")
    if args.only != "animation":
        page = DOCS / "video.md"
        before, rest = page.read_text().split(START)
        after = rest.split(END)[1]
        page.write_text(f"{before}{START}\n{measure(args.model)}\n{END}{after}")


def animation(model: str | None) -> int:
    """Two of the shots: gray, frame by frame, smoothed, side by side."""
    clip = list(sample_frames(WIDTH, HEIGHT, seconds=1.5, shots=(2, 1), grain=0.02))
    panels = [[np.repeat(gray_of(luma_of(rgb))[..., None], 3, axis=2) for rgb in clip]]
    panels += [list(colorize_video(clip, model=model, smooth=smooth)) for smooth in (False, True)]
    frames = [Image.fromarray(np.hstack(row)) for row in zip(*panels, strict=True)][::EVERY]
    path = DOCS / "video.webp"
    options = {"duration": 1000 * EVERY // RATE, "loop": 0, "quality": 30, "method": 6}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path.stat().st_size


def measure(model: str | None) -> str:
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "sample.mp4"
        write_sample(clip)
        variants = {**VARIANTS, "motion": {"smooth": "motion"}}
        report, _ = evaluate_file(clip, variants, model=model)
        smoothing, cutting, network = costs(model)
        speed, work = relative_speed(model, Path(folder))
        rows = [
            ("smoothing and decoding, share of the pipeline's CPU time", f"{100 * smoothing:.1f} %"),
            ("cut detection, share of the pipeline's CPU time", f"{100 * cutting:.1f} %"),
            ("network alone, CPU time a frame", f"{1e3 * network:.1f} ms"),
            ("MP4 to MP4, speed relative to the network alone", f"{speed:.2f}"),
            ("MP4 to MP4, the network's share of all CPU time", f"{work:.2f}"),
            ("1080p to 1080p MP4, peak memory of the process", f"{memory(model, Path(folder)):.2f} GB"),
            ("window against recursion, largest difference of p̂ over 2,000 frames", f"{drift():.1e}"),
            ("cuts of a made film: recall, precision", "{:.3f}, {:.3f}".format(*cuts())),
        ]
    lines = ["```", table(report), "```", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    print("\n".join(lines))
    return "\n".join(lines)


def costs(model: str | None) -> tuple[float, float, float]:
    """Shares of smoothing (with decoding) and of cut detection at a network size of 256; the network's time a frame."""
    frames = [gray_of(luma_of(rgb)) for rgb in sample_frames(SIDE, SIDE, seconds=1, shots=(0,))]
    colorizer = Colorizer.load(model, size=SIDE)
    small = np.stack([colorizer.reduce(frame) for frame in frames])
    logits = [x for group in np.split(small, 3) for x in predict(colorizer.network, group)]
    smoother, detector = SteadySmoother(), CutDetector()
    chroma = colorizer.chroma(logits[0])
    network, smoothing, cutting, rest = cpu_time(
        lambda: [predict(colorizer.network, group) for group in np.split(small, 3)],
        lambda: [smoother.step(colorizer.chroma(x), luma) for x, luma in zip(logits, small, strict=True)],
        lambda: [detector.step(luma) for luma in small],
        lambda: [(colorizer.reduce(frame), fastcolor.merge(chroma, frame)) for frame in frames],
    )
    total = network + smoothing + cutting + rest
    return smoothing / total, cutting / total, network / len(frames)


def cpu_time(*calls: Callable[[], object], rounds: int = 6) -> list[float]:
    """Least CPU time of each call, taken in turns."""
    best = [math.inf] * len(calls)
    for _ in range(rounds):
        for k, call in enumerate(calls):
            start = time.process_time()
            call()
            best[k] = min(best[k], time.process_time() - start)
    return best


def relative_speed(model: str | None, folder: Path) -> tuple[float, float]:
    """Wall and CPU time of the network alone over those of the whole command, at 256 x 256: medians of ratios."""
    film, out = folder / "square.mp4", folder / "out.mp4"
    write_sample(film, SIDE, SIDE, color=False)
    colorizer = Colorizer.load(model, size=SIDE)
    batch = np.zeros((DEFAULT_BATCH, SIDE, SIDE), np.float32)
    count = 3 * 2 * RATE
    words = ["video", str(film), "-o", str(out), "--force", "--size", str(SIDE)] + (["--model", model] if model else [])
    ratios = []
    for _ in range(6):
        start = np.array([time.perf_counter(), time.process_time()])
        for _ in range(count // DEFAULT_BATCH):
            predict(colorizer.network, batch)
        middle = np.array([time.perf_counter(), time.process_time()])
        assert cli.main(words) == 0
        end = np.array([time.perf_counter(), time.process_time()])
        ratios.append((middle - start) / (end - middle))
    speed, work = np.median(ratios[1:], axis=0)
    return float(speed), float(work)


def memory(model: str | None, folder: Path) -> float:
    """Peak resident memory of `fastcolor video` on 96 frames of 1920 x 1080."""
    film = folder / "hd.mp4"
    write_sample(film, 1920, 1080, seconds=32 / RATE, color=False)
    words = ["video", str(film), "-o", str(folder / "hd_out.mp4"), *(["--model", model] if model else [])]
    subprocess.run([sys.executable, "-m", "fastcolor", *words], check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def drift() -> float:
    bins, rng = ColorBins.default(), np.random.default_rng(0)
    smoother, past, worst = TemporalSmoother(bins), [], 0.0
    for frame in range(2000):
        logits = rng.normal(0, 4, (bins.n, 8, 8)).astype(np.float32)
        smoother.chroma(logits)
        past = [*past, reference.softmax(logits, axis=0)][-smoother.window - 1 :]
        if frame % 50 == 49:
            sums = reference.smooth_window(past, smoother.alpha, smoother.window)
            worst = max(worst, float(np.abs(smoother.probabilities - sums / sums.sum(axis=0)).max()))
    return worst


def cuts() -> tuple[float, float]:
    """On the film of tests/film/test_scenes.py: pans, zooms, flashes, fades and grain."""
    sys.path.insert(0, str(DOCS.parent / "tests" / "film"))
    from test_scenes import bundled_parts, made_film

    hits = true = found = 0
    for seed in range(3):
        detector = CutDetector()
        for luma, cut in made_film(bundled_parts(), seed):
            seen = detector.step(luma)
            hits, true, found = hits + (seen and cut), true + cut, found + seen
    return hits / true, hits / found


if __name__ == "__main__":
    print(f"fastcolor {fastcolor.__version__}")
    main()
