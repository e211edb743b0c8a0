"""The set in memory: crops as Pillow makes them, distributed as those of the workers, the same for (seed, step)."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

import fastcolor  # noqa: E402
from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.errors import BackendUnavailableError, ImageError  # noqa: E402
from fastcolor.files.packs import Packed  # noqa: E402
from fastcolor.files.sets import find_images  # noqa: E402
from fastcolor.training import feed  # noqa: E402
from fastcolor.training import memory as module  # noqa: E402
from fastcolor.training.boxes import Crops, random_crops  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.crops import mean_of_blocks, resample  # noqa: E402
from fastcolor.training.dataset import PhotoDataset, random_resized_crop  # noqa: E402
from fastcolor.training.distributed import Team  # noqa: E402
from fastcolor.training.memory import Memory, decode_all, held  # noqa: E402
from fastcolor.training.mixture import PhotoSet, open_sets  # noqa: E402
from fastcolor.training.sampler import KeySampler  # noqa: E402

BINS = ColorBins.default()
CPU = torch.device("cpu")
SHAPES = [(60, 40), (40, 60), (33, 33), (50, 17)]  # width, height


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, shape in enumerate(SHAPES):
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 256, (*shape[::-1], 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def memory(folder: Path, *, size: int = 32, fold: int = 1, seed: int = 0) -> Memory:
    data = PhotoDataset(find_images(folder), BINS, size=size, fold=fold, augment="random", lam=0.5, seed=seed)
    return Memory(data, CPU)


def samples(folder: Path, steps: range, **options: int) -> list[torch.Tensor]:
    found = memory(folder, **options)
    return [torch.cat([p.flatten().float() for p in found.batch(step, np.arange(4) + step)]) for step in steps]


@pytest.mark.parametrize("size", [8, 16, 48])
def test_a_box_is_resized_as_pillow_does(folder: Path, size: int) -> None:
    """Reduced and enlarged, at the edges and inside, flipped and not; Pillow's bytes between its passes cost one."""
    store, extent = decode_all(find_images(folder), 64)
    rng = np.random.default_rng(size)
    index = rng.integers(0, len(SHAPES), 40)
    crops = random_crops(extent[index], rng)
    crops.near[:4], crops.far[:4] = 0, extent[index[:4]]
    tensors = [torch.from_numpy(a.astype(np.float32)) for a in (extent[index], crops.near, crops.far)]
    mine = resample(store[index], *tensors, torch.from_numpy(crops.flip), size).numpy()
    for k, (number, out) in enumerate(zip(index, mine.transpose(0, 1, 3, 2), strict=True)):
        box = (*crops.near[k], *crops.far[k])
        image = Image.open(folder / f"{number}.png").resize((size, size), Image.Resampling.BILINEAR, box=box)
        if crops.flip[k]:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        difference = np.abs(np.asarray(image).astype(int) - out)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.3


def test_blocks_are_averaged_as_pillow_does() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    for fold in (1, 2, 4):
        mine = mean_of_blocks(torch.from_numpy(rgb.transpose(0, 1, 3, 2).copy()), fold).numpy().transpose(0, 1, 3, 2)
        for picture, small in zip(rgb, mine, strict=True):
            assert np.array_equal(np.asarray(Image.fromarray(picture).reduce(fold)), small)


