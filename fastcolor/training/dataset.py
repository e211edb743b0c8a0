"""Photographs as training samples: luma, labels, class weights and mask, augmented, seeded and reproducible.

A sample is known by its *key* = epoch * len(dataset) + index, and its random numbers come from (seed, key) alone. So
samples do not depend on the number of workers, and a run that is resumed in mid-epoch sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..bins import ColorBins
from ..encoding import encode, encode_soft
from ..files.sets import Photograph, fit_within, open_rgb
from .boxes import RANDOM_AREA, random_crops
from .degrade import degrade

VARIANTS = {
    "paper": ("original", "flip", "noise:0.01", "noise:0.02", "noise:0.04", "crop", "crop"),
    "random": ("random",),
    "mixed": ("mixed",),
    "squeezed": ("squeezed",),
    "none": ("original",),
}
IN_BATCHES = ("random", "mixed")  # what is made of a whole batch as well
CHECKED_AS = {"mixed": "squeezed"}  # how photographs are validated, by augmentation; the others as "none"
PAPER_CROP = 0.7  # side of the paper's random crops, relative to the side of the image


class Sample(NamedTuple):
    """One training sample of a canvas of side S, with labels of side s = S / fold."""

    luma: Tensor  # (1, S, S) float32 in [0, 1]
    labels: Tensor  # (s, s) uint8
    weights: Tensor  # (s, s) float32
    mask: Tensor  # (s, s) bool, False on the padding


class SoftSample(NamedTuple):
    """A sample with k labels a pixel and their shares."""

    luma: Tensor
    labels: Tensor  # (k, s, s) uint8
    weights: Tensor
    mask: Tensor
    shares: Tensor  # (k, s, s) float32


AnySample = Sample | SoftSample


@dataclass
class PhotoDataset(Dataset[AnySample]):
    """Photographs on a square canvas, with labels and class weights of :func:`fastcolor.encode`.

    Parameters
    ----------
    paths : sequence of paths, or photographs of a pack
    bins : ColorBins
    size : int
        Side of the canvas, a multiple of `fold`. Larger images are reduced to fit, smaller ones padded.
    fold : int
        Labels have 1/fold of the luma's side and are those of the mean color of fold x fold pixels.
    augment : {"paper", "random", "mixed", "squeezed", "none"}
        "paper": seven variants of each image: original, horizontal flip, luminance noise of three strengths, two
        random crops of 0.7 of the side. "random": one random resized crop that fills the canvas, flipped half of the
        time, with a little luminance noise. "mixed": that, with crops and whole photographs that are squeezed as the
        network will see them (:func:`fastcolor.training.boxes.random_crops`). "squeezed": the whole photograph, filling
        the canvas. "none": the original.
    lam : float
        λ of the class weights.
    seed : int
    area : float
        Least area of random crops.
    degrade : float
        Strength of :func:`fastcolor.training.degrade.degrade`.
    soft : int
        Bins that share a target, and then samples are :class:`SoftSample`; 0 is the nearest alone.
    sigma : float
        σ of :func:`fastcolor.encode_soft`.
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
    area: float = RANDOM_AREA
    degrade: float = 0.0
    soft: int = 0
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if self.augment not in VARIANTS:
            raise ValueError(f"augment: expected one of {', '.join(VARIANTS)}, got {self.augment!r}")
        if self.size % self.fold:
            raise ValueError(f"size: expected a multiple of fold = {self.fold}, got {self.size}")
        self._images = [open_rgb(path) for path in self.paths] if self.keep else None

    def __len__(self) -> int:
        return len(self.paths) * len(VARIANTS[self.augment])

    def __getitem__(self, key: int) -> AnySample:
        rng = np.random.default_rng([self.seed, key])
        number, variant = divmod(key % len(self), len(VARIANTS[self.augment]))
        image = self._images[number] if self._images else open_rgb(self.paths[number])
        return self.sample(*self.variant(image, variant, rng), rng)

    def variant(
        self, image: Image.Image, number: int, rng: np.random.Generator
    ) -> tuple[Image.Image, NDArray[np.float32] | float]:
        """The image of a variant, no larger than the canvas, and the noise to add to its luma."""
        variant = VARIANTS[self.augment][number]
        if variant in IN_BATCHES:
            return random_resized_crop(image, self.size, rng, self.area, mixed=variant == "mixed")
        return apply_variant(image, variant, self.size, rng)

    def sample(
        self,
        image: Image.Image,
        noise: NDArray[np.float32] | float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> AnySample:
        """Put `image` on the canvas; its luma is degraded as `rng` says, or not at all, and `noise` is added to it."""
        rgb = np.asarray(image)
        luma, _, _ = encode(rgb, self.bins, lam=self.lam)
        luma = np.clip(self._degraded(luma, rgb, rng) + noise, 0, 1).astype(np.float32)
        small = np.asarray(image.reduce(self.fold)) if self.fold > 1 else rgb
        height, width = rgb.shape[0] // self.fold, rgb.shape[1] // self.fold  # blocks that are wholly image
        pad = ((0, self.size - rgb.shape[0]), (0, self.size - rgb.shape[1]))
        canvas = np.pad(luma, pad, mode="symmetric")
        rest = ((0, self.size // self.fold - height), (0, self.size // self.fold - width))

        def put(part: NDArray[Any]) -> torch.Tensor:
            every = ((0, 0),) * (part.ndim - 2)
            return torch.from_numpy(np.pad(part[..., :height, :width], (*every, *rest)))

        if self.soft:
            _, labels, shares, weights = encode_soft(
                small, self.bins, neighbors=self.soft, sigma=self.sigma, lam=self.lam
            )
            parts = put(labels), put(weights), put(np.ones((height, width), bool)), put(shares)
            return SoftSample(torch.from_numpy(canvas[None]), *parts)
        _, labels, weights = encode(small, self.bins, lam=self.lam)
        return Sample(torch.from_numpy(canvas[None]), put(labels), put(weights), put(np.ones((height, width), bool)))

    def _degraded(
        self, luma: NDArray[np.float32], rgb: NDArray[np.uint8], rng: np.random.Generator | None
    ) -> NDArray[np.float32]:
        if not self.degrade or rng is None:
            return luma
        source = torch.Generator().manual_seed(int(rng.integers(2**63)))
        colors = torch.tensor(rgb).permute(2, 0, 1)[None] / 255
        return degrade(torch.from_numpy(luma)[None, None], colors, self.degrade, rng, source)[0, 0].numpy()


def apply_variant(
    image: Image.Image, variant: str, size: int, rng: np.random.Generator
) -> tuple[Image.Image, NDArray[np.float32] | float]:
    """The image of a variant, no larger than `size`, and the noise to add to its luma."""
    if variant == "squeezed":
        return image.resize((size, size), Image.Resampling.BILINEAR), 0.0
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
    image: Image.Image, size: int, rng: np.random.Generator, smallest: float = RANDOM_AREA, *, mixed: bool = False
) -> tuple[Image.Image, NDArray[np.float32]]:
    """One of :func:`fastcolor.training.boxes.random_crops`, stretched over the whole canvas, and its noise."""
    crops = random_crops(np.array([image.size]), rng, smallest, mixed=mixed)
    (left, top), (right, bottom) = crops.near[0], crops.far[0]
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    if crops.flip[0]:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image, np.float32(crops.sigma[0]) * rng.standard_normal((size, size), dtype=np.float32)
