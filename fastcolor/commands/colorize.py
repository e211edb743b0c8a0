"""``fastcolor colorize INPUT... -o OUT``: photographs, folders of them, globs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from ..files.outputs import Source, Target, check_outputs, is_standing
from ..files.writing import DEFAULT_QUALITY, check_writable_format
from ..photo.bulk import SHEET_ROWS, STREAM_FORMAT, Bulk
from ..photo.colorizer import Colorizer
from ..photo.targets import STREAM, Job, Plan, named, plan
from ..plural import counted
from . import options

_EPILOG = f"""
Results keep the names of their photographs. One in a format that is only read becomes a PNG file: s.gif becomes
s.gif.png, whatever lies beside it. A folder is read with its subfolders, without hidden files, without OUT if that lies
inside it, and without the maps, sheets and plots of earlier runs. No file that is read is ever replaced.
Of a TIFF file with several pages all are colorized, into a TIFF file. `-` is standard input, or standard output, which
gets a {STREAM_FORMAT} file: fastcolor colorize - -o - < gray.jpg > color.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog, parser.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    arg = parser.add_argument
    arg("inputs", nargs="+", metavar="INPUT", help="photograph, folder (subfolders included), 'glob', or -")
    out = "a file (.jpg .png .tif .webp) or - for one photograph, else a folder, made if missing: results keep names"
    arg("-o", "--out", required=True, help=out)
    options.add(parser, "--model", "--temperature", "--size", "--mirror", "--device")
    compare = f"one picture of gray, colorized and, if it had color, original, for the first {SHEET_ROWS} photographs"
    arg("--compare", type=named, metavar="FILE", help=compare)
    sure = "how sure the network is where; a folder for several photographs"
    arg("--confidence", type=named, metavar="FILE", help=sure)
    page = "the N-th page alone, which all files must have (default: all, in a TIFF file)"
    arg("--page", type=int, metavar="N", help=page)
    arg("--quality", type=int, default=DEFAULT_QUALITY, help="1..100, JPEG and WebP (default: %(default)s)")
    arg("--max-pixels", type=int, help="refuse larger photographs (default: Pillow's 89 million)")
    arg("--skip-existing", action="store_true", help="go on with a run that was stopped: files there stay")
    options.add(parser, "--force")


def run(args: argparse.Namespace) -> int:
    _check_options(args)
    planned = _planned(args)
    jobs = _left_to_do(args, planned.jobs)
    new = [job for job in jobs if not (args.skip_existing and job.is_whole)]
    report = sys.stderr if args.out == "-" else sys.stdout
    if not jobs:
        lines = [f"nothing to do: {_there(planned)} in {args.out}", *options.left_out(planned.found)]
        print(*lines, sep="\n", file=report)
        return options.tell(planned.found.errors)
    colorizer = Colorizer.load(args.model, **options.chosen(args, "temperature", "size", "mirror", "device"))
    same = options.chosen(args, "force", "skip_existing", "quality", "max_pixels", "page")
    bulk = Bulk(colorizer, sheet=args.compare, **same)
    # disable=None: no bar where nobody watches
    bulk.do(tqdm(jobs, unit="photo", disable=None if len(jobs) > 1 else True))
    if bulk.failures and len(planned.jobs) == 1 and not planned.found.errors:
        raise bulk.failures[0]
    print(*_told(args, planned, len(new), bulk), sep="\n", file=report)
    return options.tell([*planned.found.errors, *bulk.failures])


def _check_options(args: argparse.Namespace) -> None:
    if not 1 <= args.quality <= 100:
        raise ValueError(f"--quality: expected 1..100, got {args.quality}")
    for name in ("max_pixels", "page"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')}: expected at least 1, got {value}")
    if args.force and args.skip_existing:
        raise ValueError("--force, --skip-existing: expected one of the two, got both")
    for name in ("compare", "confidence"):
        if getattr(args, name) == STREAM:
            raise ValueError(f"--{name}: expected a file, got -; the result alone goes to standard output, by --out -")
    _check_stream("INPUT", "-" in args.inputs, sys.stdin, "a photograph: fastcolor colorize - < gray.jpg")
    _check_stream("--out", args.out == "-", sys.stdout, "a file or a pipe: fastcolor colorize -o - > color.png")


def _check_stream(name: str, used: bool, stream: Any, expected: str) -> None:
    missing = stream is None or getattr(stream, "missing", False)
    if used and (missing or stream.isatty()):
        raise ValueError(f"{name}: -: expected {expected}; got {'nothing' if missing else 'the terminal'}")


def _planned(args: argparse.Namespace) -> Plan:
    """What is to be done, checked before torch is loaded."""
    planned = plan(args.inputs, args.out, confidence=args.confidence)
    if len(planned.jobs) == 1 and not (planned.jobs[0].source == STREAM or planned.jobs[0].source.exists()):
        raise FileNotFoundError(f"{planned.jobs[0].source}: no such file")
    targets = list(planned.targets)
    if args.compare:
        check_writable_format(args.compare)
        targets.append(Target(args.compare, "--compare"))
    read = [_standard_input() if job.source == STREAM else job.source for job in planned.jobs]
    read += options.model_files(args.model)
    instead = ", --skip-existing leaves what is there and goes on" if len(planned.jobs) > 1 else ""
    check_outputs(read, targets, force=args.force or args.skip_existing, instead=instead)
    return planned


def _standard_input() -> Source:
    """The open file's number, or, where Python has another object there, a path to nothing."""
    try:
        return sys.stdin.fileno()
    except (OSError, AttributeError):
        return os.devnull


def _left_to_do(args: argparse.Namespace, jobs: Sequence[Job]) -> Sequence[Job]:
    """All jobs, or those that an earlier run did not come to, and what the sheet shows if that is not there yet."""
    if not args.skip_existing:
        return jobs
    shown = SHEET_ROWS if args.compare and not is_standing(args.compare) else 0
    return [job for number, job in enumerate(jobs) if number < shown or not job.is_whole]


def _there(planned: Plan) -> str:
    return f"all {len(planned.jobs)} results are" if len(planned.jobs) > 1 else "the result is"


def _told(args: argparse.Namespace, planned: Plan, new: int, bulk: Bulk) -> list[str]:
    """What was done, what was left out, and what could not be kept."""
    there = len(planned.jobs) - new
    where = "standard output" if args.out == str(STREAM) else args.out
    lines = [f"colorized {bulk.done} of {counted(new, 'photograph')} into {where}"]
    if there:
        lines[0] += f"; {there} more {'was' if there == 1 else 'were'} there already"
    if not new:
        lines = [] if bulk.failures else [f"wrote {args.compare}; {_there(planned)} in {args.out}"]
    for (kind, what), names in bulk.lost.items():
        lines.append(f"{options.listed(names)}: {what} left out, which {kind} cannot hold")
    if bulk.toned:
        lines.append(f"{options.listed(bulk.toned)}: toned; the tint is treated as gray")
    return lines + options.left_out(planned.found)
