"""Which samples make the batch of a step: seeded by epoch, so that a run can go on at any step, in any process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class KeySampler(Sampler[list[int]]):
    """Batches of keys, shuffled by (seed, epoch), from step `start` to `stop`; each of `world` ranks gets its part.

    A batch of the whole run has ``batch`` samples; rank r takes ``batch / world`` of them. The last batch of an epoch
    that would be short is left out. With `shares` an epoch is as long as without them, and a sample of share p comes
    ``floor(p length)`` times in it or once more, by systematic sampling, each time with a key of its own.

    Parameters
    ----------
    length : int
        Samples in the data set; a key modulo `length` says which it is.
    batch : int
    start, stop : int
        Steps.
    seed, rank, world : int
    shares : (length,) array, optional
        How often each sample comes; sum 1.
    """

    def __init__(
        self,
        length: int,
        batch: int,
        *,
        start: int,
        stop: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        shares: NDArray[Any] | None = None,
    ) -> None:
        if batch % world:
            raise ValueError(f"batch: expected a multiple of the {world} processes, got {batch}")
        if length < batch:
            raise ValueError(f"batch: expected at most the {length} samples of the data set, got {batch}")
        self.length, self.batch, self.start, self.stop = length, batch, start, stop
        self.seed, self.rank, self.world = seed, rank, world
        # Where the samples end on a line of the length of an epoch; the last of them ends it, whatever was rounded.
        self._ends = None if shares is None else np.cumsum(shares) / np.sum(shares) * length
        self._most = 1 if shares is None else int(np.max(shares) * length) + 2

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __iter__(self) -> Iterator[list[int]]:
        for keys in self.batches():
            yield keys[self.rank :: self.world].tolist()

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """The keys of all ranks together, a batch of the whole run at a time."""
        per_epoch = self.length // self.batch
        order, known = np.empty(0, dtype=np.int64), -1
        for step in range(self.start, self.stop):
            epoch, place = divmod(step, per_epoch)
            if epoch != known:
                order, known = self._epoch(epoch), epoch
            yield order[place * self.batch : (place + 1) * self.batch]

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        """The keys of an epoch in their order."""
        rng = np.random.default_rng([self.seed, epoch])
        if self._ends is None:
            return epoch * self.length + rng.permutation(self.length)
        ends = np.floor(self._ends + rng.random()).astype(np.int64)
        ends[-1] = self.length
        begins = np.concatenate([[0], ends[:-1]])
        index = np.repeat(np.arange(self.length), ends - begins)
        times = np.arange(self.length) - begins[index]
        return rng.permutation((epoch * self._most + times) * self.length + index)
