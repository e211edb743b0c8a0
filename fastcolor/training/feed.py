"""Where the samples of a run come from: worker processes that make them one by one, or the set in memory."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from ..files.sets import Photograph
from ..kernels.numba_cpu.threads import set_num_threads
from .dataset import CHECKED_AS, VARIANTS, AnySample, PhotoDataset
from .memory import Memory, held
from .mixture import OpenSet, shares
from .sampler import KeySampler
from .stopping import STOPPING, held_back
from .trainer import Trainer

KEPT = 10_000  # decoded photographs in memory; more of them are decoded each time they come


class Check(NamedTuple):
    """The validation of one set, which is gone through again and again."""

    name: str
    weight: float  # with those of all sets the sum is 1
    samples: list[AnySample] | DataLoader[AnySample]  # batches
    hold: Callable[[int], list[AnySample]]  # every so many batches of all, in memory
    photographs: int


class Feed(NamedTuple):
    """The samples of a run, a batch at a time."""

    samples: Iterable[AnySample]
    checks: list[Check]  # a set each. With a budget the first batch alone: what it takes says how many more.
    epoch: int  # batches
    shown: Sequence[Photograph]  # validation photographs, of all sets in turn


def open_feed(trainer: Trainer, sets: Sequence[OpenSet], workers: int, say: Callable[[str], object]) -> Feed:
    """What `trainer` is fed with from its step on, from prepared sets."""
    config = trainer.config
    paths = [photograph for one in sets for photograph in one.train]
    options = {name: getattr(config, name) for name in ("seed", "area", "degrade", "soft", "sigma")}
    photos = _photos(trainer, paths, config.augment, keep=config.loader == "workers" and len(paths) <= KEPT, **options)
    sampler = _sampler(trainer, sets, len(photos))
    # A loader draws a seed for its workers: from a generator of its own, so that torch's own state is the network's.
    loading: dict[str, Any] = {"generator": torch.Generator(), "num_workers": workers, "worker_init_fn": _alone}
    loading["pin_memory"] = trainer.device.type == "cuda"  # copies do not hold up the thread that starts them
    samples: Iterable[AnySample]
    if config.loader == "device":
        memory = Memory(photos, trainer.device)
        say(f"{memory}; batches are made on {trainer.device}")
        samples = memory.samples(sampler)
    else:
        if workers:
            photos.sample(Image.new("RGB", (config.size, config.size)))  # compiled here, once, and not in each worker
        samples = _Loader(photos, batch_sampler=sampler, **loading)
    turns = zip_longest(*(one.val for one in sets))
    shown = [photograph for turn in turns for photograph in turn if photograph is not None]
    return Feed(samples, [_check(trainer, one, loading) for one in sets], len(photos) // config.batch, shown)


def _photos(trainer: Trainer, paths: Sequence[Photograph], augment: str, **options: Any) -> PhotoDataset:
    config = trainer.config
    common = {"size": config.size, "fold": config.network.fold, "lam": config.lam}
    return PhotoDataset(paths, trainer.bins, augment=augment, **common, **options)  # type: ignore[arg-type]


def _sampler(trainer: Trainer, sets: Sequence[OpenSet], length: int) -> KeySampler:
    config, team = trainer.config, trainer.team
    found = shares(sets, config.balance)
    if found is not None:
        found = np.repeat(found, len(VARIANTS[config.augment]))
    stop = sys.maxsize if config.minutes else config.steps
    part = {"start": trainer.step, "stop": stop, "seed": config.seed, "rank": team.rank, "world": team.world}
    return KeySampler(length, config.batch, shares=found, **part)


def _check(trainer: Trainer, one: OpenSet, loading: dict[str, Any]) -> Check:
    """The validation of a set: its batches are kept where time or workers are scarce, else made anew each time."""
    config = trainer.config
    in_memory = config.loader == "device" or config.minutes > 0
    validation = _photos(trainer, one.val, CHECKED_AS.get(config.augment, "none"), keep=not in_memory)
    batch = max(1, config.batch // trainer.team.world)
    hold = partial(held, validation, batch, trainer.device)
    every = sys.maxsize if config.minutes else 1
    samples = hold(every) if in_memory else _Loader(validation, batch_size=batch, **loading)
    return Check(one.name, one.weight, samples, hold, len(one.val))


class _Loader(DataLoader[AnySample]):
    """Its workers begin with signals held back, which would end them before :func:`_alone` is called."""

    def __iter__(self) -> Any:
        with held_back():
            return super().__iter__()


def _alone(worker: int) -> None:
    """Workers run beside each other: each keeps to one thread, and leaves it to the process that saves when to stop.

    Ctrl-C and SIGTERM of a batch system or a container come to all processes. A worker ends when it is told to, or when
    the process that it serves is gone.
    """
    set_num_threads(1)
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
