"""Training: it learns, resumes bit for bit after a kill, and several processes compute what one would."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.commands.main import main  # noqa: E402
from fastcolor.files.sets import find_images  # noqa: E402
from fastcolor.network.unet import ColorUNet, UNetConfig  # noqa: E402
from fastcolor.training.checkpoint import load_tensors  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.dataset import PhotoDataset, Sample  # noqa: E402
from fastcolor.training.distributed import Team  # noqa: E402
from fastcolor.training.mixture import PhotoSet  # noqa: E402
from fastcolor.training.runlog import read_log  # noqa: E402
from fastcolor.training.schedule import rate  # noqa: E402
from fastcolor.training.train import train  # noqa: E402
from fastcolor.training.trainer import CHECKPOINT, Trainer, saved_bins, saved_config  # noqa: E402

BINS = ColorBins.default()
TINY = TrainConfig(network=UNetConfig(down=(8, 12, 16), up=(12, 8), head=8), steps=12, batch=4, size=16, average=0.5)
OPTIONS = ["--steps", "12", "--batch", "4", "--size", "16", "--augment", "random", "--pictures", "0", "--workers", "0"]


def tensors_of(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(run / CHECKPOINT)[0]


def assert_same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_a_small_network_overfits_two_photographs(photos):
    data = PhotoDataset(find_images(photos / "train")[:2], BINS, size=24, augment="none", lam=0.5)
    batch = Sample(*(torch.stack(parts) for parts in zip(*(data[k] for k in range(2)), strict=True)))
    trainer = Trainer(replace(TINY, rate=1e-2, steps=150), BINS, torch.device("cpu"), Team())
    losses = [float(trainer.train_step(batch)) for _ in range(150)]
    assert losses[0] > 3  # about log 32
    assert losses[-1] < 0.9
    logits = trainer.average(batch.luma)
    assert (logits.argmax(1) == batch.labels).float().mean() > 0.6


def test_a_run_starts_from_a_model(photos, tmp_path):
    train([PhotoSet(photos)], tmp_path / "first", replace(TINY, steps=3), BINS, workers=0, pictures=0)
    model = tmp_path / "first" / "model"
    still = replace(TINY, steps=1, rate=0.0)
    second = train([PhotoSet(photos)], tmp_path / "second", still, BINS, start=str(model), workers=0, pictures=0)
    weights = ColorUNet.from_pretrained(model)
    for mine, theirs in zip(second.model.parameters(), weights.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_gradients_are_clipped(photos):
    data = PhotoDataset(find_images(photos / "train")[:2], BINS, size=16, augment="none")
    batch = Sample(*(torch.stack(parts) for parts in zip(*(data[k] for k in range(2)), strict=True)))
    trainer = Trainer(replace(TINY, clip=1e-3), BINS, torch.device("cpu"), Team())
    trainer.train_step(batch)
    squares = [parameter.grad.square().sum() for parameter in trainer.model.parameters()]
    assert float(torch.stack(squares).sum().sqrt()) == pytest.approx(1e-3, rel=1e-3)


def test_bfloat16_trains_too(photos):
    data = PhotoDataset(find_images(photos / "train")[:2], BINS, size=16, augment="none")
    batch = Sample(*(torch.stack(parts) for parts in zip(*(data[k] for k in range(2)), strict=True)))
    trainer = Trainer(replace(TINY, rate=5e-3, steps=40, bfloat16=True), BINS, torch.device("cpu"), Team())
    losses = [float(trainer.train_step(batch)) for _ in range(40)]
    assert losses[-1] < losses[0] - 0.7


def test_a_run_leaves_log_model_and_pictures(photos, tmp_path):
    run = tmp_path / "run"
    arguments = ["train", str(photos), "--out", str(run), *OPTIONS, "--validate-every", "5", "--pictures", "2"]
    assert main(arguments) == 0
    rows = read_log(run / "log.csv")
    assert [int(row["step"]) for row in rows] == [5, 10, 12]
    assert all(float(row["validation_loss"]) > 0 and float(row["train_loss"]) > 0 for row in rows)
    assert len(list((run / "samples").iterdir())) == 3
    loaded = ColorUNet.from_pretrained(run / "model")
    average = {name: value for name, value in tensors_of(run).items() if name.startswith("average.")}
    assert_same_bits({f"average.{name}": value for name, value in loaded.state_dict().items()}, average)
    assert main(arguments) == 1  # there is a run already


def test_resume_gives_the_same_bits(photos, tmp_path):
    config = replace(TINY, augment="random", schedule="cosine", warmup=3)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train([PhotoSet(photos)], whole, config, BINS, workers=0, pictures=0)
    trainer = Trainer(config, BINS, torch.device("cpu"), Team())
    _run_until(trainer, photos, config, 7)
    broken.mkdir()
    trainer.save(broken)
    train([PhotoSet(photos)], broken, saved_config(broken), BINS, resume=True, workers=0, pictures=0)
    assert_same_bits(tensors_of(whole), tensors_of(broken))


def test_a_resumed_run_keeps_its_bins(photos, tmp_path, capsys):
    """Labels of other bins mean other colors; a file of the same content elsewhere are the same bins."""
    mine = ColorBins(BINS.table[::-1], BINS.colors, BINS.prior)
    mine.save(tmp_path / "mine.npz")
    BINS.save(tmp_path / "others.npz")
    words = ["train", str(photos), "--out", str(tmp_path / "run"), *OPTIONS]
    assert main([*words, "--steps", "1", "--bins", str(tmp_path / "mine.npz")]) == 0
    assert saved_bins(tmp_path / "run") == mine != BINS
    assert main([*words, "--steps", "2", "--resume"]) == 0
    assert ColorUNet.from_pretrained(tmp_path / "run" / "model").bins == mine
    assert main([*words, "--steps", "3", "--resume", "--bins", str(tmp_path / "mine.npz")]) == 0
    capsys.readouterr()
    assert main([*words, "--steps", "4", "--resume", "--bins", str(tmp_path / "others.npz")]) == 1
    assert "bins: expected those that the run in" in capsys.readouterr().err
    assert main([*words, "--steps", "4", "--resume", "--start", "landscapes"]) == 1
    assert "start: expected none with resume" in capsys.readouterr().err
    assert load_tensors(tmp_path / "run" / CHECKPOINT)[1]["step"] == 3


def _run_until(trainer: Trainer, photos: Path, config: TrainConfig, stop: int) -> None:
    from fastcolor.training.sampler import KeySampler

    data = PhotoDataset(find_images(photos / "train"), BINS, config.size, 1, config.augment, config.lam, config.seed)
    sampler = KeySampler(len(data), config.batch, start=0, stop=stop, seed=config.seed)
    for sample in torch.utils.data.DataLoader(data, batch_sampler=sampler, generator=torch.Generator()):
        trainer.train_step(sample)


def cli(photos: Path, run: Path, steps: str, *more: str) -> list[str]:
    """A small run from the command line."""
    options = [
        "--steps",
        steps,
        "--batch",
        "4",
        "--size",
        "16",
        "--augment",
        "random",
        "--pictures",
        "0",
        "--workers",
        "0",
    ]
    return [sys.executable, "-m", "fastcolor", "train", str(photos), "--out", str(run), *options, *more]


def test_killed_in_the_middle_and_resumed(photos, tmp_path):
    def command(run: Path, *more: str) -> list[str]:
        return cli(photos, run, "60", "--save-every", "2", "--validate-every", "15", *more)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, capture_output=True)
    process = subprocess.Popen(command(killed), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (killed / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    step = load_tensors(killed / CHECKPOINT)[1]["step"]
    assert 0 < step < 60, "the run was not killed in the middle"
    subprocess.run(command(killed, "--resume"), check=True, capture_output=True)
    assert_same_bits(tensors_of(whole), tensors_of(killed))
    assert [row["step"] for row in read_log(killed / "log.csv")] == [row["step"] for row in read_log(whole / "log.csv")]


_TWO = """
import json, sys, torch
from pathlib import Path
from dataclasses import replace
from fastcolor.bins import ColorBins
from fastcolor.training.train import train
from fastcolor.training.config import TrainConfig
from fastcolor.training.mixture import PhotoSet
from fastcolor.training.trainer import Trainer
from fastcolor.network.unet import UNetConfig
torch.set_num_threads(1)
losses, step = [], Trainer.train_step
def noted(self, sample, *more):
    loss = step(self, sample, *more)
    losses.append(float(loss))
    return loss
