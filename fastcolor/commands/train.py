"""``fastcolor train SET --out RUN``: train a ColorUNet on a folder or a pack that ``fastcolor prepare`` wrote."""

from __future__ import annotations

import argparse
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..arrays import checks
from ..errors import MissingExtraError
from ..training.schedule import SCHEDULES
from . import options

# Where a run starts from; options change it. "paper" is TrainConfig's own values, "landscapes" and "landscapes-wide"
# made the bundled networks. "gpu-7min" is the default network's shape for seven minutes of a large GPU. It has not run
# on a card: batch, rate and steps (the scale of warm-up and decay, not their number) are guesses from another network
# of that size, which saw 1.7 million crops of 128 to 160 pixels in batches of 384 within 5.4 minutes of an H200.
_LANDSCAPES: dict[str, Any] = {
    "batch": 32,
    "size": 128,
    "augment": "random",
    "lam": 0.75,
    "schedule": "hold-decay",
    "warmup": 300,
    "weight_decay": 0.02,
    "clip": 1.0,
    "bfloat16": True,
}
_WIDE = {"down": (32, 64, 128, 192, 256), "up": (192, 128, 64, 48), "head": 32, "fold": 2, "size": 128}
RECIPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # name -> (network, training)
    "paper": ({}, {}),
    "landscapes": ({"size": 128}, {**_LANDSCAPES, "steps": 4_400, "decay": 1_600, "rate": 3e-3}),
    "landscapes-wide": (_WIDE, {**_LANDSCAPES, "steps": 10_400, "decay": 2_700, "rate": 2e-3}),
    "gpu-7min": (
        _WIDE,
        {**_LANDSCAPES, "minutes": 7.0, "loader": "device", "batch": 384, "steps": 5_000, "warmup": 200, "decay": 3_000}
        | {"rate": 3e-3, "weight_decay": 0.05},
    ),
}
_UNSET = argparse.SUPPRESS  # an option that is not given keeps the recipe's value, or that of the resumed run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of a run; those of :class:`fastcolor.training.trainer.TrainConfig` have its names."""
    arg = parser.add_argument
    arg("folder", type=Path, help="folder with train/ and val/, or a pack: see `fastcolor prepare`")
    arg("--out", type=Path, required=True, help="folder of the run")
    arg("--resume", action="store_true", help="go on from the checkpoint in --out")
    arg("--start", help="a new run starts from the weights of this model: a bundled name or a folder")
    arg("--bins", type=Path, help="npz of `fastcolor fit`; the bundled bins, or those of the resumed run, by default")
    arg("--recipe", choices=RECIPES, default="paper", help="network, and defaults of what follows, of a new run")
    arg("--steps", type=int, default=_UNSET)
    arg("--minutes", type=float, default=_UNSET, help="end after this time instead, with all that belongs to it")
    arg("--loader", choices=("workers", "device"), default=_UNSET, help="device: the set in memory, no workers")
    arg("--batch", type=int, default=_UNSET, help="samples a step, over all processes")
    arg("--size", type=int, default=_UNSET, help="side of the training canvas in pixels")
    arg("--augment", choices=("paper", "random", "none"), default=_UNSET)
    arg("--lam", type=float, default=_UNSET, help="λ of the class rebalancing; 1 is none")
    arg("--rate", type=float, default=_UNSET, help="peak learning rate")
    arg("--schedule", choices=SCHEDULES, default=_UNSET)
    arg("--warmup", type=int, default=_UNSET, help="steps of linear rise")
    arg("--decay", type=int, default=_UNSET, help="steps of linear fall at the end, for hold-decay")
    arg("--weight-decay", type=float, default=_UNSET)
    arg("--clip", type=float, default=_UNSET, help="greatest norm of the gradient")
    arg("--average", type=float, default=_UNSET, help="decay of the averaged weights")
    arg("--bfloat16", action=argparse.BooleanOptionalAction, default=_UNSET)
    arg("--seed", type=int, default=_UNSET)
    arg("--device", default="cpu")
    arg("--workers", type=int, default=1, help="processes that load photographs")
    arg("--compile", action="store_true", help="try torch.compile for a minute")
    arg("--save-every", type=int, help="steps between checkpoints; 500 by default, none with --minutes")
    arg("--save-seconds", type=float, default=60.0, help="seconds between checkpoints (%(default)s)")
    arg("--validate-every", type=int, help="steps between validations; an epoch, or an eighth of --minutes, by default")
    arg("--pictures", type=int, default=6, help="photographs in each sample picture")


def run(args: argparse.Namespace) -> int:
    """Train, or go on with a run."""
    started = time.monotonic()  # before torch is imported, which takes its part of a budget
    try:
        from ..network.unet import UNetConfig
        from ..training.train import train
        from ..training.trainer import TrainConfig, saved_bins, saved_config
    except ImportError as error:
        raise MissingExtraError("fastcolor train", "torch", "train") from error
    from ..bins import ColorBins

    kept = saved_bins(args.out) if args.resume else None
    bins = ColorBins.load(args.bins) if args.bins else kept or ColorBins.default()
    if args.resume:
        config = saved_config(args.out)
    else:
        network, training = RECIPES[args.recipe]
        config = TrainConfig(network=UNetConfig(bins=bins.n, **network), **training)
    given = options.chosen(args, *(field.name for field in fields(TrainConfig) if hasattr(args, field.name)))
    config = replace(config, **_ended(given))
    same = (
        "resume",
        "start",
        "device",
        "workers",
        "compile",
        "save_every",
        "save_seconds",
        "validate_every",
        "pictures",
    )
    train(args.folder, args.out, config, bins, started=started, **options.chosen(args, *same))
    return 0


def _ended(given: dict[str, Any]) -> dict[str, Any]:
    """The options, with one end of the run: steps that are given end a recipe or a run that had minutes."""
    if "steps" in given and "minutes" in given:
        raise ValueError("--steps, --minutes: expected one of the two, got both; a run ends once")
    if "minutes" in given:
        checks.positive("--minutes", given["minutes"])
    return {"minutes": 0.0, **given} if "steps" in given else given
