"""``fastcolor fit``: count the colors of photographs, fit bins on the counts, merge counts of many machines."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import plural
from ..bins import CENTERS, METHODS, ColorBins, check_fit_options, sizes_to_count
from ..errors import ImageError
from ..files.finding import Found
from ..fitting.counting import Counted, count_files, find_all
from ..fitting.moments import ChromaMoments
from ..reference.constants import DEFAULT_BINS, DEFAULT_CELLS, SPACES
from . import options

_CELLS = {"frequent": DEFAULT_CELLS, "kmeans": 65}  # K-means wants cells that are finer than its bins
_PLANES = {"yuv": "UV", "lab": "ab"}
_SHOWN = 10  # errors of files that cannot be read
_EPILOG = """
A large data set can be counted in parts: each file of bins holds the counts that it was fitted from, and
  fastcolor fit --merge part1.npz part2.npz -o bins.npz
gives, bit for bit, the bins of all photographs counted at once. Count the parts with the same --cells.
Files that cannot be read are skipped and listed, and the exit status is 1, though bins are written of the others;
grayscale files are skipped and listed. If no file is left, nothing is written.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog, parser.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    arg = parser.add_argument
    arg("places", nargs="*", metavar="DIR", help="folder of photographs, at any depth, or an image file")
    arg("-o", "--output", required=True, type=Path, metavar="BINS.npz", help="file to write")
    arg("--n", type=int, default=DEFAULT_BINS, help="number of bins, 1..1024 (default: %(default)s)")
    arg(
        "--space",
        choices=SPACES,
        help="plane: UV of YUV, or ab of CIE Lab (default: yuv; with --merge that of the parts)",
    )
    usual = ", ".join(f"{k} for {method}" for method, k in _CELLS.items())
    cells = "cells along each axis of the plane, odd; auto: least error on held-out images"
    cells += f" (default: {usual}; with --merge auto among the K counted)"
    arg("--cells", type=_cells, metavar="K|auto", help=cells)
    arg("--method", choices=METHODS, default="frequent", help="default: %(default)s")
    arg("--centers", choices=CENTERS, default="mean", help="color of a bin (default: %(default)s)")
    arg("--merge", nargs="+", default=[], metavar="PART.npz", help="add the counts in files of bins")
    arg("--plot", type=Path, metavar="PLOT.png", help="also draw colors, frequencies and weights")
    options.add(parser, "--force")


def run(args: argparse.Namespace) -> int:
    """Fit, write, report."""
    cells = args.cells
    if cells is None:
        cells = "auto" if args.merge else _CELLS[args.method]
    check_fit_options(args.n, cells, args.method, args.centers)
    found = find_all(args.places) if args.places else Found()
    _check_outputs(args, found.photographs)
    parts = _load_parts(args.merge)
    if not args.places and not parts:
        raise ValueError("DIR: expected a folder of photographs or --merge, got neither")
    first = parts[0] if parts else ChromaMoments(sizes_to_count(cells, args.method), args.space or "yuv")
    counted = Counted(ChromaMoments(first.sizes, args.space or first.space))
    if args.places:
        counted = _count(found, counted.moments)
        if not counted.moments.images:
            raise ImageError(f"{', '.join(args.places)}: no image file there can be used; expected color photographs")
    for part in parts:
        counted.moments += part
    bins = _fit(counted.moments, cells, args)
    bins.save(args.output, replace=args.force)
    print(f"{args.output}: {bins.n} bins of {bins.cells} x {bins.cells} cells")
    if args.plot:
        from ..plots.curves import plot_bins

        plot_bins(bins, args.plot, replace=args.force)
        print(f"{args.plot}: plot of the bins")
    return 1 if counted.unreadable or found.errors else 0


def _fit(moments: ChromaMoments, cells: int | str, args: argparse.Namespace) -> ColorBins:
    print(f"counted {plural.counted(moments.images, 'image')}, {plural.counted(moments.pixels, 'pixel')}")
    bins = ColorBins.from_moments(moments, args.n, cells, args.method, args.centers)
    errors = moments.errors(args.n, args.method, args.centers)
    if len(errors) > 1:
        for k, error in errors.items():
            print(f"  K = {k:3d}: held-out error {error:.5f}{'  <- chosen' if k == bins.cells else ''}")
    elif errors:
        unit = _PLANES[moments.space]
        error = errors[bins.cells]
        print(f"  held-out error {error:.5f} (RMS distance in {unit}; one image in three, bins of the others)")
    return bins


def _count(found: Found, like: ChromaMoments) -> Counted:
    from tqdm import tqdm

    with tqdm(total=len(found.photographs), unit=" images", disable=None) as bar:
        counted = count_files(found.photographs, like.sizes, bar.update, like.space)
    for line in options.left_out(found, grayscale=counted.gray):
        print(line, file=sys.stderr)
    _tell([*found.errors, *counted.unreadable])
    return counted


def _tell(problems: Sequence[object]) -> None:
    """What could not be read, the first of thousands."""
    more = len(problems) - _SHOWN
    options.tell([*problems[:_SHOWN], *([f"{more} more cannot be read"] if more > 0 else [])])


def _load_parts(paths: Sequence[str]) -> list[ChromaMoments]:
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise ValueError("--merge: expected each file once, got one twice; its images would count double")
    parts = []
    for path in paths:
        moments = ColorBins.load(path).moments
        if moments is None:
            raise ValueError(f"{path}: bins without counts, so there is nothing to merge; fit them again")
        parts.append(moments)
    return parts


def _check_outputs(args: argparse.Namespace, paths: Sequence[Path]) -> None:
    """Everything that can be known to fail at the end is said before hours of counting."""
    options.check_named([*args.merge, *paths], args, "--output", "--plot")
    if args.plot:
        from ..plots.curves import check_plot

        check_plot(args.plot)


def _cells(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or auto, got {text!r}") from None
