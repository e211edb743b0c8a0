"""``fastcolor evaluate-video FILM``: flicker, PSNR and CIEDE2000 of colorized films against a color film."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from ..evaluation.films import VARIANTS, evaluate_file, plot, table
from ..files.atomic import atomic_path
from ..photo.colorizer import DEFAULT_MODEL
from ..reference.constants import DEFAULT_ALPHA, DEFAULT_WINDOW


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("film", nargs="?", help="color film: video file, GIF, WebP, folder or 'glob' of images")
    parser.add_argument("--sample", action="store_true", help="measure on the sample clip instead")
    parser.add_argument("--result", type=Path, nargs="+", default=[], help="films to measure instead of the network's")
    parser.add_argument("--motion", action="store_true", help="measure smoothing along the motion, too")
    parser.add_argument("--model", help=f"bundled name or folder of a model (default: {DEFAULT_MODEL})")
    parser.add_argument("--temperature", type=float, help="of the annealed mean, small is vivid (default: the model's)")
    parser.add_argument("--size", type=int, help="longer side that the network sees, in pixels (default: the model's)")
    parser.add_argument("--alpha", type=float, default=DEFAULT_ALPHA, help="decay of the past a frame (%(default)s)")
    parser.add_argument("--window", type=int, default=DEFAULT_WINDOW, help="past frames that count (%(default)s)")
    parser.add_argument("--json", type=Path, help="write means and curves here")
    parser.add_argument("--plot", type=Path, help="draw the curves over time here")


def run(args: argparse.Namespace) -> int:
    """Print the table, write JSON and plot."""
    if bool(args.film) == args.sample:
        raise ValueError("film: expected a film or --sample, got " + ("both" if args.sample else "neither"))
    with tempfile.TemporaryDirectory() as folder:
        if args.sample:
            from ..film.sample_clip import write_sample

            args.film = str(Path(folder) / "sample.mp4")
            write_sample(args.film)
        report, problems = _evaluate(args)
    print(table(report))
    if args.json:
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
    if args.plot:
        with atomic_path(args.plot) as temporary:
            plot(report, temporary)
    for problem in problems:
        print(f"fastcolor: error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _evaluate(args: argparse.Namespace) -> tuple[dict, list[str]]:
    variants = {} if args.result else dict(VARIANTS)
    if args.motion and not args.result:
        variants["along the motion"] = {"motion": True}
    options = {"model": args.model, "temperature": args.temperature, "size": args.size}
    options |= {"alpha": args.alpha, "window": args.window}
    return evaluate_file(args.film, variants, args.result, progress=sys.stderr.isatty(), **options)
