"""``fastcolor prepare DIR OUT``: make a training set of a folder of photographs; ``--pack FILE``: as one file."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("folder", type=Path, help="folder of color photographs, searched with its subfolders")
    arg("out", type=Path, nargs="?", help="gets train/, val/ and report.json; without it, the folder is such a set")
    arg("--size", type=int, default=256, help="longer side in pixels; nothing is enlarged")
    arg("--validation", type=float, default=0.1, help="share held out for validation")
    arg("--seed", type=int, default=0, help="of the split")
    arg("--pack", type=Path, metavar="FILE", help="write the set into this one file, too: a zip for `fastcolor train`")
    arg("--pack-megabytes", type=float, default=45.0, help="size and quality are lowered until it fits (%(default)g)")


def run(args: argparse.Namespace) -> int:
    """Prepare, and pack; exit status 1 if a file could not be read."""
    from ..training.pack import pack_set
    from ..training.prepare import prepare

    if args.out is None and args.pack is None:
        raise ValueError("out: expected the folder to be made, or --pack FILE to pack a set that is there; got neither")
    unreadable = False
    if args.out is not None:
        report = prepare(
            args.folder, args.out, size=args.size, validation=args.validation, seed=args.seed, progress=True
        )
        print(report)
        unreadable = bool(report.unreadable)
    if args.pack is not None:
        print(pack_set(args.out or args.folder, args.pack, megabytes=args.pack_megabytes, progress=True))
    return 1 if unreadable else 0
