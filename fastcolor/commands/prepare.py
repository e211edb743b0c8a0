"""``fastcolor prepare DIR OUT``: make a training set of a folder of photographs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("folder", type=Path, help="folder of color photographs, searched with its subfolders")
    arg("out", type=Path, help="gets train/, val/ and report.json")
    arg("--size", type=int, default=256, help="longer side in pixels; nothing is enlarged")
    arg("--validation", type=float, default=0.1, help="share held out for validation")
    arg("--seed", type=int, default=0, help="of the split")


def run(args: argparse.Namespace) -> int:
    """Prepare; exit status 1 if a file could not be read."""
    from ..training.prepare import prepare

    report = prepare(args.folder, args.out, size=args.size, validation=args.validation, seed=args.seed, progress=True)
    print(report)
    return 1 if report.unreadable else 0
