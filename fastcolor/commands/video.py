"""``fastcolor video IN -o OUT``: a grayscale film, in steady colors, with its sound."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..arrays.checks import RINGS
from ..files.images import gray_of, luma_of
from ..film.film import Film, FilmFrame
from ..film.io import open_film
from ..film.scenes import DEFAULT_THRESHOLD
from ..film.video import DEFAULT_BATCH, colorize_video
from ..film.write import SUFFIXES, check_film_target, film_writer
from ..photo.colorizer import DEFAULT_MODEL
from ..photo.pipeline import closing_stream
from ..photo.targets import check_new
from ..reference.constants import DEFAULT_ALPHA, DEFAULT_WINDOW


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", nargs="?", metavar="IN", help="video file, animated GIF or WebP, folder or 'glob' of images"
    )
    parser.add_argument("--sample", action="store_true", help="colorize the sample clip instead, made of photographs")
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        help=f"{' '.join(SUFFIXES)} (.mkv is lossless) or a folder for PNG files",
    )
    parser.add_argument("--alpha", type=float, default=DEFAULT_ALPHA, help="decay of the past a frame (%(default)s)")
    parser.add_argument("--window", type=int, default=DEFAULT_WINDOW, help="past frames that count (%(default)s)")
    parser.add_argument("--no-smooth", action="store_true", help="color every frame by itself")
    parser.add_argument("--motion", action="store_true", help="carry the past along the motion of the picture")
    parser.add_argument(
        "--cuts",
        type=float,
        default=DEFAULT_THRESHOLD,
        help="0..1, where a change is a scene cut and the past forgotten (%(default)s)",
    )
    parser.add_argument("--no-cuts", action="store_true", help="never forget the past")
    parser.add_argument("--ring", choices=RINGS, default="float16", help="storage of the past (%(default)s)")
    parser.add_argument("--model", help=f"bundled name or folder of a model (default: {DEFAULT_MODEL})")
    parser.add_argument("--temperature", type=float, help="of the annealed mean, small is vivid (default: the model's)")
    parser.add_argument("--size", type=int, help="longer side that the network sees, in pixels (default: the model's)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: CUDA if there is any)")
    parser.add_argument(
        "--batch", type=int, default=DEFAULT_BATCH, help="frames in one pass of the network (%(default)s)"
    )
    parser.add_argument("--start", type=_seconds, default=Fraction(0), help="seconds or [h:]m:s to begin at")
    parser.add_argument("--end", type=_seconds, help="seconds or [h:]m:s to stop before")
    parser.add_argument("--rate", type=Fraction, help="frames a second of a folder or glob of images (25)")
    parser.add_argument("--no-sound", action="store_true", help="leave the audio tracks out")
    parser.add_argument("--compare", action="store_true", help="gray film and result side by side")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def run(args: argparse.Namespace) -> int:
    check_film_target(args.out)
    _check_new_film(args.out, args.force)
    with ExitStack() as stack:
        film = _film(args, stack)
        frames, size = _write(args, film)
    print(f"colorized {frames} frames of {size} into {args.out}")
    for problem in film.problems:
        print(f"fastcolor: error: {problem}", file=sys.stderr)
    return 1 if film.problems else 0


def _film(args: argparse.Namespace, stack: ExitStack) -> Film:
    if bool(args.input) == args.sample:
        raise ValueError("IN: expected a film or --sample, got " + ("both" if args.sample else "neither"))
    if args.sample:
        from ..film.sample_clip import write_sample

        args.input = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "sample.mp4")
        write_sample(args.input)
    if args.out.exists() and Path(args.input).exists() and args.out.samefile(args.input):
        raise ValueError(f"{args.out}: would replace the film that it is made from; choose another output")
    return open_film(args.input, start=args.start, end=args.end, rate=args.rate)


def _write(args: argparse.Namespace, film: Film) -> tuple[int, str]:
    """Colorize and write frame by frame; the number of frames and their size."""
    waiting: deque[FilmFrame] = deque()  # read, and not yet colorized: times, and the gray side of --compare
    colored = colorize_video(
        _pixels(film, waiting),
        model=args.model,
        smooth=not args.no_smooth,
        alpha=args.alpha,
        window=args.window,
        temperature=args.temperature,
        size=args.size,
        ring=args.ring,
        cuts=None if args.no_cuts else args.cuts,
        motion=args.motion,
        device=args.device,
        batch=args.batch,
    )
    # disable=None: no bar where nobody watches
    bar = tqdm(total=film.count, unit="frame", disable=None)
    rgb = None
    count = 0
    with film_writer(args.out, film, sound=not args.no_sound) as writer, closing_stream(colored) as frames, bar:
        for rgb in frames:
            source = waiting.popleft()
            writer.write(_beside(source.pixels, rgb) if args.compare else rgb, source.time, source.duration)
            count += 1
            bar.update()
        if rgb is None and film.problems:
            raise ValueError(film.problems[0])
    assert rgb is not None  # the writer has raised
    return count, f"{rgb.shape[1]}x{rgb.shape[0]}"


def _pixels(film: Film, waiting: deque[FilmFrame]) -> Iterator[NDArray[np.uint8]]:
    for frame in film:
        waiting.append(frame)
        yield frame.pixels


def _beside(source: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    gray = source if source.ndim == 2 else gray_of(luma_of(source))
    return np.hstack([np.repeat(gray[..., None], 3, axis=2), rgb])


def _check_new_film(out: Path, force: bool) -> None:
    """A folder may be there if it is empty."""
    if not (out.is_dir() and not any(out.iterdir())):
        check_new(out, force)


def _seconds(text: str) -> Fraction:
    """``90``, ``1:30`` and ``0:01:30`` are the same."""
    total = Fraction(0)
    for part in text.split(":"):
        total = total * 60 + Fraction(part)
    return total
