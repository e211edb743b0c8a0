"""Where the samples of a run come from: worker processes that make them one by one, or the set in memory."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader

from ..files.sets import Photograph, find_part
from ..kernels.numba_cpu.threads import set_num_threads
from .dataset import KeySampler, PhotoDataset, Sample
from .memory import Memory, held
from .trainer import Trainer


class Feed(NamedTuple):
    """The samples of a run, a batch at a time."""

    samples: Iterable[Sample]
    # Of validation, gone through again and again. With a budget the first alone: what it takes says how many more.
    checks: list[Sample] | DataLoader[Sample]
    hold: Callable[[int], list[Sample]]  # every so many batches of all, in memory
    epoch: int  # batches
    shown: Sequence[Photograph]  # the validation photographs


def open_feed(trainer: Trainer, place: Path, workers: int, say: Callable[[str], object]) -> Feed:
    """What `trainer` is fed with from its step on, from the prepared set at `place`, a folder or a pack."""
    config, team = trainer.config, trainer.team
    common = (trainer.bins, config.size, config.network.fold)
    training, shown = find_part(place, "train"), find_part(place, "val")
    in_memory = config.loader == "device" or config.minutes > 0
    validation = PhotoDataset(shown, *common, "none", config.lam, config.seed, keep=not in_memory)
    stop = sys.maxsize if config.minutes else config.steps
    part = {"start": trainer.step, "stop": stop, "seed": config.seed, "rank": team.rank, "world": team.world}
    # A loader draws a seed for its workers: from a generator of its own, so that torch's own state is the network's.
    loading: dict[str, Any] = {"generator": torch.Generator(), "num_workers": workers, "worker_init_fn": _alone}
    loading["pin_memory"] = trainer.device.type == "cuda"  # copies do not hold up the thread that starts them
    samples: Iterable[Sample]
    if config.loader == "device":
        memory = Memory(training, *common, config.lam, config.seed, trainer.device)
        say(f"{memory}; batches are made on {trainer.device}")
        length = len(memory)
        samples = memory.samples(KeySampler(length, config.batch, **part))
    else:
        photos = PhotoDataset(training, *common, config.augment, config.lam, config.seed, keep=True)
        length = len(photos)
        samples = DataLoader(photos, batch_sampler=KeySampler(length, config.batch, **part), **loading)
    checked = max(1, config.batch // team.world)
    hold = partial(held, validation, checked, trainer.device)
    checks: list[Sample] | DataLoader[Sample]
    if in_memory:
        checks = hold(sys.maxsize if config.minutes else 1)
    else:
        checks = DataLoader(validation, batch_size=checked, **loading)
    return Feed(samples, checks, hold, length // config.batch, shown)


def _alone(worker: int) -> None:
    """Workers run beside each other: each keeps to one thread, and leaves Ctrl-C to the process that saves."""
    set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
