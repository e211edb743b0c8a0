"""The frame of ``fastcolor <command>``: exit statuses, errors without tracebacks, help that loads nothing heavy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import fastcolor
from fastcolor.commands import main as cli
from fastcolor.commands.main import COMMANDS, INTERRUPTED, TERMINATED, main


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastcolor", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def pretend(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None, status: int = 0) -> None:
    """Make `doctor` a command that raises or returns."""

    def body(args: object) -> int:
        if error is not None:
            raise error
        return status

    module = SimpleNamespace(add_arguments=lambda parser: None, run=body)
    monkeypatch.setattr(cli, "import_module", lambda name: module)


def test_as_a_module_and_as_a_script(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, f"fastcolor {fastcolor.__version__}")
    script = Path(sys.executable).with_name("fastcolor")
    if script.exists():
        assert subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout == done.stdout


def test_no_command_is_wrong_usage(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    assert done.returncode == 2
    assert "usage: fastcolor" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_command_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["colour"])
    assert stop.value.code == 2
    assert "fit" in capsys.readouterr().err


def test_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())  # a long line is broken
    assert all(name in shown and text in shown for name, text in COMMANDS.items())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_and_the_protocol(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: fastcolor {command}" in capsys.readouterr().out
    module = import_module(f"fastcolor.commands.{command.replace('-', '_')}")
    assert callable(module.add_arguments)
    assert callable(module.run)


def test_help_of_one_command_does_not_load_the_others(tmp_path: Path) -> None:
    code = (
        "import sys, fastcolor.commands.main as c\n"
        "try: c.main(['fit', '--help'])\n"
        "except SystemExit: pass\n"
        "print('LOADED', *[m for m in ('torch', 'matplotlib', 'fastcolor.commands.doctor') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"


@pytest.mark.parametrize("status", [0, 1])
def test_the_commands_status_is_returned(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    pretend(monkeypatch, status=status)
    assert main(["doctor"]) == status


@pytest.mark.parametrize(
    "error",
    [
        ValueError("n: expected more, got less"),
        TypeError("rgb: expected an array"),
        FileNotFoundError("a.npz: no such file"),
        fastcolor.MissingExtraError("a plot", "matplotlib", "plot"),
        fastcolor.ImageError("a.jpg: damaged"),
        fastcolor.WeightsError("weights: damaged"),
        fastcolor.BackendUnavailableError("backend: none"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_one_line_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    pretend(monkeypatch, error)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == f"fastcolor: error: {error}\n"


def test_faults_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, AssertionError("cannot happen"))
    with pytest.raises(AssertionError):
        main(["doctor"])


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pretend(monkeypatch, KeyboardInterrupt())
    assert main(["doctor"]) == INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.promise(
    "Faults", "Ctrl-C and SIGTERM stop a command at once, with 130 and 143; nothing half-written is left"
)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
def test_a_real_signal_stops_counting_at_once_and_leaves_nothing(tmp_path: Path, number: int, status: int) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8))
    image.save(photos / "0.jpg")
    for k in range(1, 1000):
        os.link(photos / "0.jpg", photos / f"{k}.jpg")
    out = tmp_path / "bins.npz"
    code = (
        "import sys, fastcolor.fitting.counting as counting\n"
        "from fastcolor.commands.main import main\n"
        "note = counting._note\n"
        "counting._note = lambda *args: (note(*args), print('counting', flush=True))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["fit", str(photos), "-o", str(out), "--cells", "auto"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counting\n"
    process.send_signal(number)
    _, shown = process.communicate(timeout=30)
    assert process.returncode == status
    assert "nothing half-written is left" in shown
    assert "Traceback" not in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
