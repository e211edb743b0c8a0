"""``fastcolor evaluate DIR...``: measure a network on color photographs against the gray baseline."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingExtraError
from ..files.atomic import atomic_path, check_folder_of, write_json
from ..photo.colorizer import DEFAULT_MODEL
from ..photo.decoding import Decoding
from . import options

if TYPE_CHECKING:
    from ..evaluation.tuning import Candidate


STEP = 0.005  # of gray's CIEDE2000 between the lines about what more color costs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("folders", nargs="+", type=Path, metavar="DIR", help="color photographs; several are measured alone, then all")
    arg("--temperature", type=float, nargs="+", default=[], help="one or several (default: the model's decoding)")
    options.add(parser, "--model", "--size", "--mirror")
    arg("--content", type=Path, metavar="TOML", help="arrays of names or globs a class of content, measured apart")
    arg("--lam", type=float, default=0.5, help="λ of the weighted cross entropy")
    arg("--every", type=int, default=1, help="take every N-th photograph of a folder")
    arg("--json", type=Path, help="write the results here")
    arg("--sheet", type=Path, help="write a contact sheet here: input, prediction, truth")
    arg("--rows", type=int, default=12, help="photographs on the contact sheet, evenly spaced")
    fit = "learn doubt and gain on these photographs, measure with them, and write them here, for config.json"
    arg("--fit-decoding", type=Path, metavar="JSON", help=fit)
    arg("--give", type=float, default=0.02, help="part of gray's CIEDE2000 that more color may cost (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print the table, write JSON and contact sheet."""
    try:
        from ..evaluation.content import Content
        from ..evaluation.photos import evaluate, sheet
        from ..evaluation.report import table
        from ..evaluation.tuning import fit_decoding
        from ..files.sets import find_images
        from ..network.unet import ColorUNet
    except ImportError as error:
        raise MissingExtraError("fastcolor evaluate", "torch", "torch") from error
    from PIL import Image

    _check(args)
    content = Content.load(args.content) if args.content else None
    sets = {str(folder): find_images(folder)[:: args.every] for folder in args.folders}
    model = ColorUNet.from_pretrained(args.model or DEFAULT_MODEL)
    shared = {"size": args.size, "mirror": args.mirror, "content": content, "progress": True}
    decodings = [Decoding(temperature) for temperature in args.temperature]
    if args.fit_decoding:
        fitted, front = fit_decoding(model, sets, temperature=(*args.temperature, 1.0)[0], give=args.give, **shared)
        write_json(args.fit_decoding, asdict(fitted))
        print(_told(front))
        decodings.insert(0, fitted)
    report = evaluate(model, sets, decodings=decodings, lam=args.lam, **shared)
    report["model"] = args.model or DEFAULT_MODEL
    print(table(report))
    if args.json:
        write_json(args.json, report)
    if args.sheet:
        temperature = args.temperature[0] if args.temperature else None
        paths = [path for photographs in sets.values() for path in photographs]
        picture = sheet(model, paths[:: max(1, len(paths) // args.rows)][: args.rows], temperature=temperature)
        with atomic_path(args.sheet) as temporary:
            Image.fromarray(picture).save(temporary)
    return 0


def _check(args: argparse.Namespace) -> None:
    """What fails before anything is measured."""
    if len(set(args.folders)) < len(args.folders):
        raise ValueError(f"DIR: expected different folders, got {', '.join(map(str, args.folders))}")
    for name in ("every", "rows"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name}: expected at least 1, got {getattr(args, name)}")
    for path in filter(None, (args.json, args.sheet, args.fit_decoding)):
        check_folder_of(path)


def _told(front: Sequence[Candidate]) -> str:
    lines = ["what more color costs, means over the sets: CIEDE2000 against gray, colorfulness against the truth"]
    last = -math.inf
    for one in front:
        if one.change < last + STEP:
            continue
        last = one.change
        worse = f"  classes worse than gray: {one.worse}" if one.worse else ""
        lines.append(f"  {one.decoding!s:30}{100 * one.change:+7.1f}%{100 * one.vividness:+7.1f}%{worse}")
    return "\n".join(lines)
