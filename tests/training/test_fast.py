"""What is made ready before the steps of a run, what stays whole float32, and what stops it."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.network.unet import UNetConfig  # noqa: E402
from fastcolor.training import fast  # noqa: E402
from fastcolor.training.checkpoint import load_tensors  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.crops import resample  # noqa: E402
from fastcolor.training.dataset import PhotoDataset  # noqa: E402
from fastcolor.training.distributed import Team  # noqa: E402
from fastcolor.training.fast import compiled, rehearse  # noqa: E402
from fastcolor.training.mixture import PhotoSet  # noqa: E402
from fastcolor.training.stopping import asked_to_stop  # noqa: E402
from fastcolor.training.train import train  # noqa: E402
from fastcolor.training.trainer import CHECKPOINT, Trainer  # noqa: E402

BINS = ColorBins.default()
SMALL = TrainConfig(
    network=UNetConfig(down=(8, 12, 16), up=(12, 8), head=8),
    steps=2,
    batch=2,
    size=16,
    augment="random",
    loader="device",
    bfloat16=True,
)


def trainer(**options: int) -> Trainer:
    return Trainer(replace(SMALL, **options), BINS, torch.device("cpu"), Team())


def test_a_rehearsal_leaves_nothing() -> None:
    made = trainer()
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    moved: list[bool] = []

    def step() -> torch.Tensor:
        loss = made.blank_loss(made.model)
        moved.append(not all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items()))
        return loss

    rehearse(made.model, step)
    assert moved == [True]
    assert all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items())
    assert all(parameter.grad is None for parameter in made.model.parameters())


@pytest.mark.parametrize("soft", [0, 3])
def test_a_blank_step_is_like_those_that_come(photos: Path, monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    """Shapes, types and strides of what the loss gets: kernels are made for them."""
    from fastcolor.training import trainer as where

    seen: list[list[tuple[object, ...]]] = []
    loss = where.weighted_cross_entropy

    def noted(*tensors: torch.Tensor, shares: torch.Tensor | None) -> torch.Tensor:
        every = (*tensors, shares) if shares is not None else tensors
        seen.append([(tensor.shape, tensor.dtype, tensor.stride()) for tensor in every])
        return loss(*tensors, shares=shares)

    monkeypatch.setattr(where, "weighted_cross_entropy", noted)
    made = trainer(soft=soft)
    made.blank_loss(made.runner)
    from fastcolor.files.sets import find_images
    from fastcolor.training.memory import Memory

    data = PhotoDataset(find_images(photos / "train"), BINS, size=16, augment="random", soft=soft)
    memory = Memory(data, torch.device("cpu"))
    made.train_step(memory.batch(0, np.arange(2)))
    assert seen[0] == seen[1]


def test_the_backward_is_compiled_in_the_thread_that_gets_the_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, dynamic: model)
    several: list[bool] = []

    class Looks(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, *grads: torch.Tensor) -> torch.Tensor:
            several.append(torch._C._is_multithreading_enabled())
            return grads[0]

    layer = torch.nn.Linear(1, 1)
    compiled(layer, lambda model: Looks.apply(model(torch.ones(1, 1))).sum(), print)
    assert several == [False]
    assert torch._C._is_multithreading_enabled()


def test_crops_are_made_in_whole_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32, which a run on a GPU turns on, has ten bits: levels would be others than on the CPU."""
    product, seen = torch.bmm, []

    def noted(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return product(a, b)

    monkeypatch.setattr(torch, "bmm", noted)
    torch.set_float32_matmul_precision("high")
    try:
        whole = torch.tensor([[8.0, 8.0]])
        image = torch.zeros(1, 8, 3, 8, dtype=torch.uint8)
        resample(image, whole, torch.zeros(1, 2), whole, torch.zeros(1, dtype=torch.bool), 4)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["highest"] * 2


def test_signals_are_left_alone_beside_other_processes_and_in_threads() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    def inside(alone: bool) -> None:
        with asked_to_stop(alone) as asked:
            seen.append([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before)
        assert asked == []

    seen: list[bool] = []
    inside(False)
    thread = threading.Thread(target=inside, args=(True,))
    thread.start()
    thread.join()
    inside(True)
    assert seen == [True, True, False]


def test_asked_to_terminate_it_ends_with_the_status_of_it() -> None:
    asked: list[int] = []

    def run() -> None:
        with asked_to_stop(True) as seen:
            signal.raise_signal(signal.SIGTERM)
            asked.extend(seen)

    with pytest.raises(SystemExit) as ended:
        run()
    assert asked == [signal.SIGTERM]
    assert ended.value.code == 143


def test_a_run_in_a_thread(photos: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    thread = threading.Thread(
        target=lambda: steps.append(train([PhotoSet(photos)], tmp_path / "run", SMALL, BINS, pictures=0).step)
    )
    thread.start()
    thread.join()
    assert steps == [2]


def test_compiled_or_not_the_run_goes_on(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(name: str) -> str:
        trainer = train([PhotoSet(pack)], tmp_path / name, SMALL, BINS, pictures=0, compile=True)
        assert trainer.step == 2
        if name != "plain":
            plain = load_tensors(tmp_path / "plain" / CHECKPOINT)[0]
            assert all(
                torch.equal(value, plain[key]) for key, value in load_tensors(tmp_path / name / CHECKPOINT)[0].items()
            )
        return (tmp_path / name / "train.log").read_text()

    monkeypatch.setattr(torch, "compile", lambda model, dynamic: model)
    assert "compiled by torch.compile\n" in said("plain")

    def fails(model: object, dynamic: bool) -> object:
        raise OSError("no compiler\nhere")

    monkeypatch.setattr(torch, "compile", fails)
    assert "not compiled, it goes on without: no compiler\n" in said("fails")

    def late(model: object, dynamic: bool) -> object:
        time.sleep(30)
        return model

    monkeypatch.setattr(torch, "compile", late)
    monkeypatch.setattr(fast.compiled, "__defaults__", (0.1,))
    assert "not compiled, it goes on without: it took more than 0.1 s\n" in said("late")
