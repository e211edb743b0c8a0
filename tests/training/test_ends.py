"""How a run ends: at its last step, when it is asked to, on a full disk; and that nobody else writes into it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fastcolor.commands.main import main  # noqa: E402
from fastcolor.network.unet import ColorUNet  # noqa: E402
from fastcolor.training.board import Board  # noqa: E402
from fastcolor.training.checkpoint import load_tensors  # noqa: E402
from fastcolor.training.stopping import asked_to_stop  # noqa: E402
from fastcolor.training.trainer import CHECKPOINT, Trainer  # noqa: E402

OPTIONS = ["--batch", "4", "--size", "16", "--augment", "random", "--pictures", "0", "--workers", "0"]


def words(photos: Path, run: Path, *more: str) -> list[str]:
    return ["train", str(photos), "--out", str(run), *OPTIONS, *more]


@pytest.mark.promise("Newcomers", "a run says at its end where the network lies, and how it is used")
def test_the_last_step_is_the_bar_s_end_and_the_network_is_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "my run"
    assert main(words(photos, run, "--steps", "3")) == 0
    told = capsys.readouterr().err
    assert "100%" in told
    assert "3/3" in told
    (model,) = re.findall(r"fastcolor colorize PHOTO --model '(.*)'", told)
    assert model == str(run / "best")
    ColorUNet.from_pretrained(model)


@pytest.mark.promise("Sets and training", "a run that a signal stops writes its checkpoint and says so; exit 143")
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes here")
def test_sigterm_to_a_run_and_its_loaders(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a batch system or a container sends it, to all processes. While it runs, nobody else can write there."""
    run = tmp_path / "run"
    long = words(photos, run, "--steps", "100000", "--save-every", "5", "--workers", "1")
    command = [sys.executable, "-m", "fastcolor", *long]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 120
            while not (run / CHECKPOINT).exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert main(words(photos, run, "--resume", "--steps", "1")) == 1
            assert f"{run}: another process writes into this folder" in capsys.readouterr().err
            os.killpg(process.pid, signal.SIGTERM)
            told = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 143, told  # as of a process that it killed, for the run has not ended
    (step,) = re.findall(r"stopped at step (\d+) by SIGTERM; the checkpoint is written, --resume goes on", told)
    assert load_tensors(run / CHECKPOINT)[1]["step"] == int(step)
    assert "Traceback" not in told


@pytest.mark.promise("Sets and training", "a run that a signal stops writes its checkpoint and says so; exit 143")
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_signal_to_the_run_alone(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    status: int,
) -> None:
    step = Trainer.train_step

    def stops(self: Trainer, *arguments: object) -> torch.Tensor:
        if self.step == 2:
            signal.raise_signal(getattr(signal, name))
        return step(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "train_step", stops)
    assert main(words(photos, tmp_path / "run", "--steps", "9")) == status
    assert f"stopped at step 3 by {name}; the checkpoint is written, --resume goes on" in capfd.readouterr().err
    assert load_tensors(tmp_path / "run" / CHECKPOINT)[1]["step"] == 3


def test_a_signal_does_what_it_would_have_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here: to the loop alone, where SIGTERM would kill, another handler is there, and one signal is ignored."""
    heard: list[int] = []
    for name, handler in (
        ("SIGTERM", signal.SIG_DFL),
        ("SIGINT", lambda *_: heard.append(2)),
        ("SIGHUP", signal.SIG_IGN),
    ):
        before = signal.signal(getattr(signal, name), handler)
        try:
            asked = []
            with pytest.raises(SystemExit, match="143") if name == "SIGTERM" else nullcontext():  # noqa: SIM117
                with asked_to_stop(True) as asked:
                    signal.raise_signal(getattr(signal, name))
            assert asked == ([] if name == "SIGHUP" else [getattr(signal, name)])
            assert signal.getsignal(getattr(signal, name)) is handler
        finally:
            signal.signal(getattr(signal, name), before)
    assert heard == [2]


@pytest.mark.promise("Sets and training", "a run replaces nothing that it is made of, nor writes among photographs")
def test_out_is_not_among_what_is_read(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(run: Path, *more: str) -> str:
        assert main(words(photos, run, "--steps", "1", *more)) == 1
        return capsys.readouterr().err

    for run in (photos / "train", photos / "val" / "run"):
        assert f"--out: {run} lies among the photographs of {photos}; choose another" in error(run)
    (tmp_path / "link").symlink_to(photos / "train")
    assert "lies among the photographs" in error(tmp_path / "link" / "run")
    run = tmp_path / "run"
    for option, name in (("--start", "best"), ("--bins", "model/bins.npz"), ("--config", "run.toml")):
        if name == "run.toml":
            run.mkdir()
            (run / name).write_text('recipe = "paper"\n')
        given = run / name
        assert f"--out: {run} is where {option} {given} lies and would be replaced" in error(run, option, str(given))


@pytest.mark.promise("Sets and training", "training on a full disk ends with one line that names the file")
def test_events_on_a_full_disk_name_the_file(tmp_path: Path) -> None:
    """And no thread of a library's prints a traceback: events are written when they are told."""
    board = Board(tmp_path / "tensorboard", 0)
    board.scalar("train_loss", 1.5, 3)
    board.image("samples", np.zeros((8, 8, 3), np.uint8), 3)
    (file,) = (tmp_path / "tensorboard").iterdir()
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    events = list(EventFileLoader(str(file)).Load())
    assert [event.step for event in events] == [0, 3, 3]
    assert events[1].summary.value[0].tag == "train_loss"
    board.path = Path("/dev/full")
    with pytest.raises(OSError, match="/dev/full"):
        board.scalar("train_loss", 1.5, 4)
