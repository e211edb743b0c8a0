"""The steps of a run from first to last: what is read, validated, written and said between them."""

from __future__ import annotations

import math
import signal
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from ..evaluation.photos import sheet
from ..plural import counted
from .clock import Clock, Every
from .fast import few_shapes, rehearse
from .feed import Check, Feed
from .models import LAST, Best, save_model
from .runlog import RunLog
from .stopping import asked_to_stop
from .trainer import Trainer

DEAREST = 20  # a validation takes at most one part in so many of a budget
READ_EVERY = 16  # steps on a GPU between two looks at the loss: to look is to wait for the device


@dataclass
class Course:
    """The time of a run: its clock, and when to do what."""

    clock: Clock
    saves: Every
    validations: Every
    rows: Every  # of the log, between those of validations
    pictures: int  # photographs in each sample picture
    best: Best


def go(trainer: Trainer, feed: Feed, course: Course, log: RunLog | None) -> None:
    """Take the steps that are left; `log` in the process that writes, None in the others."""
    config, clock = trainer.config, course.clock
    total = math.inf if clock.budget else config.steps - trainer.step  # None would be the length of the samples
    if clock.budget:
        feed = _rehearsed(trainer, feed, course, log)
    meter = _Meter(config.batch, READ_EVERY if trainer.device.type == "cuda" else 1)
    alone = trainer.team.world == 1
    with asked_to_stop(alone) as stop, tqdm(total=total, unit="step", disable=log is None) as bar:
        for sample in feed.samples:
            meter.add(trainer.train_step(sample, clock.place(trainer.step, config.steps)))
            if meter.due:
                bar.set_postfix_str(f"loss {meter.read():.4f}, {meter.speed:.1f} images/s", refresh=False)
                clock.tick()
            last = _after_step(trainer, feed, course, meter, log, bool(stop))
            bar.update()
            if last:
                break
        if stop and log:
            by = signal.Signals(stop[0]).name
            log.say(f"stopped at step {trainer.step} by {by}; the checkpoint is written, --resume goes on")


def _after_step(trainer: Trainer, feed: Feed, course: Course, meter: _Meter, log: RunLog | None, stopped: bool) -> bool:
    """Validate and write what is due; True if this was the last step."""
    clock, step, steps = course.clock, trainer.step, trainer.config.steps
    over, saved = clock.over(step, steps), False
    if over or course.validations.due(step, clock.seconds):
        meter.read()  # waits for the steps, which are no part of what is measured
        with clock.measured():
            _check(trainer, feed, course, meter, log)
            if log and clock.budget:
                trainer.save(log.folder, clock=clock.state)
                saved = True
        course.rows.last = clock.seconds
        over = over or clock.over(step, steps)
    elif log and course.rows.due(step, clock.seconds):
        log.write(**_row(trainer, feed, course, meter))
    # After the row of the log: a kill between the two repeats the row, and loses none.
    if course.saves.due(step, clock.seconds) or over or stopped:
        meter.read()
        if log and not saved:
            trainer.save(log.folder, clock=clock.state)
    return over or stopped


def _check(trainer: Trainer, feed: Feed, course: Course, meter: _Meter, log: RunLog | None) -> None:
    """Validate; a row of the log, the averaged network and a picture of what it does, and the best of them."""
    losses = _validate(trainer, feed.checks)
    value = sum(check.weight * losses[check.name] for check in feed.checks)
    if log:
        log.write(**_row(trainer, feed, course, meter), validation_loss=round(value, 5), **log.by_set(losses))
        _show(trainer, feed, course, log)
        if course.best.take(trainer.average, trainer.step, value, losses):
            log.say(f"step {trainer.step}: {course.best}")


def _validate(trainer: Trainer, checks: list[Check]) -> dict[str, float]:
    """The loss of each set."""
    return {check.name: trainer.validate(check.samples) for check in checks}


def _row(trainer: Trainer, feed: Feed, course: Course, meter: _Meter) -> dict[str, float]:
    """What the log says of a step."""
    return {
        "step": trainer.step,
        "epoch": round(trainer.step / feed.epoch, 3),
        "rate": trainer.optimizer.param_groups[0]["lr"],
        "train_loss": round(meter.read(), 5),
        "images_per_second": round(meter.speed, 1),
        "seconds": round(course.clock.seconds, 1),
    }


def _show(trainer: Trainer, feed: Feed, course: Course, log: RunLog) -> None:
    """The averaged network as a model, and a picture of what it does."""
    save_model(trainer.average, log.folder, LAST)
    if shown := feed.shown[: course.pictures]:
        with few_shapes():
            log.picture(trainer.step, sheet(trainer.average, shown))


def _rehearsed(trainer: Trainer, feed: Feed, course: Course, log: RunLog | None) -> Feed:
    """Do a step and what is done last, with one batch in place of all: so the schedule begins with steps as they will
    be, and a budget knows what its end takes.

    A validation that would take more than a part in :data:`DEAREST` of the budget is made of fewer batches.
    """
    clock, batch = course.clock, trainer.config.batch
    count = sum(math.ceil(check.photographs / batch) for check in feed.checks)
    rehearse(trainer.runner, lambda: trainer.blank_loss(trainer.runner))
    _validate(trainer, feed.checks)  # what is made at the first time is not counted
    if log:
        _show(trainer, feed, course, log)
    with clock.measured():
        _validate(trainer, feed.checks)
    whole = clock.closing * count / len(feed.checks)
    every = max(1, math.ceil(DEAREST * whole / clock.budget))
    feed = feed._replace(checks=[check._replace(samples=check.hold(every)) for check in feed.checks])
    course.best.measure["every"] = every  # losses on other photographs are not compared
    kept = sum(sum(1 for _ in check.samples) for check in feed.checks)
    with clock.measured():
        if log:
            _show(trainer, feed, course, log)
            trainer.save(log.folder, clock=clock.state)
    if log and kept < count:
        log.say(f"validation on {kept} of {count} batches: all would take {whole:.0f} s")
    clock.closing += whole * kept / count
    if clock.seconds >= clock.end:
        raise ValueError(
            f"minutes: expected a budget with time for steps, got {clock.budget:g} s: {clock.seconds:.1f} s are gone, "
            f"and the end takes {clock.budget - clock.end:.1f} s; --resume --minutes M goes on with more"
        )
    return feed


class _Meter:
    """Running mean of the loss, kept on the device and read every so many steps, and images a second."""

    def __init__(self, batch: int, every: int) -> None:
        self.batch, self.every, self.steps, self.start = batch, every, 0, time.monotonic()
        self._mean: Tensor = torch.zeros((), dtype=torch.float64)

    def add(self, loss: Tensor) -> None:
        self.steps += 1
        mean = self._mean.to(loss.device)
        self._mean = mean + max(0.01, 1 / self.steps) * (loss.double() - mean)

    def read(self) -> float:
        """The mean; waits for the device. RuntimeError if it is no number: what was saved before is better."""
        loss = float(self._mean)
        if not math.isfinite(loss):
            raise RuntimeError(
                f"loss: {loss} within {counted(self.steps, 'step')}; the last checkpoint is kept; try a lower --rate"
            )
        return loss

    @property
    def due(self) -> bool:
        """Whether it is to be read after this step."""
        return self.steps % self.every == 0

    @property
    def speed(self) -> float:
        return self.steps * self.batch / max(1e-9, time.monotonic() - self.start)
