"""Where a run starts from: the network and the options of each recipe; the command line changes single ones.

"paper" is :class:`~fastcolor.training.config.TrainConfig`'s own values. The bundled network "landscapes" was made by
the recipe of its name; "everyday" began by a script of its own and went on with its recipe (docs/MODEL_CARD.md).
"gpu-7min" is the network of "everyday" from public weights in seven minutes of a large GPU: the options of a script
that saw 1.7 million crops within 5.4 minutes of an H200, where the network began to learn its photographs by heart
after a third of them; but for the encoder's rate, which was layered there. The recipe itself has not run on a card.
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
    "distance": 8.0,
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
_LITE0 = {"encoder": "efficientnet-lite0", "size": 192, "temperature": 1.0}
RECIPES: dict[str, Recipe] = {
    "paper": Recipe({}, {}),
    "landscapes": Recipe({"size": 128}, {**_LANDSCAPES, "steps": 4_400, "decay": 1_600, "rate": 3e-3}),
    "everyday": Recipe(_LITE0, _EVERYDAY),
    "gpu-7min": Recipe(
        _LITE0,
        {**_EVERYDAY, "minutes": 7.0, "loader": "device", "batch": 384, "size": 128, "steps": 5_000, "warmup": 200}
        | {"rate": 2.5e-3},
    ),
}
