"""Training samples and `fastcolor prepare`."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

import fastcolor  # noqa: E402
from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.commands.main import main  # noqa: E402
from fastcolor.errors import ImageError  # noqa: E402
from fastcolor.files.sets import find_images, source_of  # noqa: E402
from fastcolor.training.dataset import VARIANTS, PhotoDataset  # noqa: E402
from fastcolor.training.prepare import prepare  # noqa: E402
from fastcolor.training.sampler import KeySampler  # noqa: E402

BINS = ColorBins.default()


def photo(seed: int, height: int = 40, width: int = 60) -> Image.Image:
    """A smooth random photograph: four colored corners."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR)


@pytest.fixture
def folder(tmp_path):
    for number, size in enumerate([(40, 60), (60, 40), (32, 32), (20, 30)]):
        photo(number, *size).save(tmp_path / f"{number}.png")
    return tmp_path


def test_find_images_sorts_and_refuses_nothing(tmp_path, folder):
    assert [path.name for path in find_images(folder)] == ["0.png", "1.png", "2.png", "3.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"expected photographs under .*empty"):
        find_images(tmp_path / "empty")


def test_a_plain_sample_is_what_encode_says(folder):
    data = PhotoDataset(find_images(folder), BINS, size=64, augment="none", lam=0.5)
    luma, labels, weights, mask = data[0]
    rgb = np.asarray(Image.open(folder / "0.png"))
    y, expected, w = fastcolor.encode(rgb, BINS, lam=0.5)
    assert luma.shape == (1, 64, 64)
    assert mask.sum() == 40 * 60
    assert mask[:40, :60].all()
    assert np.array_equal(luma[0, :40, :60], y)
    assert np.array_equal(labels[:40, :60], expected)
    assert np.array_equal(weights[:40, :60], w)
    assert not weights[~mask].any()


def test_fold_labels_the_mean_color_of_each_block(folder):
    luma, labels, _, mask = PhotoDataset(find_images(folder), BINS, size=64, fold=2, augment="none")[0]
    small = np.asarray(Image.open(folder / "0.png").reduce(2))
    assert luma.shape == (1, 64, 64)
    assert labels.shape == mask.shape == (32, 32)
    assert np.array_equal(labels[:20, :30], fastcolor.encode(small, BINS)[1])


def test_seven_variants_an_image_as_in_the_paper(folder):
    data = PhotoDataset(find_images(folder), BINS, size=64)
    assert len(data) == 7 * 4
    original, flip, *noisy, crop, other = (data[number] for number in range(7))
    assert torch.equal(flip.labels[:40, :60], original.labels[:40, :60].flip(1))
    for sample, variant in zip(noisy, VARIANTS["paper"][2:5], strict=True):
        assert torch.equal(sample.labels, original.labels)
        sigma = (sample.luma - original.luma)[0, :40, :60].std().item()
        assert sigma == pytest.approx(float(variant.removeprefix("noise:")), rel=0.15)
    assert crop.mask.sum() == other.mask.sum() == 28 * 42
    assert not torch.equal(crop.luma, other.luma)


def test_random_samples_fill_the_canvas_and_differ_by_epoch(folder):
    data = PhotoDataset(find_images(folder), BINS, size=32, augment="random")
    first, second = data[0], data[len(data)]
    assert first.mask.all()
    assert not torch.equal(first.luma, second.luma)


@pytest.mark.parametrize("augment", ["paper", "random"])
@pytest.mark.parametrize("keep", [False, True])
def test_samples_depend_on_seed_and_key_alone(folder, augment, keep):
    def samples(seed: int, workers: int) -> torch.Tensor:
        data = PhotoDataset(find_images(folder), BINS, size=32, augment=augment, seed=seed, keep=keep)
        batches = KeySampler(len(data), 4, start=0, stop=2, seed=seed)
        loader = torch.utils.data.DataLoader(data, batch_sampler=batches, num_workers=workers)
        return torch.cat([batch[0] for batch in loader])

    assert torch.equal(samples(0, 0), samples(0, 2))
    assert not torch.equal(samples(0, 0), samples(1, 0))


def test_a_damaged_photograph_is_named(folder):
    (folder / "4.png").write_bytes((folder / "0.png").read_bytes()[:200])
    with pytest.raises(ImageError, match=r"4\.png: damaged or truncated .*prepare"):
        PhotoDataset(find_images(folder), BINS, augment="none", keep=True)


def test_wrong_options_are_told(folder):
    with pytest.raises(ValueError, match="augment: expected one of paper"):
        PhotoDataset(find_images(folder), BINS, augment="mixup")
    with pytest.raises(ValueError, match="size: expected a multiple of fold = 2"):
        PhotoDataset(find_images(folder), BINS, size=33, fold=2)
    with pytest.raises(ValueError, match="batch: expected at most the 3 samples"):
        KeySampler(3, 4, start=0, stop=1)
    with pytest.raises(ValueError, match="batch: expected a multiple of the 3 processes"):
        KeySampler(30, 4, start=0, stop=1, world=3)


def test_every_sample_comes_once_an_epoch_whoever_takes_it():
    whole = list(KeySampler(12, 4, start=0, stop=6, seed=3))
    assert sorted(np.concatenate(whole[:3])) == list(range(12))
    assert sorted(np.concatenate(whole[3:])) == list(range(12, 24))
    parts = [list(KeySampler(12, 4, start=0, stop=6, seed=3, rank=rank, world=2)) for rank in range(2)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]


def test_a_sampler_goes_on_in_the_middle():
    whole = list(KeySampler(13, 4, start=0, stop=9))
    assert list(KeySampler(13, 4, start=5, stop=9)) == whole[5:]


@pytest.fixture
def mixed(tmp_path):
    source = tmp_path / "source"
    (source / "deeper").mkdir(parents=True)
    for number in range(8):
        photo(number, 300, 400).save(source / f"{number}.png")
    photo(0, 300, 400).save(source / "deeper" / "0.png")  # the same bytes again
    photo(9, 20, 30).save(source / "deeper" / "small.jpg")
    photo(1, 50, 50).convert("L").save(source / "gray.png")
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    sideways = Image.Exif()
    sideways[274] = 6
    photo(10, 300, 400).save(source / "turned.jpg", exif=sideways)
    return source


def test_prepare(mixed, tmp_path):
    out = tmp_path / "set"
    report = prepare([mixed], out, size=128, validation=0.2, seed=1)
    train, val = (sorted((out / part).iterdir()) for part in ("train", "val"))
    assert (len(train), len(val)) == (len(report.train), len(report.val))
    assert len(train) + len(val) == 10
    assert train
    assert val
    assert [path.rpartition("/")[2] for path in report.gray] == ["gray.png"]
    assert [path.rpartition("/")[2] for path in report.unreadable] == ["broken.jpg"]
    sizes = {}
    for path in (*train, *val):
        with Image.open(path) as image:
            sizes[path.name.rpartition("-")[0]] = image.size
            assert [component[1:3] for component in image.layer] == [(1, 1)] * 3  # no chroma subsampling
    assert sizes["0"] == (128, 96)
    assert sizes["small"] == (30, 20)
    assert sizes["turned"] == (96, 128)
    told = json.loads((out / "report.json").read_text())
    assert {name: told[name] for name in ("train", "val", "gray", "unreadable")} == {
        name: getattr(report, name) for name in ("train", "val", "gray", "unreadable")
    }
    assert told["options"] == {"size": 128, "validation": 0.2, "seed": 1}


def test_prepare_splits_by_seed(mixed, tmp_path):
    splits = [prepare([mixed], tmp_path / str(k), validation=0.5, seed=k // 2).val for k in range(12)]
    assert splits[::2] == splits[1::2]
    assert len(set(map(tuple, splits))) > 1  # of six seeds; that all of them draw alike has odds below 1e-8


def test_prepare_of_several_folders_keeps_their_sources(mixed, tmp_path, capsys):
    """A source in the name stays; the others have the folder's name, with more of the path where two are alike."""
    other = tmp_path / "more" / "source"
    other.mkdir(parents=True)
    for number, name in enumerate(["sun-b_0123abcd.webp", "sun-b_0123abce.png", "IMG_1.png", "copy.png"]):
        photo(20 + min(number, 2), 40, 50).save(other / name)
    out = tmp_path / "set"
    assert main(["prepare", str(mixed), str(other), str(out)]) == 1  # one file was unreadable
    assert "for validation\n" in capsys.readouterr().out
    sources = [source_of(path) for path in find_images(out)]
    # IMG_1 and copy are the same bytes, as are two of `mixed`.
    assert Counter(sources) == {f"{tmp_path.name}-source": 10, "sun-b": 2, "more-source": 1}
    again = tmp_path / "again"
    again.mkdir()
    (again / "IMG_7.png").write_bytes((mixed / "0.png").read_bytes())
    both = prepare([again, mixed], tmp_path / "both")
    kept = Counter(source_of(path) for path in find_images(tmp_path / "both"))
    assert kept == {"again": 1, "source": 9}, "a photograph of two folders is the first's"
    assert not {str(mixed / "0.png"), str(mixed / "deeper" / "0.png")} & {*both.train, *both.val}
    prepare([other], tmp_path / "alone")
    assert Counter(source_of(path) for path in find_images(tmp_path / "alone")) == {"sun-b": 2, "": 1}
    with pytest.raises(ValueError, match=r"folder: expected folders outside of each other, got .*source and one"):
        prepare([mixed, mixed / "deeper"], out)
    with pytest.raises(ValueError, match=r"folder: expected folders outside of each other"):
        prepare([mixed, mixed], out)
    with pytest.raises(ValueError, match="out: expected a folder outside"):
        prepare([other, mixed], mixed / "set")


def test_prepare_from_the_command_line(mixed, tmp_path, capsys):
    assert main(["prepare", str(mixed), str(tmp_path / "set")]) == 1  # one file was unreadable
    out = capsys.readouterr().out
    assert re.match(r"\d photographs? for training, \d for validation\ngray, left out: .*gray\.png\n", out)
    assert "broken.jpg" in out
    (mixed / "broken.jpg").unlink()
    assert main(["prepare", str(mixed), str(tmp_path / "again")]) == 0


def test_prepare_refuses(mixed, tmp_path):
    with pytest.raises(ValueError, match="out: expected a folder outside"):
        prepare([mixed], mixed / "set")
    with pytest.raises(ValueError, match=r"validation: expected a share in \(0, 1\)"):
        prepare([mixed], tmp_path / "set", validation=1.0)
    (tmp_path / "gray").mkdir()
    photo(1).convert("L").save(tmp_path / "gray" / "a.png")
    with pytest.raises(ValueError, match="none is left"):
        prepare([tmp_path / "gray"], tmp_path / "set")
