"""``fastcolor evaluate-video FILM``: flicker, PSNR and CIEDE2000 of colorized films against a color film."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from ..evaluation.films import VARIANTS, evaluate_file, plot, table
from ..files.atomic import atomic_path, write_json
from . import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("film", nargs="?", help="color film: video file, GIF, WebP, folder or 'glob' of images")
    arg("--sample", action="store_true", help="measure on the sample clip instead")
    arg("--result", type=Path, nargs="+", default=[], help="films to measure instead of the network's")
    arg("--motion", action="store_true", help="measure smoothing along the motion, too")
    options.add(parser, "--model", "--temperature", "--size", "--alpha", "--window")
    arg("--json", type=Path, help="write means and curves here")
    arg("--plot", type=Path, help="draw the curves over time here")


def run(args: argparse.Namespace) -> int:
    """Print the table, write JSON and plot."""
    variants = {} if args.result else dict(VARIANTS)
    if args.motion and not args.result:
        variants["along the motion"] = {"motion": True}
    chosen = options.chosen(args, "model", "temperature", "size", "alpha", "window")
    with ExitStack() as stack:
        film = options.film_or_sample("film", args.film, args.sample, stack)
        report, problems = evaluate_file(film, variants, args.result, progress=sys.stderr.isatty(), **chosen)
    print(table(report))
    if args.json:
        write_json(args.json, report)
    if args.plot:
        with atomic_path(args.plot) as temporary:
            plot(report, temporary)
    return options.tell(problems)
