"""Commands run with a fault at a moment: one process imports everything once, and forks for each run.

A moment is a number: that of an event by which Python tells an audit hook that a file under the run's folder is opened
to be written, made, renamed or removed. The fault comes before the event's deed: a signal, an error of the system, or a
halt until another run is over.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

EVENTS = ("open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
LONGEST = 60  # seconds of a run; what hangs is ended by an alarm
REMOVING = ("os.remove", "os.rmdir")  # which a full disk lets one do
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ERRORS = {"full": errno.ENOSPC, "read-only": errno.EROFS}
SIGNALS = {"kill": signal.SIGKILL, "INT": signal.SIGINT, "TERM": signal.SIGTERM, "halt": signal.SIGSTOP}


class Run(NamedTuple):
    """What came of a run: its exit status (below 0: killed by a signal), what it said, its events."""

    status: int
    out: str
    err: str
    events: list[str]


class Runs:
    """The process that forks; close it."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue"}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, words: list[str], folder: Path, fault: str = "", at: int = 0) -> Run:
        """``fastcolor words`` in `folder`, with `fault` at the event of number `at`, and later ones for errors."""
        return self.pair(words, folder, fault, at)[0]

    def warm(self, words: list[str], folder: Path) -> None:
        """The command in the process itself: what it imports and loads is there for the others. It forks then.

        Not one that computes gradients, whose threads torch does not let a process fork with.
        """
        (run,) = self.pair(words, folder, "warm", 0)
        assert run.status == 0, run.err

    def pair(self, words: list[str], folder: Path, fault: str, at: int, other: list[str] | None = None) -> list[Run]:
        """The run, and the other one, which came and went while it was halted."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([words, str(folder), fault, at, other]), file=self.process.stdin, flush=True)
        if not select.select([self.process.stdout], [], [], 2 * LONGEST + 10)[0]:
            self.process.kill()
            raise TimeoutError(f"{words}: neither end nor alarm")
        return [Run(*one) for one in json.loads(self.process.stdout.readline())]

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def serve() -> None:
    """Fork for each line of standard input."""
    import torch

    torch.set_num_threads(1)
    import torch.optim
    import torch.utils.tensorboard
    import tqdm

    import fastcolor.commands.demo as demo
    import fastcolor.training.train  # noqa: F401

    tqdm.tqdm.monitor_interval = 0  # a thread that a fork would lose, perhaps with the lock in its hands
    tqdm.tqdm.set_lock(threading.RLock())  # the usual one is of all processes together, and a killed one keeps it
    demo.sheet.__kwdefaults__ = {"width": 48}  # a picture of a tenth

    for line in sys.stdin:
        words, folder, fault, at, meanwhile = json.loads(line)
        if fault == "warm":
            print(json.dumps([_warm(words, folder)]), flush=True)
            continue
        run = _Child(words, folder, fault, at)
        others: list[Run] = []
        if meanwhile is not None:
            run.listen(until_halted=True)
            others.append(_Child(meanwhile, folder, "", 0).end())
            os.kill(run.number, signal.SIGCONT)
        print(json.dumps([run.end(), *others]), flush=True)


def _warm(words: list[str], folder: str) -> Run:
    from fastcolor.commands.main import main

    out, err = io.StringIO(), io.StringIO()
    os.chdir(folder)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        return Run(main(words), out.getvalue(), err.getvalue(), [])


class _Child:
    """A run's process, and what it says by pipes: a limit to the size of files would hold for files too."""

    def __init__(self, words: list[str], folder: str, fault: str, at: int) -> None:
        pipes = [os.pipe() for _ in range(3)]
        self.number = os.fork()
        if self.number == 0:
            _forked(words, folder, fault, at, [end for _, end in pipes])
        for _, end in pipes:
            os.close(end)
        self.said = {begin: b"" for begin, _ in pipes}
        self.open = list(self.said)

    def listen(self, until_halted: bool = False) -> None:
        """Take what it says until it has ended: a pipe that is full would hold it up."""
        state = os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG
        while self.open and not (until_halted and os.waitid(os.P_PID, self.number, state)):
            for pipe in select.select(self.open, [], [], 0.01 if until_halted else None)[0]:
                said = os.read(pipe, 1 << 16)
                self.said[pipe] += said
                if not said:
                    os.close(pipe)
                    self.open.remove(pipe)

    def end(self) -> Run:
        """What came of it."""
        self.listen()
        _, status = os.waitpid(self.number, 0)
        out, err, events = (said.decode(errors="replace") for said in self.said.values())
        return Run(os.waitstatus_to_exitcode(status), out, err, events.splitlines())


def _forked(words: list[str], folder: str, fault: str, at: int, pipes: list[int]) -> NoReturn:
    status = 1
    try:
        status = _run(words, folder, fault, at, pipes)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _run(words: list[str], folder: str, fault: str, at: int, pipes: list[int]) -> int:
    from fastcolor.commands.main import main

    for number, pipe in zip((1, 2), pipes, strict=False):
        os.dup2(pipe, number)
    sys.stdout, sys.stderr = (os.fdopen(pipe, "w", buffering=1) for pipe in pipes[:2])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    signal.alarm(LONGEST)
    scratch = Path(folder, "tmp")
    scratch.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    if fault == "short":  # files end in the middle, as on a full disk, for the encoders' own code too
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    numbers = itertools.count(1)

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event not in EVENTS or not isinstance(values[0], (str, bytes, os.PathLike)):
            return
        if event == "open" and not (isinstance(values[2], int) and values[2] & WRITING):
            return
        path = os.path.abspath(os.fsdecode(values[0]))
        if not path.startswith(folder + os.sep):
            return
        number = next(numbers)  # of this event: another thread has its own
        os.write(pipes[2], f"{event} {os.path.relpath(path, folder)}\n".encode())
        if fault in ERRORS and number >= at and event not in REMOVING:
            raise OSError(ERRORS[fault], os.strerror(ERRORS[fault]), path)
        if fault == "taken" and event == "os.link":
            Path(os.fsdecode(values[1])).write_bytes(b"another's")
        if fault in SIGNALS and number == at:
            os.kill(os.getpid(), SIGNALS[fault])

    sys.addaudithook(hook)
    return main(words)


if __name__ == "__main__":
    serve()
