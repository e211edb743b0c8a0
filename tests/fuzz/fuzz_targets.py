"""What is fuzzed: a loader each, the form of its inputs, and what it may say of a bad file.

An input begins with a byte. After an even one the file follows as it is; after an odd one come the parts of a good
envelope, put together here, so that mutations of what is inside reach the loader: names, headers and data of the arrays
of an npz file; the JSON of a run, the tensors' header and their data of a safetensors file. Parts end with SEPARATOR.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

SEPARATOR = b"\xff|\n"
MOST_PADDING = 1 << 16  # bytes of tensors that are made up to fit a header


class Target(NamedTuple):
    """A loader of bytes, in a folder for them, and the first words of errors that name no file but the argument."""

    load: Callable[[Path, bytes], object]
    arguments: tuple[str, ...] = ()


def bins_file(data: bytes) -> bytes:
    """An npz file of (name, header, data) for each array."""
    if not data or data[0] % 2 == 0:
        return data[1:]
    parts, buffer = data[1:].split(SEPARATOR), io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, header, values in zip(*[iter(parts)] * 3, strict=False):
            text = header[:65535]
            member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values
            archive.writestr(zipfile.ZipInfo(name.decode("latin-1") or "x"), member)
    return buffer.getvalue()


def tensors_file(data: bytes) -> bytes:
    """A safetensors file of JSON, header and data, which is made as long as the header says."""
    if not data or data[0] % 2 == 0:
        return data[1:]
    meta, header, values = [*data[1:].split(SEPARATOR, 2), b"", b""][:3]
    try:
        tensors = json.loads(header)
        length = max((one["data_offsets"][1] for one in tensors.values()), default=0)
        values = values[:length].ljust(min(length, MOST_PADDING), b"\0")
        said = {"__metadata__": {"json": meta.decode("latin-1")}} if meta else {}
        header = json.dumps({**said, **tensors}).encode()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    return struct.pack("<Q", len(header)) + header + values


def load_bins(folder: Path, data: bytes) -> object:
    """``ColorBins.load``."""
    from fastcolor.bins import ColorBins

    path = folder / "bins.npz"
    path.write_bytes(bins_file(data))
    return ColorBins.load(path)


def load_model(folder: Path, data: bytes) -> object:
    """``ColorUNet.from_pretrained`` of a configuration, which is the first part, and weights."""
    from fastcolor.network.unet import ColorUNet

    config, _, weights = data.partition(SEPARATOR)
    (folder / "config.json").write_bytes(config)
    (folder / "weights.safetensors").write_bytes(tensors_file(weights))
    tiny_bins().save(folder / "bins.npz")
    return ColorUNet.from_pretrained(folder)


def load_checkpoint(folder: Path, data: bytes) -> object:
    """All that ``train --resume`` reads of a checkpoint."""
    from fastcolor.training.clock import Clock
    from fastcolor.training.trainer import CHECKPOINT, saved_bins, saved_config

    (folder / CHECKPOINT).write_bytes(tensors_file(data))
    saved_bins(folder), saved_config(folder)
    clock = Clock(0.0, None, tiny_trainer().load(folder).get("clock"))
    return clock.state, clock.place(1, 2)


def load_picture(folder: Path, data: bytes) -> object:
    """``read_photo``, whatever the name says."""
    from fastcolor.files.images import read_photo

    path = folder / "photo.png"
    path.write_bytes(data)
    return read_photo(path)


def load_description(folder: Path, data: bytes) -> object:
    """``run.toml`` as ``train --config`` takes it."""
    from fastcolor.training.runfile import read_description

    path = folder / "run.toml"
    path.write_bytes(data)
    return read_description(path)


TARGETS = {
    "bins": Target(load_bins),
    "models": Target(load_model),
    "checkpoints": Target(load_checkpoint, ("network: ", "bins: ", "freeze: ")),
    "descriptions": Target(load_description),
    "pictures": Target(load_picture),
}


def attempt(name: str, data: bytes) -> str | None:
    """Load an input; None if it is good, else what was said of it. Anything but the documented errors is raised."""
    from fastcolor.errors import BinsError, CheckpointError, ImageError, WeightsError

    target = TARGETS[name]
    with tempfile.TemporaryDirectory(dir=memory_folder()) as place:
        folder = Path(place)
        try:
            target.load(folder, data)
            return None
        except (BinsError, CheckpointError, ImageError, WeightsError) as error:
            said = str(error)
            named = [said.count(str(path)) for path in folder.iterdir()]
            assert len(said) < 1500, f"{len(said)} characters: {said}"
            assert said.isprintable(), f"several lines, or what moves the cursor: {said!a}"
            assert sum(named) >= 1, f"no file is named: {said}"
            assert max(named) == 1, f"a file is named twice: {said}"
            return said
        except ValueError as error:
            if type(error) is ValueError and str(error).startswith((*target.arguments, f"{folder / 'run.toml'}: ")):
                return str(error)
            raise


@cache
def memory_folder() -> str | None:
    """Where files cost no disk, if there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@cache
def tiny_bins() -> Any:
    """Two bins."""
    import numpy as np

    from fastcolor.bins import ColorBins

    return ColorBins(np.zeros((3, 3), np.uint8), np.array([[0.1, 0.05], [0, 0]], np.float32), np.full(2, 0.5))


@cache
def tiny_trainer() -> Any:
    """A run of the smallest network."""
    import torch

    from fastcolor.network.config import UNetConfig
    from fastcolor.training.config import TrainConfig
    from fastcolor.training.distributed import Team
    from fastcolor.training.trainer import Trainer

    config = TrainConfig(network=UNetConfig(bins=2, down=(1, 1), up=(1,), head=1), steps=2, batch=1, size=8)
    return Trainer(config, tiny_bins(), torch.device("cpu"), Team())
