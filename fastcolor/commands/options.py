"""What several commands share: options of one meaning, the film or the sample clip, and how problems are told."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..files.finding import Found
from ..files.outputs import Target, check_outputs
from ..files.sets import is_pattern
from ..photo.colorizer import DEFAULT_MODEL
from ..plural import counted
from ..reference.constants import DEFAULT_ALPHA, DEFAULT_WINDOW
from .terminal import said

MODELS = Path(str(files("fastcolor.data"))) / "models"  # the bundled ones
_SHOWN = 5  # of many names in a line

_SHARED: dict[str, dict[str, Any]] = {
    "--model": {"help": f"bundled name or folder of a model (default: {DEFAULT_MODEL})"},
    "--temperature": {
        "type": float,
        "help": "of a plain annealed mean, small is vivid (default: the model's decoding)",
    },
    "--size": {"type": int, "help": "side of the square that the network sees, in pixels (default: the model's)"},
    "--mirror": {
        "action": argparse.BooleanOptionalAction,
        "default": None,
        "help": "see photographs in a mirror, too: better, in twice the time (default: as the model says)",
    },
    "--device": {"help": "cpu, cuda, cuda:1 (default: CUDA if there is any)"},
    "--alpha": {"type": float, "default": DEFAULT_ALPHA, "help": "decay of the past a frame (%(default)s)"},
    "--window": {"type": int, "default": DEFAULT_WINDOW, "help": "past frames that count, of paper (%(default)s)"},
    "--force": {"action": "store_true", "help": "overwrite existing files"},
}


def add(parser: argparse.ArgumentParser, *names: str) -> None:
    """Options that mean the same in every command."""
    for name in names:
        parser.add_argument(name, **_SHARED[name])


def chosen(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """What was chosen for the arguments of a function that have the names of options."""
    return {name: getattr(args, name) for name in names}


def model_files(*models: str | None) -> list[Path]:
    """The folders of models, what is in which is read: bundled ones by their names, the default one where none is."""
    return [MODELS / (model or DEFAULT_MODEL) for model in models] + [Path(model) for model in models if model]


def check_named(sources: Iterable[str | os.PathLike[str]], args: argparse.Namespace, *names: str) -> None:
    """:func:`fastcolor.files.outputs.check_outputs` of the files that these options name, where they are given."""
    given = {name: getattr(args, name.lstrip("-").replace("-", "_")) for name in names}
    check_outputs(sources, [Target(path, name) for name, path in given.items() if path], force=args.force)


def film_files(*films: str | Path | None) -> list[Path]:
    """The files that films are read from: themselves, or the pictures of a folder or glob."""
    from ..film.io import frames_at

    found: list[Path] = []
    for text in map(str, filter(None, films)):
        found += frames_at(text) if Path(text).is_dir() or is_pattern(text) else [Path(text)]
    return found


def film_or_sample(name: str, film: str | None, sample: bool, stack: ExitStack) -> str:
    """The path `film` of the argument `name`, or the sample clip, which is there until `stack` is closed."""
    if bool(film) == sample:
        raise ValueError(f"{name}: expected a film or --sample, got " + ("both" if sample else "neither"))
    if film:
        return film
    from ..film.sample_clip import write_sample

    path = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "sample.mp4")
    write_sample(path)
    return path


def listed(names: Iterable[str]) -> str:
    """Names in a line, the first of many.

    Examples
    --------
    >>> listed("abcdefg")
    'a, b, c, d, e and 2 more'
    """
    first = list(names)
    more = len(first) - _SHOWN
    return ", ".join(first[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def left_out(found: Found, *, grayscale: Sequence[Path] = ()) -> list[str]:
    """A line for each kind of file that lies among photographs and is none."""
    kinds = {
        "no photographs by name": found.others,
        "maps, sheets or plots of fastcolor": found.pictures,
        "no files, or links to folders": found.astray,
        "grayscale": grayscale,
    }
    return [
        f"left out {counted(len(paths), 'file')}, {what}: {listed(map(str, paths))}"
        for what, paths in kinds.items()
        if paths
    ]


def tell(problems: Iterable[object]) -> int:
    """Print what went wrong on the way; the exit status."""
    lines = [f"fastcolor: error: {said(p) if isinstance(p, Exception) else p}" for p in problems]
    if lines:
        print(*lines, sep="\n", file=sys.stderr)
    return 1 if lines else 0
