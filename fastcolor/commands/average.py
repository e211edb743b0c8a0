"""``fastcolor average MODEL MODEL ... --out FOLDER``: the mean of the weights of several trained networks."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files.atomic import atomic_folder
from ..files.outputs import Target, check_folder
from ..photo.colorizer import network_module
from . import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("models", nargs="+", metavar="MODEL", help="folders of networks that were trained from the same weights")
    arg(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of the new model; must not be there, or be empty",
    )
    arg("--half", action="store_true", help="store convolutions in float16: half the size")


def run(args: argparse.Namespace) -> int:
    """Read all, then write; nothing is written if one of them does not fit."""
    other = "choose another folder"
    check_folder(options.model_files(*args.models), Target(args.out, "--out"), force=False, instead=other)
    ColorUNet = network_module("fastcolor average").ColorUNet
    from ..network.soup import average

    networks = [ColorUNet.from_pretrained(model) for model in args.models]
    mean = average(networks, args.models)
    with atomic_folder(args.out) as temporary:
        mean.save_pretrained(temporary, half=args.half)
    print(f"wrote {args.out}: the mean of {len(networks)} networks")
    return 0
