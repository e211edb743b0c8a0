"""What modules tell through ``logging`` is a line on a command's terminal; who imports the package hears nothing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Lines(logging.Handler):
    """Lines on stderr, as it is when something is told; a bar that is being drawn stays whole."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(f"fastcolor: {record.getMessage()}", file=sys.stderr)


@contextmanager
def telling() -> Iterator[None]:
    """Show what is told under ``with``: that kernels are compiled, that they cannot be kept."""
    logger, handler = logging.getLogger("fastcolor"), _Lines()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
