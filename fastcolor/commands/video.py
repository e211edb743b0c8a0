"""``fastcolor video IN -o OUT``: a grayscale film, in steady colors, with its sound."""

from __future__ import annotations

import argparse
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..arrays.checks import RINGS
from ..files.images import gray_of, in_color, luma_of
from ..files.outputs import Target, check_folder, check_outputs
from ..film.film import Film, FilmFrame
from ..film.io import open_film
from ..film.scenes import DEFAULT_THRESHOLD
from ..film.video import DEFAULT_BATCH, SMOOTHINGS, colorize_video
from ..film.write import CODECS, SUFFIXES, check_film_target, codec_of, film_writer, is_folder
from ..photo.pipeline import closing_stream
from ..plural import counted
from . import options

_NUMBER = re.compile(r"-?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})|-?\d{1,15}/0*[1-9]\d{0,14}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("input", nargs="?", metavar="IN", help="video file, animated GIF or WebP, folder or 'glob' of images")
    arg("--sample", action="store_true", help="colorize the sample clip instead, made of photographs")
    out = f"{' '.join(SUFFIXES)} or a folder for PNG files"
    arg("-o", "--out", type=Path, required=True, help=out)
    how = "along the motion (%(default)s), along OpenCV's optical flow, probabilities in place, every frame by itself"
    arg("--smooth", choices=SMOOTHINGS, default=SMOOTHINGS[0], help=how)
    options.add(parser, "--alpha", "--window")
    cuts = "0..1, where a change is a scene cut and the past forgotten (%(default)s)"
    arg("--cuts", type=float, default=DEFAULT_THRESHOLD, help=cuts)
    arg("--no-cuts", action="store_true", help="never forget the past")
    arg("--ring", choices=RINGS, default="float16", help="storage of the past of paper (%(default)s)")
    options.add(parser, "--model", "--temperature", "--size", "--device")
    arg("--batch", type=int, default=DEFAULT_BATCH, help="frames in one pass of the network (%(default)s)")
    arg("--start", type=_seconds, default=Fraction(0), help="seconds or [h:]m:s to begin at")
    arg("--end", type=_seconds, help="seconds or [h:]m:s to stop before")
    arg("--rate", type=_number, help="frames a second of a folder or glob of images (25)")
    codec = "h264, small, or ffv1, lossless, in .mkv alone (default: ffv1 for .mkv, else h264)"
    arg("--codec", choices=CODECS, help=codec)
    arg("--no-sound", action="store_true", help="leave the audio tracks out")
    arg("--compare", action="store_true", help="gray film and result side by side")
    options.add(parser, "--force")


def run(args: argparse.Namespace) -> int:
    check_film_target(args.out, args.codec)
    with ExitStack() as stack:
        source = options.film_or_sample("IN", args.input, args.sample, stack)
        _check_outputs(args, source)
        film = open_film(source, start=args.start, end=args.end, rate=args.rate)
        _tell_size(args)
        frames, size, left_out = _write(args, film)
    print(f"colorized {counted(frames, 'frame')} of {size} into {args.out}")
    if left_out:
        _say(f"{args.out}: has no place for {counted(len(left_out), 'thing')} of {source}: {', '.join(left_out)}")
    return options.tell(film.problems)


def _check_outputs(args: argparse.Namespace, source: str) -> None:
    """Nothing that is read is replaced, and nothing else without --force."""
    read = [*options.film_files(source), *options.model_files(args.model)]
    target = Target(args.out, "--out")
    if is_folder(args.out):
        check_folder(read, target, force=args.force)
    else:
        check_outputs(read, [target], force=args.force)


def _tell_size(args: argparse.Namespace) -> None:
    if args.codec is None and codec_of(args.out) == "ffv1":
        _say(f"{args.out}: FFV1, lossless, about ten times the size of H.264; --codec h264 writes a small one")


def _say(text: str) -> None:
    print(f"fastcolor: note: {text}", file=sys.stderr)


def _write(args: argparse.Namespace, film: Film) -> tuple[int, str, list[str]]:
    """Colorize and write frame by frame; the number of frames, their size, and what the format has no place for."""
    waiting: deque[FilmFrame] = deque()  # read, and not yet colorized: times, and the gray side of --compare
    same = ("model", "alpha", "window", "temperature", "size", "ring", "smooth", "device", "batch")
    cuts = None if args.no_cuts else args.cuts
    chosen = options.chosen(args, *same)
    colored = colorize_video(_pixels(film, waiting), cuts=cuts, **chosen)
    # disable=None: no bar where nobody watches
    bar = tqdm(total=film.count, unit="frame", disable=None)
    writing = film_writer(args.out, film, sound=not args.no_sound, codec=args.codec, replace=args.force)
    with writing as writer, closing_stream(colored) as frames, bar:
        for rgb in frames:
            source = waiting.popleft()
            writer.write(_beside(source.pixels, rgb) if args.compare else rgb, source.time, source.duration)
            bar.update()
        if not writer.count and film.problems:
            raise ValueError(film.problems[0])
    assert writer.size is not None  # or it has raised
    return writer.count, "{}x{}".format(*writer.size), writer.left_out


def _pixels(film: Film, waiting: deque[FilmFrame]) -> Iterator[NDArray[np.uint8]]:
    for frame in film:
        waiting.append(frame)
        yield frame.pixels


def _beside(source: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.hstack([in_color(source if source.ndim == 2 else gray_of(luma_of(source))), rgb])


def _seconds(text: str) -> Fraction:
    """``90``, ``1:30`` and ``0:01:30`` are the same."""
    total = Fraction(0)
    for part in text.split(":"):
        total = total * 60 + _number(part)
    return total


def _number(text: str) -> Fraction:
    if not _NUMBER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected a number such as 25, 23.976 or 24000/1001, got {text!r}")
    return Fraction(text)
