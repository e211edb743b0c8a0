"""Training a ColorUNet on photographs: masked, class-rebalanced cross entropy, Adam, averaged weights.

``fastcolor train DIR --out RUN`` in one process, ``torchrun --nproc-per-node 4 -m fastcolor train DIR --out RUN`` in
several. A run folder holds `checkpoint.safetensors` (everything to go on from), `log.csv`, TensorBoard events,
`samples/` and `model/`, the averaged network that `ColorUNet.from_pretrained` takes.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..bins import ColorBins
from ..evaluation.photos import sheet
from ..files.sets import find_images
from ..kernels.numba_cpu.threads import set_num_threads
from ..network.unet import ColorUNet
from .dataset import KeySampler, PhotoDataset, Sample
from .distributed import join_team, leave_team, own_device
from .runlog import RunLog
from .trainer import CHECKPOINT, TrainConfig, Trainer

MODEL = "model"


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
    save_every: int = 500,
    validate_every: int | None = None,
    pictures: int = 6,
) -> Trainer:
    """Train on `folder`/train, validate on `folder`/val, write into `run`.

    Parameters
    ----------
    folder : Path
        As `fastcolor prepare` writes it.
    run : Path
        Made if need be; must not hold a checkpoint unless `resume` is true.
    config : TrainConfig
    bins : ColorBins
    resume : bool
        Go on from the checkpoint in `run`: on the CPU, the same bits as a run that was never broken.
    start : str, optional
        Name or folder of a model whose weights the run starts from.
    device : str
        "cpu", "cuda", ...
    workers : int
        Processes that load and augment; their number does not change the samples.
    save_every : int
        Steps between checkpoints.
    validate_every : int, optional
        Steps between validations; an epoch by default.
    pictures : int
        Validation photographs in each sample picture.
    """
    place = own_device(device)
    team = join_team(place)
    try:
        if team.leads:
            run.mkdir(parents=True, exist_ok=True)
        if not resume and (run / CHECKPOINT).exists():
            raise FileExistsError(f"{run / CHECKPOINT}: there is a run already; --resume goes on with it")
        trainer = Trainer(config, bins, place, team)
        if resume:
            trainer.load(run)
        elif start is not None:
            trainer.start_from(ColorUNet.from_pretrained(start))
        _loop(trainer, folder, run, workers, save_every, validate_every, pictures)
        return trainer
    finally:
        leave_team()


def _datasets(config: TrainConfig, bins: ColorBins, folder: Path) -> tuple[PhotoDataset, PhotoDataset]:
    def photos(part: str, augment: str) -> PhotoDataset:
        paths, fold = find_images(folder / part), config.network.fold
        return PhotoDataset(paths, bins, config.size, fold, augment, config.lam, config.seed, keep=True)

    return photos("train", config.augment), photos("val", "none")


def _loop(
    trainer: Trainer, folder: Path, run: Path, workers: int, save_every: int, validate_every: int | None, pictures: int
) -> None:
    config, team = trainer.config, trainer.team
    training, validation = _datasets(config, trainer.bins, folder)
    share = {"rank": team.rank, "world": team.world}
    sampler = KeySampler(len(training), config.batch, start=trainer.step, stop=config.steps, seed=config.seed, **share)
    # A loader draws a seed for its workers: from a generator of its own, so that torch's own state is the network's.
    common: dict[str, Any] = {"generator": torch.Generator(), "num_workers": workers, "worker_init_fn": _one_thread}
    samples: DataLoader[Sample] = DataLoader(training, batch_sampler=sampler, **common)
    checks: DataLoader[Sample] = DataLoader(validation, batch_size=max(1, config.batch // team.world), **common)
    epoch = len(training) // config.batch
    every = validate_every or epoch
    log = RunLog(run, trainer.step) if team.leads else None
    meter = _Meter(config.batch)
    with _asked_to_stop() as stop, tqdm(samples, unit="step", disable=not team.leads) as bar:
        for sample in bar:
            meter.add(trainer.train_step(Sample(*sample)))
            bar.set_postfix_str(meter.text(), refresh=False)
            leaving = trainer.step == config.steps or (bool(stop) and team.world == 1)
            if trainer.step % every == 0 or trainer.step == config.steps:
                value = trainer.validate(checks)
                if log:
                    _report(trainer, log, epoch, meter, value, validation.paths[:pictures])
            # After the row of the log: a kill between the two repeats the row, and loses none.
            if log and (leaving or trainer.step % save_every == 0):
                trainer.save(run)
            if leaving:
                break
    if log:
        log.close()


def _report(trainer: Trainer, log: RunLog, epoch: int, meter: _Meter, value: float, paths: Sequence[Path]) -> None:
    """A row of the log, the averaged network and a picture of what it does."""
    log.write(
        step=trainer.step,
        epoch=round(trainer.step / epoch, 3),
        rate=trainer.optimizer.param_groups[0]["lr"],
        train_loss=round(meter.loss, 5),
        validation_loss=round(value, 5),
        images_per_second=round(meter.speed, 1),
        seconds=round(time.monotonic() - meter.start, 1),
    )
    trainer.average.save_pretrained(log.folder / MODEL)
    if len(paths):
        log.picture(trainer.step, sheet(trainer.average, paths))


class _Meter:
    """Running mean of the loss, and images a second."""

    def __init__(self, batch: int) -> None:
        self.batch, self.steps, self.loss, self.start = batch, 0, 0.0, time.monotonic()

    def add(self, loss: float) -> None:
        self.steps += 1
        self.loss += max(0.01, 1 / self.steps) * (loss - self.loss)

    @property
    def speed(self) -> float:
        return self.steps * self.batch / max(1e-9, time.monotonic() - self.start)

    def text(self) -> str:
        return f"loss {self.loss:.4f}, {self.speed:.1f} images/s"


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that SIGTERM fills: the step is finished and the checkpoint written, then the run ends."""
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


def _one_thread(worker: int) -> None:
    """Workers run beside each other: each keeps to one thread."""
    set_num_threads(1)