@pytest.mark.parametrize("shape", SHAPES)
def test_crops_are_distributed_as_those_of_the_workers(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Area, aspect, place, flips and noise of 4,000 of each, by the two-sample test of Kolmogorov and Smirnov."""
    rng, count = np.random.default_rng(5), 4000
    extent = np.tile(shape, (count, 1))
    batch = random_crops(extent, rng)
    single = _drawn_singly(shape, rng, count, monkeypatch)
    measures: list[Callable[[Crops], np.ndarray]] = [
        lambda crops: np.prod(crops.far - crops.near, axis=1),
        lambda crops: np.divide(*(crops.far - crops.near).T),
        lambda crops: crops.near[:, 0],
        lambda crops: crops.far[:, 1],
        lambda crops: crops.sigma,
    ]
    for measure in measures:
        # 1.95 sqrt(2 / count) is crossed by one pair in a thousand of the same distribution.
        assert _ks(measure(batch), measure(single)) < 1.95 * np.sqrt(2 / count)
    for crops in (batch, single):
        assert crops.flip.mean() == pytest.approx(0.5, abs=0.04)
        assert (crops.near >= 0).all()
        assert (crops.far <= np.array(shape) + 1e-9).all()
    assert _ks(measures[0](batch), 0.9 * measures[0](single)) > 1.95 * np.sqrt(2 / count), "the test sees a tenth"


def _drawn_singly(
    shape: tuple[int, int], rng: np.random.Generator, count: int, monkeypatch: pytest.MonkeyPatch
) -> Crops:
    """What :func:`random_resized_crop` does, written down as it calls Pillow."""
    boxes: list[tuple[float, ...]] = []
    flips: list[bool] = []
    tiny = Image.new("RGB", (1, 1))

    class Spy:
        size = shape

        def resize(self, size: tuple[int, int], filter: object, box: tuple[float, ...]) -> Spy:
            boxes.append(box)
            flips.append(False)
            return self

        def transpose(self, method: object) -> Image.Image:
            flips[-1] = True
            return tiny

    sigmas = [random_resized_crop(Spy(), 24, rng)[1].std() for _ in range(count)]  # type: ignore[arg-type]
    corners = np.array(boxes)
    return Crops(corners[:, :2], corners[:, 2:], np.array(flips), np.array(sigmas))


def _ks(a: np.ndarray, b: np.ndarray) -> float:
    """Greatest distance of the two distribution functions."""
    at = np.sort(np.concatenate([a, b]))
    below = (np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (a, b))
    return float(np.abs(next(below) - next(below)).max())


@pytest.mark.parametrize("fold", [1, 2])
def test_a_batch_is_what_encode_says_of_its_crops(folder: Path, fold: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def kept(*arguments: object) -> torch.Tensor:
        seen.append(resample(*arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(module, "resample", kept)
    found = memory(folder, fold=fold)
    luma, labels, weights, mask = found.batch(3, np.arange(4))
    assert luma.shape == (4, 1, 32, 32)
    assert labels.shape == weights.shape == mask.shape == (4, 32 // fold, 32 // fold)
    assert (labels.dtype, weights.dtype, mask.dtype) == (torch.uint8, torch.float32, torch.bool)
    assert mask.all()
    noise = []
    for k, picture in enumerate(seen[0].permute(0, 1, 3, 2).numpy()):
        y, _, _ = fastcolor.encode(picture, BINS)
        small = np.asarray(Image.fromarray(picture).reduce(fold))
        _, expected, w = fastcolor.encode(small, BINS, lam=0.5)
        assert np.array_equal(labels[k], expected)
        assert np.array_equal(weights[k], w)
        noise.append(float((luma[k, 0] - torch.from_numpy(y)).std()))
    assert luma.min() >= 0
    assert luma.max() <= 1
    assert 0 < max(noise) < 0.021
    assert len(set(noise)) == 4


def test_batches_depend_on_seed_and_step_alone(folder: Path) -> None:
    whole = samples(folder, range(4))
    for k, batch in enumerate(samples(folder, range(2, 4)), 2):
        assert torch.equal(batch, whole[k])
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(samples(folder, range(1), seed=1)[0], whole[0])


def test_a_sampler_gives_each_photograph_once_an_epoch_and_goes_on(folder: Path) -> None:
    found = memory(folder)
    steps = [KeySampler(4, 2, start=start, stop=6, seed=3) for start in (0, 3)]
    whole, rest = (list(found.samples(sampler)) for sampler in steps)
    assert len(whole) == 6
    for a, b in zip(whole[3:], rest, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_processes_share_the_crops(folder: Path) -> None:
    """Labels of two ranks together are those of one process; their noise is their own."""
    found = memory(folder)
    whole = found.batch(0, np.arange(8))
    parts = [found.batch(0, np.arange(8), rank, 2) for rank in range(2)]
    assert torch.equal(torch.stack([p.labels for p in parts], 1).flatten(0, 1), whole.labels)
    assert not torch.equal(parts[1].luma, whole.luma[1::2])
    assert (parts[1].luma - whole.luma[1::2]).abs().max() < 0.25


def test_large_photographs_are_reduced_when_they_are_kept(folder: Path) -> None:
    found = memory(folder, size=8)
    assert found.store.shape == (4, 32, 3, 32)
    assert found.extent.tolist() == [[32, 21], [21, 32], [32, 32], [32, 11]]
    assert str(found) == "4 photographs of at most 32 pixels, 0.00 GB in memory"
    assert found.store[1, :, :, 21:].max() == 0


def test_held_samples_are_those_of_the_data_set(folder: Path) -> None:
    data = PhotoDataset(find_images(folder), BINS, size=32, fold=2, augment="none", lam=0.5)
    batches = held(data, 3, CPU)
    assert [len(batch.luma) for batch in batches] == [3, 1]
    for k in range(4):
        batch = batches[k // 3]
        assert all(torch.equal(mine[k % 3], theirs) for mine, theirs in zip(batch, data[k], strict=True))


def test_of_every_so_many_held_batches_no_other_is_looked_at(folder: Path) -> None:
    data = PhotoDataset(find_images(folder), BINS, size=32, augment="none", lam=0.5)
    whole = held(data, 1, CPU)
    (folder / "1.png").write_bytes(b"")
    for every, chosen in ((2, [0, 2]), (sys.maxsize, [0])):
        batches = held(data, 1, CPU, every)
        assert len(batches) == len(chosen)
        for mine, number in zip(batches, chosen, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, whole[number], strict=True))


def test_what_does_not_fit_a_gpu_stays_on_the_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = PhotoDataset(find_images(folder), BINS, size=32, augment="none", lam=0.5)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4096, 8192))
    monkeypatch.setattr(module, "choose", lambda *_: None)
    cuda = torch.device("cuda")
    assert {part.device for sample in held(data, 2, cuda) for part in sample} == {CPU}
    assert Memory(data, cuda).store.device == CPU


def test_images_of_the_host_are_sent_as_the_numbers_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By :func:`_put`, which pins what goes to a GPU: a copy of other memory holds up the thread that starts it."""
    sent: list[torch.Tensor] = []
    monkeypatch.setattr(module, "_put", lambda tensor, device: sent.append(tensor) or tensor)
    memory(folder).batch(0, np.arange(4))
    assert (4, 60, 3, 60) in [tuple(tensor.shape) for tensor in sent if tensor.dtype == torch.uint8]


def test_a_device_that_nothing_encodes_on_is_told_before_the_set_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(backend: str, device: str, *ops: str) -> None:
        raise BackendUnavailableError(f"{backend} {device} {ops}")

    monkeypatch.setattr(module, "choose", choose)
    with pytest.raises(BackendUnavailableError, match=r"auto cuda .*encode"):
        Memory(PhotoDataset([Path("nothing.png")], BINS, size=8), torch.device("cuda"))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_workers_give_a_gpu_pinned_samples(folder: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[bool] = []
    monkeypatch.setattr(feed, "_Loader", lambda data, **options: pinned.append(options["pin_memory"]))
    for part in ("train", "val"):
        shutil.copytree(folder, folder / part, ignore=shutil.ignore_patterns("train", "val"))
    config = TrainConfig(steps=1, batch=2, size=16)
    trainer = SimpleNamespace(config=config, bins=BINS, device=torch.device(device), team=Team(), step=0)
    feed.open_feed(trainer, open_sets([PhotoSet(folder)]), 0, print)  # type: ignore[arg-type]
    assert pinned == [device == "cuda"] * 2


def test_wrong_input_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="size: expected a multiple of fold = 2"):
        memory(folder, size=33, fold=2)
    (folder / "4.png").write_bytes((folder / "0.png").read_bytes()[:200])
    with pytest.raises(ImageError, match=r"4\.png: damaged or truncated"):
        memory(folder)
    whole = io.BytesIO()
    Image.new("RGB", (8, 8)).save(whole, "JPEG")
    packed = Packed(Path("some.zip"), "train/a.jpg", whole.getvalue()[:60])
    with pytest.raises(ImageError, match=r"some\.zip, train/a\.jpg: damaged or truncated"):
        Memory(PhotoDataset([packed], BINS, size=8), CPU)
