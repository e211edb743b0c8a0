"""Degraded luma: each fault does what its formula says, in its share of the samples; colors and targets stay clean."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

import fastcolor  # noqa: E402
from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.training import degrade as module  # noqa: E402
from fastcolor.training.boxes import random_crops  # noqa: E402
from fastcolor.training.dataset import PhotoDataset, SoftSample  # noqa: E402
from fastcolor.training.degrade import FAULTS, blur, coarse_grain, degrade, grain, jpeg  # noqa: E402
from fastcolor.training.memory import Memory  # noqa: E402

BINS = ColorBins.default()
CPU = torch.device("cpu")


def source() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None]


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    """(1, 3, 40, 50), smooth, with an edge."""
    corners = np.random.default_rng(4).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    rgb = np.array(Image.fromarray(corners).resize((50, 40), Image.Resampling.BILINEAR))
    rgb[:, 25:] //= 2
    return torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def luma(picture: torch.Tensor) -> torch.Tensor:
    return (picture * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def test_faults_are_what_their_formulas_say(picture: torch.Tensor, luma: torch.Tensor) -> None:
    y, g = luma, source()
    red = module.mixture(y, picture, g, column(1.0), column(1e-30), column(1.0), column(1.0))  # -log u: red alone
    assert torch.allclose(red, picture[:, :1], atol=1e-6)
    assert torch.allclose(module.gamma(y, picture, g, column(0.4)), y.clamp_min(1e-4) ** np.exp(0.4), atol=1e-6)
    assert torch.allclose(module.fading(y, picture, g, column(0.1), column(0.9)), 0.1 + 0.8 * y)
    dark = module.vignetting(torch.ones_like(y), picture, g, column(0.25), column(0.0), column(0.0))
    assert dark[0, 0, 20, 25] == pytest.approx(1, abs=2e-3)
    assert dark[0, 0, 0, 0] == pytest.approx(0.5)
    assert dark[0, 0, 0, 25] == pytest.approx(0.75, abs=2e-3)


def test_blur_is_a_gaussian_and_its_opposite_sharpens(picture: torch.Tensor, luma: torch.Tensor) -> None:
    sigma = 0.8
    taps = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
    kernel = torch.from_numpy(np.outer(taps, taps) / taps.sum() ** 2).float()
    padded = torch.nn.functional.pad(luma, (2, 2, 2, 2), mode="replicate")
    expected = torch.nn.functional.conv2d(padded, kernel[None, None])
    soft = blur(luma, picture, source(), column(1.0), column(sigma))
    assert torch.allclose(soft, expected, atol=1e-6)
    sharp = blur(luma, picture, source(), column(-0.5), column(sigma))
    assert torch.allclose(sharp, luma - 0.5 * (expected - luma), atol=1e-6)
    assert sharp.var() > luma.var() > soft.var()


@pytest.mark.parametrize("fault", [grain, coarse_grain])
def test_grain_has_its_deviation(picture: torch.Tensor, fault: object) -> None:
    flat = torch.full((6, 1, 101, 130), 0.5)
    noisy = fault(flat, picture, source(), column(*[0.05] * 6))  # type: ignore[operator]
    assert (noisy - flat).std().item() == pytest.approx(0.05, rel=0.05)
    shifted = ((noisy - flat)[..., 1:] * (noisy - flat)[..., :-1]).mean() / 0.05**2
    assert (shifted > 0.4) == (fault is coarse_grain)


@pytest.mark.parametrize("quality", [25, 50])
def test_jpeg_is_that_of_pillow(luma: torch.Tensor, picture: torch.Tensor, quality: int) -> None:
    """Quality 50 is the table itself, 25 twice the table; Pillow rounds the result to whole numbers."""
    whole = (luma * 255).round()
    held = io.BytesIO()
    Image.fromarray(whole[0, 0].byte().numpy()).save(held, "JPEG", quality=quality)
    expected = np.asarray(Image.open(held), np.float32)
    mine = jpeg(whole / 255, picture, source(), column(50 / quality))[0, 0].numpy() * 255
    close = np.abs(mine - expected)
    assert np.percentile(close, 95) < 0.6  # in a block a coefficient may lie at the edge of two multiples
    assert np.abs(expected - whole[0, 0].numpy()).mean() > 4 * close.mean()


def test_each_fault_befalls_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 3000
    for fault in FAULTS:
        alone = fault._replace(apply=lambda y, rgb, source, *_: y + 1)
        monkeypatch.setattr(module, "FAULTS", (alone,))
        for strength in (1.0, 0.5, 0.0):
            y, rng = torch.zeros(count, 1, 2, 2), np.random.default_rng(7)
            befallen = degrade(y, y.expand(-1, 3, -1, -1), strength, rng, source())
            p = strength * fault.share
            assert float(befallen.mean()) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / count) + 1e-9)
            assert not y.any()


def test_it_is_seeded_and_stays_in_range(picture: torch.Tensor, luma: torch.Tensor) -> None:
    many, colors = luma.expand(64, -1, -1, -1), picture.expand(64, -1, -1, -1)
    first, again = (degrade(many, colors, 1.0, np.random.default_rng(1), source()) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, degrade(many, colors, 1.0, np.random.default_rng(2), source()))
    assert first.shape == many.shape
    assert 0 <= first.min() < first.max() <= 1
    assert torch.equal(degrade(many, colors, 0.0, np.random.default_rng(1), source()), many)


@pytest.fixture
def folder(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path, shape in zip(paths, [(60, 40), (40, 60), (33, 33), (50, 17), (60, 40), (32, 60)], strict=True):
        corners = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
        Image.fromarray(corners).resize(shape, Image.Resampling.BILINEAR).save(path)
    return paths


@pytest.mark.parametrize("augment", ["random", "mixed"])
def test_targets_are_those_of_the_clean_colors(folder: list[Path], augment: str) -> None:
    """In both loaders; without faults the luma is that of ever."""

    def samples(strength: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        data = PhotoDataset(folder, BINS, size=32, fold=2, augment=augment, lam=0.5, degrade=strength)
        single = [data[key] for key in range(6)]
        batch = Memory(data, CPU).batch(2, np.arange(6))
        return [torch.stack([s[k] for s in single]) for k in range(4)], list(batch)

    for clean, old in zip(samples(0.0), samples(1.0), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(clean[1:], old[1:], strict=True))
        moved = (clean[0] - old[0]).abs().amax((1, 2, 3))
        assert (moved > 0.005).sum() >= 3


def test_soft_targets_are_those_of_encode_soft(folder: list[Path]) -> None:
    data = PhotoDataset(folder, BINS, size=32, fold=2, augment="squeezed", lam=0.5, soft=4, sigma=0.1)
    sample = data[0]
    assert isinstance(sample, SoftSample)
    image = Image.open(folder[0]).resize((32, 32), Image.Resampling.BILINEAR)
    rgb = np.asarray(image.reduce(2))
    _, labels, shares, weights = fastcolor.encode_soft(rgb, BINS, neighbors=4, sigma=0.1, lam=0.5)
    for mine, expected in ((sample.labels, labels), (sample.shares, shares), (sample.weights, weights)):
        assert np.array_equal(mine, expected)
    assert torch.equal(sample.luma[0], torch.from_numpy(fastcolor.encode(np.asarray(image), BINS)[0]))
    data.augment = "random"
    batch = Memory(data, CPU).batch(0, np.arange(6))
    assert isinstance(batch, SoftSample)
    assert batch.labels.shape == batch.shares.shape == (6, 4, 16, 16)
    assert torch.allclose(batch.shares.sum(1), torch.ones(6, 16, 16), atol=1e-5)


def test_mixed_crops_are_squeezed_whole_or_square() -> None:
    extent, n = np.tile([60, 30], (8000, 1)), 8000
    crops = random_crops(extent, np.random.default_rng(0), 0.4, mixed=True)
    box = crops.far - crops.near
    assert (crops.near >= 0).all()
    assert (crops.far <= extent + 1e-9).all()
    whole = (box == extent).all(axis=1)
    assert whole.mean() == pytest.approx(1 / 8, abs=4 * np.sqrt(1 / 8 / n))
    stretch = box[:, 0] / box[:, 1]
    square = stretch < 1.4  # at most 4 : 3, and squeezed ones at least 2 * 3 : 4 of an image that is 2 : 1
    assert square.mean() == pytest.approx(7 / 16, abs=4 * np.sqrt(0.25 / n))
    assert stretch[~square].min() > 1.49
    area = np.prod(box, axis=1)
    assert area[square].min() > 0.4 * 0.98 * 900 * 0.75
    assert area[~square].min() > 0.4 * 0.98 * 1800 * 0.75
