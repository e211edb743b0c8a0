"""``fastcolor evaluate DIR``: measure a network on color photographs against the gray baseline."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..errors import MissingExtraError
from ..files.atomic import atomic_path
from ..photo.colorizer import DEFAULT_MODEL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("folder", type=Path, help="folder of color photographs")
    parser.add_argument("--model", help="bundled name or folder; the default model by default")
    parser.add_argument("--temperature", type=float, nargs="+", default=[], help="one or several; the model's own")
    parser.add_argument(
        "--size", type=int, help="side of the square that the network sees, in pixels (default: the model's)"
    )
    parser.add_argument("--lam", type=float, default=0.5, help="λ of the weighted cross entropy")
    parser.add_argument("--every", type=int, default=1, help="take every N-th photograph")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here: input, prediction, truth")
    parser.add_argument("--rows", type=int, default=12, help="photographs on the contact sheet, evenly spaced")


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
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
    if args.sheet:
        temperature = args.temperature[0] if args.temperature else None
        picture = sheet(model, paths[:: max(1, len(paths) // args.rows)][: args.rows], temperature=temperature)
        with atomic_path(args.sheet) as temporary:
            Image.fromarray(picture).save(temporary)
    return 0
