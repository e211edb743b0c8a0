"""Wrong calls of a run are told, by the name of the option, before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.commands.main import main  # noqa: E402
from fastcolor.training import train as module  # noqa: E402
from fastcolor.training.checkpoint import load_tensors  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.distributed import Team, own_device  # noqa: E402
from fastcolor.training.mixture import PhotoSet  # noqa: E402
from fastcolor.training.schedule import rate  # noqa: E402
from fastcolor.training.train import train  # noqa: E402
from fastcolor.training.trainer import CHECKPOINT  # noqa: E402


@pytest.mark.promise("Newcomers", "a run that cannot begin says why, and leaves no folder behind")
def test_wrong_calls_are_told(photos: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(place: Path, *more: str) -> str:
        assert main(["train", str(place), "--out", str(tmp_path / "run"), "--recipe", "gpu-7min", *more]) == 1
        assert not (tmp_path / "run").exists()
        return capsys.readouterr().err

    assert "--steps, --minutes: expected one of the two, got both" in error(pack, "--steps", "3", "--minutes", "1")
    for minutes in ("0", "-1", "nan", "inf"):
        assert "--minutes: expected a finite number >" in error(pack, "--minutes", minutes)
    assert "batch: expected an integer >= 1, got 0" in error(pack, "--batch", "0")
    assert "loader: 'device' makes the samples of augment='random'" in error(pack, "--augment", "paper")
    assert "save_seconds: expected more than 0" in error(pack, "--save-seconds", "0")
    for name in ("save", "validate"):
        assert f"{name}_every: expected an integer >= 1, got 0" in error(pack, f"--{name}-every", "0")
        assert f"{name}_every: expected an integer >= 1, got -1" in error(pack, f"--{name}-every", "-1")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(pack.read_bytes()[:-30])
    assert "cut.zip: expected a pack of `fastcolor prepare --pack`" in error(cut)
    assert "nothing.zip: no such folder or pack" in error(tmp_path / "nothing.zip")
    assert "batch: expected at most the 8 samples" in error(pack, "--batch", "9")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"minutes": -1.0}, "minutes: expected a finite number >= 0"),
        ({"minutes": float("inf")}, "minutes: expected a finite number >= 0"),
        ({"loader": "gpu"}, "loader: expected one of 'workers', 'device'"),
        ({"augment": "all"}, "augment: expected one of 'paper'"),
        ({"schedule": "step"}, "schedule: expected one of 'two-step'"),
        ({"steps": 0}, "steps: expected an integer >= 1"),
        ({"batch": 0}, "batch: expected an integer >= 1"),
        ({"size": 0}, "size: expected an integer >= 1"),
        ({"warmup": -3}, "warmup: expected an integer >= 0"),
        ({"decay": -1}, "decay: expected an integer >= 0"),
        ({"seed": -1}, "seed: expected an integer >= 0"),
        ({"clip": -1.0}, "clip: expected a finite number >= 0"),
        ({"rate": float("nan")}, "rate: expected a finite number >= 0"),
        ({"weight_decay": -0.1}, "weight_decay: expected a finite number >= 0"),
        ({"average": 2.0}, r"average: expected a number in \[0, 1\]"),
        ({"lam": -0.5}, r"lam: expected a number in \[0, 1\]"),
    ],
)
def test_a_value_out_of_range_is_told_before_anything_is_made(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**values)


@pytest.mark.parametrize(("minutes", "compile", "name"), [(1.0, False, "minutes"), (0.0, True, "compile")])
def test_what_is_for_one_process(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float, compile: bool, name: str
) -> None:
    monkeypatch.setattr(module, "join_team", lambda device: Team(0, 2))
    with pytest.raises(ValueError, match=f"{name}: expected one process, got 2"):
        train([PhotoSet(pack)], tmp_path / "run", TrainConfig(minutes=minutes), ColorBins.default(), compile=compile)


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device: expected one that torch sees, got 'cuda:1'"):
        own_device("cuda:1")


def test_an_empty_description_names_no_sets(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    config = TrainConfig(steps=1, batch=2, size=16, augment="random", loader="device")
    train([PhotoSet(pack)], run, config, ColorBins.default(), pictures=0)
    for text, said in (("", "names none"), (None, "is not there")):
        (run / "run.toml").unlink(missing_ok=True)
        if text is not None:
            (run / "run.toml").write_text(text)
        assert main(["train", "--out", str(run), "--resume"]) == 1
        assert f"run.toml, which keeps them, {said}" in capsys.readouterr().err


def test_no_run_no_schedule_and_no_checkpoint(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="schedule: expected one of two-step"):
        rate(0, 1, schedule="step")
    assert main(["train", str(photos), "--out", str(tmp_path / "no"), "--resume"]) == 1
    assert "there is no run to resume" in capsys.readouterr().err
    damaged = tmp_path / CHECKPOINT
    damaged.write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(ValueError, match="expected a checkpoint of fastcolor train, got a damaged one"):
        load_tensors(damaged)


@pytest.mark.promise("Sets and training", "two runs that would write into one folder at once: the second is refused")
def test_a_run_that_begins_meanwhile_is_not_written_over(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, between this run's look at its options and its lock."""
    run, read = tmp_path / "run", module.open_sets

    def other_run(sets: list[PhotoSet]) -> object:
        run.mkdir()
        (run / CHECKPOINT).write_bytes(b"of another")
        return read(sets)

    monkeypatch.setattr(module, "open_sets", other_run)
    with pytest.raises(FileExistsError, match="there is a run already; --resume goes on with it"):
        train([PhotoSet(pack)], run, TrainConfig(), ColorBins.default())
    assert (run / CHECKPOINT).read_bytes() == b"of another"
    assert len(list(run.iterdir())) == 1
