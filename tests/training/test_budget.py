"""Runs against the clock from the command line: on time, resumed after a kill, stopped, and on a disk that is full."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.commands.main import main  # noqa: E402
from fastcolor.network.unet import ColorUNet, UNetConfig  # noqa: E402
from fastcolor.training.checkpoint import load_tensors  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.mixture import PhotoSet  # noqa: E402
from fastcolor.training.runlog import read_log  # noqa: E402
from fastcolor.training.train import train  # noqa: E402
from fastcolor.training.trainer import CHECKPOINT, saved_config  # noqa: E402

SMALL = ["--batch", "4", "--size", "32", "--pictures", "2"]
TINY = UNetConfig(down=(8, 12, 16), up=(12, 8), head=8)


class Ticking:
    """A clock that goes on by so much at each look, so that a run does not depend on the machine."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 0.0, tick

    def monotonic(self) -> float:
        self.now += self.tick
        return self.now


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    from fastcolor.commands import train as command
    from fastcolor.training import clock

    made = Ticking(0.2)
    monkeypatch.setattr(clock, "time", made)
    monkeypatch.setattr(command, "time", made)
    return made


def words(place: Path, run: Path, *more: str) -> list[str]:
    recipe = [] if "--resume" in more else ["--recipe", "gpu-7min"]
    return ["train", str(place), "--out", str(run), *recipe, *SMALL, *more]


