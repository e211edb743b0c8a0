"""What an earlier version saved loads today, and means the same: bins, network, checkpoint, log and benchmark.

tests/house/before was written by commit 55c22d5, before files moved into rooms: ``fastcolor train`` of six steps on
16 x 16 crops, validated on ``photos``, and ``python -m bench histogram --quick``.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.publish import schema
from fastcolor import ColorBins

torch = pytest.importorskip("torch")

from fastcolor import ColorUNet  # noqa: E402
from fastcolor.commands.main import main  # noqa: E402
from fastcolor.training.checkpoint import load_tensors  # noqa: E402
from fastcolor.training.trainer import CHECKPOINT, saved_config  # noqa: E402

BEFORE = Path(__file__).with_name("before")
MODEL = BEFORE / "model"


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_bins() -> None:
    bins, default = ColorBins.load(MODEL / "bins.npz"), ColorBins.default()
    assert (bins.n, bins.cells, bins.moments) == (32, 65, None)
    for name in ("table", "colors", "prior"):
        assert np.array_equal(getattr(bins, name), getattr(default, name))
    assert bins.prior[0] == pytest.approx(0.1264236, abs=1e-7)
    np.testing.assert_allclose(bins.colors[1], [0.00196964, -0.02130065], atol=1e-8)


def test_network() -> None:
    network = ColorUNet.from_pretrained(MODEL)
    assert (network.config.down, network.config.up, network.config.head) == ((4, 4), (4,), 4)
    assert not network.training
    with torch.inference_mode():
        logits = network(torch.linspace(0, 1, 256).reshape(1, 1, 16, 16))
    assert logits.shape == (1, 32, 16, 16)
    np.testing.assert_allclose(logits[0, :3, 0, 0], [0.4872, 0.1849, 0.3830], atol=1e-4)
    np.testing.assert_allclose(logits[0, :3, 8, 8], [0.4726, 0.1786, 0.3967], atol=1e-4)
    assert float(logits.double().sum()) == pytest.approx(390.0186, rel=1e-5)


def test_checkpoint() -> None:
    """Its averaged weights are those of the model that was written at the same step."""
    tensors, meta = load_tensors(BEFORE / CHECKPOINT)
    config = saved_config(BEFORE)
    assert (meta["step"], config.steps, config.batch, config.size, config.average) == (6, 6, 2, 16, 0.5)
    state = ColorUNet.from_pretrained(MODEL).state_dict()
    assert len(state) == sum(name.startswith("average.") for name in tensors) > 20
    for name, value in state.items():
        assert torch.equal(tensors[f"average.{name}"], value)


def test_a_run_goes_on(tmp_path: Path) -> None:
    """One more step from a copy, at a rate of zero: the log goes on and no weight moves."""
    for part in ("train", "val"):
        shutil.copytree(BEFORE / "photos", tmp_path / "set" / part)
    run = tmp_path / "run"
    shutil.copytree(BEFORE, run)
    words = ["train", str(tmp_path / "set"), "--out", str(run), "--resume", "--workers", "0", "--pictures", "0"]
    assert main([*words, "--steps", "7", "--rate", "0"]) == 0  # a step that moves no weight
    before, after = rows(BEFORE / "log.csv"), rows(run / "log.csv")
    assert [row["step"] for row in after] == ["3", "6", "7"]
    assert after[:2] == before
    assert float(after[2]["train_loss"]) == pytest.approx(float(before[1]["train_loss"]), abs=0.2)
    old, new = (load_tensors(folder / CHECKPOINT) for folder in (BEFORE, run))
    assert new[1]["step"] == 7
    network = {**new[1]["config"]["network"], **old[1]["config"]["network"]}
    kept = {**old[1]["config"], "network": network, "steps": 7, "rate": 0.0, "minutes": 0.0, "loader": "workers"}
    assert new[1]["config"] == {**new[1]["config"], **kept}
    assert set(new[0]) == set(old[0])
    for name, value in old[0].items():
        if name.startswith("model.") and "running" not in name and "tracked" not in name:
            assert torch.equal(new[0][name], value), name
        if name.startswith("optimizer.") and name.endswith("step"):
            assert float(new[0][name]) == float(value) + 1, name


def test_the_validation_loss_of_the_log_is_that_of_the_checkpoint() -> None:
    from torch.utils.data import DataLoader

    from fastcolor.files.sets import find_images
    from fastcolor.training.dataset import PhotoDataset
    from fastcolor.training.distributed import Team
    from fastcolor.training.trainer import Trainer

    bins, config = ColorBins.load(MODEL / "bins.npz"), saved_config(BEFORE)
    trainer = Trainer(config, bins, torch.device("cpu"), Team())
    trainer.load(BEFORE)
    photos = PhotoDataset(find_images(BEFORE / "photos"), bins, config.size, augment="none", lam=config.lam)
    loss = trainer.validate(DataLoader(photos, batch_size=config.batch))
    assert loss == pytest.approx(float(rows(BEFORE / "log.csv")[-1]["validation_loss"]), abs=1e-4)


def test_benchmark() -> None:
    document = schema.read(BEFORE / "bench.json")
    assert document["metadata"]["commit"].startswith("55c22d5")
    assert {result["suite"] for result in document["results"]} == {"histogram"}
    times = {result["candidate"]: result["median_s"] for result in document["results"]}
    assert len(times) == 8
    assert (times["fastcolor"], times["numpy"]) == (0.000308838, 0.00115402)
