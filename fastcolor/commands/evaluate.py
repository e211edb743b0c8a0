"""``fastcolor evaluate DIR``: measure a network on color photographs against the gray baseline."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import MissingExtraError
from ..files.atomic import atomic_path, write_json
from ..photo.colorizer import DEFAULT_MODEL
from . import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("folder", type=Path, help="folder of color photographs")
    arg("--temperature", type=float, nargs="+", default=[], help="one or several (default: the model's)")
    options.add(parser, "--model", "--size")
    arg("--lam", type=float, default=0.5, help="λ of the weighted cross entropy")
    arg("--every", type=int, default=1, help="take every N-th photograph")
    arg("--json", type=Path, help="write the results here")
    arg("--sheet", type=Path, help="write a contact sheet here: input, prediction, truth")
    arg("--rows", type=int, default=12, help="photographs on the contact sheet, evenly spaced")


def run(args: argparse.Namespace) -> int:
    """Print the table, write JSON and contact sheet."""
    try:
        from ..evaluation.photos import evaluate, sheet, table
        from ..files.sets import find_images
        from ..network.unet import ColorUNet
    except ImportError as error:
        raise MissingExtraError("fastcolor evaluate", "torch", "torch") from error
    from PIL import Image

    model = ColorUNet.from_pretrained(args.model or DEFAULT_MODEL)
    paths = find_images(args.folder)[:: args.every]
    report = evaluate(model, paths, temperatures=args.temperature, size=args.size, lam=args.lam, progress=True)
    report["model"] = args.model or DEFAULT_MODEL
    print(table(report))
    if args.json:
        write_json(args.json, report)
    if args.sheet:
        temperature = args.temperature[0] if args.temperature else None
        picture = sheet(model, paths[:: max(1, len(paths) // args.rows)][: args.rows], temperature=temperature)
        with atomic_path(args.sheet) as temporary:
            Image.fromarray(picture).save(temporary)
    return 0
