"""``fastcolor train DIR --out RUN``: train a ColorUNet on a folder that ``fastcolor prepare`` wrote."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError

# Where a run starts from; options change it. "paper" is TrainConfig's own values; the others made the bundled networks.
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
}
_UNSET = argparse.SUPPRESS  # an option that is not given keeps the recipe's value, or that of the resumed run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of a run; those of :class:`fastcolor.training.trainer.TrainConfig` have its names."""
    parser.add_argument("folder", type=Path, help="folder with train/ and val/, see `fastcolor prepare`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--start", help="start from the weights of this model: a bundled name or a folder")
    parser.add_argument("--bins", type=Path, help="npz of `fastcolor fit`; the bundled bins by default")
    parser.add_argument("--recipe", choices=RECIPES, default="paper", help="network and defaults of the options below")
    parser.add_argument("--steps", type=int, default=_UNSET)
    parser.add_argument("--batch", type=int, default=_UNSET, help="samples a step, over all processes")
    parser.add_argument("--size", type=int, default=_UNSET, help="side of the training canvas in pixels")
    parser.add_argument("--augment", choices=("paper", "random", "none"), default=_UNSET)
    parser.add_argument("--lam", type=float, default=_UNSET, help="λ of the class rebalancing; 1 is none")
    parser.add_argument("--rate", type=float, default=_UNSET, help="peak learning rate")
    parser.add_argument("--schedule", choices=("two-step", "cosine", "hold-decay"), default=_UNSET)
    parser.add_argument("--warmup", type=int, default=_UNSET, help="steps of linear rise")
    parser.add_argument("--decay", type=int, default=_UNSET, help="steps of linear fall at the end, for hold-decay")
    parser.add_argument("--weight-decay", type=float, default=_UNSET)
    parser.add_argument("--clip", type=float, default=_UNSET, help="greatest norm of the gradient")
    parser.add_argument("--average", type=float, default=_UNSET, help="decay of the averaged weights")
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=_UNSET)
    parser.add_argument("--seed", type=int, default=_UNSET)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that load photographs")
    parser.add_argument("--save-every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--validate-every", type=int, help="steps between validations; an epoch by default")
    parser.add_argument("--pictures", type=int, default=6, help="photographs in each sample picture")


def run(args: argparse.Namespace) -> int:
    """Train, or go on with a run."""
    try:
        from ..network.unet import UNetConfig
        from ..training.train import train
        from ..training.trainer import TrainConfig, saved_config
    except ImportError as error:
        raise MissingExtraError("fastcolor train", "torch", "train") from error
    from ..bins import ColorBins

    bins = ColorBins.load(args.bins) if args.bins else ColorBins.default()
    if args.resume:
        config = saved_config(args.out)
    else:
        network, training = RECIPES[args.recipe]
        config = TrainConfig(network=UNetConfig(bins=bins.n, **network), **training)
    given = {field.name: getattr(args, field.name) for field in fields(TrainConfig) if hasattr(args, field.name)}
    train(
        args.folder,
        args.out,
        replace(config, **given),
        bins,
        resume=args.resume,
        start=args.start,
        device=args.device,
        workers=args.workers,
        save_every=args.save_every,
        validate_every=args.validate_every,
        pictures=args.pictures,
    )
    return 0
