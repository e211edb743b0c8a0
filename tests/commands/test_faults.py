"""Each command with each fault at a moment of its writing: what is left is whole, and the same command goes on from it.

The moment of a case is drawn by its name; FASTCOLOR_FAULT_MOMENTS=all tries every one.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
av = pytest.importorskip("av")

from fault_runs import REMOVING, Run, Runs  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from fastcolor import ColorBins, ColorUNet, UNetConfig  # noqa: E402
from fastcolor.files.atomic import PREFIX  # noqa: E402
from fastcolor.training.prepare import NEW  # noqa: E402

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals")

MOST = 1 if os.environ.get("FASTCOLOR_FAULT_MOMENTS") != "all" else sys.maxsize
MODEL = "--model model"
COMMANDS = {
    "colorize": f"colorize set/train -o out {MODEL}",
    "demo": f"demo -o out.png --size 32 {MODEL}",
    "video": f"video film.gif -o out.mp4 --size 32 {MODEL}",
    "fit": "fit set/train -o out.npz --n 4 --cells 9",
    "prepare": "prepare set/train out --size 16 --pack out.zip",
    "train": "train set --out out --config net.toml --workers 0 --pictures 1 --save-every 1 --validate-every 2",
    "average": "average model model --out out",
    "evaluate": f"evaluate set/val {MODEL} --json out.json --sheet out.png",
    "evaluate-video": f"evaluate-video film.gif {MODEL} --json out.json",
}
GOES_ON = {"colorize": " --skip-existing", "average": ""}  # others replace what is there
NET = """
[network]
down = [2, 2]
up = [2]
head = 2
[training]
steps = 4
batch = 2
size = 8
augment = "random"
loader = "device"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read: a set, a film, a model, a description."""
    home, rng = tmp_path_factory.mktemp("home"), np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        (home / "set" / part).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
                home / "set" / part / f"{number}.png"
            )
    frames = [Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(3)]
    frames[0].save(home / "film.gif", save_all=True, append_images=frames[1:], duration=40)
    torch.manual_seed(0)
    bins = ColorBins(np.zeros((3, 3), np.uint8), np.array([[0.1, 0.05], [0, 0]], np.float32), np.full(2, 0.5))
    ColorUNet(UNetConfig(bins=2, down=(2, 2), up=(2,), head=2, size=16), bins).save_pretrained(home / "model")
    (home / "net.toml").write_text(NET)
    return home


@pytest.fixture(scope="module")
def runs(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    server = Runs()
    for command, words in COMMANDS.items():
        if command != "train":
            server.warm(words.split(), shutil.copytree(home, tmp_path_factory.mktemp("warm") / command))
    yield server
    server.close()


Whole = tuple[list[str], dict[str, object]]  # events, and what was made


class Case:
    """A copy of the home, and what a command makes of it."""

    def __init__(self, runs: Runs, home: Path, folder: Path, command: str) -> None:
        self.runs, self.command, self.folder = runs, command, folder
        shutil.copytree(home, folder, dirs_exist_ok=True)
        self.sources = {path for path in folder.rglob("*") if path.is_file()}
        self.before = self.digest()

    def run(self, fault: str = "", at: int = 0, other: bool = False) -> list[Run]:
        words = COMMANDS[self.command].split()
        return self.runs.pair(words, self.folder, fault, at, words if other else None)

    def go_on(self) -> Run:
        """The same command again, as one goes on with what is there."""
        words = COMMANDS[self.command]
        if self.command == "train":
            goes_on = (self.folder / "out/checkpoint.safetensors").exists()
            words = words.replace("--config net.toml", "--resume") if goes_on else words
        else:
            words += GOES_ON.get(self.command, " --force")
        return self.runs(words.split(), self.folder)

    def digest(self) -> dict[Path, str]:
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(self.sources)}

    def made(self) -> list[Path]:
        """Files that were not there, but for temporary ones."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and path not in self.sources]
        return sorted(path for path in paths if not self.temporary(path))

    def temporary(self, path: Path) -> bool:
        return any(part.startswith(PREFIX) or part in ("tmp", NEW) for part in path.relative_to(self.folder).parts)

    def leftovers(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if self.temporary(path) and path.name != "tmp"]

    def check(self, leftovers: bool = False) -> None:
        """What was read is as it was, what has a final name is whole, nothing else is there."""
        assert self.digest() == self.before
        for path in self.made():
            read(path)
        assert leftovers or self.leftovers() == []


def read(path: Path) -> object:
    """What is in a file, whole; numbers and pixels, without times."""
    match path.suffix:
        case ".png" | ".jpg":
            with Image.open(path) as image:
                return image.tobytes()
        case ".npz":
            bins = ColorBins.load(path)
            return bins, bins.moments and bins.moments.images
        case ".safetensors":
            return {name: value.numpy().tobytes() for name, value in load_file(path).items()}
        case ".mp4":
            with av.open(str(path)) as film:
                return [frame.to_ndarray().tobytes() for frame in film.decode(video=0)]
        case ".json":
            values = json.loads(path.read_text())
            return {name: value for name, value in values.items() if name != "kept"}  # by the run before
        case ".zip":
            with zipfile.ZipFile(path) as archive:
                return {name: archive.read(name) for name in archive.namelist()}
        case _:  # a log or events, which a reader knows how to end, or a text that is compared nowhere
            return path.read_bytes() and None


