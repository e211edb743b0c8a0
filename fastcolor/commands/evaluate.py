"""``fastcolor evaluate DIR...``: measure a network on color photographs against the gray baseline."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arrays import checks
from ..files.atomic import write_json
from ..files.marks import marked
from ..files.sets import find_images
from ..files.writing import check_writable_format, write_photo
from ..photo.colorizer import DEFAULT_MODEL, Colorizer, network_module
from ..photo.decoding import Decoding
from . import options

if TYPE_CHECKING:
    from ..evaluation.tuning import Candidate


GIVE = 0.02  # unless the user says
STEP = 0.005  # of gray's CIEDE2000 between the lines about what more color costs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arg = parser.add_argument
    arg("folders", nargs="+", type=Path, metavar="DIR", help="color photographs; several are measured alone, then all")
    arg("--temperature", type=float, nargs="+", default=[], help="one or several (default: the model's decoding)")
    options.add(parser, "--model", "--size", "--mirror")
    arg("--content", type=Path, metavar="TOML", help="arrays of names or globs a class of content, measured apart")
    arg("--lam", type=float, default=0.5, help="λ of the weighted cross entropy, 0 to 1 (%(default)s)")
    arg("--every", type=int, default=1, help="take every N-th photograph of a folder")
    arg("--json", type=Path, help="write the results here")
    arg("--sheet", type=Path, help="write a contact sheet here: input, the first decoding's result, truth")
    arg("--rows", type=int, default=12, help="photographs on the contact sheet, evenly spaced")
    fit = "learn doubt and gain on these photographs, at T = 1 or the first --temperature, measure with them, and "
    fit += "write them here, with the size and mirror that they were learned at, for config.json"
    arg("--fit-decoding", type=Path, metavar="JSON", help=fit)
    give = f"with --fit-decoding: part of gray's CIEDE2000 that colorfulness nearer to the truth's may cost ({GIVE})"
    arg("--give", type=float, help=give)
    options.add(parser, "--force")


def run(args: argparse.Namespace) -> int:
    """Print the table, write JSON and contact sheet."""
    _check(args)
    found = {str(folder): find_images(folder) for folder in args.folders}
    sets = {folder: photographs[:: args.every] for folder, photographs in found.items()}
    read = [*chain(*found.values()), *options.model_files(args.model), *filter(None, [args.content])]
    options.check_named(read, args, "--json", "--sheet", "--fit-decoding")
    ColorUNet = network_module("fastcolor evaluate").ColorUNet
    import numpy as np

    from ..evaluation.content import Content
    from ..evaluation.photos import evaluate, sheet
    from ..evaluation.report import table
    from ..evaluation.tuning import fit_decoding

    decodings = [Decoding(temperature) for temperature in args.temperature]
    content = Content.load(args.content) if args.content else None
    model = ColorUNet.from_pretrained(args.model or DEFAULT_MODEL)
    used = Colorizer.load(model, size=args.size, mirror=args.mirror)
    seen: dict[str, Any] = {"size": used.size, "mirror": used.mirror}
    shared = {**seen, "content": content, "progress": True}
    if args.fit_decoding:
        give = GIVE if args.give is None else args.give
        fitted, front = fit_decoding(model, sets, temperature=(*args.temperature, 1.0)[0], give=give, **shared)
        write_json(args.fit_decoding, asdict(fitted.decoding) | seen, replace=args.force)
        print(_told(fitted, front))
        decodings.insert(0, fitted.decoding)
    report = evaluate(model, sets, decodings=decodings, lam=args.lam, **shared)
    report["model"] = args.model or DEFAULT_MODEL
    print(table(report))
    if args.json:
        write_json(args.json, report, replace=args.force)
    if args.sheet:
        paths = [path for photographs in sets.values() for path in photographs]
        rows = np.linspace(0, len(paths) - 1, min(args.rows, len(paths))).round().astype(int)
        picture = sheet(model, [paths[row] for row in rows], decoding=(*decodings, None)[0], **seen)
        write_photo(args.sheet, picture, metadata=marked(), replace=args.force)
    return 0


def _check(args: argparse.Namespace) -> None:
    """What fails before anything is measured."""
    if len(set(args.folders)) < len(args.folders):
        raise ValueError(f"DIR: expected different folders, got {', '.join(map(str, args.folders))}")
    for name in ("every", "rows"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name}: expected at least 1, got {getattr(args, name)}")
    checks.real("--lam", args.lam, 0.0, 1.0)
    if args.give is not None:
        checks.real("--give", args.give, 0.0)
        if not args.fit_decoding:
            raise ValueError("--give: expected with --fit-decoding alone, got without")
    if args.sheet:
        check_writable_format(args.sheet)


def _told(chosen: Candidate, front: Sequence[Candidate]) -> str:
    """The front in steps of accuracy, and the chosen one, marked, wherever it lies."""
    lines = ["what color costs, means over the sets: CIEDE2000 against gray, colorfulness against the truth"]
    last = -math.inf
    for one in sorted({*front, chosen}, key=lambda one: (one.change, one.decoding.gain)):
        if one != chosen and one.change < last + STEP:
            continue
        last = one.change
        worse = f"  classes worse than gray: {one.worse}" if one.worse else ""
        mark = "  chosen" if one == chosen else ""
        lines.append(f"  {one.decoding!s:30}{100 * one.change:+7.1f}%{100 * one.vividness:+7.1f}%{worse}{mark}")
    return "\n".join(lines)
