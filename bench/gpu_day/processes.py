"""A stage as a process: stopped at its limit, all that it says in one log with those of the others."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ..measure.machine import ROOT
from .stages import Stage

GRACE = 10  # seconds between the two signals
OUTCOMES = {0: "ok", 124: "cut off", 127: "not there", 137: "killed", -9: "killed"}  # of coreutils' timeout
MOST_BYTES = 1_500_000  # of each stage in the log, as they stand there
TAIL = 400  # lines


class Log:
    """A file that several stages write to at the same time, each line with its stage; after what is there already."""

    def __init__(self, path: Path, head: str) -> None:
        self._file: IO[bytes] = path.open("ab", buffering=0)
        self._lock = threading.Lock()
        self.write(entry("day", head))

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            self._file.close()

    def write(self, entry: bytes) -> None:
        with self._lock:
            if not self._file.closed:  # what a stage left running says after the end is nobody's concern
                self._file.write(entry)


def entry(name: str, text: str) -> bytes:
    """A line of the log."""
    return f"{name}| {text}\n".encode(errors="replace")


class Running:
    """Interrupted at the limit, so that pytest and the benchmark end well, and killed a little later."""

    def __init__(self, stage: Stage, limit: float, log: Log, backends: Sequence[str]) -> None:
        command = ["timeout", "--signal=INT", f"--kill-after={GRACE}", f"{limit:g}", *stage.words(limit)]
        self.name, self.tail = stage.name, deque[str](maxlen=TAIL)
        self._log, self._start = log, time.monotonic()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **stage.variables(backends)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        left = MOST_BYTES
        for line in self._process.stdout or ():
            text = line.decode(errors="replace").rstrip()
            self.tail.append(text)
            if left > 0:
                said = entry(self.name, text)
                left -= len(said)
                self._log.write(said if left > 0 else entry(self.name, "(the rest is left out)"))

    def stop(self) -> None:
        self._process.terminate()

    def ended(self) -> bool:
        """Whether it has; then `seconds`, `status` and `outcome` are known."""
        status = self._process.poll()
        if status is None:
            return False
        self._reader.join(2)  # which waits for ever if a process of the stage is left
        self.seconds, self.status = time.monotonic() - self._start, status
        self.outcome = OUTCOMES.get(status, f"status {status}")
        return True
