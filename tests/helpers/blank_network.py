"""A network that is no network: neutral gray, half sure everywhere. Commands run as they are, in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcolor.ops import merge
from fastcolor.photo.colorizer import Prediction


class BlankColorizer:
    """Has of :class:`fastcolor.photo.colorizer.Colorizer` what commands use."""

    def reduce(self, luma: Any) -> Any:
        return np.zeros((2, 2), np.float32)

    def predict(self, batch: Any, *, with_confidence: bool = False) -> list[Prediction]:
        top = np.full((2, 2), 0.5, np.float32) if with_confidence else None
        return [Prediction(np.zeros((2, 2, 2), np.float32), top) for _ in batch]

    def render(self, prediction: Prediction, luma: Any) -> Any:
        return merge(prediction.chroma, luma)
