"""Photographs as training samples: luma, labels, class weights and mask, augmented, seeded and reproducible.

A sample is known by its *key* = epoch * len(dataset) + index, and its random numbers come from (seed, key) alone. So
samples do not depend on the number of workers, and a run that is resumed in mid-epoch sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..bins import ColorBins
from ..encoding import encode
from ..files.sets import Photograph, fit_within, open_rgb

VARIANTS = {
    "paper": ("original", "flip", "noise:0.01", "noise:0.02", "noise:0.04", "crop", "crop"),
    "random": ("random",),
    "none": ("original",),
}
PAPER_CROP = 0.7  # side of the paper's random crops, relative to the side of the image
RANDOM_AREA = (0.35, 1.0)  # area of the random resized crops, relative to the image's largest square
RANDOM_ASPECT = 4 / 3  # greatest stretch of a random resized crop, either way
RANDOM_NOISE = 0.02  # greatest standard deviation of the luminance noise


class Sample(NamedTuple):
    """One training sample of a canvas of side S, with labels of side s = S / fold."""

    luma: Tensor  # (1, S, S) float32 in [0, 1]
    labels: Tensor  # (s, s) uint8
    weights: Tensor  # (s, s) float32
    mask: Tensor  # (s, s) bool, False on the padding


@dataclass
class PhotoDataset(Dataset[Sample]):
    """Photographs on a square canvas, with labels and class weights of :func:`fastcolor.encode`.

    Parameters
    ----------
    paths : sequence of paths, or photographs of a pack
    bins : ColorBins
    size : int
        Side of the canvas, a multiple of `fold`. Larger images are reduced to fit, smaller ones padded.
    fold : int
        Labels have 1/fold of the luma's side and are those of the mean color of fold x fold pixels.
    augment : {"paper", "random", "none"}
        "paper": seven variants of each image: original, horizontal flip, luminance noise of three strengths, two
        random crops of 0.7 of the side. "random": one random resized crop that fills the canvas, flipped half of the
        time, with a little luminance noise. "none": the original.
    lam : float
        λ of the class weights.
    seed : int
    keep : bool
        Keep the decoded images in memory.
    """

    paths: Sequence[Photograph]
    bins: ColorBins
    size: int = 256
    fold: int = 1
    augment: str = "paper"
    lam: float = 0.2
    seed: int = 0
    keep: bool = False

    def __post_init__(self) -> None:
        if self.augment not in VARIANTS:
            raise ValueError(f"augment: expected one of {', '.join(VARIANTS)}, got {self.augment!r}")
        if self.size % self.fold:
            raise ValueError(f"size: expected a multiple of fold = {self.fold}, got {self.size}")
        self._images = [open_rgb(path) for path in self.paths] if self.keep else None

    def __len__(self) -> int:
        return len(self.paths) * len(VARIANTS[self.augment])

    def __getitem__(self, key: int) -> Sample:
        variants = VARIANTS[self.augment]
        rng = np.random.default_rng([self.seed, key])
        number, variant = divmod(key % len(self), len(variants))
        image = self._images[number] if self._images else open_rgb(self.paths[number])
        return self.sample(*apply_variant(image, variants[variant], self.size, rng))

    def sample(self, image: Image.Image, noise: NDArray[np.float32] | float) -> Sample:
        """Put `image` on the canvas; `noise` is added to its luma."""
        rgb = np.asarray(image)
        luma, _, _ = encode(rgb, self.bins, lam=self.lam)
        small = np.asarray(image.reduce(self.fold)) if self.fold > 1 else rgb
        _, labels, weights = encode(small, self.bins, lam=self.lam)
        height, width = rgb.shape[0] // self.fold, rgb.shape[1] // self.fold  # blocks that are wholly image
        pad = ((0, self.size - rgb.shape[0]), (0, self.size - rgb.shape[1]))
        canvas = np.pad(np.clip(luma + noise, 0, 1).astype(np.float32), pad, mode="symmetric")
        rest = ((0, self.size // self.fold - height), (0, self.size // self.fold - width))
        parts = (labels[:height, :width], weights[:height, :width], np.ones((height, width), bool))
        return Sample(torch.from_numpy(canvas[None]), *(torch.from_numpy(np.pad(part, rest)) for part in parts))


def apply_variant(
    image: Image.Image, variant: str, size: int, rng: np.random.Generator
) -> tuple[Image.Image, NDArray[np.float32] | float]:
    """The image of a variant, no larger than `size`, and the noise to add to its luma."""
    if variant == "random":
        return random_resized_crop(image, size, rng)
    if variant == "crop":
        width, height = (max(1, round(PAPER_CROP * side)) for side in image.size)
        left, top = (int(rng.integers(0, b - a + 1)) for a, b in zip((width, height), image.size, strict=True))
        return fit_within(image.crop((left, top, left + width, top + height)), size), 0.0
    image = fit_within(image, size)
    if variant == "flip":
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.0
    if variant.startswith("noise:"):
        sigma = float(variant.removeprefix("noise:"))
        return image, (sigma * rng.standard_normal(image.size[::-1])).astype(np.float32)
    return image, 0.0


def random_resized_crop(
    image: Image.Image, size: int, rng: np.random.Generator
) -> tuple[Image.Image, NDArray[np.float32]]:
    """A crop of random place, area and aspect, stretched over the whole canvas; half of them flipped.

    :mod:`fastcolor.training.crops` makes such crops of a whole batch.
    """
    aspect, area, place = RANDOM_ASPECT ** rng.uniform(-1, 1), rng.uniform(*RANDOM_AREA), rng.uniform(0, 1, 2)
    (left, top), (right, bottom) = crop_box(np.array(image.size, dtype=float), aspect, area, place)
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    noise = rng.uniform(0, RANDOM_NOISE) * rng.standard_normal((size, size), dtype=np.float32)
    return image, noise


def crop_box(extent: NDArray[Any], aspect: Any, area: Any, place: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Near and far corner (..., 2) of a crop of an image of `extent` (..., 2), as (x, y).

    Of an `aspect` (width to height, where the image is large enough), an `area` relative to the image's largest square,
    and a `place` (..., 2) in [0, 1] between the first and the last that there is.
    """
    side = np.sqrt(area) * extent.min(axis=-1)
    box = np.minimum(extent, np.stack([side * np.sqrt(aspect), side * (1 / np.sqrt(aspect))], axis=-1))
    near = place * (extent - box)
    return near, near + box


class KeySampler(Sampler[list[int]]):
    """Batches of keys, shuffled by (seed, epoch), from step `start` to `stop`; each of `world` ranks gets its part.

    A batch of the whole run has ``batch`` samples; rank r takes ``batch / world`` of them. The last batch of an epoch
    that would be short is left out.
    """

    def __init__(
        self, length: int, batch: int, *, start: int, stop: int, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if batch % world:
            raise ValueError(f"batch: expected a multiple of the {world} processes, got {batch}")
        if length < batch:
            raise ValueError(f"batch: expected at most the {length} samples of the data set, got {batch}")
        self.length, self.batch, self.start, self.stop = length, batch, start, stop
        self.seed, self.rank, self.world = seed, rank, world

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
                order, known = np.random.default_rng([self.seed, epoch]).permutation(self.length), epoch
            yield epoch * self.length + order[place * self.batch : (place + 1) * self.batch]
