"""Where a run starts from: the network and the options of each recipe; the command line changes single ones.

"paper" is :class:`~fastcolor.training.config.TrainConfig`'s own values; the bundled networks were made by the
recipes of their names. "gpu-7min" is a wide plain network for seven minutes of a large GPU. It has not run on a card:
batch, rate and steps (the scale of warm-up and decay, not their number) are guesses from another network of that size,
which saw 1.7 million crops of 128 to 160 pixels in batches of 384 within 5.4 minutes of an H200.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Recipe(NamedTuple):
    """Fields of UNetConfig and of TrainConfig that differ from their defaults."""

    network: dict[str, Any]
    training: dict[str, Any]


_LANDSCAPES: dict[str, Any] = {
    "batch": 32,
    "size": 128,
    "augment": "random",
    "lam": 0.75,
    "schedule": "hold-decay",
    "warmup": 300,
    "weight_decay": 0.02,
    "clip": 1.0,
    "bfloat16": True,
}
_EVERYDAY: dict[str, Any] = {
    "steps": 20_000,
    "batch": 32,
    "size": 160,
    "augment": "mixed",
    "area": 0.4,
    "degrade": 1.0,
    "balance": 0.25,
    "lam": 0.75,
    "rate": 5e-4,
    "encoder_rate": 0.3,
    "schedule": "cosine",
    "warmup": 300,
    "weight_decay": 0.05,
    "drop_path": 0.2,
    "dropout": 0.2,
    "clip": 1.0,
    "bfloat16": True,
}
_WIDE = {"down": (32, 64, 128, 192, 256), "up": (192, 128, 64, 48), "head": 32, "fold": 2, "size": 128}
RECIPES: dict[str, Recipe] = {
    "paper": Recipe({}, {}),
    "everyday": Recipe({"encoder": "efficientnet-lite0", "size": 192, "temperature": 1.0}, _EVERYDAY),
    "landscapes": Recipe({"size": 128}, {**_LANDSCAPES, "steps": 4_400, "decay": 1_600, "rate": 3e-3}),
    "landscapes-wide": Recipe(_WIDE, {**_LANDSCAPES, "steps": 10_400, "decay": 2_700, "rate": 2e-3}),
    "gpu-7min": Recipe(
        _WIDE,
        {**_LANDSCAPES, "minutes": 7.0, "loader": "device", "batch": 384, "steps": 5_000, "warmup": 200, "decay": 3_000}
        | {"rate": 3e-3, "weight_decay": 0.05},
    ),
}
