"""``fastcolor train SET[=WEIGHT] ... --out RUN``: train a ColorUNet on sets that ``fastcolor prepare`` wrote."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arrays import checks
from ..errors import MissingExtraError
from ..training.recipes import RECIPES
from ..training.schedule import SCHEDULES
from . import options

if TYPE_CHECKING:
    from ..bins import ColorBins
    from ..training.config import TrainConfig
    from ..training.mixture import PhotoSet
    from ..training.runfile import Described

_UNSET = argparse.SUPPRESS  # an option that is not given keeps the recipe's value, or that of the resumed run
_LOOP = ("resume", "device", "workers", "compile", "save_every", "save_seconds", "pictures")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of a run; those of :class:`fastcolor.training.config.TrainConfig` have its names."""
    parser.description = (
        "Train a ColorUNet. Options that are not given have the value of the recipe, of --config, or of the run that "
        "--resume goes on with; RUN/run.toml says what they were."
    )
    arg = parser.add_argument
    arg("sets", nargs="*", metavar="SET[=WEIGHT]", help=_SETS)
    arg("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    arg("--config", type=Path, metavar="FILE", help="repeat the run that this run.toml describes")
    arg("--resume", action="store_true", help="go on from the checkpoint in RUN")
    arg("--recipe", choices=RECIPES, help="network and options of a new run (default: paper)")
    arg("--bins", type=Path, help="npz of `fastcolor fit`; the bundled bins, or those of the resumed run, by default")
    arg("--start", metavar="MODEL", help=_START)
    arg("--encoder-weights", metavar="FILE", help="its encoder starts from these public weights; see docs/training.md")
    _add_samples(parser.add_argument_group("photographs"))
    _add_optimizer(parser.add_argument_group("optimization"))
    _add_machine(parser.add_argument_group("machine and files"))


_START = "a new run starts from this model, a bundled name or a folder, and its models decode as that does"
_SETS = (
    "folders with train/ and val/, or packs, see `fastcolor prepare`; a weight is the share of the samples, the number "
    "of photographs by default"
)


def _add_samples(group: Any) -> None:
    arg = group.add_argument
    arg("--size", type=int, default=_UNSET, help="side of the training canvas in pixels")
    arg("--augment", choices=("paper", "random", "mixed", "squeezed", "none"), default=_UNSET, help=_AUGMENT)
    arg("--area", type=float, default=_UNSET, help="least area of a random crop")
    arg("--degrade", type=float, default=_UNSET, help="share of the faults of old photographs in the luma, 0 to 1")
    arg("--balance", type=float, default=_UNSET, help=_BALANCE)
    arg("--loader", choices=("workers", "device"), default=_UNSET, help="device: the set in memory, no workers")
    arg("--seed", type=int, default=_UNSET)


_AUGMENT = "seven variants, random crops, crops that may squeeze the photograph's shape, the whole of it so, or nothing"
_BALANCE = "photographs of <source>_<hash>.jpg come as count(source)^-BALANCE; 0: all alike, 1: all sources alike"


def _add_optimizer(group: Any) -> None:
    arg = group.add_argument
    arg("--steps", type=int, default=_UNSET)
    arg("--minutes", type=float, default=_UNSET, help="end after this time instead, with all that belongs to it")
    arg("--batch", type=int, default=_UNSET, help="samples a step, over all processes")
    arg("--lam", type=float, default=_UNSET, help="λ of the class rebalancing; 1 is none")
    arg("--soft", type=int, default=_UNSET, metavar="BINS", help="bins that share a pixel's target; 0: the nearest")
    arg("--sigma", type=float, default=_UNSET, help="σ of the soft targets, in units of chroma")
    arg("--distance", type=float, default=_UNSET, help="weight of the mean color's distance from the label's; 0: none")
    arg("--rate", type=float, default=_UNSET, help="peak learning rate")
    arg("--encoder-rate", type=float, default=_UNSET, metavar="SHARE", help="the encoder's, relative to --rate")
    arg("--freeze", type=int, default=_UNSET, metavar="BLOCKS", help="the encoder's stem and first BLOCKS stay")
    arg("--schedule", choices=SCHEDULES, default=_UNSET)
    arg("--warmup", type=int, default=_UNSET, help="steps of linear rise")
    arg("--decay", type=int, default=_UNSET, help="steps of linear fall at the end, for hold-decay")
    arg("--weight-decay", type=float, default=_UNSET)
    arg("--drop-path", type=float, default=_UNSET, help="stochastic depth of the encoder's deepest block")
    arg("--dropout", type=float, default=_UNSET, help="of the channels of the deepest map")
    arg("--clip", type=float, default=_UNSET, help="greatest norm of the gradient")
    arg("--average", type=float, default=_UNSET, help="decay of the averaged weights")
    arg("--bfloat16", action=argparse.BooleanOptionalAction, default=_UNSET)


def _add_machine(group: Any) -> None:
    arg = group.add_argument
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
        from ..network.config import LITE0
        from ..network.pretrained import bundled_models
        from ..training.mixture import parse_set
        from ..training.runfile import TOP, describe
        from ..training.train import train
    except ImportError as error:
        raise MissingExtraError("fastcolor train", "torch", "train") from error

    told = _described(args)
    top = {**told.top, **{name: value for name in TOP if (value := getattr(args, name)) not in (None, [])}}
    if args.sets:
        sets = [parse_set(text) for text in args.sets]
        top["sets"] = [str(one._replace(place=one.place.absolute())) for one in sets]
    for name, bundled in (("bins", ()), ("start", bundled_models()), ("encoder_weights", (LITE0,))):
        given = getattr(args, name)
        if given and given not in bundled and Path(given).exists():  # so that it is found from another folder, too
            top[name] = str(Path(given).absolute())
    sets = [parse_set(text) for text in top.get("sets", [])]
    _check_out(args, sets)
    config, bins = _configured(args, told, top)
    if args.resume and not top.get("sets"):
        gone = "names none" if _kept(args).exists() else "is not there"
        raise ValueError(f"sets: expected those of the run; name the sets; {_kept(args)}, which keeps them, {gone}")
    chosen = options.chosen(args, *_LOOP) | {"validate_every": top.get("validate_every")}
    for name in ("start", "encoder_weights"):  # a run that goes on has its weights
        chosen[name] = getattr(args, name) if args.resume else top.get(name)
    train(sets, args.out, config, bins, started=started, description=describe(config, **top), **chosen)
    return 0


def _check_out(args: argparse.Namespace, sets: Sequence[PhotoSet]) -> None:
    """A run replaces nothing that it is made of, and leaves no samples among the photographs."""
    from ..training.models import BEST, LAST
    from ..training.runfile import RUN_FILE

    run = args.out.resolve()
    if found := [one for one in sets for part in ("train", "val") if run.is_relative_to(one.place.resolve() / part)]:
        raise ValueError(f"--out: {args.out} lies among the photographs of {found[0].place}; choose another folder")
    for name in () if args.resume else ("config", "bins", "start", "encoder_weights"):
        given = getattr(args, name)
        if given and any(Path(given).resolve().is_relative_to(run / one) for one in (BEST, LAST, RUN_FILE)):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"--out: {args.out} is where {option} {given} lies and would be replaced; choose another")