def started(place: Path, run: Path, *more: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fastcolor", *words(place, run, *more)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def wait_for(path: Path, step: int = 1) -> None:
    """Until there is a checkpoint of `step` at least."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if path.exists() and load_tensors(path)[1]["step"] >= step:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path}: no checkpoint of step {step}")


def test_the_recipe_rehearsed_from_a_pack_to_a_model(photos: Path, tmp_path: Path, ticking: Ticking) -> None:
    pack, run = tmp_path / "set.zip", tmp_path / "run"
    assert main(["prepare", str(photos), "--pack", str(pack)]) == 0
    assert main(words(pack, run, "--minutes", "0.2")) == 0
    config = saved_config(run)
    assert (config.minutes, config.loader, config.augment, config.lam) == (0.2, "device", "mixed", 0.75)
    rows = read_log(run / "log.csv")
    rates = [float(row["rate"]) for row in rows]
    assert config.rate >= max(rates) > 0.8 * config.rate  # rows come at a quarter of the way, not at the peak
    assert rates[-1] < 0.15 * config.rate
    assert 9 < float(rows[-1]["seconds"]) < load_tensors(run / CHECKPOINT)[1]["clock"]["seconds"] < 12
    said = (run / "train.log").read_text()
    assert "8 photographs of at most 24 pixels, 0.00 GB in memory; batches are made on cpu" in said
    assert f"step {rows[-1]['step']} after" in said
    model = ColorUNet.from_pretrained(run / "model")
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_418_912
    assert model(torch.zeros(1, 1, 32, 32)).shape == (1, 32, 16, 16)
    assert load_tensors(run / CHECKPOINT)[1]["step"] == int(rows[-1]["step"])


def test_losses_on_other_photographs_are_not_compared(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ticking: Ticking
) -> None:
    from fastcolor.training import loop
    from fastcolor.training.models import Best

    monkeypatch.setattr(loop, "DEAREST", 1e9)  # so that there is time for one batch of the two alone
    assert main(words(pack, tmp_path / "run", "--minutes", "0.1", "--batch", "2", "--pictures", "0")) == 0
    measure = json.loads((tmp_path / "run" / "best" / "validation.json").read_text())["measure"]
    assert measure["every"] > 1
    assert measure["batch"] == 2
    assert Best(tmp_path / "run", measure, anew=False).loss < float("inf")
    assert Best(tmp_path / "run", {**measure, "every": 1}, anew=False).loss == float("inf")


def test_resumed_after_a_kill_with_the_time_that_is_left(pack: Path, tmp_path: Path, ticking: Ticking) -> None:
    run = tmp_path / "run"
    process = started(pack, run, "--minutes", "2", "--save-seconds", "0.2")
    wait_for(run / CHECKPOINT, 2)
    process.kill()
    process.communicate()
    before = load_tensors(run / CHECKPOINT)[1]
    assert 0 < before["clock"]["begin"] < before["clock"]["seconds"] < 120
    ticking.tick = 1.0
    assert main(["train", str(pack), "--out", str(run), "--resume", "--pictures", "0"]) == 0
    after = load_tensors(run / CHECKPOINT)[1]
    assert after["step"] > before["step"]
    assert after["clock"]["begin"] == before["clock"]["begin"]
    assert 100 < after["clock"]["seconds"] < 120
    assert ticking.now < 120 + 5 * ticking.tick - before["clock"]["seconds"]  # a few looks come after the last step
    assert saved_config(run).minutes == 2


def test_ctrl_c_saves_first(pack: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(pack, run, "--minutes", "5", "--save-seconds", "0.2")
    wait_for(run / CHECKPOINT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "fastcolor: interrupted" in err
    assert load_tensors(run / CHECKPOINT)[1]["step"] >= 1
    assert not list(run.glob(".*")), "a temporary file was left"


def test_a_disk_that_fills_keeps_the_last_checkpoint(pack: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(words(pack, run, "--steps", "2", "--pictures", "0")) == 0
    good = (run / CHECKPOINT).read_bytes()
    full = started(
        pack,
        run,
        *("--resume", "--steps", "4", "--pictures", "0", "--validate-every", "100"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    _, err = full.communicate(timeout=120)
    assert full.returncode == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith("fastcolor: error: ")
    assert "cannot be written" in last
    assert "Traceback" not in err
    assert (run / CHECKPOINT).read_bytes() == good
    assert not list(run.glob(".*"))
    assert not list((run / "model").glob(".*"))
    assert main(["train", str(pack), "--out", str(run), "--resume", "--steps", "4", "--pictures", "0"]) == 0
    assert load_tensors(run / CHECKPOINT)[1]["step"] == 4


def test_a_validation_that_takes_too_long_is_thinned(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ticking: Ticking
) -> None:
    from fastcolor.training.trainer import Trainer

    validated: list[int] = []

    def slow(self: Trainer, samples: list[object]) -> float:
        validated.append(len(samples))
        ticking.now += len(samples)
        return 1.0

    monkeypatch.setattr(Trainer, "validate", slow)
    config = TrainConfig(network=TINY, minutes=1.2, batch=1, size=16, augment="random", loader="device")
    train([PhotoSet(pack)], tmp_path / "run", config, ColorBins.default(), pictures=0, started=0.0)
    assert validated[:2] == [1, 1]
    assert set(validated[2:]) == {2}
    assert "validation on 2 of 4 batches: all would take 5 s" in (tmp_path / "run" / "train.log").read_text()
    rows = read_log(tmp_path / "run" / "log.csv")
    between = [row for row in rows if not row["validation_loss"]]
    assert len(between) > 5
    assert len(rows) - len(between) == len(validated) - 2 > 5
    assert all(float(row["train_loss"]) > 0 for row in between)
    assert rows[-1]["validation_loss"] == "1.0"


def test_what_is_made_at_the_first_time_is_no_part_of_the_schedule(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ticking: Ticking
) -> None:
    """Kernels of the first step and the first picture: the rate rises as if they had been there."""
    from fastcolor.training import loop
    from fastcolor.training.trainer import Trainer

    loss, show, slow = Trainer.loss, loop._show, {"step", "show"}

    def first(what: str) -> None:
        ticking.now += 10 if what in slow else 0
        slow.discard(what)

    def slow_loss(self: Trainer, model: torch.nn.Module, sample: Any, **more: Any) -> torch.Tensor:
        if model is self.runner:
            first("step")
        return loss(self, model, sample, **more)

    def slow_show(*arguments: Any) -> None:
        first("show")
        show(*arguments)

    monkeypatch.setattr(Trainer, "loss", slow_loss)
    monkeypatch.setattr(loop, "_show", slow_show)
    config = TrainConfig(network=TINY, minutes=0.7, warmup=30, steps=100, batch=4, size=16, augment="random")
    config = replace(config, loader="device")
    trainer = train([PhotoSet(pack)], tmp_path / "run", config, ColorBins.default(), pictures=1, started=0.0)
    clock = load_tensors(tmp_path / "run" / CHECKPOINT)[1]["clock"]
    assert clock["begin"] > 20
    assert clock["closing"] < 5
    assert 0 < float(read_log(tmp_path / "run" / "log.csv")[0]["rate"]) < 0.3 * config.rate
    assert all(int(value) == trainer.step for name, value in trainer.model.named_buffers() if "tracked" in name)


@pytest.mark.parametrize("resume", [False, True])
def test_a_budget_without_time_for_a_step_is_told(pack: Path, tmp_path: Path, ticking: Ticking, resume: bool) -> None:
    config = TrainConfig(network=TINY, minutes=0.1, batch=4, size=16, augment="random", loader="device")
    run = tmp_path / "run"
    if resume:
        train([PhotoSet(pack)], run, config, ColorBins.default(), pictures=0, started=0.0)
    ticking.now += 100
    step = load_tensors(run / CHECKPOINT)[1]["step"] if resume else 0
    with pytest.raises(ValueError, match=r"minutes: expected .* got 6 s: .* s are gone, and the end takes .* --resume"):
        train([PhotoSet(pack)], run, config, ColorBins.default(), pictures=0, started=0.0, resume=resume)
    assert load_tensors(run / CHECKPOINT)[1]["step"] == step
    more = replace(saved_config(run), minutes=4.0)
    assert train([PhotoSet(pack)], run, more, ColorBins.default(), pictures=0, resume=True).step > step


def test_steps_that_are_given_end_a_recipe_of_minutes(pack: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(words(pack, run, "--steps", "1", "--pictures", "0")) == 0
    assert (saved_config(run).minutes, saved_config(run).steps) == (0, 1)