Trainer.train_step = noted
network = UNetConfig(down=(8, 12, 16), up=(12, 8), head=8)
config = TrainConfig(network=network, steps=4, batch=4, size=16, augment="random", lam=0.2, rate=1e-5)
trainer = train([PhotoSet(Path(sys.argv[1]))], Path(sys.argv[2]), config, ColorBins.default(), workers=0, pictures=0)
if trainer.team.leads:
    Path(sys.argv[2], "losses.json").write_text(json.dumps(losses))
"""


def test_two_processes_compute_what_one_does(photos, tmp_path):
    """Losses and gradients of the joint batch: batch normalisation and the loss's divisor are joint as well."""
    import json

    script = tmp_path / "two.py"
    script.write_text(_TWO)
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run([sys.executable, script, photos, one], check=True, capture_output=True)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*launch, script, photos, two], check=True, capture_output=True)
    losses = [json.loads((run / "losses.json").read_text()) for run in (one, two)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-5)
    a, b = tensors_of(one), tensors_of(two)
    # Adam divides by the root of the squared gradient, so that a parameter whose gradient is nearly zero may move by
    # the rate either way. Hence a small rate, and the first moments (the gradients) are compared.
    compared = [name for name in a if name.endswith(("exp_avg", "running_mean", "running_var"))]
    assert len(compared) > 40
    for name in compared:
        scale = float(a[name].abs().max())
        np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=2e-3 * scale, err_msg=name)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("two-step", [1, 1, 0.1, 0.01, 0.01]),
        ("cosine", [1, 0.8535534, 0.5, 0.1464466, 0]),
        ("hold-decay", [1, 1, 1, 0.625, 0]),
    ],
)
def test_schedules(schedule, expected):
    steps = [0, 25, 60, 85, 100] if schedule == "two-step" else [0, 25, 50, 75, 100]
    values = [rate(step, 100, schedule=schedule, decay=40) for step in steps]
    assert values == pytest.approx(expected)
    assert rate(0, 100, schedule=schedule, warmup=10, decay=40) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("recipe", "augment", "parameters"), [("landscapes", "random", 142_016), ("everyday", "mixed", 4_418_912)]
)
def test_the_bundled_recipes_run(photos, tmp_path, recipe, augment, parameters):
    small = ["--steps", "1", "--batch", "2", "--size", "64", "--pictures", "0", "--workers", "0"]
    assert main(["train", str(photos), "--out", str(tmp_path / "run"), "--recipe", recipe, *small]) == 0
    config = saved_config(tmp_path / "run")
    assert (config.steps, config.augment, config.lam) == (1, augment, 0.75)
    network = ColorUNet.from_pretrained(tmp_path / "run" / "model")
    assert sum(p.numel() for p in network.parameters()) == parameters
