"""What a run writes is there whole, whenever it is stopped: its checkpoint, its log and its pictures."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.network.unet import UNetConfig  # noqa: E402
from fastcolor.training.checkpoint import load_tensors, save_tensors  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.mixture import PhotoSet  # noqa: E402
from fastcolor.training.runlog import RunLog, read_log  # noqa: E402
from fastcolor.training.train import train  # noqa: E402
from fastcolor.training.trainer import CHECKPOINT, saved_config  # noqa: E402

TINY = UNetConfig(down=(8, 12, 16), up=(12, 8), head=8)


def test_a_checkpoint_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / CHECKPOINT
    save_tensors(path, {"a": torch.ones(3)}, {"step": 1})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("power cut")))
    with pytest.raises(OSError, match="power cut"):
        save_tensors(path, {"a": torch.zeros(3)}, {"step": 2})
    tensors, meta = load_tensors(path)
    assert meta == {"step": 1}
    assert tensors["a"].tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_resumed_log_drops_what_was_lost(tmp_path):
    log = RunLog(tmp_path, 0)
    for step in (10, 20, 30):
        log.write(step=step, train_loss=1.0)
    RunLog(tmp_path, 20)
    with open(tmp_path / "log.csv", newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["10", "20"]


@pytest.mark.parametrize(
    "torn", ["", ",", "1", "18,0.5,0.0", "18,0.5,0.001,1.0,,30.0,1.2", "18,0.5,0.001,1.0,,30.0,1.2\r"]
)
def test_a_row_that_a_kill_has_torn_is_dropped(tmp_path, torn):
    """Also where what is left of it reads as a row of an earlier step."""
    log = RunLog(tmp_path, 0)
    for step in (10, 20):
        log.write(step=step, train_loss=1.0)
    with open(tmp_path / "log.csv", "a", newline="") as file:
        file.write(torn)
    RunLog(tmp_path, 20).write(step=30)
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == ["10", "20", "30"]


HEAD = "step,epoch,train_loss\n"


@pytest.mark.promise("Sets and training", "a log that was edited or damaged is named, with the line, and not replaced")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"epoch,train_loss\n1,2\n", "got no column step in line 1"),
        (b"\xff\xfe\n", "line 1"),
        (f"{HEAD}10,1,2\nfour,1,2\n".encode(), "'four' in line 3"),
        (f"{HEAD}-1,1,2\n".encode(), "-1 in line 2"),
        (f"{HEAD}1.5,1,2\n".encode(), "'1.5' in line 2"),
        (f"{HEAD}10,1,2\n".encode() + bytes(9) + b"\n", "in line"),
        (f"{HEAD}10,1,\xff\n".encode("latin-1"), "in line"),
        (f"{HEAD}10,1,{'2' * 200_000}\n".encode(), "field larger than field limit"),
    ],
)
def test_a_log_that_is_none_is_named(tmp_path, text, said):
    path = tmp_path / "log.csv"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=said) as raised:
        RunLog(tmp_path, 20)
    assert str(raised.value).startswith(f"{path}: expected the rows of `fastcolor train`, got ")
    assert "move it away" in str(raised.value)
    assert path.read_bytes() == text


def test_a_stop_within_a_resume_keeps_the_log(tmp_path, monkeypatch):
    log = RunLog(tmp_path, 0)
    log.write(step=10, train_loss=1.0)
    before = (tmp_path / "log.csv").read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("power cut")))
    with pytest.raises(OSError, match="power cut"):
        RunLog(tmp_path, 10)
    assert (tmp_path / "log.csv").read_bytes() == before
    with pytest.raises(OSError, match="power cut"):
        log.picture(10, np.zeros((8, 8, 3), np.uint8))
    assert list((tmp_path / "samples").iterdir()) == []


def test_a_checkpoint_every_so_many_seconds(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastcolor.training.trainer import Trainer

    steps: list[int] = []
    monkeypatch.setattr(Trainer, "save", lambda self, folder, **more: steps.append(self.step))
    config = TrainConfig(network=TINY, steps=6, batch=4, size=16, augment="random", loader="device")
    train([PhotoSet(pack)], tmp_path / "a", config, ColorBins.default(), pictures=0, save_every=4, save_seconds=1e-9)
    assert steps == [1, 2, 3, 4, 5, 6]
    steps.clear()
    train([PhotoSet(pack)], tmp_path / "b", config, ColorBins.default(), pictures=0, save_every=4)
    assert steps == [4, 6]


def test_resumed_in_memory_it_is_the_same_run(pack: Path, tmp_path: Path) -> None:
    config = TrainConfig(network=TINY, steps=8, batch=4, size=16, augment="random", loader="device", schedule="cosine")
    train([PhotoSet(pack)], tmp_path / "whole", config, ColorBins.default(), pictures=0)
    half = tmp_path / "half"
    train([PhotoSet(pack)], half, config, ColorBins.default(), pictures=0, save_every=5)
    kept = load_tensors(tmp_path / "whole" / CHECKPOINT)[0]

    class Enough(Exception):
        pass

    def stop(*_: object) -> None:
        raise Enough

    broken = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        from fastcolor.training import loop

        patch.setattr(loop, "_check", stop)
        with pytest.raises(Enough):
            train([PhotoSet(pack)], broken, config, ColorBins.default(), pictures=0, save_every=5, validate_every=6)
    assert saved_config(broken) == config
    trainer = train([PhotoSet(pack)], broken, saved_config(broken), ColorBins.default(), resume=True, pictures=0)
    assert trainer.step == 8
    again = load_tensors(broken / CHECKPOINT)[0]
    assert [name for name in kept if not torch.equal(kept[name], again[name])] == []


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(pack: Path, tmp_path: Path) -> None:
    config = TrainConfig(network=TINY, steps=60, batch=4, size=16, augment="random", loader="device", rate=1e30)
    with pytest.raises(RuntimeError, match=r"loss: (nan|inf) .*the last checkpoint is kept; try a lower --rate"):
        train([PhotoSet(pack)], tmp_path / "run", config, ColorBins.default(), pictures=0, save_every=1)
    tensors = load_tensors(tmp_path / "run" / CHECKPOINT)[0]
    assert tensors["model.head.0.weight"].isfinite().all()
