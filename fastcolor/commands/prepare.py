"""``fastcolor prepare DIR [DIR ...] OUT``: make a training set of photographs; ``--pack FILE``: as one file."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from . import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "fastcolor prepare [options] DIR [DIR ...] OUT\n       fastcolor prepare [options] --pack FILE SET"
    arg = parser.add_argument
    arg("places", type=Path, nargs="+", metavar="DIR ... OUT", help=_PLACES)
    arg("--size", type=int, default=256, help="longer side in pixels; nothing is enlarged")
    arg("--validation", type=float, default=0.1, help="share held out for validation")
    arg("--seed", type=int, default=0, help="of the split")
    arg("--pack", type=Path, metavar="FILE", help="write the set into this one file, too: a zip for `fastcolor train`")
    arg("--pack-megabytes", type=float, default=45.0, help="size and quality are lowered until it fits (%(default)g)")
    options.add(parser, "--force")


_PLACES = (
    "folders of color photographs, searched with subfolders, then the set, which gets train/, val/ and report.json, or "
    "what is new if it has them; one alone is such a set"
)


def run(args: argparse.Namespace) -> int:
    """Prepare, and pack; exit status 1 if a file could not be read."""
    from ..training.pack import pack_set
    from ..training.prepare import prepared

    *folders, out = args.places
    if not folders and args.pack is None:
        raise ValueError("out: expected the folder to be made, or --pack FILE to pack a set that is there; got neither")
    options.check_named(args.places, args, "--pack")
    with ExitStack() as stack:  # a set that is made is packed before another process may change it
        unreadable = False
        if folders:
            kinds = {"size": args.size, "validation": args.validation, "seed": args.seed}
            report = stack.enter_context(prepared(folders, out, **kinds, progress=True))
            print(report)
            unreadable = bool(report.unreadable)
        if args.pack is not None:
            print(pack_set(out, args.pack, megabytes=args.pack_megabytes, progress=True, replace=args.force))
    return 1 if unreadable else 0