@pytest.fixture(scope="module")
def whole(runs: Runs, home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whole]:
    """For each command the events of a run that nothing disturbs, and what it makes."""
    found = {}
    for command in COMMANDS:
        case = Case(runs, home, tmp_path_factory.mktemp(command), command)
        (run,) = case.run()
        assert (run.status, case.leftovers()) == (0, []), run.err
        assert len(run.events) >= 2
        case.check()
        found[command] = run.events, results(case)
    return found


def results(case: Case) -> dict[str, object]:
    return {str(path.relative_to(case.folder)): read(path) for path in case.made() if "events.out" not in path.name}


def moments(case: str, events: list[str]) -> list[int]:
    """Some of the moments, the first and the last among all of them; always the same for the case."""
    numbers = list(range(1, len(events) + 1))
    return random.Random(case).sample(numbers, min(MOST, len(numbers)))


SHORT = [300, 20]  # bytes at which files end
FAULTS = {"kill": -signal.SIGKILL, "INT": 130, "TERM": 143}


@pytest.mark.promise(
    "Faults", "a command that is killed or stopped leaves whole files, and the same command goes on to the same results"
)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_signals(runs: Runs, home: Path, whole: dict, tmp_path: Path, command: str, fault: str) -> None:
    events, wanted = whole[command]
    for at in moments(command + fault, events):
        case = Case(runs, home, tmp_path / str(at), command)
        (run,) = case.run(fault, at)
        assert "Traceback" not in run.err
        assert run.status == FAULTS[fault], run
        assert fault == "kill" or "nothing half-written is left" in run.err
        case.check(leftovers=fault == "kill")
        left = results(case)
        if fault != "kill" and command != "train":  # whose checkpoint is of the step at which it was stopped
            assert left == {name: wanted[name] for name in left}
        if fault != "kill" and command == "prepare":  # all is in place, or the set is as it was
            whole_set = {name for name in wanted if name.startswith("out/")}
            assert whole_set & set(left) in (set(), whole_set)
        again = case.go_on()
        assert "Traceback" not in again.err
        if command == "average" and (case.folder / "out").exists() and again.status:
            assert "exists already" in again.err
        else:
            assert again.status == 0, again.err
        assert results(case) == wanted


@pytest.mark.promise("Faults", "a full disk or a read-only folder is an error with the file's name, and leaves nothing")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", ["full", "read-only", "short"])
def test_no_room(runs: Runs, home: Path, whole: dict, tmp_path: Path, command: str, fault: str) -> None:
    events, _ = whole[command]
    writing = [event for event in events if not event.startswith(REMOVING)]
    for at in SHORT[:MOST] if fault == "short" else moments(command + fault, writing):
        case = Case(runs, home, tmp_path / str(at), command)
        (run,) = case.run(fault, at)
        assert run.status == 1, run
        assert "fastcolor: error: " in run.err
        assert "out" in run.err or str(case.folder) in run.err
        assert "Traceback" not in run.err
        assert PREFIX not in run.err, "a temporary name is nobody's"
        case.check()


# command -> outputs of which each is a result that must be new
TAKEN = {
    "colorize": [f"out/{number}.png" for number in range(4)],
    "demo": ["out.png"],
    "video": ["out.mp4"],
    "fit": ["out.npz"],
    "prepare": ["out.zip"],
    "evaluate": ["out.json"],
    "evaluate-video": ["out.json"],
}


@pytest.mark.promise("Outputs", "what another run writes meanwhile is not replaced without --force")
@pytest.mark.parametrize("command", TAKEN)
def test_names_that_are_taken_meanwhile(runs: Runs, home: Path, tmp_path: Path, command: str) -> None:
    case = Case(runs, home, tmp_path / "case", command)
    (run,) = case.run("taken")
    assert run.status == 1, run
    assert run.err.count(": exists already, made while this run went on") == len(TAKEN[command])
    assert [Path(case.folder, name).read_bytes() for name in TAKEN[command]] == [b"another's"] * len(NEW[command])
    assert case.leftovers() == []


@pytest.mark.promise("Faults", "two runs at once with one output leave whole results, of one or of the other")
@pytest.mark.parametrize("command", COMMANDS)
def test_two_at_once(runs: Runs, home: Path, whole: dict, tmp_path: Path, command: str) -> None:
    events, wanted = whole[command]
    for at in moments(command, events):
        case = Case(runs, home, tmp_path / str(at), command)
        both = case.run("halt", at, other=True)
        assert {run.status for run in both} <= {0, 1}
        assert 0 in {run.status for run in both}, both
        assert "Traceback" not in "".join(run.err for run in both)
        case.check()
        assert results(case) == wanted
