"""Training a ColorUNet on photographs: masked, class-rebalanced cross entropy, Adam, averaged weights.

``fastcolor train SET --out RUN`` in one process, ``torchrun --nproc-per-node 4 -m fastcolor train SET --out RUN`` in
several. A run folder holds `run.toml` (what decides the run), `checkpoint.safetensors` (everything to go on from),
`log.csv`, TensorBoard events, `samples/`, and the averaged network as `ColorUNet.from_pretrained` takes it: `model/` is
that of the last validation, `best/` that of the best.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..arrays import checks
from ..bins import ColorBins
from ..files.atomic import atomic_path
from ..files.lock import own_folder
from ..network.unet import ColorUNet
from .clock import ROWS, Clock, Every, parts, validations
from .config import TrainConfig
from .dataset import CHECKED_AS
from .distributed import join_team, leave_team, own_device
from .fast import compiled, set_fast_math
from .feed import open_feed
from .loop import Course, go
from .mixture import OpenSet, PhotoSet, open_sets, said_of
from .models import Best, found_best
from .runfile import RUN_FILE
from .runlog import RunLog
from .trainer import CHECKPOINT, Trainer, config_in

SAVE_EVERY = 500  # steps, of a run without a budget


def train(
    sets: Sequence[PhotoSet],
    run: Path,
    config: TrainConfig,
    bins: ColorBins,
    *,
    resume: bool = False,
    start: str | None = None,
    encoder_weights: str | None = None,
    description: str | None = None,
    device: str = "cpu",
    workers: int = 1,
    compile: bool = False,
    save_every: int | None = None,
    save_seconds: float = 60.0,
    validate_every: int | None = None,
    pictures: int = 6,
    started: float | None = None,
) -> Trainer:
    """Train on the part `train` of prepared sets, validate on their part `val`, write into `run`.

    Parameters
    ----------
    sets : sequence of PhotoSet
        Folders or packs, as `fastcolor prepare` writes them, and their weights: how often their photographs come, and
        how much their validation counts in the mean that says which network is the best.
    run : Path
        Made if need be; must not hold a checkpoint unless `resume` is true.
    config : TrainConfig
    bins : ColorBins
        Those of the checkpoint if `resume` is true, see :func:`fastcolor.training.trainer.saved_bins`.
    resume : bool
        Go on from the checkpoint in `run`: on the CPU, the same bits as a run that was never broken, unless the rate
        follows the clock.
    start : str, optional
        Name or folder of a model whose weights a new run starts from; how its logits are decoded, ``config.network``
        says.
    encoder_weights : str, optional
        File of public weights that the encoder of a new run starts from, or the name that
        :func:`fastcolor.network.encoder_weights.load_encoder` knows.
    description : str, optional
        Text for `run.toml`, see :func:`fastcolor.training.runfile.describe`.
    device : str
        "cpu", "cuda", ...
    workers : int
        Processes that load and augment for ``loader="workers"``; their number does not change the samples.
    compile : bool
        Try torch.compile, and go on without if it fails or takes too long. One process only.
    save_every : int, optional
        Steps between checkpoints: 500 by default, or those of the clock alone in a run with a budget.
    save_seconds : float
        Seconds between checkpoints, at most.
    validate_every : int, optional
        Steps between validations: an epoch by default, or an eighth of the budget.
    pictures : int
        Validation photographs in each sample picture.
    started : float, optional
        When the budget of ``config.minutes`` began to run, by ``time.monotonic()``; now by default.

    Raises
    ------
    ValueError
        If an option is out of range, a set has no photographs or comes twice, the network or `bins` are not those of
        the run, or the budget leaves no time for a step.
    FileNotFoundError, FileExistsError
        If a set is not there or nothing to resume, or there is a run in `run` already.
    BlockingIOError
        If another process writes into `run` at this moment.
    OSError
        If something cannot be written, on a full disk say; names the file. The last checkpoint is kept.
    KeyboardInterrupt, SystemExit
        After Ctrl-C, SIGTERM (status 143) or SIGHUP (129), when the checkpoint is written.
    """
    place = own_device(device)
    team = join_team(place)
    with ExitStack() as stack:
        stack.callback(leave_team)
        if team.world > 1:
            _check_alone(config, compile, team.world)
        _check_start(resume, start, encoder_weights)
        if not save_seconds > 0:
            raise ValueError(f"save_seconds: expected more than 0, got {save_seconds}")
        for name, steps in (("save_every", save_every), ("validate_every", validate_every)):
            if steps is not None:
                checks.integer(name, steps, 1)
        opened = open_sets(sets)
        if team.leads:
            stack.enter_context(own_folder(run))
            if not resume and (run / CHECKPOINT).exists():  # looked for under the lock: it stays as it is found
                raise FileExistsError(f"{run / CHECKPOINT}: there is a run already; --resume goes on with it")
        set_fast_math(place)
        trainer = Trainer(config, bins, place, team)
        before: dict[str, Any] = {}
        if resume:
            before = trainer.load(run)
        elif start is not None:
            trainer.start_from(ColorUNet.from_pretrained(start))
        elif encoder_weights is not None:
            trainer.start_encoder_from(encoder_weights)
        clock = Clock(config.minutes, started, before.get("clock"))
        said: list[str] = []
        feed = open_feed(trainer, opened, workers, said.append)  # a set that cannot be read leaves no run behind
        log = _begun(run, trainer.step, opened) if team.leads else None
        say: Callable[[str], object] = log.say if log else str
        for text in said:
            say(text)
        if log:
            _describe(run, description)
            if resume and config_in(before) != config:  # so that the two say the same
                trainer.save(run, clock=clock.state)
        if compile:
            trainer.runner = compiled(trainer.runner, trainer.blank_loss, say)
        saves = Every(save_every or (None if config.minutes else SAVE_EVERY), save_seconds, clock.seconds)
        validating = validations(clock, feed.epoch, validate_every)
        best = Best(run, _measure(config, opened, team.world), anew=not resume)
        go(trainer, feed, Course(clock, saves, validating, parts(clock, ROWS), pictures, best), log)
        if log:
            model = found_best(run)
            say(f"step {trainer.step} after {clock}; the network is in {model}:")
            say(f"    fastcolor colorize PHOTO --model {shlex.quote(str(model))}")
        return trainer


def _check_alone(config: TrainConfig, compile: bool, world: int) -> None:
    if config.minutes:
        raise ValueError(f"minutes: expected one process, got {world}, whose clocks differ; use steps")
    if compile:
        raise ValueError(f"compile: expected one process, got {world}: if it failed in one, the others would wait")


def _check_start(resume: bool, start: str | None, encoder_weights: str | None) -> None:
    """A run starts from one thing."""
    if resume and (start, encoder_weights) != (None, None):
        name = "start" if start is not None else "encoder_weights"
        raise ValueError(f"{name}: expected none with resume, for a run goes on from its own weights")
    if start is not None and encoder_weights is not None:
        raise ValueError("encoder_weights: expected none with start, whose encoder has weights")


def _begun(run: Path, step: int, sets: Sequence[OpenSet]) -> RunLog:
    """The folder of the run with its log, which says what is in the sets."""
    log = RunLog(run, step, [one.name for one in sets])
    for one in sets:
        log.say(f"{one.name}: {said_of(one.train)} for training, {said_of(one.val)} for validation")
    return log


def _describe(run: Path, description: str | None) -> None:
    if description is not None:
        with atomic_path(run / RUN_FILE) as temporary:
            temporary.write_text(description, encoding="utf-8")


def _measure(config: TrainConfig, sets: Sequence[OpenSet], world: int) -> dict[str, Any]:
    """What the loss of a validation depends on beside the network; `every` so many batches are seen, all as yet."""
    shown = CHECKED_AS.get(config.augment, "none")
    weights = {one.name: [one.weight, len(one.val)] for one in sets}
    seen = {"batch": max(1, config.batch // world), "every": 1}
    return {"sets": weights, "size": config.size, "shown": shown, "lam": config.lam, **seen}
