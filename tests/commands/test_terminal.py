"""Commands and the world around them: terminals that cannot show a name, pipes that nobody reads, signals, warnings."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blank_network import BlankColorizer
from PIL import Image

from fastcolor import prior
from fastcolor.commands import main as cli
from fastcolor.commands.main import main
from fastcolor.files import atomic
from fastcolor.photo import bulk


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two photographs in the current one; the network is a blank."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastcolor.photo.colorizer.Colorizer.load", lambda *words, **options: BlankColorizer())
    Path("p").mkdir()
    for name in ("日本.png", "b.png"):
        Image.new("L", (4, 3), 99).save(Path("p", name))
    return Path("p")


def body(run: Callable[[], object]) -> SimpleNamespace:
    """A command that runs this."""
    return SimpleNamespace(add_arguments=lambda parser: None, run=lambda args: int(bool(run())))


@pytest.mark.promise(
    "Messages", "a file that was written is a success, whatever the terminal cannot show or no longer reads"
)
@pytest.mark.parametrize("kind", ["cp1252", "ascii", "closed", "missing"])
def test_reports_that_cannot_be_shown(photographs: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    memory = io.BytesIO()
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as closed, monkeypatch.context() as patch:
        for name in ("stdout", "stderr"):
            shown = (
                io.TextIOWrapper(memory, encoding=kind, write_through=True) if kind in ("cp1252", "ascii") else closed
            )
            patch.setattr(sys, name, None if kind == "missing" else shown)
        assert main(["colorize", "p/日本.png", "-o", "日本.png"]) == 0
        assert main(["colorize", "p/日本.png", "p/日本.txt", "-o", "日本"]) == 1, "what is missing is an error still"
        kept = sys.stdout
    assert kept is None or kept.errors == "strict", "the stream is as it was"
    assert Path("日本.png").is_file()
    assert [path.name for path in Path("日本").iterdir()] == ["日本.png"]
    if kind in ("cp1252", "ascii"):
        assert b"into \\u65e5\\u672c.png" in memory.getvalue()


def test_a_report_on_a_full_disk_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "import_module", lambda name: body(lambda: print("a report")))
    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["doctor"]) == 1
    assert "standard output: No space left on device; make room there" in capsys.readouterr().err


@pytest.mark.promise("Messages", "warnings of libraries do not reach the terminal; those of the package are a sentence")
def test_warnings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def warn() -> None:
        logging.getLogger("some.library").warning("raw words")
        warnings.warn_explicit("raw words", UserWarning, "/lib/library.py", 1)
        warnings.warn_explicit("prior: odd", UserWarning, prior.__file__, 1)

    monkeypatch.setattr(cli, "import_module", lambda name: body(warn))
    monkeypatch.setattr(sys, "warnoptions", [])
    before = warnings.showwarning, logging.lastResort
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["doctor"]) == 0
    assert capsys.readouterr().err == "fastcolor: warning: prior: odd\n"
    assert (warnings.showwarning, logging.lastResort) == before


def at(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, number: int, *, after: bool) -> None:
    """Send this process a signal where it calls `place.name` first, before or after the call itself."""
    whole, numbers = getattr(place, name), [number]

    def call(*args: Any, **options: Any) -> Any:
        result = whole(*args, **options) if after else None
        if numbers:
            signal.raise_signal(numbers.pop())  # which is dealt with here, whatever threads there are
        return result if after else whole(*args, **options)

    monkeypatch.setattr(place, name, call)


MOMENTS = {
    "before a photograph is read": (bulk, "read_photo", False),
    "before a temporary file is made": (atomic.secrets, "token_hex", True),
    "when it is made": (Path, "stat", True),
    "in the encoder": (Image.Image, "save", True),
    "before it gets its name": (os, "link", False),
    "when it has its name": (os, "link", True),
}


@pytest.mark.promise("Faults", "a signal at any moment of writing leaves whole files and nothing else")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_signals(
    photographs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    moment: str,
    number: int,
    status: int,
) -> None:
    before = signal.getsignal(number)
    place, name, after = MOMENTS[moment]
    with monkeypatch.context() as patch:
        at(patch, place, name, number, after=after)
        assert main(["colorize", "p", "-o", "o"]) == status
    assert signal.getsignal(number) == before
    assert "nothing half-written is left" in capsys.readouterr().err
    left = [path for path in Path().rglob("*") if path.is_file() and path.parent.name != "p"]
    for path in left:
        assert path.name in ("日本.png", "b.png")
        with Image.open(path) as image:
            image.load()
    assert len(left) <= 1
    assert main(["colorize", "p", "-o", "o", "--skip-existing"]) == 0
    assert len(list(Path("o").iterdir())) == 2


@pytest.mark.promise("Faults", "Ctrl-C pressed twice, the second time while files are removed, leaves nothing behind")
def test_two_signals(photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with monkeypatch.context() as patch:

        def save(self: Image.Image, *words: object, **options: object) -> None:
            at(patch, atomic, "_remove", signal.SIGINT, after=False)
            signal.raise_signal(signal.SIGINT)

        patch.setattr(Image.Image, "save", save)
        assert main(["colorize", "p", "-o", "o"]) == 130
    assert list(Path("o").iterdir()) == []


@pytest.mark.promise("Faults", "no signal that ends a command disturbs it while files are removed")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_second_signal_disturbs_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if not hasattr(signal, name):
        return  # Windows
    removed: list[bool] = []

    def remove() -> None:
        signal.raise_signal(getattr(signal, name))
        removed.append(True)

    monkeypatch.setattr(cli, "remove_leftovers", remove)
    monkeypatch.setattr(cli, "import_module", lambda name: body(lambda: signal.raise_signal(signal.SIGINT)))
    assert main(["doctor"]) == 130
    assert removed == [True]


def test_ignored_signals_stay_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under nohup."""
    monkeypatch.setattr(cli, "import_module", lambda name: body(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert main(["doctor"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)


def test_exit_statuses_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "0 all is done; 1 an error" in shown
    assert "130 stopped by Ctrl-C, 143 by SIGTERM" in shown
