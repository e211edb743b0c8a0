"""The table of suites, whose functions have their names. Modules are imported when a suite runs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

from ..cases import Case, Setting


class Suite(NamedTuple):
    """Where the cases of a suite come from, and what they measure."""

    text: str
    module: str
    gpu: bool = True  # False: for the CPU alone


# `startup` has no cases: it times fresh processes, see bench.suites.startup.
SUITES = {
    "encode": Suite("RGB to luma, label and class weight", "encode"),
    "decode": Suite("logits and luma to RGB", "decode"),
    "decode_confidence": Suite("logits and luma to RGB and two confidence maps", "decode"),
    "annealed_mean": Suite("logits to chroma", "decode"),
    "confidence": Suite("logits to two confidence maps", "decode"),
    "temporal": Suite("logits to RGB, smoothed over 20 frames", "video"),
    "histogram": Suite("RGB to K x K counts", "encode"),
    "merge": Suite("low-resolution chroma on a full-resolution luma to RGB", "video"),
    "loss": Suite("weighted cross entropy, forward and backward", "network"),
    "network": Suite("ColorUNet forward", "network"),
    "overhead": Suite("host time of a call, on 16 x 16 pixels", "overhead"),
    "encode_lab": Suite("RGB to L, label and class weight, 313 bins in Lab", "lab_targets", gpu=False),
    "encode_soft": Suite("RGB to L, 5 labels and shares and class weight, 313 bins", "lab_targets", gpu=False),
    "loss_soft": Suite("weighted cross entropy of soft targets, forward and backward", "lab_logits", gpu=False),
    "chroma_lab": Suite("logits to ab, 313 bins", "lab_logits", gpu=False),
    "decode_lab": Suite("low-resolution logits and full-resolution L to RGB, 313 bins", "lab_logits", gpu=False),
    "startup": Suite("imports and first results in fresh processes", "startup", gpu=False),
}


def of(device: str) -> list[str]:
    """The suites of a device; some are the CPU's."""
    return [name for name, suite in SUITES.items() if device == "cpu" or suite.gpu]


def cases(name: str, setting: Setting) -> Iterator[Case]:
    """The cases of a suite, made one by one, so that only one holds its arrays at a time."""
    module = import_module(f".{SUITES[name].module}", __package__)
    yield from getattr(module, name)(setting)
