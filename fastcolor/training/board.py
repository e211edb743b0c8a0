"""What TensorBoard shows of a run: events in files as it reads them, by its own writer of records.

Its usual writer has a thread, in which a full disk is a traceback, and whose error comes late.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.atomic import naming


class Board:
    """Events of a run from `step` on; what another run wrote behind it is not shown any more.

    Raises
    ------
    ImportError
        If TensorBoard is not installed.
    OSError
        If something cannot be written; names the file.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard import summary

        self._event, self._records, self._summary = Event, RecordWriter, summary
        folder.mkdir(exist_ok=True)
        host = socket.gethostname()
        self.path = folder / f"events.out.tfevents.{time.time_ns() / 1e9:.9f}.{host}.{os.getpid()}"
        self._write(step, file_version="brain.Event:2")
        if step:
            self._write(step, session_log=SessionLog(status=SessionLog.START))

    def scalar(self, name: str, value: float, step: int) -> None:
        self._write(step, summary=self._summary.scalar(name, value))

    def image(self, name: str, rgb: NDArray[np.uint8], step: int) -> None:
        """(H, W, 3)."""
        self._write(step, summary=self._summary.image(name, rgb, dataformats="HWC"))

    def _write(self, step: int, **what: Any) -> None:
        event = self._event(wall_time=time.time(), step=step, **what)
        with naming(self.path), open(self.path, "ab") as file:
            self._records(file).write(event.SerializeToString())


def open_board(folder: Path, step: int) -> Board | None:
    """A board, or None without TensorBoard."""
    try:
        return Board(folder, step)
    except ImportError:
        return None
