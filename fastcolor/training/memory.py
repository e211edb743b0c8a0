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
from ..bins import ColorBins
from ..encoding import encode
from ..files.sets import Photograph, fit_within, open_lazily, open_rgb
from .crops import mean_of_blocks, random_crops, resample
from .dataset import KeySampler, PhotoDataset, Sample

LARGEST = 4  # times the crops' side are kept of a photograph: up to 2:1 no crop is enlarged by it
ROOM = 0.5  # the share of a GPU's free memory that the set may take, and of what is left then its validation


class Memory:
    """Photographs as one array of bytes, and random crops of them in batches.

    Parameters
    ----------
    paths : sequence of paths, or photographs of a pack
    bins : ColorBins
    size, fold, lam, seed
        As of :class:`fastcolor.training.dataset.PhotoDataset`, whose samples with ``augment="random"`` these are.
    device : torch.device
        Where batches are made.

    Raises
    ------
    ValueError
        If `size` is no multiple of `fold`.
    BackendUnavailableError
        If nothing encodes on `device`.
    ImageError
        If a photograph cannot be read; names it.
    """

    def __init__(
        self,
        paths: Sequence[Photograph],
        bins: ColorBins,
        size: int,
        fold: int,
        lam: float,
        seed: int,
        device: torch.device,
    ) -> None:
        if size % fold:
            raise ValueError(f"size: expected a multiple of fold = {fold}, got {size}")
        choose("auto", str(device), "encode")  # told now, not after the set was decoded
        self.bins, self.size, self.fold, self.lam, self.seed, self.device = bins, size, fold, lam, seed, device
        store, self.extent = decode_all(paths, LARGEST * size)
        self.store = store.to(device) if _fits(store.nbytes, device) else store

    def __len__(self) -> int:
        return len(self.extent)

    def __str__(self) -> str:
        where = "in memory" if self.store.device.type == "cpu" else f"on {self.store.device}"
        side = self.store.shape[1]
        return f"{len(self)} photographs of at most {side} pixels, {self.store.nbytes / 1e9:.2f} GB {where}"

    def batch(self, step: int, keys: NDArray[np.int64], rank: int = 0, world: int = 1) -> Sample:
        """The part of `rank` in the batch of a step; `keys` modulo the number of photographs say which they are."""
        rng = np.random.default_rng([self.seed, step])
        index = keys % len(self)
        crops = random_crops(self.extent[index], rng).part(rank, world)
        index = index[rank::world]
        numbers = np.concatenate([self.extent[index], crops.near, crops.far], 1, dtype=np.float32)
        extent, near, far = _put(torch.from_numpy(numbers), self.device).split(2, 1)
        flip, sigma = _put(torch.tensor(np.stack([crops.flip, crops.sigma]), dtype=torch.float32), self.device)
        chosen = _put(torch.from_numpy(np.ascontiguousarray(index)), self.store.device)
        images = _put(self.store[chosen], self.device)
        rgb = resample(images, extent, near, far, flip > 0, self.size)
        luma, _, _ = encode(rgb, self.bins, lam=self.lam, channel_axis=2)
        _, labels, weights = encode(mean_of_blocks(rgb, self.fold), self.bins, lam=self.lam, channel_axis=2)
        seed = int(np.random.SeedSequence([self.seed, step, rank]).generate_state(1, np.uint64)[0])
        source = torch.Generator(self.device).manual_seed(seed)
        noise = torch.randn(luma.shape, generator=source, device=self.device).mul_(sigma[:, None, None])
        mask = torch.ones_like(labels, dtype=torch.bool)
        return Sample((luma + noise).clamp_(0, 1)[:, None], labels, weights, mask)

    def samples(self, sampler: KeySampler) -> Iterator[Sample]:
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


def held(validation: PhotoDataset, batch: int, device: torch.device, every: int = 1) -> list[Sample]:
    """Every so many batches of a set with ``augment="none"``, made once and kept, on the device where they fit."""

    def image(path: Photograph) -> Image.Image:
        return fit_within(open_rgb(path), validation.size)

    starts = range(0, len(validation.paths), batch * every)
    chosen = [path for start in starts for path in validation.paths[start : start + batch]]
    with ThreadPoolExecutor() as pool:
        samples = [validation.sample(reduced, 0.0) for reduced in pool.map(image, chosen)]
    batches: list[Sample] = [default_collate(samples[k : k + batch]) for k in range(0, len(samples), batch)]
    if not _fits(sum(part.nbytes for sample in batches for part in sample), device):
        return batches
    return [Sample(*(part.to(device) for part in sample)) for sample in batches]


def _fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes leave a GPU the room that the network needs."""
    return device.type != "cuda" or size < ROOM * torch.cuda.mem_get_info(device)[0]


def _longer_side(path: Photograph) -> int:
    """From the head of the file; 1 of one that cannot be read, which decoding will tell."""
    try:
        with open_lazily(path) as image:
            return max(image.size)
    except Exception:  # anything, in Pillow's decoders
        return 1


def _put(tensor: Tensor, device: torch.device) -> Tensor:
    """What the device needs, sent from pinned memory if it is not there, so that this thread does not wait for it."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
