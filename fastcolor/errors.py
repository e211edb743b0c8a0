"""The exceptions of the package that are not plain ValueError or TypeError."""

from __future__ import annotations


class BackendUnavailableError(RuntimeError):
    """A backend that was asked for by name, or by the device of an array, cannot run here; says why and what to do."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; names the extra that brings it."""

    def __init__(self, what: str, needs: str, extra: str) -> None:
        super().__init__(f"{what} needs {needs}, which is not installed; pip install 'fastcolor[{extra}]'", name=needs)


class VideoError(ValueError):
    """A film cannot be read or written; names the file."""


class BinsError(ValueError):
    """A file of color bins is damaged, or of something else; names the file."""


class CheckpointError(ValueError):
    """A checkpoint of a training run is damaged, incomplete, or does not fit the run; names the file."""


class WeightsError(ValueError):
    """Network weights or their configuration are missing, damaged or do not fit together; names the file."""


class ImageError(ValueError):
    """An image file cannot be read or written; names the file."""
