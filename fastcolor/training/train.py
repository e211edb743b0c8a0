"""Training a ColorUNet on photographs: masked, class-rebalanced cross entropy, Adam, averaged weights.

``fastcolor train SET --out RUN`` in one process, ``torchrun --nproc-per-node 4 -m fastcolor train SET --out RUN`` in
several. A run folder holds `checkpoint.safetensors` (everything to go on from), `log.csv`, TensorBoard events,
`samples/` and `model/`, the averaged network that `ColorUNet.from_pretrained` takes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..bins import ColorBins
from ..network.unet import ColorUNet
from .clock import ROWS, Clock, Every, parts, validations
from .distributed import join_team, leave_team, own_device
from .fast import compiled, set_fast_math
from .feed import open_feed
from .loop import Course, go
from .runlog import RunLog
from .trainer import CHECKPOINT, TrainConfig, Trainer

SAVE_EVERY = 500  # steps, of a run without a budget


def train(
    folder: Path,
    run: Path,
    config: TrainConfig,
    bins: ColorBins,
    *,
    resume: bool = False,
    start: str | None = None,
    device: str = "cpu",
    workers: int = 1,
    compile: bool = False,
    save_every: int | None = None,
    save_seconds: float = 60.0,
    validate_every: int | None = None,
    pictures: int = 6,
    started: float | None = None,
) -> Trainer:
    """Train on the part `train` of a prepared set, validate on its part `val`, write into `run`.

    Parameters
    ----------
    folder : Path
        A folder or a pack, as `fastcolor prepare` writes them.
    run : Path
        Made if need be; must not hold a checkpoint unless `resume` is true.
    config : TrainConfig
    bins : ColorBins
        Those of the checkpoint if `resume` is true, see :func:`fastcolor.training.trainer.saved_bins`.
    resume : bool
        Go on from the checkpoint in `run`: on the CPU, the same bits as a run that was never broken, unless the rate
        follows the clock.
    start : str, optional
        Name or folder of a model whose weights a new run starts from.
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
    """
    place = own_device(device)
    team = join_team(place)
    try:
        if config.minutes and team.world > 1:
            raise ValueError(f"minutes: expected one process, got {team.world}, whose clocks differ; use steps")
        if compile and team.world > 1:
            raise ValueError(
                f"compile: expected one process, got {team.world}: if it failed in one, the others would wait"
            )
        if resume and start is not None:
            raise ValueError("start: expected none with resume, for a run goes on from its own weights")
        if not save_seconds > 0:
            raise ValueError(f"save_seconds: expected more than 0, got {save_seconds}")
        if team.leads:
            run.mkdir(parents=True, exist_ok=True)
        if not resume and (run / CHECKPOINT).exists():
            raise FileExistsError(f"{run / CHECKPOINT}: there is a run already; --resume goes on with it")
        set_fast_math(place)
        trainer = Trainer(config, bins, place, team)
        before: dict[str, Any] = {}
        if resume:
            before = trainer.load(run).get("clock", {})
        elif start is not None:
            trainer.start_from(ColorUNet.from_pretrained(start))
        clock = Clock(config.minutes, started, before)
        log = RunLog(run, trainer.step) if team.leads else None
        say: Callable[[str], object] = log.say if log else str
        feed = open_feed(trainer, folder, workers, say)
        if compile:
            trainer.runner = compiled(trainer.runner, trainer.blank_loss, say)
        saves = Every(save_every or (None if config.minutes else SAVE_EVERY), save_seconds, clock.seconds)
        checks = validations(clock, feed.epoch, validate_every)
        go(trainer, feed, Course(clock, saves, checks, parts(clock, ROWS), pictures), log)
        if log:
            say(f"step {trainer.step} after {clock}")
            log.close()
        return trainer
    finally:
        leave_team()
