"""Which parameters a run trains, and how: an encoder that was trained before goes slower, or stands still below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from ..network.unet import ColorUNet
from .config import TrainConfig

SHARE = "share"  # of a group in the learning rate


def freeze(network: ColorUNet, blocks: int) -> None:
    """The encoder's stem and its first `blocks` blocks are not trained, and their statistics stay; 0 is none.

    Raises
    ------
    ValueError
        If the encoder has fewer blocks.
    """
    for module in _frozen(network, blocks):
        module.requires_grad_(False).eval()


def _frozen(network: ColorUNet, blocks: int) -> Iterator[nn.Module]:
    if blocks == 0:
        return
    encoder = network.encoder
    if blocks > len(encoder.blocks):
        raise ValueError(f"freeze: expected at most the {len(encoder.blocks)} blocks of the encoder, got {blocks}")
    yield encoder.stem
    yield from encoder.blocks[:blocks]


def parameter_groups(network: ColorUNet, config: TrainConfig) -> list[dict[str, Any]]:
    """Groups for AdamW of the parameters that are trained: by their share of the rate, with or without weight decay.

    Biases and the scales of batch normalisation, which have one axis, are not decayed. The first group has the whole
    rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in sorted(network.named_parameters(), key=lambda item: item[0].startswith("encoder.")):
        if parameter.requires_grad:
            share = config.encoder_rate if name.startswith("encoder.") else 1.0
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
    return [
        {"params": parameters, SHARE: share, "lr": share * config.rate, "weight_decay": decay}
        for (share, decay), parameters in groups.items()
    ]
