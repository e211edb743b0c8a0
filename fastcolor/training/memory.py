"""The training set in memory: decoded once, in parallel, and kept as uint8, on the device where it fits.

Batches are made on the device (:mod:`fastcolor.training.crops`), so that no worker processes are needed. What a batch
is depends on (seed, step) and the device's random generator alone: a run that is resumed sees what it would have seen.
Several processes take their parts of the same crops; the grain of the noise is each process's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate

from ..arrays.dispatch import choose
from ..encoding import encode, encode_soft
from ..errors import ImageError
from ..files.sets import Photograph, fit_within, open_rgb, size_of
from ..plural import counted
from .boxes import random_crops
from .crops import mean_of_blocks, resample
from .dataset import AnySample, PhotoDataset, Sample, SoftSample
from .degrade import degrade
from .sampler import KeySampler

LARGEST = 4  # times the crops' side are kept of a photograph: up to 2:1 no crop is enlarged by it
ROOM = 0.5  # the share of a GPU's free memory that the set may take, and of what is left then its validation


class Memory:
    """Photographs as one array of bytes, and random crops of them in batches.

    Parameters
    ----------
    data : PhotoDataset
        With ``augment="random"`` or ``"mixed"``, whose samples these are.
    device : torch.device
        Where batches are made.

    Raises
    ------
    BackendUnavailableError
        If nothing encodes on `device`.
    ImageError
        If a photograph cannot be read; names it.
    """

    def __init__(self, data: PhotoDataset, device: torch.device) -> None:
        choose("auto", str(device), "encode_soft" if data.soft else "encode")  # told now, not after decoding
        self.data, self.device = data, device
        store, self.extent = decode_all(data.paths, LARGEST * data.size)
        self.store = store.to(device) if _fits(store.nbytes, device) else store

    def __len__(self) -> int:
        return len(self.extent)

    def __str__(self) -> str:
        where = "in memory" if self.store.device.type == "cpu" else f"on {self.store.device}"
        side = self.store.shape[1]
        return f"{counted(len(self), 'photograph')} of at most {side} pixels, {self.store.nbytes / 1e9:.2f} GB {where}"

    def batch(self, step: int, keys: NDArray[np.int64], rank: int = 0, world: int = 1) -> AnySample:
        """The part of `rank` in the batch of a step; `keys` modulo the number of photographs say which they are."""
        rng = np.random.default_rng([self.data.seed, step])
        index = keys % len(self)
        crops = random_crops(self.extent[index], rng, self.data.area, mixed=self.data.augment == "mixed")
        crops, index = crops.part(rank, world), index[rank::world]
        numbers = np.concatenate([self.extent[index], crops.near, crops.far], 1, dtype=np.float32)
        extent, near, far = _put(torch.from_numpy(numbers), self.device).split(2, 1)
        flip, sigma = _put(torch.tensor(np.stack([crops.flip, crops.sigma]), dtype=torch.float32), self.device)
        chosen = _put(torch.from_numpy(np.ascontiguousarray(index)), self.store.device)
        images = _put(self.store[chosen], self.device)
        rgb = resample(images, extent, near, far, flip > 0, self.data.size)
        own = np.random.SeedSequence([self.data.seed, step, rank])
        source = torch.Generator(self.device).manual_seed(int(own.generate_state(1, np.uint64)[0]))
        luma, _, _ = encode(rgb, self.data.bins, lam=self.data.lam, channel_axis=2)
        noise = torch.randn(luma.shape, generator=source, device=self.device).mul_(sigma[:, None, None])
        luma = luma[:, None]
        if self.data.degrade:
            luma = degrade(luma, rgb.transpose(1, 2) / 255, self.data.degrade, np.random.default_rng(own), source)
        return self._labelled(rgb, (luma + noise[:, None]).clamp_(0, 1))

    def _labelled(self, rgb: Tensor, luma: Tensor) -> AnySample:
        """The luma of a batch of crops with their targets."""
        data, small = self.data, mean_of_blocks(rgb, self.data.fold)
        if data.soft:
            _, labels, shares, weights = encode_soft(
                small, data.bins, neighbors=data.soft, sigma=data.sigma, lam=data.lam, channel_axis=2
            )
            return SoftSample(luma, labels, weights, torch.ones_like(weights, dtype=torch.bool), shares)
        _, labels, weights = encode(small, data.bins, lam=data.lam, channel_axis=2)
        return Sample(luma, labels, weights, torch.ones_like(labels, dtype=torch.bool))

    def samples(self, sampler: KeySampler) -> Iterator[AnySample]:
        """The batches of all steps of `sampler`."""
        for step, keys in enumerate(sampler.batches(), sampler.start):
            yield self.batch(step, keys, sampler.rank, sampler.world)


def decode_all(paths: Sequence[Photograph], limit: int) -> tuple[Tensor, NDArray[np.int64]]:
    """All photographs, none larger than `limit`: bytes (N, side, 3, side), each in the corner, and (width, height)."""
    with ThreadPoolExecutor() as pool:
        side = min(limit, max(pool.map(_longer_side, paths)))
        store = np.zeros((len(paths), side, 3, side), np.uint8)
        extent = np.zeros((len(paths), 2), np.int64)

        def put(number: int) -> None:
            rgb = np.asarray(fit_within(open_rgb(paths[number]), side))
            height, width = rgb.shape[:2]
            store[number, :height, :, :width] = rgb.transpose(0, 2, 1)
            extent[number] = width, height

        for _ in pool.map(put, range(len(paths))):  # an error of any is raised here
            pass
    return torch.from_numpy(store), extent


def held(validation: PhotoDataset, batch: int, device: torch.device, every: int = 1) -> list[AnySample]:
    """Every so many batches of a set whose one variant has no chance, made once and kept, on the device if they fit."""

    def image(path: Photograph) -> Image.Image:
        return validation.variant(open_rgb(path), 0, np.random.default_rng(0))[0]

    starts = range(0, len(validation.paths), batch * every)
    chosen = [path for start in starts for path in validation.paths[start : start + batch]]
    with ThreadPoolExecutor() as pool:
        samples = [validation.sample(reduced) for reduced in pool.map(image, chosen)]
    batches: list[AnySample] = [default_collate(samples[k : k + batch]) for k in range(0, len(samples), batch)]
    if not _fits(sum(part.nbytes for sample in batches for part in sample), device):
        return batches
    return [Sample(*(part.to(device) for part in sample)) for sample in batches]


def _fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes leave a GPU the room that the network needs."""
    return device.type != "cuda" or size < ROOM * torch.cuda.mem_get_info(device)[0]


def _longer_side(path: Photograph) -> int:
    """From the head of the file; 1 of one that cannot be read, which decoding will tell."""
    try:
        return max(size_of(path))
    except (ImageError, OSError):
        return 1


def _put(tensor: Tensor, device: torch.device) -> Tensor:
    """What the device needs, sent from pinned memory if it is not there, so that this thread does not wait for it."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
