"""``fastcolor evaluate-video FILM``: flicker, PSNR and CIEDE2000 of colorized films against the true colors."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from ..evaluation.clips import KINDS
from ..evaluation.films import VARIANTS, evaluate_file, plot, table
from ..evaluation.made_films import DEFAULT_CLIPS, clips_table, evaluate_clips
from ..files.atomic import write_json
from ..files.sets import find_images
from ..film.video import SMOOTHINGS
from ..plots.curves import check_plot
from . import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("film", nargs="?", help="color film: video file, GIF, WebP, folder or 'glob' of images")
    arg("--sample", action="store_true", help="measure on the sample clip instead")
    arg("--photographs", type=Path, metavar="DIR", help="measure on clips made of the color photographs in this folder")
    arg("--kinds", nargs="+", choices=KINDS, help="of these clips (all)")
    arg("--clips", type=int, help=f"of each kind ({DEFAULT_CLIPS})")
    arg("--smooth", nargs="+", choices=SMOOTHINGS, help=f"what is compared ({' '.join(VARIANTS)})")
    arg("--result", type=Path, nargs="+", default=[], help="films to measure instead of the network's")
    options.add(parser, "--model", "--temperature", "--size", "--alpha", "--window")
    arg("--json", type=Path, help="write means and curves here")
    arg("--plot", type=Path, help="draw the curves over time here")
    options.add(parser, "--force")


def run(args: argparse.Namespace) -> int:
    """Print the table, write JSON and plot."""
    _check(args)
    variants = {} if args.result else {kind: {"smooth": kind} for kind in args.smooth or VARIANTS}
    chosen = options.chosen(args, "model", "temperature", "size", "alpha", "window")
    photographs = find_images(args.photographs) if args.photographs else []
    read = [*photographs, *options.film_files(args.film, *args.result), *options.model_files(args.model)]
    options.check_named(read, args, "--json", "--plot")
    if args.plot:
        check_plot(args.plot)
    progress = sys.stderr.isatty()
    problems: list[str] = []
    if args.photographs:
        kinds, clips = args.kinds or KINDS, DEFAULT_CLIPS if args.clips is None else args.clips
        report = evaluate_clips(photographs, kinds, variants, clips=clips, progress=progress, **chosen)
        print(clips_table(report))
    else:
        with ExitStack() as stack:
            film = options.film_or_sample("film", args.film, args.sample, stack)
            report, problems = evaluate_file(film, variants, args.result, progress=progress, **chosen)
        print(table(report))
    if args.json:
        write_json(args.json, report, replace=args.force)
    if args.plot:
        plot(report, args.plot, replace=args.force)
    return options.tell(problems)


def _check(args: argparse.Namespace) -> None:
    """ValueError for options that would say nothing beside the others."""
    if args.photographs and (args.film or args.sample or args.result or args.plot):
        raise ValueError("--photographs: expected no film, --sample, --result or --plot beside it, got one")
    for name in ("kinds", "clips"):
        if getattr(args, name) is not None and not args.photographs:
            raise ValueError(f"--{name}: expected --photographs DIR beside it, got a film; a film is measured as it is")
    if args.smooth and args.result:
        raise ValueError("--smooth: expected no --result beside it, got one; films are measured as they are")