def _described(args: argparse.Namespace) -> Described:
    """What a description says of the run: that of --config, or that of the run to go on with."""
    from ..training.runfile import Described, read_description

    if args.resume and args.recipe:
        raise ValueError("--resume, --recipe: expected one of the two, got both; a run that goes on has its options")
    if args.config and (args.resume or args.recipe):
        other = "--resume" if args.resume else "--recipe"
        raise ValueError(f"--config, {other}: expected one of the two, got both; each says what the options are")
    if args.config:
        return read_description(args.config)
    if args.resume and _kept(args).exists():
        return read_description(_kept(args))
    return Described({}, {}, {})


def _kept(args: argparse.Namespace) -> Path:
    """The description of the run to go on with."""
    from ..training.runfile import RUN_FILE

    return Path(args.out / RUN_FILE)


def _configured(args: argparse.Namespace, told: Described, top: dict[str, Any]) -> tuple[TrainConfig, ColorBins]:
    """The options of the run and its bins: those that are given over what is told, that over the recipe's."""
    from ..bins import ColorBins
    from ..network.config import UNetConfig
    from ..training.config import TrainConfig
    from ..training.trainer import saved_bins, saved_config

    kept = saved_bins(args.out) if args.resume else None
    path = args.bins if args.resume else top.get("bins")
    bins = ColorBins.load(path) if path else kept or ColorBins.default()
    if args.resume:
        config = saved_config(args.out)
    else:
        decoding = _decoding_of(top["start"]) if "start" in top else {}
        try:
            checks.choice("recipe", top.setdefault("recipe", "paper"), tuple(RECIPES))
            recipe = RECIPES[top["recipe"]]
            network = UNetConfig(**{**recipe.network, **decoding, **told.network, "bins": bins.n})
            config = TrainConfig(**{**recipe.training, **told.training, "network": network})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{args.config}: {error}" if args.config else str(error)) from error
    given = options.chosen(args, *(field.name for field in fields(TrainConfig) if hasattr(args, field.name)))
    return replace(config, **_ended(given)), bins


def _decoding_of(model: str) -> dict[str, Any]:
    """How the logits of a model are best used: those of a network that starts from it, too."""
    from ..network.config import load_config
    from ..network.pretrained import CONFIG, model_folder

    config = load_config(model_folder(model) / CONFIG)
    return {name: getattr(config, name) for name in ("temperature", "size", "doubt", "gain", "mirror")}


def _ended(given: dict[str, Any]) -> dict[str, Any]:
    """The options, with one end of the run: steps that are given end a recipe or a run that had minutes."""
    if "steps" in given and "minutes" in given:
        raise ValueError("--steps, --minutes: expected one of the two, got both; a run ends once")
    if "minutes" in given:
        checks.positive("--minutes", given["minutes"])
    return {"minutes": 0.0, **given} if "steps" in given else given
